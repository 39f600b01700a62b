package view

import (
	"html/template"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/incident/tell"
	"tlswatch/pkg/report"
)

type (
	pageStory struct {
		Where string // from what to what, and since when
		Rest  []pagePart
	}
	pagePart struct {
		Label, Text string
		Do          bool
	}
	pageIncident struct {
		Heading          string
		Causes, Remedies []string
	}
)

func storyOf(r *report.Result) *pageStory {
	if r.Story == nil || r.First == nil {
		return nil
	}
	s := &pageStory{}
	for _, p := range tell.Parts(r.Story, tellOptions(r)) {
		if p.Topic == tell.Where {
			s.Where = p.Text
			continue
		}
		s.Rest = append(s.Rest, pagePart{p.Topic.Label(), p.Text, p.Topic == tell.Do})
	}
	return s
}

func heading(r *report.Result, in *incident.Incident) string {
	return tell.Heading(r.Story, in, tellOptions(r))
}

func incidentsOf(r *report.Result) (list []pageIncident) {
	for i := range incidents(r) {
		in := &r.Story.Incidents[i]
		p := pageIncident{Heading: heading(r, in)}
		for _, c := range in.Causes {
			p.Causes = append(p.Causes, cause(in, &c))
		}
		for n, x := range in.Remedies {
			s := remedy(&x)
			if n > 0 { // these are not steps
				s = "Or: " + s
			}
			p.Remedies = append(p.Remedies, s)
		}
		list = append(list, p)
	}
	return list
}

// cohorts lists the cohorts of all incidents.
func cohorts(r *report.Result) pageTable {
	t := newTable("cohorts", "Who fails alike", "failures", "clients", "worked until", "before", "now", "reason", "such as")
	for i := range incidents(r) {
		in := &r.Story.Incidents[i]
		for n := range in.Cohorts[:min(len(in.Cohorts), maxCohorts)] {
			c := &in.Cohorts[n]
			until, before := "never seen working", "-"
			switch {
			case c.LastSuccess != nil:
				until = r.In(*c.LastSuccess).Format(pageTime)
			case c.WorkedBefore > 0:
				until = "others there still work"
			}
			if c.Before != nil {
				before = negotiated(*c.Before)
				if c.Software != "" {
					before += ": " + c.Software
				}
			}
			clients := countCell(c.Clients)
			if c.Crowd {
				clients.Text += " (shared address)"
			}
			t.add(countCell(c.Failures), clients, pageCell{Text: until}, pageCell{Text: before}, pageCell{Text: negotiated(c.Now)}, wordCell(c.Reason), pageCell{Text: strings.Join(c.Examples, ", ")})
		}
	}
	return t
}

// marked shows our own text: what stands between backticks is code, and numbers stay
// with their percent signs.
func marked(s string) template.HTML {
	escaped := func(s string) string { return template.HTMLEscapeString(text.Printable(s)) }
	return template.HTML(withCode(s,
		func(s string) string {
			return strings.NewReplacer(" %", "&nbsp;%", "`", "&#96;").Replace(escaped(s))
		},
		func(s string) string { return "<code>" + escaped(s) + "</code>" }))
}

// withCode writes s, with what stands between two backticks as code.
func withCode(s string, plain, code func(string) string) string {
	var b strings.Builder
	for {
		before, rest, _ := strings.Cut(s, "`")
		span, after, ok := strings.Cut(rest, "`")
		if !ok {
			b.WriteString(plain(s))
			return b.String()
		}
		b.WriteString(plain(before) + code(span))
		s = after
	}
}
