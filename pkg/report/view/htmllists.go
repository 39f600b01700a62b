package view

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

// withRows returns the lists that have rows.
func withRows(all ...pageTable) (tables []pageTable) {
	for _, t := range all {
		if len(t.Rows) == 0 {
			continue
		}
		for i := range t.Columns {
			t.Columns[i].Number = t.Rows[0][i].Class == "n"
		}
		tables = append(tables, t)
	}
	return tables
}

func newTable(id, title string, columns ...string) pageTable {
	t := pageTable{ID: id, Title: title}
	for _, name := range columns {
		t.Columns = append(t.Columns, pageColumn{Name: name})
	}
	return t
}

func (t *pageTable) add(cells ...pageCell) { t.Rows = append(t.Rows, cells) }

func countCell[N text.Integer](n N) pageCell { return pageCell{text.Count(n), fmt.Sprint(n), "n"} }

// textCell may wrap, wordCell may not.
func textCell(s string) pageCell { return pageCell{Text: s, Class: "t"} }
func wordCell(s string) pageCell { return pageCell{Text: s, Class: "w"} }

func rateCell(c report.Counts) pageCell {
	return pageCell{text.Percent(c.Failed, c.Connections), decimal(100 * c.FailureRate()), "n"}
}

func latencyCell(seconds float64) pageCell {
	return pageCell{millis(seconds), strconv.FormatFloat(seconds, 'f', -1, 64), "n"}
}

// cut says that --top omits rows.
func cut(shown, all int) string {
	if shown == all {
		return ""
	}
	return fmt.Sprintf("%s of %s; --top shows more", text.Count(shown), text.Count(all))
}

func failedClients(r *report.Result) pageTable {
	t := newTable("failed-clients", "Failing clients", "client", "failed", "connections", "rate", "last success")
	t.More = cut(len(r.FailedClients), r.TotalFailedClients)
	for _, x := range r.FailedClients {
		last := pageCell{Text: "-"}
		if x.LastSuccess != nil {
			last = pageCell{Text: r.In(*x.LastSuccess).Format(pageTime) + ", " + x.LastProtocol + " " + x.LastCipher, Value: x.LastSuccess.Format(time.RFC3339)}
		}
		t.add(wordCell(x.Client), countCell(x.Failed), countCell(x.Connections), rateCell(x.Counts), last)
	}
	return t
}

// failedNegotiations refers to causes by their numbers.
func failedNegotiations(r *report.Result, causes map[string]int) pageTable {
	columns := []string{"count", "client", "protocol", "cipher suite", "reason"}
	if r.Policy != "" {
		columns = append(columns, "listener", "why")
	}
	short := shortNames(r)
	t := newTable("failed-negotiations", "Failed negotiations", columns...)
	t.More = cut(len(r.FailedNegotiations), r.TotalFailedNegotiations)
	for _, x := range r.FailedNegotiations {
		row := []pageCell{countCell(x.Count), wordCell(x.Client), wordCell(x.Protocol), textCell(x.Cipher), textCell(x.Reason())}
		if r.Policy != "" {
			listener := short(x.LoadBalancer) + ":"
			if x.Port != 0 {
				listener += strconv.Itoa(int(x.Port))
			}
			row = append(row, pageCell{Text: listener, Class: "l"}, countCell(causes[x.Diagnosis]))
		}
		t.add(row...)
	}
	return t
}

func software(r *report.Result) pageTable {
	t := newTable("software", "Software, by what was negotiated", "connections", "protocol", "cipher suite", "software")
	for _, x := range r.ByCipher {
		if x.Software != "" {
			t.add(countCell(x.Connections), wordCell(x.Protocol), wordCell(x.Cipher), textCell(x.Software))
		}
	}
	return t
}

func capturedOffers(r *report.Result) pageTable {
	t := newTable("captured-offers", "What clients offered, by packet captures", "count", "client", "protocol", "reason", "for", "offers", "software", "ended", "policy")
	if c := r.Captured; c != nil {
		t.More = strings.TrimSpace(strings.Join(append([]string{cut(len(r.CapturedOffers), c.Offers)}, capturedOutcomes(r)...), " "))
	}
	for i := range r.CapturedOffers {
		x := &r.CapturedOffers[i]
		t.add(countCell(x.Count), wordCell(x.Client), wordCell(x.Protocol), textCell(report.Negotiation{Status: x.Status}.Reason()),
			textCell(x.ServerName), textCell(offered(&x.Offer)), textCell(x.Software), textCell(x.Outcome), textCell(x.Verdict))
	}
	return t
}

func certificates(r *report.Result) pageTable {
	t := newTable("certificates", "Client certificates", "subject", "valid until", "failed", "connections", "reason", "clients")
	t.More = "Certificates that failed, or expire within " + text.Span(r.Expiring) + " of the last entry."
	for _, x := range r.ClientCertificates {
		until := wordCell("-")
		if x.NotAfter != nil {
			until.Text = r.In(*x.NotAfter).Format(time.RFC3339Nano)
		}
		if x.Expiring {
			until.Class = "w bad"
		}
		t.add(textCell(x.Subject), until, countCell(x.Failed), countCell(x.Connections), textCell(cmp.Or(report.Negotiation{Status: x.Status}.Reason(), "-")),
			pageCell{users(x), strconv.Itoa(x.Clients), "t"})
	}
	return t
}

// nonPostQuantumClients has rows only where post-quantum key exchange is in use.
func nonPostQuantumClients(r *report.Result) pageTable {
	t := newTable(report.NonPostQuantumSection, "Clients without post-quantum key exchange", "client", "connections", "newest protocol", "also")
	if share, _ := postQuantumShare(r); share == 0 {
		return t
	}
	t.More = cut(len(r.NonPostQuantumClients), r.TotalNonPostQuantumClients)
	for _, x := range r.NonPostQuantumClients {
		t.add(wordCell(x.Client), countCell(x.Connections), wordCell(x.Protocol), textCell(alsoPostQuantum(x)))
	}
	return t
}

func latency(r *report.Result) pageTable {
	t := newTable("latency", "Handshake latency", "protocol", "handshakes", "p50", "p90", "p99", "max")
	add := func(name string, l report.Latency) {
		if l.Count > 0 {
			t.add(wordCell(name), countCell(l.Count), latencyCell(l.P50), latencyCell(l.P90), latencyCell(l.P99), latencyCell(l.Max))
		}
	}
	add("all", r.HandshakeLatency)
	for _, x := range r.LatencyByProtocol {
		add(x.Protocol, x.Latency)
	}
	return t
}

func slowestClients(r *report.Result) pageTable {
	t := newTable("slowest-clients", "Slowest clients", "client", "handshakes", "mean", "max")
	for _, x := range r.SlowestClients {
		t.add(wordCell(x.Client), countCell(x.Connections), latencyCell(x.Mean), latencyCell(x.Max))
	}
	return t
}

func failedLogs(r *report.Result) pageTable {
	t := newTable("failed-logs", "Logs that could not be read to the end", "log", "error")
	shown := r.FailedObjects[:min(len(r.FailedObjects), pageFailed)]
	if n := r.TotalFailedObjects - len(shown); n > 0 {
		t.More = fmt.Sprintf("and %s more, in --format json and csv", text.Count(n))
	}
	for _, x := range shown {
		t.add(textCell(x.Object), textCell(x.Error))
	}
	return t
}

func malformedLines(r *report.Result) pageTable {
	t := newTable("malformed", "Invalid lines", "log", "line", "error")
	if n := r.MalformedLines - len(r.Malformed); n > 0 {
		t.More = fmt.Sprintf("and %s more", text.Count(n))
	}
	for _, x := range r.Malformed {
		t.add(textCell(x.Object), countCell(x.Line), textCell(x.Error))
	}
	return t
}

func skippedLogs(r *report.Result) pageTable {
	t := newTable("skipped", "Skipped", "reason", "logs")
	for _, x := range r.Skipped {
		t.add(textCell(x.Reason), countCell(x.Count))
	}
	return t
}
