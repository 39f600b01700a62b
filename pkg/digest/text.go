package digest

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/notice"
)

// Attribute values of the message, for subscription filters.
const (
	Rule     = "weekly-digest"
	Severity = "info"
)

// Bounds of the texts for people.
const (
	maxText = 40 // load balancers in the e-mail
	columns = 78
)

// Message renders the digest for SNS. If it would exceed what SNS takes, the
// texts have fewer load balancers, and say so.
func (d *Digest) Message() (notice.Message, error) {
	for n := len(d.LoadBalancers); ; n /= 2 {
		m, err := d.message(n)
		if err != nil || n == 0 || m.Size() <= notice.MaxMessage {
			return m, err
		}
	}
}

// message renders the first n load balancers.
func (d *Digest) message(n int) (notice.Message, error) {
	doc := *d
	doc.LoadBalancers, doc.Omitted = d.LoadBalancers[:n], len(d.LoadBalancers)-n
	texts, err := notice.Texts{Mail: d.text(min(n, maxText)), Card: d.card(), SMS: d.headline(), Document: doc}.ByProtocol()
	if err != nil {
		return notice.Message{}, fmt.Errorf("weekly digest: %w", err)
	}
	return notice.Message{
		Subject:    d.subject(),
		Texts:      texts,
		Attributes: map[string]string{"rule": Rule, "severity": Severity, "region": d.Region},
	}, nil
}

func (d *Digest) subject() string {
	s := "tlswatch weekly: " + d.headline()
	return s[:min(len(s), notice.MaxSubject)]
}

// headline is the digest in a phrase.
func (d *Digest) headline() string {
	t := d.totals
	parts := []string{text.Plural(t.loadBalancers, "load balancer")}
	if t.weak > 0 {
		parts = append(parts, text.Count(t.weak)+" with weak TLS")
	}
	if t.breaking > 0 {
		parts = append(parts, text.Count(t.breaking)+" not policy-ready")
	}
	if t.expiring > 0 {
		parts = append(parts, text.Plural(t.expiring, "certificate")+" ending")
	}
	if len(parts) == 1 {
		parts = append(parts, "nothing weak in use")
	}
	return strings.Join(parts, ", ")
}

// text is the digest for people.
func (d *Digest) text(n int) string {
	var b mail
	fmt.Fprintf(&b, "TLS posture of %s", text.Plural(d.totals.loadBalancers, "load balancer"))
	if d.Region != "" {
		fmt.Fprintf(&b, " in %s", d.Region)
	}
	fmt.Fprintf(&b, ", %s to %s UTC.\nIn brackets, the change in percentage points against the week before.\n", d.From.Format("2 Jan"), d.Until.Format("2 Jan 2006 15:04"))
	for i := range d.LoadBalancers[:n] {
		d.LoadBalancers[i].text(&b, d)
	}
	if rest := len(d.LoadBalancers) - n; rest > 0 {
		fmt.Fprintf(&b, "\n%s with less to tell are left out here.\n", text.Plural(rest, "load balancer"))
	}
	if d.totals.loadBalancers == 0 {
		b.WriteString("\nThe ledger has no records of this time. Are connection logs enabled, and does\nthe function process them?\n")
	}
	for _, note := range d.Notes {
		b.WriteString("\n")
		b.wrap("", note)
	}
	b.WriteString("\nMore: tlswatch report, tlswatch whatif --to " + d.Policy + "\n")
	return b.String()
}

func (lb *LoadBalancer) text(b *mail, d *Digest) {
	fmt.Fprintf(b, "\n%s (%s)\n", connlog.LoadBalancerName(lb.Name), lb.Name)
	connections := text.Plural(lb.Connections, "successful TLS connection")
	if lb.Change != nil {
		connections += fmt.Sprintf(", %s against the week before", signed(100*max(-1, min(*lb.Change, 99)))+" %")
	}
	b.field("connections", connections)
	if lb.Read < lb.Objects {
		b.field("", fmt.Sprintf("in %d of %d log objects, evenly spread", lb.Read, lb.Objects))
	}
	if lb.Connections > 0 {
		b.field("protocols", list(lb.Protocols))
		b.field("post-quantum", lb.PostQuantum.percent()+" of the key exchanges")
		b.field("ciphers", list(lb.Ciphers))
	}
	for i, w := range lb.Weak {
		title := ""
		if i == 0 {
			title = "weak"
		}
		what := fmt.Sprintf("%s: %s", strings.TrimSpace(w.Protocol+" "+w.Cipher), text.Plural(w.Connections, "connection"))
		if who := clients(w.Clients, w.Others); who != "" {
			what += " by " + who
		}
		if len(w.Reasons) > 0 {
			what += " (" + strings.Join(w.Reasons, "; ") + ")"
		}
		b.field(title, what)
	}
	if len(lb.Weak) == 0 && lb.Connections > 0 && lb.OtherWeak == 0 {
		b.field("weak", "nothing")
	}
	if lb.OtherWeak > 0 {
		b.field("", text.Plural(lb.OtherWeak, "other weak connection"))
	}
	for i, c := range lb.Expiring {
		title := ""
		if i == 0 {
			title = "certificates"
		}
		b.field(title, c.text(d.Until))
	}
	if lb.OtherExpiring > 0 {
		b.field("", "and "+text.Count(lb.OtherExpiring)+" more")
	}
	if lb.UnnamedExpiring > 0 {
		title := ""
		if len(lb.Expiring) == 0 {
			title = "certificates"
		}
		b.field(title, text.Plural(lb.UnnamedExpiring, "more connection")+" with certificates that end within 40 days, without their names")
	}
	if f := lb.Forecast; f.Breaks+f.CannotTell > 0 {
		forecast := "no client would break for certain"
		if f.Breaks > 0 {
			forecast = text.Plural(f.Breaks, "connection") + " would fail"
			if who := clients(f.Clients, f.Others); who != "" {
				forecast += ": " + who
			}
		}
		if f.CannotTell > 0 {
			forecast += fmt.Sprintf("; of %s it cannot be told", text.Plural(f.CannotTell, "connection"))
			if len(f.Why) > 0 {
				forecast += ": " + strings.Join(f.Why, " ")
			}
		}
		b.field("forecast", "under "+d.Policy+", "+forecast)
	} else if lb.Connections > 0 {
		b.field("forecast", "all would keep working under "+d.Policy)
	}
}

func (c *Certificate) text(now time.Time) string {
	s := cmp.Or(c.Subject, "a client certificate")
	if c.Serial != "" {
		s += ", serial " + c.Serial
	}
	if days := int(math.Ceil(c.NotAfter.Sub(now).Hours() / 24)); days > 0 {
		s += fmt.Sprintf(": ends on %s, in %s", c.NotAfter.Format(time.DateOnly), text.Plural(days, "day"))
	} else {
		s += fmt.Sprintf(": ended on %s", c.NotAfter.Format(time.DateOnly))
	}
	s += "; " + text.Plural(c.Connections, "connection")
	if c.Failed > 0 {
		s += fmt.Sprintf(", %d of them failed", c.Failed)
	}
	return s
}

// percent is the share with its change.
func (s *Share) percent() string {
	share := text.Share(s.Share)
	if s.Change != nil {
		share += " [" + signed(100**s.Change) + "]"
	}
	return share
}

func list(shares []Share) string {
	parts := make([]string, len(shares))
	for i, s := range shares {
		parts[i] = s.Name + " " + s.percent()
	}
	return strings.Join(parts, ", ")
}

func clients(list []Client, others int) string {
	var parts []string
	for _, c := range list {
		if c.Client != "" {
			parts = append(parts, fmt.Sprintf("%s (%s)", c.Client, text.Count(c.Connections)))
		}
	}
	s := strings.Join(parts, ", ")
	if others > 0 && s != "" {
		s += " and " + text.Plural(others, "more client")
	}
	return s
}

// card is the digest for chat programs.
func (d *Digest) card() notice.Card {
	card := notice.NewCard(d.subject(), fmt.Sprintf("*TLS posture*, %s to %s UTC", d.From.Format("2 Jan"), d.Until.Format("2 Jan 2006")), notice.Metadata{
		ThreadID:  Rule + " " + d.Region,
		Summary:   d.headline(),
		EventType: "tlswatch." + Rule,
	})
	for i := range d.LoadBalancers {
		lb := &d.LoadBalancers[i]
		line := fmt.Sprintf("\n\n*%s*: post-quantum %s", notice.Code(connlog.LoadBalancerName(lb.Name)), lb.PostQuantum.percent())
		if n := lb.weak(); n > 0 {
			line += fmt.Sprintf(", %s", text.Plural(n, "weak connection"))
		}
		if lb.Forecast.Breaks > 0 {
			line += fmt.Sprintf(", %s would fail under the recommended policy", text.Plural(lb.Forecast.Breaks, "connection"))
		}
		if len(lb.Expiring) > 0 {
			line += ", " + text.Plural(len(lb.Expiring)+lb.OtherExpiring, "client certificate") + " near the end"
		}
		for _, w := range lb.Weak[:min(3, len(lb.Weak))] {
			line += fmt.Sprintf("\n- %s: %s", notice.Code(strings.TrimSpace(w.Protocol+" "+w.Cipher)), text.Count(w.Connections))
			if who := clients(w.Clients, w.Others); who != "" {
				line += " by " + who
			}
		}
		card.Add(line)
	}
	return card
}

func signed(f float64) string {
	s := strconv.FormatFloat(math.Abs(f), 'f', 1, 64)
	switch {
	case s == "0.0":
		return s
	case f < 0:
		return "-" + s
	}
	return "+" + s
}

// A mail is the text of an e-mail.
type mail struct{ strings.Builder }

// field writes a named part, wrapped.
func (m *mail) field(name, s string) { m.wrap(fmt.Sprintf("  %-13s", name), s) }

// wrap writes a paragraph behind a label, harmless for a terminal.
func (m *mail) wrap(label, s string) { m.WriteString(text.Wrap(columns, label, text.Printable(s))) }
