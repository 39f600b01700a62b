package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
)

// WriteText writes the result as tables for a person, 80 columns wide if the
// screen has no width, and at least 60.
func (r *Result) WriteText(w io.Writer, screen text.Screen) error {
	screen.Width = max(cmp.Or(screen.Width, 80), 60)
	b := bufio.NewWriter(w)
	t := tables{b, screen, r}
	t.summary()
	t.counts()
	t.chart()
	t.clients()
	t.captured()
	t.whatIf()
	t.certificates()
	t.latency()
	t.faults()
	return b.Flush()
}

// tables writes a result for people.
type tables struct {
	*bufio.Writer
	text.Screen
	r *Result
}

func (t *tables) title(format string, args ...any) {
	t.WriteByte('\n')
	t.wrapped(t.Bold(fmt.Sprintf(format, args...)), "")
	t.WriteByte('\n')
}

func (t *tables) summary() {
	r := t.r
	if r.Partial {
		t.wrapped(t.Red("PARTIAL: interrupted before everything was read"), "")
		t.WriteByte('\n')
	}
	if n := r.TotalFailedObjects; n > 0 {
		t.wrapped(t.Red("INCOMPLETE: "+text.Plural(n, "log")+" could not be read to the end"), "")
		t.WriteByte('\n')
	}
	when := "no entries"
	if r.First != nil {
		when = r.First.UTC().Format("2006-01-02 15:04:05") + " to " + r.Last.UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	fmt.Fprintf(t, "%s\n", when)
	volume := r.volume()
	if r.OutsideObjects > 0 {
		volume[len(volume)-1] += ";"
		volume = append(volume, text.Plural(r.OutsideObjects, "log")+" not of what was asked for")
	}
	t.phrases(volume)
	connections := []string{text.Plural(r.Connections, "connection") + ","}
	if r.PlaintextConnections > 0 {
		connections = append(connections, text.Count(r.PlaintextConnections)+" of them without TLS,")
	}
	failed := text.Count(r.Failed) + " failed"
	if r.TLSConnections > 0 {
		failed += fmt.Sprintf(" (%s of TLS)", text.Percent(r.Failed, r.TLSConnections))
	}
	if r.Failed > 0 {
		failed = t.Red(failed)
	}
	t.phrases(append(connections, failed))
}

// volume says how much was read.
func (r *Result) volume() []string {
	return []string{text.Plural(r.Objects, "log") + ",", text.Plural(r.Lines, "line") + ",", text.Size(r.Bytes) + " of text"}
}

func (t *tables) counts() {
	r := t.r
	status := text.Table{Columns: "rr"}
	for _, x := range r.ByStatus {
		status.Add(text.Count(x.Count), text.Percent(x.Count, r.Connections), x.Status)
	}
	t.grid("STATUS", "byStatus", &status)

	counted := func(title, list string, rows func(add func(n Counts, cells ...string)), names ...string) {
		g := text.Table{Columns: "rrr"}
		g.Add(append([]string{"connections", "failed", ""}, names...)...)
		rows(func(n Counts, cells ...string) {
			g.Add(append([]string{text.Count(n.Connections), text.Count(n.Failed), rate(n)}, cells...)...)
		})
		if g.Len() > 1 {
			t.grid(title, list, &g)
		}
	}
	counted("PROTOCOLS", "byProtocol", func(add func(Counts, ...string)) {
		for _, x := range r.ByProtocol {
			add(x.Counts, x.Protocol)
		}
	}, "protocol")
	counted("CIPHER SUITES", "byCipher", func(add func(Counts, ...string)) {
		for _, x := range r.ByCipher {
			add(x.Counts, x.Protocol, x.Cipher, x.Strength)
		}
	}, "protocol", "cipher suite", "strength")
	title := "KEY EXCHANGE"
	if share, ok := r.PostQuantumShare(); ok {
		title += fmt.Sprintf(": %.1f %% post-quantum", 100*share)
	}
	counted(title, "byKeyExchange", func(add func(Counts, ...string)) {
		for _, x := range r.ByKeyExchange {
			note := ""
			if x.PostQuantum {
				note = "post-quantum"
			}
			add(x.Counts, x.KeyExchange, note)
		}
	}, "key exchange", "")
	counted("LISTENERS", "byListenerPort", func(add func(Counts, ...string)) {
		for _, x := range r.ByListenerPort {
			add(x.Counts, strconv.Itoa(int(x.Port)))
		}
	}, "port")
	counted("LOAD BALANCERS", "byLoadBalancer", func(add func(Counts, ...string)) {
		for _, x := range r.ByLoadBalancer {
			add(x.Counts, x.LoadBalancer)
		}
	}, "load balancer")
}

// chart draws the failures over time.
func (t *tables) chart() {
	const height, margin = 6, 10
	bars, from, width := t.r.Bars(t.Width - margin - 2)
	var most uint64
	for _, b := range bars {
		most = max(most, b.Failed)
	}
	if most == 0 {
		return
	}
	t.title("FAILURES PER %s", strings.ToUpper(per(width)))
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	axis, corner, line := "│", "└", "─"
	if t.ASCII {
		blocks, axis, corner, line = []rune(" .:#"), "|", "+", "-"
	}
	steps := uint64(len(blocks) - 1)
	for y := height - 1; y >= 0; y-- {
		label := ""
		if y == height-1 {
			label = text.Count(most)
		}
		var row strings.Builder
		for _, b := range bars {
			// Whatever is not nothing shows.
			n := (b.Failed*height*steps + most - 1) / most
			row.WriteRune(blocks[min(max(int64(n)-int64(uint64(y)*steps), 0), int64(steps))])
		}
		fmt.Fprintf(t, "%*s %s%s\n", margin-1, label, axis, t.Red(strings.TrimRight(row.String(), " ")))
	}
	fmt.Fprintf(t, "%*s %s%s\n", margin-1, "0", corner, strings.Repeat(line, len(bars)))
	until := from.Add(time.Duration(len(bars)) * width)
	start, end := from.Format("2006-01-02 15:04"), until.Format("15:04")
	if until.Sub(from) >= 24*time.Hour {
		end = until.Format("2006-01-02 15:04")
	}
	if len(bars) > len(start)+len(end)+1 {
		start += strings.Repeat(" ", len(bars)-len(start)-len(end)) + end
	}
	fmt.Fprintf(t, "%s %s\n", strings.Repeat(" ", margin), start)
}

func (t *tables) clients() {
	r := t.r
	shown, number := r.causes()
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
	t.diagnoses(shown)
}

// diagnoses shows some causes, which rows refer to by their numbers.
func (t *tables) diagnoses(shown []Diagnosis) {
	if len(shown) == 0 {
		return
	}
	t.title("WHY, judged by %s", t.r.Policy)
	for i, d := range shown {
		fmt.Fprintf(t, "  [%d] %s of %s\n", i+1, text.Plural(d.Failures, "failure"), text.Plural(d.Clients, "client"))
		t.wrapped(text.Printable(d.Cause), "      ")
		t.wrapped(text.Printable(d.Remedy), "      -> ")
	}
	if more := len(t.r.Diagnoses) - len(shown); more > 0 {
		fmt.Fprintf(t, "  and %s more; json and csv have them all\n", text.Count(more))
	}
}

// maxCauses is how many causes are shown to people, and beside them those of
// the negotiations that are shown.
const maxCauses = 20

// causes returns the diagnoses that are shown to people, most failures first,
// and their numbers, from 1 on, by the cause.
func (r *Result) causes() (shown []Diagnosis, number map[string]int) {
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

func (t *tables) whatIf() {
	w := t.r.WhatIf
	if w == nil {
		return
	}
	g := text.Table{Columns: "rr"}
	g.Add("connections", "clients", "")
	for _, x := range w.Outcomes {
		g.Add(text.Count(x.Connections), text.Count(x.Clients), x.Name)
	}
	t.grid("WHAT IF THE POLICY WERE "+w.To+"?", "", &g)
	for _, note := range w.Notes {
		t.wrapped(text.Printable(note), "  ")
	}
}

// of says that a list is cut.
func of(shown, all int) string {
	if shown == all {
		return ""
	}
	return fmt.Sprintf(": %s of %s", text.Count(shown), text.Count(all))
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
			until = x.NotAfter.Format("2006-01-02")
			if x.Expiring {
				until += " !"
			}
		}
		e := Negotiation{Status: x.Status}
		g.Add(text.Count(x.Failed), text.Count(x.Connections), until, cmp.Or(e.Reason(), "-"), x.Subject)
	}
	t.grid(fmt.Sprintf("CLIENT CERTIFICATES that failed, or end within %d days (!)", CertificateDays), "clientCertificates", &g)
}

func (t *tables) latency() {
	r := t.r
	if r.HandshakeLatency.Count == 0 {
		return
	}
	g := text.Table{Columns: "rrrrr"}
	g.Add("handshakes", "p50", "p90", "p99", "max", "protocol")
	line := func(name string, l Latency) {
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

// faults shows what was not read as it should.
func (t *tables) faults() {
	r := t.r
	if r.MalformedLines > 0 {
		const most = 10
		t.title("MALFORMED LINES: %s", text.Count(r.MalformedLines))
		for _, x := range r.Malformed[:min(len(r.Malformed), most)] {
			t.wrapped(text.Printable(fmt.Sprintf("%s:%d: %s", x.Object, x.Line, x.Error)), "  ")
		}
		if n := r.MalformedLines - min(len(r.Malformed), most); n > 0 {
			fmt.Fprintf(t, "  and %s more\n", text.Count(n))
		}
	}
	if len(r.Skipped) > 0 {
		t.title("PASSED OVER")
		for _, x := range r.Skipped {
			t.wrapped(fmt.Sprintf("%s of kind: %s", text.Count(x.Count), x.Reason), "  ")
		}
	}
}

// grid writes one table under its title.
func (t *tables) grid(title, list string, g *text.Table) {
	if g.Len() == 0 {
		return
	}
	t.title("%s", title)
	const most = 50 // rows, of lists that grow long only in strange logs
	more := 0
	switch list {
	case "byStatus", "byProtocol", "byCipher", "byKeyExchange", "byListenerPort", "byLoadBalancer":
		more = max(g.Len()-most, 0)
		g.Truncate(most)
	}
	g.Write(t, t.Screen)
	if more > 0 {
		fmt.Fprintf(t, "  and %s more; json and csv have them all\n", text.Count(more))
	}
	for _, a := range t.r.Approximate {
		switch a.List {
		case list:
			t.wrapped(fmt.Sprintf("Approximate: more than %s keys. Counts are up to %s too low, and keys with fewer may be missing.", text.Count(MaxKeys), text.Count(a.Error)), "  ")
		case list + ".connections":
			t.wrapped(fmt.Sprintf("Approximate: more than %s keys. Connections are up to %s too low, failures exact.", text.Count(MaxKeys), text.Count(a.Error)), "  ")
		}
	}
}

// wrapped writes text in lines that fit.
func (t *tables) wrapped(s, label string) { t.WriteString(text.Wrap(t.Width, label, s)) }

// phrases writes parts that are not to be broken in lines that fit.
func (t *tables) phrases(parts []string) {
	for i := range parts {
		parts[i] = text.Glue(parts[i])
	}
	t.wrapped(strings.Join(parts, " "), "")
}

// Bars sums up the failures over time in at most so many equal parts. It
// returns the first moment and the width of a part.
func (r *Result) Bars(most int) (bars []Counts, from time.Time, width time.Duration) {
	if len(r.ByMinute) == 0 {
		return nil, time.Time{}, 0
	}
	first, last := r.ByMinute[0].Minute.Unix()/60, r.ByMinute[len(r.ByMinute)-1].Minute.Unix()/60
	w := columnWidth(first, last, max(1, r.MinutesPerRow), most)
	start := floor(first, w)
	bars = make([]Counts, min((floor(last, w)-start)/w+1, int64(most)))
	for _, m := range r.ByMinute {
		bars[min((floor(m.Minute.Unix()/60, w)-start)/w, int64(len(bars)-1))].add(m.Counts)
	}
	return bars, minuteTime(start), time.Duration(w) * time.Minute
}

// per writes a width of time for "per minute" or "per 5 minutes".
func per(d time.Duration) string { return strings.TrimPrefix(text.Span(d), "1 ") }

func rate(n Counts) string {
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
