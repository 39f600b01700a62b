package alert

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tlswatch/pkg/connlog"
)

// A Message is an alert as Amazon SNS takes it, with a text for each protocol.
type Message struct {
	Subject    string            // e-mail subject: printable ASCII, at most MaxSubject characters
	Texts      map[string]string // by SNS protocol; "default" is always there
	Attributes map[string]string // for subscription filters
}

// Limits of SNS: the longest subject, in characters, and the largest message
// with its subject and attributes, in bytes.
// Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
const (
	MaxSubject = 99
	MaxMessage = 256 << 10
)

// Message renders the alert. If it would exceed MaxMessage, the document for
// machines lists fewer log objects.
//
// Source of the protocols' names: Publish, parameter MessageStructure. The
// https text is a custom notification for Amazon Q Developer in chat
// applications, which subscribes to the topic by https.
func (a *Alert) Message() (Message, error) {
	text := a.text()
	chat, err := json.Marshal(a.chat())
	if err != nil {
		return Message{}, fmt.Errorf("encoding alert for chat: %w", err)
	}
	m := Message{
		Subject: a.subject(),
		Texts: map[string]string{
			"default": text,
			"email":   text,
			"https":   string(chat),
			"sms":     a.sms(),
		},
		Attributes: map[string]string{
			"rule":         a.Rule.Name,
			"severity":     a.Severity,
			"loadBalancer": a.Window.LoadBalancer,
			"region":       a.Window.Region,
		},
	}
	if a.Window.Account != "" { // SNS takes no empty value
		m.Attributes["account"] = a.Window.Account
	}
	for d := a.document(); ; d.Window.Objects = d.Window.Objects[:len(d.Window.Objects)/2] {
		machine, err := json.Marshal(d)
		if err != nil {
			return Message{}, fmt.Errorf("encoding alert: %w", err)
		}
		for _, protocol := range []string{"sqs", "lambda", "email-json"} {
			m.Texts[protocol] = string(machine)
		}
		if len(d.Window.Objects) == 0 || m.size() <= MaxMessage {
			return m, nil
		}
	}
}

// size is what SNS counts, or a little more.
func (m *Message) size() int {
	texts, _ := json.Marshal(m.Texts) // strings: cannot fail
	n := len(texts) + len(m.Subject)
	for name, value := range m.Attributes {
		n += len(name) + len("String") + len(value)
	}
	return n
}

// headline is the alert in one phrase.
func (a *Alert) headline() string {
	who := ""
	if a.Client != "" {
		who = " of client " + a.Client
	}
	return fmt.Sprintf("%s of %s TLS negotiations%s failed (%s)", number(a.Failed), number(a.Connections), who, a.percentText())
}

// percentText never rounds some to none or all.
func (a *Alert) percentText() string {
	p := a.Percent()
	switch {
	case p < 0.05:
		return "under 0.1 %"
	case p >= 99.95 && a.Failed < a.Connections:
		return "over 99.9 %"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + " %"
}

// name is the load balancer's name, which people know it by.
func (a *Alert) name() string {
	parts := strings.Split(a.Window.LoadBalancer, "/")
	if len(parts) == 3 {
		return clean(parts[1])
	}
	return clean(a.Window.LoadBalancer)
}

func (a *Alert) subject() string {
	return fit(MaxSubject, "tlswatch "+a.Severity+": ", a.name(), ": "+a.headline())
}

// fit joins the three parts in at most that many characters. The middle one gives
// way.
func fit(most int, before, middle, after string) string {
	if room := most - len(before) - len(after); len(middle) > room {
		middle = middle[:max(room-len("..."), 0)] + "..."
	}
	s := before + middle + after
	return s[:min(len(s), most)]
}

const (
	columns     = 72
	textCauses  = 4  // explained in the text for people
	textGroups  = 5  // listed under each of them
	textClients = 10 // named in the text
	textReasons = 5  // of the rule
)

// A cause is the groups that have one explanation.
type cause struct {
	reason string
	Explanation
	failed uint64
	groups []Group // most failures first
}

// causes returns why the failures happened, most failures first.
func (w *Window) causes() []cause {
	var list []cause
	for _, g := range w.Groups {
		e := g.Explain()
		i := slices.IndexFunc(list, func(c cause) bool { return c.reason == g.Reason && c.Explanation == e })
		if i < 0 {
			i = len(list)
			list = append(list, cause{reason: g.Reason, Explanation: e})
		}
		list[i].failed += g.Failed
		list[i].groups = append(list[i].groups, g)
	}
	slices.SortStableFunc(list, func(a, b cause) int { return cmp.Compare(b.failed, a.failed) })
	return list
}

// text is the alert for people: which load balancer, since when, how many, why,
// who, and what to do.
func (a *Alert) text() string {
	w := &a.Window
	causes := w.causes()
	var b strings.Builder
	wrap(&b, "", a.headline()+".")
	b.WriteString("\n")
	field(&b, "Where", w.LoadBalancer)
	where := w.Region
	if w.Account != "" {
		where = "account " + w.Account + ", " + where
	}
	field(&b, "", where)
	field(&b, "When", a.between())
	if len(w.Groups) > 0 {
		g := w.Groups[0]
		field(&b, "What", fmt.Sprintf("%s of them %s", number(g.Failed), g.what()))
		field(&b, "Why", g.Reason)
	}
	if len(w.Clients) > 0 {
		who := fmt.Sprintf("%s (%s)", w.Clients[0].Client, plural(w.Clients[0].Failed, "failure"))
		if w.FailingClients > 1 {
			who += " and " + w.upTo(w.FailingClients, len(w.Clients)) + plural(w.FailingClients-1, "more client")
		}
		field(&b, "Who", who)
	}
	field(&b, "Alert", a.Severity+", raised from "+a.threshold())

	b.WriteString("\nWHY\n")
	rest := a.Failed
	for _, c := range causes[:min(len(causes), textCauses)] {
		rest -= min(rest, c.failed)
		b.WriteString("\n")
		wrap(&b, "  ", c.reason+", "+plural(c.failed, "failure")+":")
		for i, g := range c.groups {
			if i == textGroups {
				fmt.Fprintf(&b, "  %9s  and %s\n", "", plural(len(c.groups)-i, "more kind"))
				break
			}
			hang(&b, fmt.Sprintf("  %9s  ", number(g.Failed)), g.what()+", "+w.clients(g))
		}
		wrap(&b, "    ", c.Cause)
		wrap(&b, "    ", "To do: "+c.Remedy)
	}
	if rest > 0 {
		b.WriteString("\n")
		wrap(&b, "  ", "Others, "+plural(rest, "failure")+".")
	}

	if len(w.Clients) > 0 {
		b.WriteString("\nWHO\n\n")
		fmt.Fprintf(&b, "  %9s  %9s  client\n", "failed", "of")
		shown := min(len(w.Clients), textClients)
		for _, c := range w.Clients[:shown] {
			fmt.Fprintf(&b, "  %9s  %9s  %s\n", number(c.Failed), number(c.Connections), c.Client)
		}
		if more := w.FailingClients - shown; more > 0 {
			fmt.Fprintf(&b, "  and %s%s\n", w.upTo(w.FailingClients, len(w.Clients)), plural(more, "more client"))
		}
	}

	b.WriteString("\nSEE MORE\n\n")
	b.WriteString("  The listeners' security policies:\n")
	fmt.Fprintf(&b, "    %s\n", a.describeListeners())
	if command := a.fetchLog(); command != "" {
		b.WriteString("\n  The log lines of the failures")
		if w.ObjectCount > 1 {
			fmt.Fprintf(&b, " (in one of %s objects)", number(w.ObjectCount))
		}
		fmt.Fprintf(&b, ":\n    %s\n", command)
	}
	return b.String()
}

// upTo qualifies a number of clients of whom the window names some: those
// without a name may be counted once for each object.
func (w *Window) upTo(n, named int) string {
	if w.ObjectCount > 1 && n > named {
		return "up to "
	}
	return ""
}

// clients says how many clients the group has.
func (w *Window) clients(g Group) string {
	return w.upTo(g.Clients, len(g.Top)) + plural(g.Clients, "client")
}

// between says when the failures happened.
func (a *Alert) between() string {
	w := &a.Window
	s := fmt.Sprintf("%s to %s UTC, %s", clock(w.FirstFailed), clock(w.LastFailed), w.LastFailed.UTC().Format("2 January 2006"))
	if w.FirstFailed.IsZero() || len(a.Rule.Reasons) > 0 { // the times are those of all reasons
		s = fmt.Sprintf("%s, %s", w.span(), w.End.UTC().Format("2 January 2006"))
	}
	return s
}

func (a *Alert) threshold() string {
	of := "the connections"
	if a.Rule.PerClient {
		of = "a client's connections"
	}
	s := fmt.Sprintf("%s and %s %% of %s", plural(a.Rule.MinFailed, "failure"), strconv.FormatFloat(a.Rule.MinFailedPercent, 'f', -1, 64), of)
	for i, reason := range a.Rule.Reasons {
		switch i {
		case 0:
			s += ", counting " + clean(reason)
		case textReasons:
			return s + " and " + plural(len(a.Rule.Reasons)-i, "more reason")
		default:
			s += ", " + clean(reason)
		}
	}
	return s
}

// negotiated says which protocol and cipher suite the clients of the group used.
func (g *Group) negotiated() string {
	return cmp.Or(strings.TrimSpace(g.Protocol+" "+g.Cipher), "nothing negotiated")
}

func (g *Group) what() string {
	return g.negotiated() + ", port " + strconv.Itoa(int(g.ListenerPort))
}

// arn is empty if the log did not say which account it is from.
func (a *Alert) arn() string {
	if a.Window.Account == "" {
		return ""
	}
	return connlog.ObjectKey{Account: a.Window.Account, Region: a.Window.Region, LoadBalancer: a.Window.LoadBalancer}.LoadBalancerARN()
}

func (a *Alert) describeListeners() string {
	region, arn := shellWord(a.Window.Region), shellWord(a.arn())
	if a.arn() == "" {
		arn = fmt.Sprintf(`"$(aws elbv2 describe-load-balancers --region %s --output text --query 'LoadBalancers[0].LoadBalancerArn' --names %s)"`, region, shellWord(a.name()))
	}
	return fmt.Sprintf("aws elbv2 describe-listeners --region %s --output table --query 'Listeners[].[Port,SslPolicy]' --load-balancer-arn %s", region, arn)
}

// fetchLog is the command that prints the failures in the log, gzip or not. It
// is empty if no object's name fits into a line.
func (a *Alert) fetchLog() string {
	for _, uri := range a.Window.Objects {
		if utf8.ValidString(uri) && !strings.ContainsFunc(uri, func(r rune) bool { return !unicode.IsPrint(r) }) {
			failures := "grep Failed:"
			if strings.HasPrefix(a.Window.LoadBalancer, "net/") { // which has no status: no handshake time, or an alert of the client
				failures = `awk '$9 == "-" || $12 ~ /^[1-9]/'`
			}
			return fmt.Sprintf("aws s3 cp --region %s %s - | gzip -cdf | %s", shellWord(a.Window.Region), shellWord(uri), failures)
		}
	}
	return ""
}

// notEmpty returns the texts that say something.
func notEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

// shellWord makes s one word of a POSIX shell.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// maxSMS is the length of one text message; SNS splits longer ones.
// Source: https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html
const maxSMS = 160

// sms is the alert in one line.
func (a *Alert) sms() string {
	s := fmt.Sprintf("tlswatch %s: %s: %s", a.Severity, a.name(), a.headline())
	if len(a.Window.Groups) > 0 {
		g := a.Window.Groups[0]
		s += fmt.Sprintf(", mostly %s, %s", g.Reason, g.what())
	}
	if len(s) > maxSMS {
		s = s[:maxSMS-3] + "..."
	}
	return s
}

// A notification is a custom notification of Amazon Q Developer in chat
// applications.
// Source: https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
type notification struct {
	Version  string   `json:"version"` // "1.0"
	Source   string   `json:"source"`  // "custom"
	Content  content  `json:"content"`
	Metadata metadata `json:"metadata"`
}

type content struct {
	TextType    string   `json:"textType"` // "client-markdown"
	Title       string   `json:"title"`
	Description string   `json:"description"`
	NextSteps   []string `json:"nextSteps,omitempty"`
	Keywords    []string `json:"keywords,omitempty"`
}

type metadata struct {
	ThreadID  string   `json:"threadId"` // notifications of one thread are grouped
	Summary   string   `json:"summary"`
	EventType string   `json:"eventType"`
	Resources []string `json:"relatedResources"`
}

// Bounds of a custom notification. AWS does not say which hold; these are on
// the safe side.
const (
	maxChatText  = 3000 // characters of the description
	maxChatItems = 5    // entries of a list
)

// chat is the alert in the Markdown of chat programs.
func (a *Alert) chat() notification {
	w := &a.Window
	text := fmt.Sprintf("*%s* on %s %s.", a.headline(), span(w.LoadBalancer), w.span())
	add := func(part string) { // whole parts, so that no markup is cut
		if len(text)+len(part) <= maxChatText {
			text += part
		}
	}
	steps := []string{}
	causes := w.causes()
	for _, c := range causes[:min(len(causes), maxChatItems-1)] {
		add(fmt.Sprintf("\n\n*%s*, %s: %s", c.reason, plural(c.failed, "failure"), c.Cause))
		for _, g := range c.groups[:min(len(c.groups), maxChatItems-1)] {
			add(fmt.Sprintf("\n- %s: %s, port %d, %s", number(g.Failed), span(g.negotiated()), g.ListenerPort, w.clients(g)))
		}
		steps = append(steps, c.reason+": "+c.Remedy)
	}
	for i, c := range w.Clients[:min(len(w.Clients), maxChatItems)] {
		part := fmt.Sprintf("%s (%s of %s)", span(c.Client), number(c.Failed), number(c.Connections))
		if i == 0 {
			add("\n\nClients with most failures: " + part)
		} else {
			add(", " + part)
		}
	}
	return notification{
		Version: "1.0",
		Source:  "custom",
		Content: content{
			TextType:    "client-markdown",
			Title:       a.subject(),
			Description: text,
			NextSteps:   append(steps, "See the listeners' policies: "+span(a.describeListeners())),
			Keywords:    notEmpty(a.Severity, a.Rule.Name, w.Region, w.Account),
		},
		Metadata: metadata{
			ThreadID:  a.Rule.Name + " " + w.LoadBalancer,
			Summary:   a.headline(),
			EventType: "tlswatch." + a.Rule.Name,
			Resources: notEmpty(a.arn()),
		},
	}
}

// span is a code span in Markdown.
func span(s string) string { return "`" + strings.ReplaceAll(s, "`", "'") + "`" }

// Schema names the form of the machine document. Members are added to it, not
// changed or removed.
const Schema = "tlswatch.alert/v1"

// A document is the alert for machines.
type document struct {
	Schema          string          `json:"schema"`
	Rule            string          `json:"rule"`
	Severity        string          `json:"severity"`
	LoadBalancerARN string          `json:"loadBalancerArn"`
	Threshold       threshold       `json:"threshold"`
	Client          string          `json:"client,omitempty"` // the worst, for a rule per client
	Failed          uint64          `json:"failed"`           // failures that the rule counts
	FailedPercent   float64         `json:"failedPercent"`
	Window          Window          `json:"window"`
	Explanations    []explainedCode `json:"explanations"` // of the window's groups, in their order

	// ListenerPolicies are the security policies of the groups' listeners by
	// port, as far as they are known.
	ListenerPolicies map[uint16]string `json:"listenerPolicies,omitempty"`
}

type threshold struct {
	MinFailed        uint64   `json:"minFailed"`
	MinFailedPercent float64  `json:"minFailedPercent"`
	Reasons          []string `json:"reasons,omitempty"`
}

type explainedCode struct {
	Reason string `json:"reason"`
	Explanation
}

func (a *Alert) document() document {
	d := document{
		Schema:          Schema,
		Rule:            a.Rule.Name,
		Severity:        a.Severity,
		LoadBalancerARN: a.arn(),
		Client:          a.Client,
		Threshold:       threshold{a.Rule.MinFailed, a.Rule.MinFailedPercent, a.Rule.Reasons},
		Failed:          a.Failed,
		FailedPercent:   a.Percent(),
		Window:          a.Window,
		Explanations:    []explainedCode{},

		ListenerPolicies: make(map[uint16]string),
	}
	for _, g := range a.Window.Groups {
		if policy := a.policy(g.ListenerPort); policy != "" {
			d.ListenerPolicies[g.ListenerPort] = policy
		}
		d.Explanations = append(d.Explanations, explainedCode{g.Reason, g.Explain()})
	}
	return d
}

// wrap writes text in lines of at most columns characters, each indented.
func wrap(b *strings.Builder, indent, text string) {
	b.WriteString(indent)
	fill(b, indent, len(indent), text)
}

// hang writes text behind first, and indents further lines as far.
func hang(b *strings.Builder, first, text string) {
	b.WriteString(first)
	fill(b, strings.Repeat(" ", len(first)), len(first), text)
}

// field writes a named line of the summary.
func field(b *strings.Builder, name, text string) {
	hang(b, fmt.Sprintf("%-8s", name), text)
}

// fill writes words where column characters of the line are taken. Words that
// are longer than a line are broken.
func fill(b *strings.Builder, indent string, column int, text string) {
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > columns && column > len(indent):
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		for room := columns - column; len(word) > room; room = columns - len(indent) {
			b.WriteString(word[:room] + "\n" + indent)
			word, column = word[room:], len(indent)
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}

// number formats n with commas: 12,345.
func number[N int | uint64](n N) string {
	s := strconv.FormatUint(uint64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }
