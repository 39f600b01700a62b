package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/accesslog"
)

// A section is one list as a table.
type section struct {
	name   string
	header []string
	rows   func(r *Result, yield func(...string))
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func seconds(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func portText(p uint16) string {
	if p == 0 {
		return ""
	}
	return strconv.Itoa(int(p))
}

func stamp(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

var sections = []section{
	{"summary", []string{"figure", "value"}, func(r *Result, yield func(...string)) {
		for _, f := range []struct {
			name  string
			value uint64
		}{
			{"objects", uint64(r.Objects)}, {"skippedObjects", uint64(r.SkippedObjects)}, {"bytes", uint64(r.Bytes)}, {"lines", uint64(r.Lines)},
			{"malformedLines", uint64(r.MalformedLines)}, {"connections", r.Connections}, {"tlsConnections", r.TLSConnections},
			{"plaintextConnections", r.PlaintextConnections}, {"failed", r.Failed},
		} {
			yield(f.name, number(f.value))
		}
		if n := r.Ignored; n != nil {
			yield("ignoredConnections", number(n.Connections))
			yield("ignoredFailed", number(n.Failed))
		}
		yield("first", stamp(r.First))
		yield("last", stamp(r.Last))
		yield("failedObjects", strconv.Itoa(r.TotalFailedObjects))
		yield("partial", strconv.FormatBool(r.Partial))
	}},
	{"status", []string{"status", "count"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ByStatus {
			yield(x.Status, number(x.Count))
		}
	}},
	{"protocols", []string{"protocol", "connections", "failed"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ByProtocol {
			yield(x.Protocol, number(x.Connections), number(x.Failed))
		}
	}},
	{"ciphers", []string{"protocol", "cipher", "connections", "failed", "strength", "software"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ByCipher {
			yield(x.Protocol, x.Cipher, number(x.Connections), number(x.Failed), x.Strength, x.Software)
		}
	}},
	{"key-exchange", []string{"keyExchange", "connections", "failed", "postQuantum"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ByKeyExchange {
			yield(x.KeyExchange, number(x.Connections), number(x.Failed), strconv.FormatBool(x.PostQuantum))
		}
	}},
	{"listeners", []string{"port", "connections", "failed"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ByListenerPort {
			yield(number(uint64(x.Port)), number(x.Connections), number(x.Failed))
		}
	}},
	{"load-balancers", []string{"loadBalancer", "connections", "failed"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ByLoadBalancer {
			yield(x.LoadBalancer, number(x.Connections), number(x.Failed))
		}
	}},
	{"minutes", []string{"minute", "connections", "failed"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ByMinute {
			yield(stamp(&x.Minute), number(x.Connections), number(x.Failed))
		}
	}},
	{"failed-clients", []string{"client", "connections", "failed", "lastSuccess", "lastProtocol", "lastCipher", "lastKeyExchange"}, func(r *Result, yield func(...string)) {
		for _, x := range r.FailedClients {
			yield(x.Client, number(x.Connections), number(x.Failed), stamp(x.LastSuccess), x.LastProtocol, x.LastCipher, x.LastKeyExchange)
		}
	}},
	{"failed-negotiations", []string{"client", "protocol", "cipher", "status", "count", "loadBalancer", "port", "diagnosis"}, func(r *Result, yield func(...string)) {
		for _, x := range r.FailedNegotiations {
			yield(x.Client, x.Protocol, x.Cipher, x.Status, number(x.Count), x.LoadBalancer, portText(x.Port), x.Diagnosis)
		}
	}},
	{"diagnoses", []string{"id", "failures", "clients", "cause", "remedy"}, func(r *Result, yield func(...string)) {
		for _, x := range r.Diagnoses {
			yield(x.ID, number(x.Failures), strconv.Itoa(x.Clients), x.Cause, x.Remedy)
		}
	}},
	{"captured-offers", []string{"client", "protocol", "cipher", "status", "count", "serverName", "versions", "cipherSuites", "groups", "keyShares", "ja4", "outcome", "verdict", "software"}, func(r *Result, yield func(...string)) {
		for _, x := range r.CapturedOffers {
			list := func(names []string) string { return strings.Join(names, " ") }
			yield(x.Client, x.Protocol, x.Cipher, x.Status, number(x.Count), x.ServerName, list(x.Versions), list(x.CipherSuites), list(x.Groups), list(x.KeyShares), x.JA4, x.Outcome, x.Verdict, x.Software)
		}
	}},
	{"client-requests", []string{"client", "connections", "requests", "hosts", "userAgents", "targetGroups"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ClientRequests {
			list := func(names []accesslog.Name) string {
				var b []string
				for _, n := range names {
					b = append(b, n.Name)
				}
				return strings.Join(b, "; ")
			}
			yield(x.Client, number(x.Connections), number(x.Requests), list(x.Hosts), list(x.UserAgents), list(x.TargetGroups))
		}
	}},
	{"differences", []string{"list", "name", "connections", "failed", "earlierConnections", "earlierFailed"}, func(r *Result, yield func(...string)) {
		if r.Comparison == nil {
			return
		}
		for _, x := range r.Comparison.Differences {
			yield(x.List, x.Name, number(x.Now.Connections), number(x.Now.Failed), number(x.Earlier.Connections), number(x.Earlier.Failed))
		}
	}},
	{"what-if", []string{"outcome", "connections", "clients"}, func(r *Result, yield func(...string)) {
		if r.WhatIf == nil {
			return
		}
		for _, x := range r.WhatIf.Outcomes {
			yield(x.Class, number(x.Connections), strconv.Itoa(x.Clients))
		}
	}},
	{"certificates", []string{"subject", "notAfter", "connections", "failed", "status", "expiring", "clients", "examples"}, func(r *Result, yield func(...string)) {
		for _, x := range r.ClientCertificates {
			yield(x.Subject, stamp(x.NotAfter), number(x.Connections), number(x.Failed), x.Status, strconv.FormatBool(x.Expiring), strconv.Itoa(x.Clients), strings.Join(x.Examples, " "))
		}
	}},
	{NonPostQuantumSection, []string{"client", "connections", "protocol", "postQuantum"}, func(r *Result, yield func(...string)) {
		for _, x := range r.NonPostQuantumClients {
			yield(x.Client, number(x.Connections), x.Protocol, strconv.FormatBool(x.PostQuantum))
		}
	}},
	{"latency", []string{"protocol", "count", "p50", "p90", "p99", "max"}, func(r *Result, yield func(...string)) {
		line := func(name string, l Latency) {
			yield(name, number(l.Count), seconds(l.P50), seconds(l.P90), seconds(l.P99), seconds(l.Max))
		}
		line("all", r.HandshakeLatency)
		for _, x := range r.LatencyByProtocol {
			line(x.Protocol, x.Latency)
		}
	}},
	{"slowest-clients", []string{"client", "connections", "mean", "max"}, func(r *Result, yield func(...string)) {
		for _, x := range r.SlowestClients {
			yield(x.Client, number(x.Connections), seconds(x.Mean), seconds(x.Max))
		}
	}},
	{"malformed", []string{"object", "line", "error"}, func(r *Result, yield func(...string)) {
		for _, x := range r.Malformed {
			yield(x.Object, strconv.Itoa(x.Line), x.Error)
		}
	}},
	{"failed-objects", []string{"object", "error"}, func(r *Result, yield func(...string)) {
		for _, x := range r.FailedObjects {
			yield(x.Object, x.Error)
		}
	}},
}

// NonPostQuantumSection is the name of the list of clients without post-quantum key
// exchange.
const NonPostQuantumSection = "non-post-quantum-clients"

// Sections returns the names that WriteCSV takes.
func Sections() []string {
	names := make([]string, len(sections))
	for i, s := range sections {
		names[i] = s.name
	}
	return names
}

// WriteCSV writes one list as in RFC 4180, with a header. It fails if the name is
// not one of Sections, or if w fails.
func (r *Result) WriteCSV(w io.Writer, name string) error {
	i := slices.IndexFunc(sections, func(s section) bool { return s.name == name })
	if i < 0 {
		return fmt.Errorf("there is no section %q: want one of %s", name, strings.Join(Sections(), ", "))
	}
	c := csv.NewWriter(w)
	c.Write(sections[i].header)
	sections[i].rows(r, func(cells ...string) {
		for i, cell := range cells {
			cells[i] = text.Cell(cell)
		}
		c.Write(cells)
	})
	c.Flush()
	return c.Error()
}
