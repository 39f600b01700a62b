package digest

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tlswatch/pkg/alert"
)

// Attribute values of the message, for subscription filters.
const (
	Rule     = "weekly-digest"
	Severity = "info"
)

// Bounds of the texts for people.
const (
	maxText = 40 // load balancers in the e-mail
	maxChat = 3000
	columns = 78
)

// Message renders the digest for SNS. If it would exceed what SNS takes, the
// texts have fewer load balancers, and say so.
func (d *Digest) Message() (alert.Message, error) {
	for n := len(d.LoadBalancers); ; n /= 2 {
		m, err := d.message(n)
		if err != nil || n == 0 || m.Size() <= alert.MaxMessage {
			return m, err
		}
	}
}

// message renders the first n load balancers.
func (d *Digest) message(n int) (alert.Message, error) {
	doc := *d
	doc.LoadBalancers, doc.Omitted = d.LoadBalancers[:n], len(d.LoadBalancers)-n
	machine, err := json.Marshal(doc)
	if err != nil {
		return alert.Message{}, fmt.Errorf("encoding a digest: %w", err)
	}
	chat, err := json.Marshal(d.chat())
	if err != nil {
		return alert.Message{}, fmt.Errorf("encoding a digest for chat: %w", err)
	}
	text := d.text(min(n, maxText))
	m := alert.Message{
		Subject:    d.subject(),
		Texts:      map[string]string{"default": text, "email": text, "https": string(chat), "sms": d.headline()},
		Attributes: map[string]string{"rule": Rule, "severity": Severity, "region": d.Region},
	}
	for _, protocol := range []string{"sqs", "lambda", "email-json"} {
		m.Texts[protocol] = string(machine)
	}
	return m, nil
}

func (d *Digest) subject() string {
	s := "tlswatch weekly: " + d.headline()
	return s[:min(len(s), alert.MaxSubject)]
}

// headline is the digest in a phrase.
func (d *Digest) headline() string {
	t := d.totals
	parts := []string{plural(t.loadBalancers, "load balancer")}
	if t.weak > 0 {
		parts = append(parts, number(uint64(t.weak))+" with weak TLS")
	}
	if t.breaking > 0 {
		parts = append(parts, number(uint64(t.breaking))+" not policy-ready")
	}
	if t.expiring > 0 {
		parts = append(parts, plural(t.expiring, "certificate")+" ending")
	}
	if len(parts) == 1 {
		parts = append(parts, "nothing weak in use")
	}
	return strings.Join(parts, ", ")
}

// text is the digest for people.
func (d *Digest) text(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "TLS posture of %s", plural(d.totals.loadBalancers, "load balancer"))
	if d.Region != "" {
		fmt.Fprintf(&b, " in %s", d.Region)
	}
	fmt.Fprintf(&b, ", %s to %s UTC.\nIn brackets, the change in percentage points against the week before.\n", d.From.Format("2 Jan"), d.Until.Format("2 Jan 2006 15:04"))
	for i := range d.LoadBalancers[:n] {
		d.LoadBalancers[i].text(&b, d)
	}
	if rest := len(d.LoadBalancers) - n; rest > 0 {
		fmt.Fprintf(&b, "\n%s with less to tell are left out here.\n", plural(rest, "load balancer"))
	}
	if d.totals.loadBalancers == 0 {
		b.WriteString("\nThe ledger has no records of this time. Are connection logs enabled, and does\nthe function process them?\n")
	}
	for _, note := range d.Notes {
		b.WriteString("\n")
		wrap(&b, "", note)
	}
	b.WriteString("\nMore: tlswatch report, tlswatch whatif --to " + d.Policy + "\n")
	return b.String()
}

func (lb *LoadBalancer) text(b *strings.Builder, d *Digest) {
	fmt.Fprintf(b, "\n%s (%s)\n", name(lb.Name), lb.Name)
	connections := plural64(lb.Connections, "successful TLS connection")
	if lb.Change != nil {
		connections += fmt.Sprintf(", %s against the week before", signed(100*max(-1, min(*lb.Change, 99)))+" %")
	}
	field(b, "connections", connections)
	if lb.Read < lb.Objects {
		field(b, "", fmt.Sprintf("in %d of %d log objects, evenly spread", lb.Read, lb.Objects))
	}
	if lb.Connections > 0 {
		field(b, "protocols", list(lb.Protocols))
		field(b, "post-quantum", lb.PostQuantum.percent()+" of the key exchanges")
		field(b, "ciphers", list(lb.Ciphers))
	}
	for i, w := range lb.Weak {
		title := ""
		if i == 0 {
			title = "weak"
		}
		text := fmt.Sprintf("%s: %s", strings.TrimSpace(w.Protocol+" "+w.Cipher), plural64(w.Connections, "connection"))
		if who := clients(w.Clients, w.Others); who != "" {
			text += " by " + who
		}
		if len(w.Reasons) > 0 {
			text += " (" + strings.Join(w.Reasons, "; ") + ")"
		}
		field(b, title, text)
	}
	if len(lb.Weak) == 0 && lb.Connections > 0 && lb.OtherWeak == 0 {
		field(b, "weak", "nothing")
	}
	if lb.OtherWeak > 0 {
		field(b, "", plural64(lb.OtherWeak, "other weak connection"))
	}
	for i, c := range lb.Expiring {
		title := ""
		if i == 0 {
			title = "certificates"
		}
		field(b, title, c.text(d.Until))
	}
	if lb.OtherExpiring > 0 {
		field(b, "", "and "+number(uint64(lb.OtherExpiring))+" more")
	}
	if lb.UnnamedExpiring > 0 {
		title := ""
		if len(lb.Expiring) == 0 {
			title = "certificates"
		}
		field(b, title, plural64(lb.UnnamedExpiring, "more connection")+" with certificates that end within 40 days, without their names")
	}
	if f := lb.Forecast; f.Breaks+f.CannotTell > 0 {
		text := "no client would break for certain"
		if f.Breaks > 0 {
			text = plural64(f.Breaks, "connection") + " would fail"
			if who := clients(f.Clients, f.Others); who != "" {
				text += ": " + who
			}
		}
		if f.CannotTell > 0 {
			text += fmt.Sprintf("; of %s it cannot be told", plural64(f.CannotTell, "connection"))
			if len(f.Why) > 0 {
				text += ": " + strings.Join(f.Why, " ")
			}
		}
		field(b, "forecast", "under "+d.Policy+", "+text)
	} else if lb.Connections > 0 {
		field(b, "forecast", "all would keep working under "+d.Policy)
	}
}

func (c *Certificate) text(now time.Time) string {
	text := c.Subject
	if text == "" {
		text = "a client certificate"
	}
	if c.Serial != "" {
		text += ", serial " + c.Serial
	}
	days := int(math.Ceil(c.NotAfter.Sub(now).Hours() / 24))
	switch {
	case days > 0:
		text += fmt.Sprintf(": ends on %s, in %s", c.NotAfter.Format(time.DateOnly), plural(days, "day"))
	default:
		text += fmt.Sprintf(": ended on %s", c.NotAfter.Format(time.DateOnly))
	}
	text += "; " + plural64(c.Connections, "connection")
	if c.Failed > 0 {
		text += fmt.Sprintf(", %d of them failed", c.Failed)
	}
	return text
}

// percent is the share with its change.
func (s *Share) percent() string {
	text := percent(s.Share)
	if s.Change != nil {
		text += " [" + signed(100**s.Change) + "]"
	}
	return text
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
			parts = append(parts, fmt.Sprintf("%s (%s)", c.Client, number(c.Connections)))
		}
	}
	text := strings.Join(parts, ", ")
	if others > 0 && text != "" {
		text += " and " + plural(others, "more client")
	}
	return text
}

// A notification is a custom notification of Amazon Q Developer in chat
// applications.
type notification struct {
	Version string `json:"version"` // "1.0"
	Source  string `json:"source"`  // "custom"
	Content struct {
		TextType    string `json:"textType"` // "client-markdown"
		Title       string `json:"title"`
		Description string `json:"description"`
	} `json:"content"`
	Metadata struct {
		ThreadID  string `json:"threadId"`
		Summary   string `json:"summary"`
		EventType string `json:"eventType"`
	} `json:"metadata"`
}

func (d *Digest) chat() notification {
	text := fmt.Sprintf("*TLS posture*, %s to %s UTC", d.From.Format("2 Jan"), d.Until.Format("2 Jan 2006"))
	add := func(part string) { // whole parts, so that no markup is cut
		if len(text)+len(part) <= maxChat {
			text += part
		}
	}
	for i := range d.LoadBalancers {
		lb := &d.LoadBalancers[i]
		line := fmt.Sprintf("\n\n*%s*: post-quantum %s", span(name(lb.Name)), lb.PostQuantum.percent())
		if n := lb.weak(); n > 0 {
			line += fmt.Sprintf(", %s", plural64(n, "weak connection"))
		}
		if lb.Forecast.Breaks > 0 {
			line += fmt.Sprintf(", %s would fail under the recommended policy", plural64(lb.Forecast.Breaks, "connection"))
		}
		if len(lb.Expiring) > 0 {
			line += ", " + plural(len(lb.Expiring)+lb.OtherExpiring, "client certificate") + " near the end"
		}
		for _, w := range lb.Weak[:min(3, len(lb.Weak))] {
			line += fmt.Sprintf("\n- %s: %s", span(strings.TrimSpace(w.Protocol+" "+w.Cipher)), number(w.Connections))
			if who := clients(w.Clients, w.Others); who != "" {
				line += " by " + who
			}
		}
		add(line)
	}
	n := notification{Version: "1.0", Source: "custom"}
	n.Content.TextType, n.Content.Title, n.Content.Description = "client-markdown", d.subject(), text
	n.Metadata.ThreadID, n.Metadata.Summary, n.Metadata.EventType = Rule+" "+d.Region, d.headline(), "tlswatch."+Rule
	return n
}

// span is a code span in Markdown.
func span(s string) string { return "`" + strings.ReplaceAll(s, "`", "'") + "`" }

// percent never rounds some to none or all.
func percent(share float64) string {
	switch p := 100 * share; {
	case p > 0 && p < 0.05:
		return "under 0.1 %"
	case p < 100 && p >= 99.95:
		return "over 99.9 %"
	default:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
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

func plural(n int, noun string) string { return plural64(uint64(n), noun) }

func plural64(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// number groups thousands.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// field writes a named part, wrapped.
func field(b *strings.Builder, name, text string) {
	const indent = 15
	fmt.Fprintf(b, "  %-*s", indent-2, name)
	fill(b, strings.Repeat(" ", indent), indent, text)
}

func wrap(b *strings.Builder, indent, text string) {
	b.WriteString(indent)
	fill(b, indent, len(indent), text)
}

// fill writes words where column characters of the line are taken.
func fill(b *strings.Builder, indent string, column int, text string) {
	text = strings.ReplaceAll(strings.Map(printable, text), " %", glue+"%") // a number and its unit stay together
	for i, word := range strings.Fields(text) {
		word = strings.ReplaceAll(word, glue, " ")
		if i > 0 {
			if column+1+len(word) > columns {
				b.WriteString("\n" + indent)
				column = len(indent)
			} else {
				b.WriteByte(' ')
				column++
			}
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}

// glue holds words together; printable lets no text have it.
const glue = "\x01"

// printable keeps what a log holds from steering a terminal.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}
