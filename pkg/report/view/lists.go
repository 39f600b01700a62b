package view

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

func (t *tables) counts() {
	r := t.r
	status := text.Table{Columns: "rr"}
	for _, x := range r.ByStatus {
		status.Add(text.Count(x.Count), text.Percent(x.Count, r.Connections), x.Status)
	}
	t.grid("STATUS", "byStatus", &status)

	counted := func(title, list string, rows func(add func(n report.Counts, cells ...string)), names ...string) {
		g := text.Table{Columns: "rrr"}
		g.Add(append([]string{"connections", "failed", ""}, names...)...)
		rows(func(n report.Counts, cells ...string) {
			g.Add(append([]string{text.Count(n.Connections), text.Count(n.Failed), rate(n)}, cells...)...)
		})
		if g.Len() > 1 {
			t.grid(title, list, &g)
		}
	}
	counted("PROTOCOLS", "byProtocol", func(add func(report.Counts, ...string)) {
		for _, x := range r.ByProtocol {
			add(x.Counts, x.Protocol)
		}
	}, "protocol")
	counted("CIPHER SUITES", "byCipher", func(add func(report.Counts, ...string)) {
		for _, x := range r.ByCipher {
			add(x.Counts, x.Protocol, x.Cipher, x.Strength)
		}
	}, "protocol", "cipher suite", "strength")
	title := "KEY EXCHANGE"
	if share, ok := postQuantumShare(r); ok {
		title += ": " + text.Share(share) + " post-quantum"
	}
	counted(title, "byKeyExchange", func(add func(report.Counts, ...string)) {
		for _, x := range r.ByKeyExchange {
			note := ""
			if x.PostQuantum {
				note = "post-quantum"
			}
			add(x.Counts, x.KeyExchange, note)
		}
	}, "key exchange", "")
}

// software names the programs that successful connections can be from.
func (t *tables) software() {
	titled := false
	for _, x := range t.r.ByCipher {
		if x.Software == "" {
			continue
		}
		if !titled {
			t.title("SOFTWARE, by what was negotiated")
			titled = true
		}
		t.wrapped(x.Protocol+" "+x.Cipher+": "+x.Software, "  ")
	}
}

// where shows load balancers and listeners.
func (t *tables) where() {
	r := t.r
	lines, times := t.sparklines()
	name := shortNames(r)
	g := text.Table{Columns: "rrrr"}
	switch {
	case len(r.ByLoadBalancer) == 0:
	case lines == nil:
		g.Add("connections", "failed", "rate", "load balancer")
		for _, x := range r.ByLoadBalancer {
			g.Add(text.Count(x.Connections), text.Count(x.Failed), rate(x.Counts), x.LoadBalancer)
		}
		t.grid("WHERE", "byLoadBalancer", &g)
	default:
		g.Add("connections", "failed", "rate", "peak", times, "load balancer")
		for _, x := range lines {
			g.Add(text.Count(x.Connections), text.Count(x.Failed), rate(x.Counts), rate(report.Peak(x.Bars)), t.sparkline(x.Bars), name(x.LoadBalancer))
		}
		t.grid("WHERE: failure rate over time, most changed first", "byLoadBalancer", &g)
	}
	if len(r.ByListenerPort) < 2 {
		return
	}
	g = text.Table{Columns: "rrr"}
	g.Add("connections", "failed", "rate", "port")
	for _, x := range r.ByListenerPort {
		g.Add(text.Count(x.Connections), text.Count(x.Failed), rate(x.Counts), strconv.Itoa(int(x.Port)))
	}
	t.grid("LISTENERS", "byListenerPort", &g)
}

// clients shows who failed. Rows refer to causes by their numbers.
func (t *tables) clients(number map[string]int) {
	r := t.r
	if len(r.FailedClients) > 0 {
		g := text.Table{Columns: "rrr"}
		g.Add("failed", "connections", "", "client")
		for _, x := range r.FailedClients {
			g.Add(text.Count(x.Failed), text.Count(x.Connections), rate(x.Counts), x.Client)
		}
		t.grid("FAILING CLIENTS"+of(len(r.FailedClients), r.TotalFailedClients), "failedClients", &g)
	}
	if len(r.FailedNegotiations) > 0 {
		g := text.Table{Columns: "r"}
		names := []string{"count", "client", "protocol", "cipher suite", "reason"}
		if len(number) > 0 {
			names = append(names, "why")
		}
		g.Add(names...)
		for _, x := range r.FailedNegotiations {
			cells := []string{text.Count(x.Count), x.Client, x.Protocol, x.Cipher, x.Reason()}
			if n := number[x.Diagnosis]; n > 0 {
				cells = append(cells, fmt.Sprintf("[%d]", n))
			}
			g.Add(cells...)
		}
		t.grid("FAILED NEGOTIATIONS"+of(len(r.FailedNegotiations), r.TotalFailedNegotiations), "failedNegotiations", &g)
	}
}

// diagnoses shows causes, which rows refer to by number.
func (t *tables) diagnoses(shown []report.Diagnosis) {
	if len(shown) == 0 {
		return
	}
	t.title("WHY (policy: %s)", t.r.Policy)
	for i, d := range shown {
		fmt.Fprintf(t, "  [%d] %s from %s\n", i+1, text.Plural(d.Failures, "failure"), text.Plural(d.Clients, "client"))
		t.wrapped(d.Cause, "      ")
		t.wrapped(d.Remedy, "      -> ")
	}
	if more := len(t.r.Diagnoses) - len(shown); more > 0 {
		fmt.Fprintf(t, "  and %s more, in --format json and csv\n", text.Count(more))
	}
}

func (t *tables) whatIf() {
	w := t.r.WhatIf
	if w == nil {
		return
	}
	g := text.Table{Columns: "rr"}
	g.Add("connections", "clients", "")
	for _, x := range w.Outcomes {
		g.Add(text.Count(x.Connections), text.Count(x.Clients), x.Text)
	}
	t.grid("WHAT IF THE POLICY WERE "+w.To+"?", "", &g)
	for _, note := range w.Notes {
		t.wrapped(note, "  ")
	}
}

func (t *tables) captured() {
	c := t.r.Captured
	if c == nil {
		return
	}
	t.title("WHAT CLIENTS OFFERED, by packet captures%s", of(len(t.r.CapturedOffers), c.Offers))
	t.wrapped(fmt.Sprintf("%s of %s with a failure or without a protocol match one of the %s in the captures.",
		text.Count(c.Joined), text.Plural(c.Joined+c.Missing, "line"), text.Plural(c.Handshakes, "handshake")), "  ")
	for _, line := range capturedOutcomes(t.r) {
		t.wrapped(line, "  ")
	}
	for i := range t.r.CapturedOffers {
		o := &t.r.CapturedOffers[i]
		heading := []string{text.Count(o.Count), o.Client, o.Protocol, o.Cipher, o.Status}
		if o.ServerName != "" {
			heading = append(heading, "for "+o.ServerName)
		}
		t.WriteByte('\n')
		t.wrapped(strings.Join(heading, "  "), "  ")
		t.wrapped(offered(&o.Offer), "    offers ")
		if o.Software != "" {
			t.wrapped(o.Software, "    from   ")
		}
		t.wrapped(o.Outcome, "    ended  ")
		if o.Verdict != "" {
			t.wrapped(o.Verdict, "    policy ")
		}
	}
}

// capturedOutcomes says how the handshakes in captures ended.
func capturedOutcomes(r *report.Result) []string {
	if r.CapturedOutcomes == nil || len(r.CapturedOutcomes.Outcomes) == 0 {
		return nil
	}
	var list []string
	for _, o := range r.CapturedOutcomes.Outcomes {
		list = append(list, text.Count(o.Count)+" "+o.Name)
	}
	return append([]string{"They ended: " + strings.Join(list, "; ") + "."}, r.CapturedOutcomes.Notes...)
}

func (t *tables) certificates() {
	if len(t.r.ClientCertificates) == 0 {
		return
	}
	g := text.Table{Columns: "rr"}
	g.Add("failed", "connections", "valid until", "reason", "subject")
	for _, x := range t.r.ClientCertificates {
		until := "-"
		if x.NotAfter != nil {
			until = t.r.In(*x.NotAfter).Format("2006-01-02")
			if x.Expiring {
				until += " !"
			}
		}
		e := report.Negotiation{Status: x.Status}
		g.Add(text.Count(x.Failed), text.Count(x.Connections), until, cmp.Or(e.Reason(), "-"), x.Subject)
	}
	t.grid("CLIENT CERTIFICATES that failed or expire within "+text.Span(t.r.Expiring)+" (!)", "clientCertificates", &g)
	t.WriteString("\n  used by\n")
	for _, x := range t.r.ClientCertificates {
		t.wrapped(x.Subject+": "+users(x), "  ")
	}
}

// nonPostQuantum shows clients without post-quantum key exchange, where it is in use:
// elsewhere the listeners' policy keeps all clients from it.
func (t *tables) nonPostQuantum() {
	r := t.r
	if share, _ := postQuantumShare(r); share == 0 || len(r.NonPostQuantumClients) == 0 {
		return
	}
	g := text.Table{Columns: "r"}
	g.Add("connections", "newest protocol", "client", "also")
	for _, x := range r.NonPostQuantumClients {
		g.Add(text.Count(x.Connections), x.Protocol, x.Client, alsoPostQuantum(x))
	}
	t.grid("CLIENTS WITHOUT POST-QUANTUM KEY EXCHANGE"+of(len(r.NonPostQuantumClients), r.TotalNonPostQuantumClients), "nonPostQuantumClients", &g)
}

func (t *tables) latency() {
	r := t.r
	if r.HandshakeLatency.Count == 0 {
		return
	}
	g := text.Table{Columns: "rrrrr"}
	g.Add("handshakes", "p50", "p90", "p99", "max", "protocol")
	line := func(name string, l report.Latency) {
		g.Add(text.Count(l.Count), millis(l.P50), millis(l.P90), millis(l.P99), millis(l.Max), name)
	}
	line("all", r.HandshakeLatency)
	if len(r.LatencyByProtocol) > 1 {
		for _, x := range r.LatencyByProtocol {
			line(x.Protocol, x.Latency)
		}
	}
	t.grid("HANDSHAKE LATENCY", "", &g)
	if len(r.SlowestClients) == 0 {
		return
	}
	g = text.Table{Columns: "rrr"}
	g.Add("mean", "max", "handshakes", "client")
	for _, x := range r.SlowestClients {
		g.Add(millis(x.Mean), millis(x.Max), text.Count(x.Connections), x.Client)
	}
	t.grid("SLOWEST CLIENTS", "slowestClients", &g)
}

// faults shows what could not be read.
func (t *tables) faults() {
	r := t.r
	if r.MalformedLines > 0 {
		const most = 10
		t.title("INVALID LINES: %s", text.Count(r.MalformedLines))
		for _, x := range r.Malformed[:min(len(r.Malformed), most)] {
			t.wrapped(fmt.Sprintf("%s:%d: %s", x.Object, x.Line, x.Error), "  ")
		}
		if n := r.MalformedLines - min(len(r.Malformed), most); n > 0 {
			fmt.Fprintf(t, "  and %s more\n", text.Count(n))
		}
	}
	if len(r.Skipped) > 0 {
		t.title("SKIPPED")
		for _, x := range r.Skipped {
			t.wrapped(fmt.Sprintf("%s: %s", text.Plural(x.Count, "log"), x.Reason), "  ")
		}
	}
}
