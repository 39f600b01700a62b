package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// TextOptions say for what a table is written.
type TextOptions struct {
	Width int  // columns; at least 60, 0 means 80
	Color bool // ANSI escape sequences
	ASCII bool // no other characters
}

// WriteText writes the result as tables for a person.
func (r *Result) WriteText(w io.Writer, o TextOptions) error {
	o.Width = max(cmp.Or(o.Width, 80), 60)
	b := bufio.NewWriter(w)
	t := text{b, o, r}
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

type text struct {
	*bufio.Writer
	o TextOptions
	r *Result
}

func (t *text) title(format string, args ...any) {
	t.WriteByte('\n')
	t.wrapped(t.colored(bold, fmt.Sprintf(format, args...)), "")
	t.WriteByte('\n')
}

// Control sequences of terminals (ECMA-48, select graphic rendition).
const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	reset = "\x1b[0m"
)

func (t *text) colored(color, s string) string {
	if t.o.Color {
		return color + s + reset
	}
	return s
}

func (t *text) red(s string) string { return t.colored(red, s) }

var uncolored = strings.NewReplacer(bold, "", red, "", reset, "")

// columns is how wide a text is.
func columns(s string) int { return utf8.RuneCountInString(uncolored.Replace(s)) }

func (t *text) summary() {
	r := t.r
	if r.Partial {
		t.wrapped(t.red("PARTIAL: interrupted before everything was read"), "")
		t.WriteByte('\n')
	}
	if n := r.TotalFailedObjects; n > 0 {
		t.wrapped(t.red("INCOMPLETE: "+plural(n, "log")+" could not be read to the end"), "")
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
		volume = append(volume, plural(r.OutsideObjects, "log")+" not of what was asked for")
	}
	t.fill(slices.Values(volume), "")
	connections := []string{plural(r.Connections, "connection") + ","}
	if r.PlaintextConnections > 0 {
		connections = append(connections, grouped(r.PlaintextConnections)+" of them without TLS,")
	}
	failed := grouped(r.Failed) + " failed"
	if r.TLSConnections > 0 {
		failed += fmt.Sprintf(" (%s of TLS)", percent(r.Failed, r.TLSConnections))
	}
	if r.Failed > 0 {
		failed = t.red(failed)
	}
	t.fill(slices.Values(append(connections, failed)), "")
}

// volume says how much was read.
func (r *Result) volume() []string {
	return []string{plural(r.Objects, "log") + ",", plural(r.Lines, "line") + ",", byteSize(r.Bytes) + " of text"}
}

func (t *text) counts() {
	r := t.r
	status := grid{right: "rr"}
	for _, x := range r.ByStatus {
		status.add(grouped(x.Count), percent(x.Count, r.Connections), x.Status)
	}
	t.grid("STATUS", "byStatus", &status)

	counted := func(title, list string, rows func(add func(n Counts, cells ...string)), names ...string) {
		g := grid{right: "rrr"}
		g.add(append([]string{"connections", "failed", ""}, names...)...)
		rows(func(n Counts, cells ...string) {
			g.add(append([]string{grouped(n.Connections), grouped(n.Failed), rate(n)}, cells...)...)
		})
		if len(g.rows) > 1 {
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
func (t *text) chart() {
	const height, margin = 6, 10
	bars, from, width := t.r.Bars(t.o.Width - margin - 2)
	var most uint64
	for _, b := range bars {
		most = max(most, b.Failed)
	}
	if most == 0 {
		return
	}
	t.title("FAILURES PER %s", strings.ToUpper(span(width)))
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	axis, corner, line := "│", "└", "─"
	if t.o.ASCII {
		blocks, axis, corner, line = []rune(" .:#"), "|", "+", "-"
	}
	steps := uint64(len(blocks) - 1)
	for y := height - 1; y >= 0; y-- {
		label := ""
		if y == height-1 {
			label = grouped(most)
		}
		var row strings.Builder
		for _, b := range bars {
			// Whatever is not nothing shows.
			n := (b.Failed*height*steps + most - 1) / most
			row.WriteRune(blocks[min(max(int64(n)-int64(uint64(y)*steps), 0), int64(steps))])
		}
		fmt.Fprintf(t, "%*s %s%s\n", margin-1, label, axis, t.red(strings.TrimRight(row.String(), " ")))
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

func (t *text) clients() {
	r := t.r
	shown, number := r.causes()
	if len(r.FailedClients) > 0 {
		g := grid{right: "rrr"}
		g.add("failed", "connections", "", "client")
		for _, x := range r.FailedClients {
			g.add(grouped(x.Failed), grouped(x.Connections), rate(x.Counts), x.Client)
		}
		t.grid("FAILING CLIENTS"+of(len(r.FailedClients), r.TotalFailedClients), "failedClients", &g)
	}
	if len(r.FailedNegotiations) > 0 {
		g := grid{right: "r"}
		names := []string{"count", "client", "protocol", "cipher suite", "reason"}
		if len(number) > 0 {
			names = append(names, "why")
		}
		g.add(names...)
		for _, x := range r.FailedNegotiations {
			cells := []string{grouped(x.Count), x.Client, x.Protocol, x.Cipher, x.Reason()}
			if n := number[x.Diagnosis]; n > 0 {
				cells = append(cells, fmt.Sprintf("[%d]", n))
			}
			g.add(cells...)
		}
		t.grid("FAILED NEGOTIATIONS"+of(len(r.FailedNegotiations), r.TotalFailedNegotiations), "failedNegotiations", &g)
	}
	t.diagnoses(shown)
}

// diagnoses shows some causes, which rows refer to by their numbers.
func (t *text) diagnoses(shown []Diagnosis) {
	if len(shown) == 0 {
		return
	}
	t.title("WHY, judged by %s", t.r.Policy)
	for i, d := range shown {
		fmt.Fprintf(t, "  [%d] %s of %s\n", i+1, plural(d.Failures, "failure"), plural(d.Clients, "client"))
		t.wrapped(Printable(d.Cause), "      ")
		t.wrapped(Printable(d.Remedy), "      -> ")
	}
	if more := len(t.r.Diagnoses) - len(shown); more > 0 {
		fmt.Fprintf(t, "  and %s more; json and csv have them all\n", grouped(uint64(more)))
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

func (t *text) whatIf() {
	w := t.r.WhatIf
	if w == nil {
		return
	}
	g := grid{right: "rr"}
	g.add("connections", "clients", "")
	for _, x := range w.Outcomes {
		g.add(grouped(x.Connections), grouped(uint64(x.Clients)), x.Name)
	}
	t.grid("WHAT IF THE POLICY WERE "+w.To+"?", "", &g)
	for _, note := range w.Notes {
		t.wrapped(Printable(note), "  ")
	}
}

// of says that a list is cut.
func of(shown, all int) string {
	if shown == all {
		return ""
	}
	return fmt.Sprintf(": %s of %s", grouped(uint64(shown)), grouped(uint64(all)))
}

func (t *text) certificates() {
	if len(t.r.ClientCertificates) == 0 {
		return
	}
	g := grid{right: "rr"}
	g.add("failed", "connections", "valid until", "reason", "subject")
	for _, x := range t.r.ClientCertificates {
		until := "-"
		if x.NotAfter != nil {
			until = x.NotAfter.Format("2006-01-02")
			if x.Expiring {
				until += " !"
			}
		}
		e := Negotiation{Status: x.Status}
		g.add(grouped(x.Failed), grouped(x.Connections), until, cmp.Or(e.Reason(), "-"), x.Subject)
	}
	t.grid(fmt.Sprintf("CLIENT CERTIFICATES that failed, or end within %d days (!)", CertificateDays), "clientCertificates", &g)
}

func (t *text) latency() {
	r := t.r
	if r.HandshakeLatency.Count == 0 {
		return
	}
	g := grid{right: "rrrrr"}
	g.add("handshakes", "p50", "p90", "p99", "max", "protocol")
	line := func(name string, l Latency) {
		g.add(grouped(l.Count), millis(l.P50), millis(l.P90), millis(l.P99), millis(l.Max), name)
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
	g = grid{right: "rrr"}
	g.add("mean", "max", "handshakes", "client")
	for _, x := range r.SlowestClients {
		g.add(millis(x.Mean), millis(x.Max), grouped(x.Connections), x.Client)
	}
	t.grid("SLOWEST CLIENTS", "slowestClients", &g)
}

// faults shows what was not read as it should.
func (t *text) faults() {
	r := t.r
	if r.MalformedLines > 0 {
		const most = 10
		t.title("MALFORMED LINES: %s", grouped(uint64(r.MalformedLines)))
		for _, x := range r.Malformed[:min(len(r.Malformed), most)] {
			t.wrapped(Printable(fmt.Sprintf("%s:%d: %s", x.Object, x.Line, x.Error)), "  ")
		}
		if n := r.MalformedLines - min(len(r.Malformed), most); n > 0 {
			fmt.Fprintf(t, "  and %s more\n", grouped(uint64(n)))
		}
	}
	if len(r.Skipped) > 0 {
		t.title("PASSED OVER")
		for _, x := range r.Skipped {
			t.wrapped(fmt.Sprintf("%s of kind: %s", grouped(uint64(x.Count)), x.Reason), "  ")
		}
	}
}

// grid writes one table under its title.
func (t *text) grid(title, list string, g *grid) {
	if len(g.rows) == 0 {
		return
	}
	t.title("%s", title)
	const most = 50 // rows, of lists that grow long only in strange logs
	more := 0
	switch list {
	case "byStatus", "byProtocol", "byCipher", "byKeyExchange", "byListenerPort", "byLoadBalancer":
		more = max(len(g.rows)-most, 0)
		g.rows = g.rows[:len(g.rows)-more]
	}
	g.write(t, t.o)
	if more > 0 {
		fmt.Fprintf(t, "  and %s more; json and csv have them all\n", grouped(uint64(more)))
	}
	for _, a := range t.r.Approximate {
		switch a.List {
		case list:
			t.wrapped(fmt.Sprintf("Approximate: more than %s keys. Counts are up to %s too low, and keys with fewer may be missing.", grouped(MaxKeys), grouped(a.Error)), "  ")
		case list + ".connections":
			t.wrapped(fmt.Sprintf("Approximate: more than %s keys. Connections are up to %s too low, failures exact.", grouped(MaxKeys), grouped(a.Error)), "  ")
		}
	}
}

// wrapped writes a text in lines that fit.
func (t *text) wrapped(s, indent string) {
	if s != "" {
		t.fill(strings.FieldsSeq(s), indent)
	}
}

// fill writes words, or what else is not to be broken, in lines that fit.
func (t *text) fill(words iter.Seq[string], indent string) {
	line := ""
	for word := range words {
		if line != "" && columns(line)+1+columns(word)+len(indent) > t.o.Width {
			fmt.Fprintf(t, "%s%s\n", indent, line)
			line, indent = "", strings.Repeat(" ", len(indent))
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	fmt.Fprintf(t, "%s%s\n", indent, line)
}

// A grid aligns columns and makes them fit.
type grid struct {
	right string // "r" for each of the first columns that are aligned on the right
	rows  [][]string
}

func (g *grid) add(cells ...string) {
	for i := range cells {
		cells[i] = Printable(cells[i])
	}
	g.rows = append(g.rows, cells)
}

func (g *grid) write(t *text, o TextOptions) {
	var widths []int
	for _, row := range g.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	// The widest columns give way, first the last of them.
	for {
		total, widest := 0, 0
		for i, w := range widths {
			total += 2 + w
			if w >= widths[widest] {
				widest = i
			}
		}
		if total <= o.Width || widths[widest] <= 8 {
			break
		}
		widths[widest]--
	}
	more := "…"
	if o.ASCII {
		more = "~"
	}
	for _, row := range g.rows {
		var line strings.Builder
		for i, cell := range row {
			if utf8.RuneCountInString(cell) > widths[i] {
				cell = string([]rune(cell)[:widths[i]-1]) + more
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < len(g.right) {
				cell = pad + cell
			} else {
				cell += pad
			}
			line.WriteString("  " + cell)
		}
		fmt.Fprintln(t, strings.TrimRight(line.String(), " "))
	}
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

// span writes a width of time.
func span(d time.Duration) string {
	switch {
	case d == time.Minute:
		return "minute"
	case d == time.Hour:
		return "hour"
	case d == 24*time.Hour:
		return "day"
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

func rate(n Counts) string {
	if n.Failed == 0 {
		return ""
	}
	return percent(n.Failed, n.Connections)
}

// percent never shows 0 or 100 for what is not.
func percent(n, of uint64) string {
	if of == 0 {
		return "-"
	}
	p := 100 * float64(n) / float64(of)
	switch {
	case n > 0 && p < 0.1:
		return "<0.1 %"
	case n < of && p > 99.9:
		return ">99.9 %"
	}
	return fmt.Sprintf("%.1f %%", p)
}

func millis(s float64) string {
	if s >= 10 {
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.0f ms", 1000*s)
}

func plural[N int | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return grouped(uint64(n)) + " " + noun
}

// grouped writes a count with thousands separators.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// byteSize writes a size with two or three digits.
func byteSize(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1000, 0
	for ; f >= 999.5; i++ {
		f /= 1000
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %cB", f, "kMGTPE"[i])
	}
	return fmt.Sprintf("%.0f %cB", f, "kMGTPE"[i])
}
