// Package view shows a report to people: as tables in a terminal, and as one page
// of HTML.
package view

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

// WriteText writes the result as tables for a person, 80 columns wide if the
// screen has no width, and at least 60.
func WriteText(w io.Writer, r *report.Result, screen text.Screen) error {
	screen.Width = max(cmp.Or(screen.Width, 80), 60)
	lines := &lineCounter{Writer: w}
	b := bufio.NewWriter(lines)
	t := tables{b, screen, r}
	t.story()
	t.summary()
	shown, number := causes(r)
	t.why()
	t.diagnoses(shown)
	t.comparison()
	t.where()
	t.who()
	t.clients(number)
	t.counts()
	t.software()
	t.chart()
	t.captured()
	t.requests()
	t.whatIf()
	t.certificates()
	t.nonPostQuantum()
	t.latency()
	t.faults()
	b.Flush() // its error stays
	t.repeat(lines.n)
	return b.Flush()
}

// A lineCounter counts the lines that are written to a writer.
type lineCounter struct {
	io.Writer
	n int
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n += bytes.Count(p, []byte("\n"))
	return c.Writer.Write(p)
}

// tables writes a report to a terminal or file.
type tables struct {
	*bufio.Writer
	text.Screen
	r *report.Result
}

func (t *tables) title(format string, args ...any) {
	t.WriteByte('\n')
	t.colored(t.Bold(text.Printable(fmt.Sprintf(format, args...))), "")
	t.WriteByte('\n')
}

func (t *tables) summary() {
	r := t.r
	when := "no entries"
	if r.First != nil {
		when = text.Period(r.In(*r.First), r.In(*r.Last))
	}
	fmt.Fprintf(t, "%s\n", when)
	volume := volume(r)
	if r.OutsideObjects > 0 {
		volume[len(volume)-1] += ";"
		volume = append(volume, text.Plural(r.OutsideObjects, "log")+" outside your filters")
	}
	t.phrases(volume)
	connections := []string{text.Plural(r.Connections, "connection") + ","}
	if r.PlaintextConnections > 0 {
		connections = append(connections, text.Count(r.PlaintextConnections)+" of them plain HTTP,")
	}
	failed := text.Count(r.Failed) + " failed"
	if r.TLSConnections > 0 {
		failed += fmt.Sprintf(" (%s of TLS)", text.Percent(r.Failed, r.TLSConnections))
	}
	if r.Failed > 0 {
		failed = t.Red(failed)
	}
	t.phrases(append(connections, failed))
	if r.Ignored != nil {
		t.phrases([]string{ignored(r.Ignored)})
	}
}

// grid writes one table under its title.
func (t *tables) grid(title, list string, g *text.Table) {
	if g.Len() == 0 {
		return
	}
	t.title("%s", title)
	const most = 50 // rows of a list that is long only in strange logs
	more := 0
	switch list {
	case "byStatus", "byProtocol", "byCipher", "byKeyExchange", "byListenerPort", "byLoadBalancer":
		more = max(g.Len()-most, 0)
		g.Truncate(most)
	}
	g.Write(t, t.Screen)
	if more > 0 {
		fmt.Fprintf(t, "  and %s more, in --format json and csv\n", text.Count(more))
	}
	for _, a := range t.r.Approximate {
		switch a.List {
		case list:
			t.wrapped(fmt.Sprintf("Approximate: more than %s rows. Counts may be up to %s too low, and rows with lower counts may be missing.", text.Count(report.MaxKeys), text.Count(a.Error)), "  ")
		case list + ".connections":
			t.wrapped(fmt.Sprintf("Approximate: more than %s rows. Connections may be up to %s too low; failures are exact.", text.Count(report.MaxKeys), text.Count(a.Error)), "  ")
		}
	}
}

// wrapped writes text in lines that fit, harmless for a terminal.
func (t *tables) wrapped(s, label string) { t.colored(text.Printable(s), label) }

// colored writes our own text, which may be bold or red, in lines that fit.
func (t *tables) colored(s, label string) { t.WriteString(text.Wrap(t.Width, label, s)) }

// phrases writes parts in lines that fit, and breaks no part.
func (t *tables) phrases(parts []string) {
	for i := range parts {
		parts[i] = text.Glue(parts[i])
	}
	t.colored(strings.Join(parts, " "), "")
}
