package view

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

// WriteMarkdown writes what a ticket or a chat needs: the story, the causes and what
// to do, who fails alike, and the clients that fail most.
func WriteMarkdown(w io.Writer, r *report.Result) error {
	m := markdown{bufio.NewWriter(w)}
	m.printf("## %s\n", title(r))
	if r.Partial {
		m.printf("\n**Partial: interrupted before everything was read.**\n")
	}
	if n := r.TotalFailedObjects; n > 0 {
		m.printf("\n**Incomplete: %s could not be read to the end.**\n", text.Plural(n, "log"))
	}
	m.story(r)
	failed := text.Count(r.Failed) + " failed"
	if r.TLSConnections > 0 {
		failed += " (" + text.Percent(r.Failed, r.TLSConnections) + " of TLS)"
	}
	m.printf("\n%s; %s, %s.\n", strings.Join(volume(r), " "), text.Plural(r.Connections, "connection"), failed)
	m.why(r)
	if r.Comparison != nil {
		when, sentences := compared(r)
		m.printf("\n### Compared with %s\n\n", when)
		for _, s := range sentences {
			m.printf("- %s\n", s)
		}
	}
	for _, t := range withRows(differences(r), cohorts(r), failedClients(r)) {
		m.table(&t)
	}
	return m.Flush()
}

// markdown writes Markdown from plain text.
type markdown struct{ *bufio.Writer }

func (m markdown) printf(format string, args ...string) {
	safe := make([]any, len(args))
	for i, arg := range args {
		safe[i] = withCode(arg, text.Markdown, func(s string) string { return "`" + text.Printable(s) + "`" })
	}
	fmt.Fprintf(m, format, safe...)
}

func (m markdown) story(r *report.Result) {
	if r.NoStory != "" {
		m.printf("\n%s\n", r.NoStory)
	}
	s := storyOf(r)
	if s == nil {
		return
	}
	m.printf("\n**%s**\n\n", s.Where)
	for _, p := range s.Rest {
		if p.Label == "" {
			m.printf("- %s\n", p.Text)
			continue
		}
		m.printf("- **%s:** %s\n", p.Label, p.Text)
	}
}

func (m markdown) why(r *report.Result) {
	list := incidentsOf(r)
	diagnoses, _ := causes(r)
	if len(list)+len(diagnoses) > 0 {
		m.printf("\n### Why, and what to do\n")
	}
	for _, in := range list {
		m.printf("\n%s\n\n", in.Heading)
		for _, c := range in.Causes {
			m.printf("- %s\n", c)
		}
		for i, remedy := range in.Remedies {
			if i == 0 {
				m.printf("\n")
			}
			m.printf("1. %s\n", remedy) // which Markdown numbers
		}
	}
	if len(diagnoses) == 0 {
		return
	}
	m.printf("\nBy policy %s:\n\n", r.Policy)
	for _, d := range diagnoses {
		m.printf("- %s, %s: %s %s\n", text.Plural(d.Failures, "failure"), text.Plural(d.Clients, "client"), d.Cause, d.Remedy)
	}
	if more := len(r.Diagnoses) - len(diagnoses); more > 0 {
		m.printf("- and %s more\n", text.Count(more))
	}
}

func (m markdown) table(t *pageTable) {
	m.printf("\n### %s\n\n", t.Title)
	line := func(cell func(i int) string) {
		for i := range t.Columns {
			m.WriteString("| " + cell(i) + " ")
		}
		m.WriteString("|\n")
	}
	line(func(i int) string { return t.Columns[i].Name })
	line(func(i int) string {
		if t.Columns[i].Number {
			return "---:"
		}
		return "---"
	})
	for _, row := range t.Rows {
		line(func(i int) string {
			if row[i].Text == "-" { // no list begins in a cell
				return "-"
			}
			return text.Markdown(row[i].Text)
		})
	}
	if t.More != "" {
		m.printf("\n%s\n", t.More)
	}
}
