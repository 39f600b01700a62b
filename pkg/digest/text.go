package digest

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/posture"
)

// Attribute values of the message, for subscription filters.
const (
	rule     = "weekly-digest"
	severity = "info"
)

const emailLoadBalancers = 40

// Message writes the message. To stay within notice.MaxMessage, its texts may have
// fewer load balancers than the digest, and then say so.
func (d *Digest) Message() (notice.Message, error) {
	for n := len(d.LoadBalancers); ; n /= 2 {
		m, err := d.message(n)
		if err != nil || n == 0 || m.Size() <= notice.MaxMessage {
			return m, err
		}
	}
}

// message has the first n load balancers.
func (d *Digest) message(n int) (notice.Message, error) {
	doc := *d
	doc.LoadBalancers, doc.Omitted = d.LoadBalancers[:n], len(d.LoadBalancers)-n
	texts, err := notice.Texts{Email: d.text(min(n, emailLoadBalancers)), Card: d.card(), SMS: d.headline(), Document: doc}.ByProtocol()
	if err != nil {
		return notice.Message{}, fmt.Errorf("weekly digest: %w", err)
	}
	return notice.Message{
		Subject:    d.subject(),
		Texts:      texts,
		Attributes: map[string]string{"rule": rule, "severity": severity, "region": d.Region},
	}, nil
}

func (d *Digest) subject() string {
	s := "tlswatch weekly: " + d.headline()
	return s[:min(len(s), notice.MaxSubject)]
}

// headline sums up the digest in one phrase.
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
		parts = append(parts, text.Plural(t.expiring, "certificate")+" expiring")
	}
	if len(parts) == 1 {
		parts = append(parts, "no weak TLS")
	}
	return strings.Join(parts, ", ")
}

// text is the email about the first n load balancers.
func (d *Digest) text(n int) string {
	var b notice.Email
	where := text.Plural(d.totals.loadBalancers, "load balancer")
	if d.Region != "" {
		where += " in " + d.Region
	}
	b.Wrap("", fmt.Sprintf("TLS at %s, %s to %s UTC.", where, d.From.Format("2 Jan"), d.Until.Format("2 Jan 2006 15:04")))
	b.Line("Brackets show the change from the week before, in percentage points.")
	for i := range d.LoadBalancers[:n] {
		d.LoadBalancers[i].text(&b, d)
	}
	if rest := len(d.LoadBalancers) - n; rest > 0 {
		fmt.Fprintf(&b, "\nNot shown: %s with fewer findings.\n", text.Plural(rest, "load balancer"))
	}
	if d.totals.loadBalancers == 0 {
		b.WriteString("\n")
		b.Wrap("", "The ledger has no records for this week. Are connection logs enabled, and does the function process them?")
	}
	for _, note := range d.Notes {
		b.WriteString("\n")
		b.Wrap("", note)
	}
	b.WriteByte('\n')
	b.Line("More: tlswatch report, tlswatch whatif --to %s", d.Policy)
	return b.String()
}

func (lb *LoadBalancer) text(b *notice.Email, d *Digest) {
	b.WriteByte('\n')
	b.Line("%s (%s)", logkey.LoadBalancerName(lb.Name), lb.Name)
	connections := text.Plural(lb.Connections, "successful TLS connection")
	if lb.Change != nil {
		connections += fmt.Sprintf(", %s %% from the week before", signed(100*max(-1, min(*lb.Change, 99))))
	}
	field(b, "connections", connections)
	if lb.Read < lb.Objects {
		field(b, "", fmt.Sprintf("sampled from %s of %s log objects", text.Count(lb.Read), text.Count(lb.Objects)))
	}
	if lb.Connections > 0 {
		field(b, "protocols", list(lb.Protocols))
		field(b, "post-quantum", lb.PostQuantum.percent()+" of key exchanges")
		field(b, "ciphers", list(lb.Ciphers))
	}
	field(b, "weak", lb.weakTexts()...)
	field(b, "certificates", lb.certificateTexts(d.Until)...)
	field(b, "forecast", lb.forecastText(d.Policy))
}

func (lb *LoadBalancer) weakTexts() []string {
	var list []string
	for _, w := range lb.Weak {
		s := fmt.Sprintf("%s: %s", strings.TrimSpace(w.Protocol+" "+w.Cipher), text.Plural(w.Connections, "connection"))
		if who := clients(w.Clients, w.Others); who != "" {
			s += " from " + who
		}
		if len(w.Reasons) > 0 {
			s += " (" + strings.Join(w.Reasons, "; ") + ")"
		}
		list = append(list, s)
	}
	if lb.OtherWeak > 0 {
		list = append(list, text.Plural(lb.OtherWeak, "other weak connection"))
	}
	if list == nil && lb.Connections > 0 {
		list = append(list, "none")
	}
	return list
}

func (lb *LoadBalancer) certificateTexts(now time.Time) []string {
	var list []string
	for _, c := range lb.Expiring {
		list = append(list, c.text(now))
	}
	if lb.OtherExpiring > 0 {
		list = append(list, "and "+text.Count(lb.OtherExpiring)+" more")
	}
	if lb.UnnamedExpiring > 0 {
		list = append(list, fmt.Sprintf("%s with other certificates that expire within %s",
			text.Plural(lb.UnnamedExpiring, "more connection"), text.Span(posture.Horizon)))
	}
	return list
}

// forecastText says what the policy would do to the connections.
func (lb *LoadBalancer) forecastText(policy string) string {
	var parts []string
	f := &lb.Forecast
	if f.Breaks > 0 {
		s := text.Plural(f.Breaks, "connection") + " would break"
		if who := clients(f.Clients, f.Others); who != "" {
			s += ": " + who
		}
		parts = append(parts, s)
	}
	if f.Likely > 0 {
		parts = append(parts, text.Counted(f.Likely, "connection is", "connections are")+" likely to keep working")
	}
	if f.Unknown > 0 {
		s := "unknown for " + text.Plural(f.Unknown, "connection")
		if len(f.Why) > 0 {
			s += ": " + strings.Join(f.Why, " ")
		}
		parts = append(parts, s)
	}
	switch {
	case parts != nil:
		return "under " + policy + ", " + strings.Join(parts, "; ")
	case lb.Connections > 0:
		return "under " + policy + ", all would keep working"
	}
	return ""
}

func (c *Certificate) text(now time.Time) string {
	s := cmp.Or(c.Subject, "a client certificate")
	if c.Serial != "" {
		s += ", serial " + c.Serial
	}
	if days := int(math.Ceil(c.NotAfter.Sub(now).Hours() / 24)); days > 0 {
		s += fmt.Sprintf(": expires on %s, in %s", c.NotAfter.Format(time.DateOnly), text.Plural(days, "day"))
	} else {
		s += fmt.Sprintf(": expired on %s", c.NotAfter.Format(time.DateOnly))
	}
	s += "; " + text.Plural(c.Connections, "connection")
	if c.Failed > 0 {
		s += fmt.Sprintf(", %s failed", text.Count(c.Failed))
	}
	return s
}

// percent shows a share and its change.
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
			parts = append(parts, fmt.Sprintf("%s (%s)", text.Name(c.Client), text.Count(c.Connections)))
		}
	}
	s := strings.Join(parts, ", ")
	if others > 0 && s != "" {
		s += " and " + text.Plural(others, "more client")
	}
	return s
}

// card is for chat programs.
func (d *Digest) card() notice.Card {
	card := notice.NewCard(d.subject(), fmt.Sprintf("*TLS posture*, %s to %s UTC", d.From.Format("2 Jan"), d.Until.Format("2 Jan 2006")), notice.Metadata{
		ThreadID:  rule + " " + d.Region,
		Summary:   d.headline(),
		EventType: "tlswatch." + rule,
	})
	for i := range d.LoadBalancers {
		lb := &d.LoadBalancers[i]
		line := fmt.Sprintf("\n\n*%s*: post-quantum %s", notice.Code(logkey.LoadBalancerName(lb.Name)), lb.PostQuantum.percent())
		if n := lb.weak(); n > 0 {
			line += fmt.Sprintf(", %s", text.Plural(n, "weak connection"))
		}
		if lb.Forecast.Breaks > 0 {
			line += fmt.Sprintf(", %s would break under the recommended policy", text.Plural(lb.Forecast.Breaks, "connection"))
		}
		if len(lb.Expiring) > 0 {
			line += ", " + text.Plural(len(lb.Expiring)+lb.OtherExpiring, "client certificate") + " expiring"
		}
		for _, w := range lb.Weak[:min(3, len(lb.Weak))] {
			line += fmt.Sprintf("\n- %s: %s", notice.Code(strings.TrimSpace(w.Protocol+" "+w.Cipher)), text.Count(w.Connections))
			if who := clients(w.Clients, w.Others); who != "" {
				line += " from " + who
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

// field writes texts under one name.
func field(b *notice.Email, name string, texts ...string) {
	for _, s := range texts {
		b.Wrap(fmt.Sprintf("  %-13s", name), s)
		name = ""
	}
}
