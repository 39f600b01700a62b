package view

import (
	"fmt"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/incident/tell"
	"tlswatch/pkg/report"
)

// tellOptions say how a report tells its story.
func tellOptions(r *report.Result) tell.Options {
	return tell.Options{Location: r.Zone, HideClients: r.Anonymized}
}

// opening is the lines that a report begins with, and that it repeats at the end if
// they have left the screen.
func (t *tables) opening() (lines []string) {
	if t.r.Partial {
		lines = append(lines, t.Red("PARTIAL: interrupted before everything was read"))
	}
	if n := t.r.TotalFailedObjects; n > 0 {
		lines = append(lines, t.Red("INCOMPLETE: "+text.Plural(n, "log")+" could not be read to the end"))
	}
	if t.r.NoStory != "" {
		return append(lines, text.Printable(t.r.NoStory))
	}
	if t.r.Story == nil || t.r.First == nil {
		return lines
	}
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	o := tellOptions(t.r)
	o.Columns = t.Width
	for i, line := range tell.Lines(t.r.Story, o) {
		if i == 0 {
			line = t.Bold(line)
		}
		lines = append(lines, line)
	}
	return lines
}

// story opens the report.
func (t *tables) story() {
	if lines := t.opening(); len(lines) > 0 {
		t.lines(lines)
		t.WriteByte('\n')
	}
}

// repeat ends a report that is longer than the screen with its opening.
func (t *tables) repeat(written int) {
	if lines := t.opening(); t.Height > 0 && written > t.Height && len(lines) > 0 {
		t.WriteByte('\n')
		t.lines(lines)
	}
}

func (t *tables) lines(lines []string) {
	for _, line := range lines {
		t.WriteString(line + "\n")
	}
}

// why shows the causes of each incident with their evidence, and all remedies.
func (t *tables) why() {
	incidents := incidents(t.r)
	if len(incidents) == 0 {
		return
	}
	t.title("WHY")
	for i := range incidents {
		in := &incidents[i]
		if i > 0 {
			t.WriteByte('\n')
		}
		if len(incidents) > 1 {
			t.wrapped(tell.Heading(t.r.Story, in, tellOptions(t.r)), "  ")
		}
		for _, c := range in.Causes {
			t.wrapped(cause(in, &c), "  ")
		}
		for n, r := range in.Remedies {
			label := "  -> "
			if n > 0 {
				label = "  or "
			}
			t.wrapped(remedy(&r), label)
		}
	}
}

// maxIncidents is how many incidents people see.
const maxIncidents = 12

func incidents(r *report.Result) []incident.Incident {
	if r.Story == nil {
		return nil
	}
	return r.Story.Incidents[:min(len(r.Story.Incidents), maxIncidents)]
}

// cause says how sure a cause is, what it explains, and why.
func cause(in *incident.Incident, c *incident.Cause) string {
	s := string(c.Certainty)
	switch name := tell.Cause(in, c.Kind); {
	case name != "":
		s += ": " + name
	case c.Kind == incident.Steady:
		s += ": the same clients fail all along"
	default:
		s = "unknown cause"
	}
	if c.Explains > 0 {
		s += ", explains " + text.Plural(c.Explains, "failure")
	}
	s = capital(s) + "."
	if len(c.Evidence) > 0 && c.Kind != incident.Steady { // whose name is the evidence
		s += " " + capital(strings.Join(c.Evidence, "; ")) + "."
	}
	return s
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// remedy says what to do, and what it does not fix.
func remedy(r *incident.Remedy) string {
	s := r.Text
	if r.Fixes < r.Of && r.Action != incident.Nothing && r.Action != incident.SetPolicy { // whose text says so
		s += fmt.Sprintf(" Fixes %s of %s.", text.Count(r.Fixes), text.Plural(r.Of, "failure"))
	}
	return s
}

// maxCohorts is how many cohorts of an incident people see.
const maxCohorts = 6

// who shows the cohorts of each incident.
func (t *tables) who() {
	titled := false
	for i := range incidents(t.r) {
		in := &t.r.Story.Incidents[i]
		if len(in.Cohorts) == 0 {
			continue
		}
		if !titled {
			t.title("WHO")
			titled = true
		} else {
			t.WriteByte('\n')
		}
		if len(t.r.Story.Incidents) > 1 {
			t.wrapped(tell.Heading(t.r.Story, in, tellOptions(t.r)), "  ")
			t.WriteByte('\n')
		}
		for n, c := range in.Cohorts[:min(len(in.Cohorts), maxCohorts)] {
			if n > 0 {
				t.WriteByte('\n')
			}
			t.wrapped(members(t.r, &c), "  ")
			t.wrapped(negotiated(c.Now)+reason(c.Reason), "    now     ")
			if c.Before != nil {
				t.wrapped(negotiated(*c.Before), "    before  ")
				if c.Software != "" {
					t.wrapped(c.Software, "    from    ")
				}
			}
			t.wrapped(strings.Join(c.Examples, ", "), "    such as ")
		}
		if more := len(in.Cohorts) - maxCohorts; more > 0 {
			fmt.Fprintf(t, "  and %s more, in --format json\n", text.Count(more))
		}
	}
}

// members says how many clients a cohort has, and until when they worked.
func members(r *report.Result, c *incident.Cohort) string {
	s := text.Plural(c.Failures, "failure") + " of " + text.Plural(c.Clients, "client")
	if c.Networks > 0 && 2*c.Networks <= c.Clients {
		s += " in " + text.Plural(c.Networks, "network")
	}
	switch {
	case c.WorkedBefore == 0:
		s += ", never seen working"
	case c.WorkedBefore < c.Clients:
		s += ", " + text.Count(c.WorkedBefore) + " of them worked"
	case c.Clients == 1:
		s += ", which worked"
	default:
		s += ", all of which worked"
	}
	if c.LastSuccess != nil {
		s += " until " + text.Time(r.In(*c.LastSuccess))
	}
	if c.Crowd {
		s += "; several programs share an address"
	}
	return s
}

func negotiated(n incident.Negotiated) string {
	if n == (incident.Negotiated{}) {
		return "nothing negotiated"
	}
	return strings.TrimSpace(n.Protocol + " " + n.Cipher + " " + n.KeyExchange)
}

func reason(code string) string {
	if code == "" {
		return ""
	}
	return " (" + code + ")"
}
