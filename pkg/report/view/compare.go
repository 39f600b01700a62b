package view

import (
	"fmt"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

// compared says with which time a report is compared, and sums up what differs.
func compared(r *report.Result) (when string, sentences []string) {
	c := r.Comparison
	when = text.Period(r.In(c.Since), r.In(c.Until))
	if c.Connections == 0 {
		return when, []string{"These logs have no connection of that time, so nothing can be compared."}
	}
	sentences = append(sentences, fmt.Sprintf("%s connections failed, %s then; by %s, %s then.",
		ofAll(report.Counts{Connections: r.Connections, Failed: r.Failed}), ofAll(c.Counts), text.Plural(r.TotalFailedClients, "client"), text.Count(c.FailedClients)))
	clients := func(list []report.FailingClient, all int, one, many string) {
		if all == 0 {
			return
		}
		const most = 5
		var names []string
		for _, x := range list[:min(len(list), most)] {
			names = append(names, x.Client+" ("+text.Count(x.Failed)+")")
		}
		s := text.Counted(all, one, many) + ": " + strings.Join(names, ", ")
		if more := all - len(names); more > 0 {
			s += " and " + text.Count(more) + " more"
		}
		sentences = append(sentences, s+".")
	}
	clients(c.NewClients, c.TotalNew, "client fails that did not fail then", "clients fail that did not fail then")
	clients(c.GoneClients, c.TotalGone, "client failed then and does not fail now", "clients failed then and do not fail now")
	if len(c.Differences) == 0 {
		sentences = append(sentences, "No load balancer, listener, protocol, cipher suite or key exchange has clearly another failure rate.")
	}
	return when, sentences
}

// ofAll writes "5,602 of 70,911 (7.9 %)".
func ofAll(c report.Counts) string {
	return text.Count(c.Failed) + " of " + text.Count(c.Connections) + " (" + text.Percent(c.Failed, c.Connections) + ")"
}

// maxDifferences is how many differences people see.
const maxDifferences = 20

var listNames = map[string]string{
	"byLoadBalancer": "load balancer", "byListenerPort": "port", "byProtocol": "protocol", "byCipher": "cipher suite", "byKeyExchange": "key exchange",
}

// differences lists what differs.
func differences(r *report.Result) pageTable {
	t := newTable("differences", "What differs", "kind", "name", "failed now", "failed then")
	if r.Comparison == nil {
		return t
	}
	failed := func(c report.Counts) pageCell {
		if c.Connections == 0 {
			return pageCell{Text: "no connections"}
		}
		return pageCell{Text: text.Percent(c.Failed, c.Connections) + " of " + text.Count(c.Connections)}
	}
	short := shortNames(r)
	all := r.Comparison.Differences
	for _, d := range all[:min(len(all), maxDifferences)] {
		name := d.Name
		if d.List == "byLoadBalancer" {
			name = short(name)
		}
		t.add(pageCell{Text: listNames[d.List]}, textCell(name), failed(d.Now), failed(d.Earlier))
	}
	if more := len(all) - maxDifferences; more > 0 {
		t.More = "and " + text.Count(more) + " more, in --format json"
	}
	return t
}

// comparison shows what differs from the same span earlier.
func (t *tables) comparison() {
	if t.r.Comparison == nil {
		return
	}
	when, sentences := compared(t.r)
	t.title("COMPARED WITH %s", when)
	for _, s := range sentences {
		t.wrapped(s, "  ")
	}
	list := differences(t.r)
	if len(list.Rows) == 0 {
		return
	}
	t.WriteByte('\n')
	g := text.Table{Columns: "llll"}
	g.Add("failed now", "failed then", "", "")
	for _, row := range list.Rows {
		g.Add(row[2].Text, row[3].Text, row[0].Text, row[1].Text)
	}
	g.Write(t, t.Screen)
	if list.More != "" {
		t.wrapped(list.More, "  ")
	}
}
