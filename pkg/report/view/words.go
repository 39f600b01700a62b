package view

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

// title names the load balancers and the time that a report is about.
func title(r *report.Result) string {
	if r.First == nil {
		return "TLS negotiations"
	}
	const format = "2006-01-02 15:04"
	from, to := r.In(*r.First), r.In(*r.Last)
	until := to.Format(format)
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		until = to.Format("15:04")
	}
	when := from.Format(format) + " to " + until + " " + text.Zone(to)
	var names []string
	for _, x := range r.ByLoadBalancer {
		names = append(names, shortName(x.LoadBalancer))
	}
	switch {
	case len(names) > 2:
		return text.Plural(len(names), "load balancer") + ", " + when
	case names[0] == "-": // the log does not name it
		return "TLS negotiations, " + when
	}
	return strings.Join(names, " and ") + ", " + when
}

// shortName is the name in "app/NAME/ID".
func shortName(loadBalancer string) string {
	if parts := strings.Split(loadBalancer, "/"); len(parts) == 3 {
		return parts[1]
	}
	return loadBalancer
}

// shortNames returns a function that shortens the names of load balancers, unless
// two of them would be the same.
func shortNames(r *report.Result) func(string) string {
	seen := make(map[string]bool)
	for _, x := range r.ByLoadBalancer {
		name := shortName(x.LoadBalancer)
		if seen[name] {
			return func(s string) string { return s }
		}
		seen[name] = true
	}
	return shortName
}

// volume says how much was read.
func volume(r *report.Result) []string {
	return []string{text.Plural(r.Objects, "log") + ",", text.Plural(r.Lines, "line") + ",", humanize.Bytes(uint64(r.Bytes)) + " of text"}
}

// ignored says how many connections of ignored addresses are in no other count.
func ignored(n *report.Counts) string {
	return fmt.Sprintf("apart: %s of ignored addresses, %s failed", text.Plural(n.Connections, "connection"), text.Count(n.Failed))
}

// maxCauses is how many causes people see, apart from those of the negotiations
// that are shown.
const maxCauses = 20

// causes returns the diagnoses that people see, most failures first, and their
// numbers from 1 on by cause.
func causes(r *report.Result) (shown []report.Diagnosis, number map[string]int) {
	named := make(map[string]bool)
	for i := range r.FailedNegotiations {
		named[r.FailedNegotiations[i].Diagnosis] = true
	}
	number = make(map[string]int)
	for i, d := range r.Diagnoses {
		if i >= maxCauses && (!named[d.Cause] || number[d.Cause] > 0) {
			continue
		}
		shown = append(shown, d)
		if number[d.Cause] == 0 {
			number[d.Cause] = len(shown)
		}
	}
	return shown, number
}

// of says that a list is shortened.
func of(shown, all int) string {
	if shown == all {
		return ""
	}
	return fmt.Sprintf(": %s of %s", text.Count(shown), text.Count(all))
}

// per writes a width of time for "per minute" or "per 5 minutes".
func per(d time.Duration) string { return strings.TrimPrefix(text.Span(d), "1 ") }

func rate(n report.Counts) string {
	if n.Failed == 0 {
		return ""
	}
	return text.Percent(n.Failed, n.Connections)
}

func millis(s float64) string {
	if s >= 10 {
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.0f ms", 1000*s)
}

// postQuantumShare is how much of the connections with a known key exchange
// would withstand a quantum computer, from 0 to 1; ok is false if there are none.
func postQuantumShare(r *report.Result) (share float64, ok bool) {
	var all, pq uint64
	for _, k := range r.ByKeyExchange {
		if k.KeyExchange == "-" {
			continue
		}
		all += k.Connections
		if k.PostQuantum {
			pq += k.Connections
		}
	}
	if all == 0 {
		return 0, false
	}
	return float64(pq) / float64(all), true
}

// users names some clients of a certificate, and says how many more there are.
func users(c report.Certificate) string {
	list := strings.Join(c.Examples, ", ")
	if more := c.Clients - len(c.Examples); more > 0 {
		list += " and " + text.Count(more) + " more"
	}
	return cmp.Or(list, "-")
}

// alsoPostQuantum says that other connections of a listed client are post-quantum.
func alsoPostQuantum(c report.ClassicalClient) string {
	if c.PostQuantum {
		return "post-quantum"
	}
	return ""
}

// offered lists the versions and cipher suites of an offer.
func offered(o *report.Offer) string {
	if len(o.CipherSuites) == 0 {
		return "not in the capture"
	}
	return cmp.Or(strings.Join(o.Versions, " "), "unknown versions") + ": " + strings.Join(o.CipherSuites, " ")
}
