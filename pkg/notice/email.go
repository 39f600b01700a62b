package notice

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/secpolicy"
)

// An Email is the text of an email.
type Email struct{ strings.Builder }

// emailColumns is the width of lines, but for commands and names that are longer.
const emailColumns = 72

// Wrap writes a paragraph behind a label, harmless for a terminal.
func (m *Email) Wrap(label, s string) {
	m.WriteString(text.Wrap(emailColumns, label, text.Printable(s)))
}

// Line writes a line of any length, harmless for a terminal.
func (m *Email) Line(format string, args ...any) {
	m.WriteString(text.Printable(fmt.Sprintf(format, args...)) + "\n")
}

// field writes a named line of the summary.
func (m *Email) field(name, s string) { m.Wrap(fmt.Sprintf("%-8s", name), s) }

const (
	emailCauses  = 5
	emailGroups  = 5 // of each cause
	emailClients = 10
	emailReasons = 5 // of the rule
	emailOffers  = 2 // of each client
)

// email says which load balancer, when, how many, why, who, and what to do.
func (e *explained) email() string {
	w := &e.Window
	var b Email
	b.Wrap("", e.headline()+".")
	b.WriteString("\n")
	e.summary(&b)
	e.why(&b)
	e.policies(&b)
	e.who(&b)

	b.WriteString("\nSEE MORE\n\n")
	if command := e.report(); command != "" {
		fmt.Fprintf(&b, "  Full report, by client, protocol and cipher:\n    %s\n\n", command)
	}
	if command := e.whatIf(); command != "" {
		fmt.Fprintf(&b, "  Which clients that policy change would fix, and which it would break:\n    %s\n\n", command)
	}
	b.WriteString("  The listeners' security policies:\n")
	fmt.Fprintf(&b, "    %s\n", e.describeListeners())
	if command := e.fetchLog(); command != "" {
		b.WriteString("\n  Log lines of the failures")
		if w.ObjectCount > 1 {
			fmt.Fprintf(&b, " (from one of %s objects)", text.Count(w.ObjectCount))
		}
		fmt.Fprintf(&b, ":\n    %s\n", command)
	}
	return b.String()
}

// summary writes one line for each question.
func (e *explained) summary(b *Email) {
	w := &e.Window
	b.field("Where", w.LoadBalancer)
	where := w.Region
	if w.Account != "" {
		where = "account " + w.Account + ", " + where
	}
	b.field("", where)
	b.field("When", e.between())
	if len(e.causes) > 0 {
		c := &e.causes[0]
		b.field("What", fmt.Sprintf("%s of them: %s", text.Count(c.groups[0].Failed), what(c.groups[0])))
		b.field("Why", c.title())
	}
	if len(w.Clients) > 0 {
		who := fmt.Sprintf("%s (%s)", text.Name(w.Clients[0].Client), text.Plural(w.Clients[0].Failed, "failure"))
		if w.FailingClients > 1 {
			who += " and " + e.upTo(w.FailingClients, len(w.Clients)) + text.Plural(w.FailingClients-1, "more client")
		}
		b.field("Who", who)
	}
	for _, c := range e.causes {
		if c.ID == secpolicy.ScannerNoise {
			b.field("Noise", fmt.Sprintf("%s of the failures look like scanner traffic: ignore them", text.Count(c.failed)))
		}
	}
	b.field("Alert", e.Severity+"; threshold: "+e.threshold())
}

// why explains the failures, with what to do.
func (e *explained) why(b *Email) {
	b.WriteString("\nWHY\n")
	rest := e.Failed
	shown := 0
	for _, c := range e.causes {
		if shown == emailCauses && c.ID != secpolicy.ScannerNoise {
			continue
		}
		shown++
		rest -= min(rest, c.failed)
		b.WriteString("\n")
		b.Wrap("  ", capitalized(c.title())+", "+text.Plural(c.failed, "failure")+":")
		for i, g := range c.groups {
			if i == emailGroups {
				fmt.Fprintf(b, "  %9s  and %s\n", "", text.Plural(len(c.groups)-i, "more kind"))
				break
			}
			b.Wrap(fmt.Sprintf("  %9s  ", text.Count(g.Failed)), what(g)+", "+e.clients(g))
		}
		b.Wrap("    ", c.Cause)
		b.Wrap("    ", "To do: "+c.Remedy)
	}
	if rest > 0 {
		b.WriteString("\n")
		b.Wrap("  ", "Other causes, "+text.Plural(rest, "failure")+".")
	}
}

// policies says which policies refuse clients, and what changing them would do.
func (e *explained) policies(b *Email) {
	if len(e.changes)+len(e.unknown) == 0 {
		return
	}
	b.WriteString("\nTHE POLICY\n")
	for _, c := range e.changes {
		b.WriteString("\n")
		b.Wrap("  ", fmt.Sprintf("Port %d has %s.", c.port, c.from.Name))
		b.Wrap("    ", c.advice())
	}
	for _, fault := range e.unknown {
		b.WriteString("\n")
		b.Wrap("  ", capitalized(fault)+".")
	}
}

// advice says what a policy change would do. It never suggests one without
// what it weakens.
func (c *change) advice() string {
	if c.to == nil {
		return "No policy accepts these clients and everything that this one accepts: update the clients."
	}
	s := "Updating the clients is the better fix. " + c.to.Advice() + " It would prevent " + text.Plural(c.failed, "failure")
	if c.beyond > 0 {
		s += " and leave " + text.Count(c.beyond) + " from clients that it does not accept either"
	}
	return s + "."
}

// who lists the clients with most failures, and what the log shows of them.
func (e *explained) who(b *Email) {
	w := &e.Window
	if len(w.Clients) == 0 {
		return
	}
	fmt.Fprintf(b, "\nWHO, in these %s\n\n", e.minutes())
	fmt.Fprintf(b, "  %7s  %9s  client and what the log shows\n", "failed", "succeeded")
	shown := min(len(w.Clients), emailClients)
	for _, c := range w.Clients[:shown] {
		fmt.Fprintf(b, "  %7s  %9s  %s\n", text.Count(c.Failed), text.Count(c.Connections-min(c.Failed, c.Connections)), text.Name(c.Client))
		if shown := e.shown(c); shown != "" {
			b.Wrap(strings.Repeat(" ", 22), shown)
		}
	}
	if more := w.FailingClients - shown; more > 0 {
		fmt.Fprintf(b, "  and %s%s\n", e.upTo(w.FailingClients, len(w.Clients)), text.Plural(more, "more client"))
	}
}

// shown is what the log shows of a client when it failed, as far as the groups name
// it.
func (a *Alert) shown(c alert.Client) string {
	var list []string
	for _, g := range a.Window.Groups {
		if slices.ContainsFunc(g.Top, func(t alert.Client) bool { return t.Client == c.Client }) && !slices.Contains(list, negotiated(g)) {
			list = append(list, negotiated(g))
		}
	}
	if len(list) > emailOffers {
		list = append(list[:emailOffers], "more")
	}
	return strings.Join(list, "; ")
}

func (a *Alert) threshold() string {
	of := "the connections"
	if a.Rule.PerClient {
		of = "a client's connections"
	}
	s := fmt.Sprintf("%s and %s %% of %s", text.Plural(a.Rule.MinFailed, "failure"), strconv.FormatFloat(a.Rule.MinFailedPercent, 'f', -1, 64), of)
	for i, reason := range a.Rule.Reasons {
		switch i {
		case 0:
			s += "; counts only " + text.Name(reason)
		case emailReasons:
			return s + " and " + text.Plural(len(a.Rule.Reasons)-i, "more reason")
		default:
			s += ", " + text.Name(reason)
		}
	}
	return s
}
