package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/secpolicy"
)

// maxExplained bounds the kinds of failures that are remembered.
const maxExplained = 1000

// A tailPrinter prints failures as they come, and a summary in the end.
type tailPrinter struct {
	w      *bufio.Writer
	err    error // why nothing more can be printed
	json   bool
	set    *secpolicy.Set
	policy *secpolicy.Policy // nil if not known
	sum    *rollup.Summary

	diagnoses map[tailKind][]secpolicy.Diagnosis
	explained map[string]bool // causes that were printed
}

// A tailKind is failures of one diagnosis.
type tailKind struct{ protocol, cipher, status string }

func (o *tailOptions) printer(w io.Writer) (*tailPrinter, error) {
	set, err := o.policies.load()
	if err != nil {
		return nil, err
	}
	p := &tailPrinter{
		w:         bufio.NewWriterSize(w, 64<<10),
		json:      o.format == "json",
		set:       set,
		sum:       rollup.New(rollup.Options{}),
		diagnoses: make(map[tailKind][]secpolicy.Diagnosis),
		explained: make(map[string]bool),
	}
	if o.policy != "" {
		if p.policy, err = lookupPolicy(set, o.policy); err != nil {
			return nil, &usageError{fmt.Errorf("--policy: %w", err)}
		}
	}
	return p, nil
}

func (p *tailPrinter) flush() {
	if err := p.w.Flush(); err != nil && p.err == nil {
		p.err = err
	}
}

// add counts an entry, and prints it if it is of a failure.
func (p *tailPrinter) add(o *tailed, line int, e *connlog.Entry) {
	p.sum.Add(e)
	if !e.Failed() {
		return
	}
	diagnoses := p.diagnose(e)
	if p.json {
		p.printJSON(o, line, e, diagnoses)
	} else {
		p.printLine(e, diagnoses)
	}
}

// diagnose is [secpolicy.Set.Diagnose] with a memory for failures that only
// their kind explains.
func (p *tailPrinter) diagnose(e *connlog.Entry) []secpolicy.Diagnosis {
	if !e.ClientCert.NotBefore.IsZero() || !e.ClientCert.NotAfter.IsZero() {
		return p.set.Diagnose(e, p.policy)
	}
	kind := tailKind{e.Protocol, e.Cipher, e.Status}
	list, ok := p.diagnoses[kind]
	if !ok {
		list = p.set.Diagnose(e, p.policy)
		if len(p.diagnoses) < maxExplained {
			p.diagnoses[kind] = list
		}
	}
	return list
}

// printLine prints a failure in one line, and why it failed when that is said
// for the first time.
func (p *tailPrinter) printLine(e *connlog.Entry, diagnoses []secpolicy.Diagnosis) {
	client := "-"
	if e.Client.IsValid() {
		client = e.Client.String()
	}
	fmt.Fprintf(p.w, "%s  %-15s  %5d  %-7s  %-27s  %s  %s", e.Time.Format(time.RFC3339), client, e.ListenerPort,
		harmless(cmp.Or(e.Protocol, "-")), harmless(cmp.Or(e.Cipher, "-")), harmless(e.Reason()), harmless(cmp.Or(e.LoadBalancer, "-")))
	for _, extra := range [][]byte{e.ServerName, e.ClientCert.Subject} {
		if len(extra) > 0 {
			p.w.WriteString("  " + harmless(string(extra)))
		}
	}
	p.w.WriteByte('\n')
	for _, d := range diagnoses {
		if text := d.Cause + d.Remedy; !p.explained[text] && len(p.explained) < maxExplained {
			p.explained[text] = true
			wrapText(p.w, "  why: ", d.Cause)
			wrapText(p.w, "  do:  ", d.Remedy)
		}
	}
}

// harmless makes text from a log harmless for a terminal.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// wrapText writes a paragraph of 79 columns with a label before it.
func wrapText(w io.Writer, label, text string) {
	const columns = 79
	line := label
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > columns {
			fmt.Fprintln(w, line)
			line = strings.Repeat(" ", len(label)) + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, line)
}

// A tailedFailure is a line of --format json.
type tailedFailure struct {
	Event         string                `json:"event"` // "failure"
	Time          time.Time             `json:"time"`
	LoadBalancer  string                `json:"loadBalancer"`
	ListenerPort  uint16                `json:"listenerPort"`
	Client        string                `json:"client"`
	ClientPort    uint16                `json:"clientPort"`
	Protocol      string                `json:"protocol"`
	Cipher        string                `json:"cipher"`
	KeyExchange   string                `json:"keyExchange,omitempty"`
	Status        string                `json:"status"`
	ServerName    string                `json:"serverName,omitempty"`
	ClientSubject string                `json:"clientCertSubject,omitempty"`
	ClientSerial  string                `json:"clientCertSerial,omitempty"`
	TraceID       string                `json:"traceId,omitempty"`
	Object        string                `json:"object"`
	Line          int                   `json:"line"`
	Diagnoses     []secpolicy.Diagnosis `json:"diagnoses"`
}

func (p *tailPrinter) printJSON(o *tailed, line int, e *connlog.Entry, diagnoses []secpolicy.Diagnosis) {
	f := tailedFailure{
		Event: "failure", Time: e.Time, LoadBalancer: e.LoadBalancer, ListenerPort: e.ListenerPort,
		ClientPort: e.ClientPort, Protocol: cmp.Or(e.Protocol, "-"), Cipher: cmp.Or(e.Cipher, "-"), KeyExchange: e.KeyExchange,
		Status: e.Status, ServerName: string(e.ServerName), ClientSubject: string(e.ClientCert.Subject), ClientSerial: string(e.ClientCert.Serial),
		TraceID: string(e.TraceID), Object: o.URI(), Line: line, Diagnoses: diagnoses,
	}
	if e.Client.IsValid() {
		f.Client = e.Client.String()
	}
	p.encode(f)
}

// encode writes a line of JSON.
func (p *tailPrinter) encode(v any) {
	enc := json.NewEncoder(p.w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && p.err == nil {
		p.err = err
	}
}

// tailTop bounds the lists of a summary.
const tailTop = 10

// A tailedSummary is the last line of --format json.
type tailedSummary struct {
	Event string `json:"event"` // "summary"
	tailCounts
	First       time.Time       `json:"first,omitzero"`
	Last        time.Time       `json:"last,omitzero"`
	Connections uint64          `json:"tlsConnections"`
	Failed      uint64          `json:"failed"`
	Plaintext   uint64          `json:"plaintextConnections"`
	Clients     []tailedClient  `json:"failedClients"`
	Failures    []tailedFailing `json:"failedNegotiations"`
}

type tailedClient struct {
	Client      string `json:"client"`
	Connections uint64 `json:"connections"`
	Failed      uint64 `json:"failed"`
}

type tailedFailing struct {
	Client   string `json:"client"`
	Protocol string `json:"protocol"`
	Cipher   string `json:"cipher"`
	Status   string `json:"status"`
	Count    uint64 `json:"count"`
}

// summary prints what was seen, and returns why it could not.
func (p *tailPrinter) summary(counts *tailCounts) error {
	s := tailedSummary{
		Event: "summary", tailCounts: *counts, First: p.sum.First, Last: p.sum.Last,
		Connections: p.sum.Totals.Connections, Failed: p.sum.Totals.Failed, Plaintext: p.sum.Plaintext,
		Clients: []tailedClient{}, Failures: []tailedFailing{},
	}
	for i, c := range p.sum.FailingClients() {
		if i == tailTop {
			break
		}
		s.Clients = append(s.Clients, tailedClient{cmp.Or(c.Client.String(), "-"), c.Connections, c.Counts.Failed})
	}
	for i, f := range p.sum.Failures() {
		if i == tailTop {
			break
		}
		s.Failures = append(s.Failures, tailedFailing{cmp.Or(f.Client.String(), "-"), cmp.Or(f.Protocol, "-"), cmp.Or(f.Cipher, "-"), f.Status, f.Count})
	}
	if p.json {
		p.encode(s)
	} else {
		s.write(p.w)
	}
	p.flush()
	return p.err
}

// write shows the summary to a person.
func (s *tailedSummary) write(w *bufio.Writer) {
	fmt.Fprintf(w, "\nSUMMARY of %s, %s", counted(s.Objects, "log object"), counted(s.Lines, "line"))
	if s.Malformed > 0 {
		fmt.Fprintf(w, " (%s malformed)", grouped(s.Malformed))
	}
	if !s.First.IsZero() {
		fmt.Fprintf(w, ", %s to %s UTC", s.First.Format("2006-01-02 15:04:05"), s.Last.Format("15:04:05"))
	}
	rate := rollup.Counts{Connections: s.Connections, Failed: s.Failed}.FailureRate()
	fmt.Fprintf(w, "\n\n  %s of %s TLS connections failed (%.1f %%)\n", grouped(int(s.Failed)), grouped(int(s.Connections)), 100*rate)
	if s.Plaintext > 0 {
		fmt.Fprintf(w, "  %s without TLS\n", counted(int(s.Plaintext), "connection"))
	}
	if len(s.Clients) > 0 {
		t := table{right: []bool{true, true, false}}
		t.add()
		t.add("failed", "of", "client")
		for _, c := range s.Clients {
			t.add(grouped(int(c.Failed)), grouped(int(c.Connections)), c.Client)
		}
		t.write(w)
		t = table{right: []bool{true, false, false, false, false}}
		t.add()
		t.add("failed", "client", "protocol", "cipher", "reason")
		for _, f := range s.Failures {
			t.add(grouped(int(f.Count)), f.Client, harmless(f.Protocol), harmless(f.Cipher), harmless(strings.TrimPrefix(f.Status, connlog.FailedPrefix)))
		}
		t.write(w)
	}
	for _, other := range []struct {
		n    int
		what string
	}{{s.Skipped, "no log of TLS connections"}, {s.Gone, "gone before it was read"}, {s.tailCounts.Failed, "not read to its end"}} {
		if other.n > 0 {
			fmt.Fprintf(w, "\n  %s: %s", counted(other.n, "object"), other.what)
		}
	}
	if s.Skipped+s.Gone+s.tailCounts.Failed > 0 {
		fmt.Fprintln(w)
	}
}
