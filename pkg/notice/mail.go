package notice

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/secpolicy"
)

const (
	columns     = 72
	mailCauses  = 5  // explained
	mailGroups  = 5  // listed under each of them
	mailClients = 10 // named
	mailReasons = 5  // of the rule
	mailOffers  = 2  // of a client
)

// mail is the alert for people: which load balancer, since when, how many, why,
// who, and what to do.
func (e *explained) mail() string {
	w := &e.Window
	var b mail
	b.wrap("", e.headline()+".")
	b.WriteString("\n")
	e.summary(&b)
	e.why(&b)
	e.policies(&b)
	e.who(&b)

	b.WriteString("\nSEE MORE\n\n")
	if command := e.report(); command != "" {
		fmt.Fprintf(&b, "  All of it, by client, protocol and cipher suite:\n    %s\n\n", command)
	}
	if command := e.whatIf(); command != "" {
		fmt.Fprintf(&b, "  Whom that change of policy would save, and whom it would break:\n    %s\n\n", command)
	}
	b.WriteString("  The listeners' security policies:\n")
	fmt.Fprintf(&b, "    %s\n", e.describeListeners())
	if command := e.fetchLog(); command != "" {
		b.WriteString("\n  The log lines of the failures")
		if w.ObjectCount > 1 {
			fmt.Fprintf(&b, " (in one of %s objects)", text.Count(w.ObjectCount))
		}
		fmt.Fprintf(&b, ":\n    %s\n", command)
	}
	return b.String()
}

// summary is the alert in some lines, one for each question.
func (e *explained) summary(b *mail) {
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
		b.field("What", fmt.Sprintf("%s of them %s", text.Count(c.groups[0].Failed), what(c.groups[0])))
		b.field("Why", c.title())
	}
	if len(w.Clients) > 0 {
		who := fmt.Sprintf("%s (%s)", w.Clients[0].Client, text.Plural(w.Clients[0].Failed, "failure"))
		if w.FailingClients > 1 {
			who += " and " + e.upTo(w.FailingClients, len(w.Clients)) + text.Plural(w.FailingClients-1, "more client")
		}
		b.field("Who", who)
	}
	for _, c := range e.causes {
		if c.ID == secpolicy.ScannerNoise {
			b.field("Noise", fmt.Sprintf("%s of the failures look like scanners: discount them", text.Count(c.failed)))
		}
	}
	b.field("Alert", e.Severity+", raised from "+e.threshold())
}

// why lists the causes of the failures, each with what to do.
func (e *explained) why(b *mail) {
	b.WriteString("\nWHY\n")
	rest := e.Failed
	shown := 0
	for _, c := range e.causes {
		if shown == mailCauses && c.ID != secpolicy.ScannerNoise {
			continue
		}
		shown++
		rest -= min(rest, c.failed)
		b.WriteString("\n")
		b.wrap("  ", capitalized(c.title())+", "+text.Plural(c.failed, "failure")+":")
		for i, g := range c.groups {
			if i == mailGroups {
				fmt.Fprintf(b, "  %9s  and %s\n", "", text.Plural(len(c.groups)-i, "more kind"))
				break
			}
			b.wrap(fmt.Sprintf("  %9s  ", text.Count(g.Failed)), what(g)+", "+e.clients(g))
		}
		b.wrap("    ", c.Cause)
		b.wrap("    ", "To do: "+c.Remedy)
	}
	if rest > 0 {
		b.WriteString("\n")
		b.wrap("  ", "Others, "+text.Plural(rest, "failure")+".")
	}
}

// policies says what the listeners' policies have to do with it, and what
// changing them would mean.
func (e *explained) policies(b *mail) {
	if len(e.changes)+len(e.unknown) == 0 {
		return
	}
	b.WriteString("\nTHE POLICY\n")
	for _, c := range e.changes {
		b.WriteString("\n")
		b.wrap("  ", fmt.Sprintf("Port %d has %s.", c.port, c.from.Name))
		b.wrap("    ", c.advice())
	}
	for _, fault := range e.unknown {
		b.WriteString("\n")
		b.wrap("  ", capitalized(fault)+".")
	}
}

// advice says what a change of the policy would do. It never suggests one
// without its price.
func (c *change) advice() string {
	if c.to == nil {
		return "No other policy accepts these clients and all that it accepts now: update the clients."
	}
	s := "Best update the clients. " + c.to.Advice() + " It would prevent " + text.Plural(c.failed, "failure")
	if c.beyond > 0 {
		s += ", and leave " + text.Plural(c.beyond, "failure") + " of clients that it does not accept"
	}
	return s + "."
}

// who lists the clients with most failures and what they offered.
func (e *explained) who(b *mail) {
	w := &e.Window
	if len(w.Clients) == 0 {
		return
	}
	b.WriteString("\nWHO\n\n")
	fmt.Fprintf(b, "  %7s  %7s  client, and what it offered\n", "failed", "of")
	shown := min(len(w.Clients), mailClients)
	for _, c := range w.Clients[:shown] {
		fmt.Fprintf(b, "  %7s  %7s  %s\n", text.Count(c.Failed), text.Count(c.Connections), c.Client)
		if offered := e.offered(c); offered != "" {
			b.wrap(strings.Repeat(" ", 20), offered)
		}
	}
	if more := w.FailingClients - shown; more > 0 {
		fmt.Fprintf(b, "  and %s%s\n", e.upTo(w.FailingClients, len(w.Clients)), text.Plural(more, "more client"))
	}
}

// offered says what failed connections of a client offered, as far as the
// groups name it, and whether others succeeded.
func (a *Alert) offered(c alert.Client) string {
	var list []string
	for _, g := range a.Window.Groups {
		if slices.ContainsFunc(g.Top, func(t alert.Client) bool { return t.Client == c.Client }) && !slices.Contains(list, negotiated(g)) {
			list = append(list, negotiated(g))
		}
	}
	if len(list) > mailOffers {
		list = append(list[:mailOffers], "more")
	}
	if c.Connections > c.Failed {
		list = append(list, "also succeeds")
	} else if c.Failed > 1 {
		list = append(list, "never succeeds")
	}
	return strings.Join(list, "; ")
}

// upTo qualifies a number of clients of whom the window names some: those
// without a name may be counted once for each object.
func (a *Alert) upTo(n, named int) string {
	if a.Window.ObjectCount > 1 && n > named {
		return "up to "
	}
	return ""
}

// clients says how many clients the group has.
func (a *Alert) clients(g alert.Group) string {
	return a.upTo(g.Clients, len(g.Top)) + text.Plural(g.Clients, "client")
}

// between says when the failures happened.
func (a *Alert) between() string {
	w := &a.Window
	s := fmt.Sprintf("%s to %s UTC, %s", clock(w.FirstFailed), clock(w.LastFailed), w.LastFailed.UTC().Format("2 January 2006"))
	if w.FirstFailed.IsZero() || len(a.Rule.Reasons) > 0 { // the times are those of all reasons
		s = fmt.Sprintf("%s, %s", a.span(), w.End.UTC().Format("2 January 2006"))
	}
	return s
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
			s += ", counting " + text.Name(reason)
		case mailReasons:
			return s + " and " + text.Plural(len(a.Rule.Reasons)-i, "more reason")
		default:
			s += ", " + text.Name(reason)
		}
	}
	return s
}

// negotiated says which protocol and cipher suite the clients of the group used.
func negotiated(g alert.Group) string {
	return cmp.Or(strings.TrimSpace(g.Protocol+" "+g.Cipher), "nothing negotiated")
}

func what(g alert.Group) string {
	return negotiated(g) + ", port " + strconv.Itoa(int(g.ListenerPort))
}

// A mail is the text of an e-mail.
type mail struct{ strings.Builder }

// wrap writes a paragraph behind a label.
func (m *mail) wrap(label, s string) { m.WriteString(text.Wrap(columns, label, s)) }

// field writes a named line of the summary.
func (m *mail) field(name, s string) { m.wrap(fmt.Sprintf("%-8s", name), s) }

// span says which time the window covers: "in the 5 minutes to 10:05 UTC".
func (a *Alert) span() string {
	minutes := int(a.Window.End.Sub(a.Window.Start) / time.Minute)
	return fmt.Sprintf("in the %d minutes to %s UTC", minutes, a.Window.End.UTC().Format("15:04"))
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }
