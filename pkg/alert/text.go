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
	"tlswatch/pkg/secpolicy"
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
	j := a.judge()
	text := a.text(&j)
	chat, err := json.Marshal(a.chat(&j))
	if err != nil {
		return Message{}, fmt.Errorf("encoding alert for chat: %w", err)
	}
	m := Message{
		Subject: a.subject(),
		Texts: map[string]string{
			"default": text,
			"email":   text,
			"https":   string(chat),
			"sms":     a.sms(&j),
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
	for d := a.document(&j); ; d.Window.Objects = d.Window.Objects[:len(d.Window.Objects)/2] {
		machine, err := json.Marshal(d)
		if err != nil {
			return Message{}, fmt.Errorf("encoding alert: %w", err)
		}
		for _, protocol := range []string{"sqs", "lambda", "email-json"} {
			m.Texts[protocol] = string(machine)
		}
		if len(d.Window.Objects) == 0 || m.Size() <= MaxMessage {
			return m, nil
		}
	}
}

// Size is what SNS counts of the message, in bytes, or a little more.
func (m *Message) Size() int {
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
	textCauses  = 5  // explained in the text for people
	textGroups  = 5  // listed under each of them
	textClients = 10 // named in the text
	textReasons = 5  // of the rule
	textOffers  = 2  // of a client
)

// text is the alert for people: which load balancer, since when, how many, why,
// who, and what to do.
func (a *Alert) text(j *judgement) string {
	w := &a.Window
	var b strings.Builder
	wrap(&b, "", a.headline()+".")
	b.WriteString("\n")
	a.summary(&b, j)
	a.why(&b, j)
	a.changes(&b, j)
	a.who(&b)

	b.WriteString("\nSEE MORE\n\n")
	if command := a.report(); command != "" {
		fmt.Fprintf(&b, "  All of it, by client, protocol and cipher suite:\n    %s\n\n", command)
	}
	if command := a.whatIf(j); command != "" {
		fmt.Fprintf(&b, "  Whom that change of policy would save, and whom it would break:\n    %s\n\n", command)
	}
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

// summary is the alert in some lines, one for each question.
func (a *Alert) summary(b *strings.Builder, j *judgement) {
	w := &a.Window
	field(b, "Where", w.LoadBalancer)
	where := w.Region
	if w.Account != "" {
		where = "account " + w.Account + ", " + where
	}
	field(b, "", where)
	field(b, "When", a.between())
	if len(j.causes) > 0 {
		c := &j.causes[0]
		field(b, "What", fmt.Sprintf("%s of them %s", number(c.groups[0].Failed), c.groups[0].what()))
		field(b, "Why", c.title())
	}
	if len(w.Clients) > 0 {
		who := fmt.Sprintf("%s (%s)", w.Clients[0].Client, plural(w.Clients[0].Failed, "failure"))
		if w.FailingClients > 1 {
			who += " and " + w.upTo(w.FailingClients, len(w.Clients)) + plural(w.FailingClients-1, "more client")
		}
		field(b, "Who", who)
	}
	for _, c := range j.causes {
		if c.ID == secpolicy.ScannerNoise {
			field(b, "Noise", fmt.Sprintf("%s of the failures look like scanners: discount them", number(c.failed)))
		}
	}
	field(b, "Alert", a.Severity+", raised from "+a.threshold())
}

// why lists the causes of the failures, each with what to do.
func (a *Alert) why(b *strings.Builder, j *judgement) {
	w := &a.Window
	b.WriteString("\nWHY\n")
	rest := a.Failed
	shown := 0
	for _, c := range j.causes {
		if shown == textCauses && c.ID != secpolicy.ScannerNoise {
			continue
		}
		shown++
		rest -= min(rest, c.failed)
		b.WriteString("\n")
		wrap(b, "  ", capitalized(c.title())+", "+plural(c.failed, "failure")+":")
		for i, g := range c.groups {
			if i == textGroups {
				fmt.Fprintf(b, "  %9s  and %s\n", "", plural(len(c.groups)-i, "more kind"))
				break
			}
			hang(b, fmt.Sprintf("  %9s  ", number(g.Failed)), g.what()+", "+w.clients(g))
		}
		wrap(b, "    ", c.Cause)
		wrap(b, "    ", "To do: "+c.Remedy)
	}
	if rest > 0 {
		b.WriteString("\n")
		wrap(b, "  ", "Others, "+plural(rest, "failure")+".")
	}
}

// changes says what the listeners' policies have to do with it, and what
// changing them would mean.
func (a *Alert) changes(b *strings.Builder, j *judgement) {
	if len(j.changes)+len(j.unknown) == 0 {
		return
	}
	b.WriteString("\nTHE POLICY\n")
	for _, c := range j.changes {
		b.WriteString("\n")
		wrap(b, "  ", fmt.Sprintf("Port %d has %s.", c.port, c.from.Name))
		wrap(b, "    ", c.advice())
	}
	for _, text := range j.unknown {
		b.WriteString("\n")
		wrap(b, "  ", capitalized(text)+".")
	}
}

// advice says what a change of the policy would do. It never suggests one
// without its price.
func (c *change) advice() string {
	if c.to == nil {
		return "No other policy accepts these clients and all that it accepts now: update the clients."
	}
	text := "Best update the clients. " + c.to.Advice() + " It would prevent " + plural(c.failed, "failure")
	if c.beyond > 0 {
		text += ", and leave " + plural(c.beyond, "failure") + " of clients that it does not accept"
	}
	return text + "."
}

// who lists the clients with most failures and what they offered.
func (a *Alert) who(b *strings.Builder) {
	w := &a.Window
	if len(w.Clients) == 0 {
		return
	}
	b.WriteString("\nWHO\n\n")
	fmt.Fprintf(b, "  %7s  %7s  client, and what it offered\n", "failed", "of")
	shown := min(len(w.Clients), textClients)
	for _, c := range w.Clients[:shown] {
		fmt.Fprintf(b, "  %7s  %7s  %s\n", number(c.Failed), number(c.Connections), c.Client)
		if offered := w.offered(c); offered != "" {
			hang(b, strings.Repeat(" ", 20), offered)
		}
	}
	if more := w.FailingClients - shown; more > 0 {
		fmt.Fprintf(b, "  and %s%s\n", w.upTo(w.FailingClients, len(w.Clients)), plural(more, "more client"))
	}
}

// offered says what failed connections of a client offered, as far as the
// groups name it, and whether others succeeded.
func (w *Window) offered(c Client) string {
	var list []string
	for _, g := range w.Groups {
		if slices.ContainsFunc(g.Top, func(t Client) bool { return t.Client == c.Client }) && !slices.Contains(list, g.negotiated()) {
			list = append(list, g.negotiated())
		}
	}
	if len(list) > textOffers {
		list = append(list[:textOffers], "more")
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
		if printable(uri) {
			failures := "grep Failed:"
			if strings.HasPrefix(a.Window.LoadBalancer, "net/") { // which has no status: no handshake time, or an alert of the client
				failures = `awk '$9 == "-" || $12 ~ /^[1-9]/'`
			}
			return fmt.Sprintf("aws s3 cp --region %s %s - | gzip -cdf | %s", shellWord(a.Window.Region), shellWord(uri), failures)
		}
	}
	return ""
}

// report is the command that shows the window in full, "" if there is no
// selection.
func (a *Alert) report() string {
	selection := a.selection()
	if selection == "" {
		return ""
	}
	if policy := a.onlyPolicy(); policy != "" {
		selection = "--policy " + shellWord(policy) + " " + selection
	}
	return "tlswatch report --failed " + selection
}

// whatIf is the command that shows what the first of the changes would do to
// all clients in the window, "" if there is none.
func (a *Alert) whatIf(j *judgement) string {
	for _, c := range j.changes {
		if selection := a.selection(); c.to != nil && selection != "" {
			return fmt.Sprintf("tlswatch whatif --from %s --to %s --listener-port %d %s", shellWord(c.from.Name), shellWord(c.to.B.Name), c.port, selection)
		}
	}
	return ""
}

// selection are the arguments of a command about the window. It is empty if the
// objects are not all below one prefix that fits into a line.
func (a *Alert) selection() string {
	w := &a.Window
	prefix := ""
	for i, uri := range w.Objects {
		dir := uri[:strings.LastIndexByte(uri, '/')+1]
		if i > 0 && dir != prefix || !printable(dir) {
			return ""
		}
		prefix = dir
	}
	if prefix == "" {
		return ""
	}
	return fmt.Sprintf("--load-balancer %s --since %s --until %s %s", shellWord(w.LoadBalancer),
		w.Start.UTC().Format(time.RFC3339), w.End.UTC().Format(time.RFC3339), shellWord(prefix))
}

// onlyPolicy is the security policy of all listeners with failures, "" if they
// differ or not all are known.
func (a *Alert) onlyPolicy() string {
	only := ""
	for i, g := range a.Window.Groups {
		if policy := a.policy(g.ListenerPort); i == 0 {
			only = policy
		} else if policy != only {
			return ""
		}
	}
	return only
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// plain takes the marks of commands out of a sentence: chat programs would
// make code spans of them across parts.
func plain(text string) string { return strings.ReplaceAll(text, "`", "'") }

func capitalized(text string) string {
	r, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[n:]
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
func (a *Alert) sms(j *judgement) string {
	s := fmt.Sprintf("tlswatch %s: %s: %s", a.Severity, a.name(), a.headline())
	if len(j.causes) > 0 {
		c := &j.causes[0]
		s += fmt.Sprintf(", mostly %s: %s", label(c.ID, ""), c.groups[0].what())
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
func (a *Alert) chat(j *judgement) notification {
	w := &a.Window
	text := fmt.Sprintf("*%s* on %s %s.", a.headline(), span(w.LoadBalancer), w.span())
	add := func(part string) { // whole parts, so that no markup is cut
		if len(text)+len(part) <= maxChatText {
			text += part
		}
	}
	steps := []string{}
	changes := j.changes[:min(len(j.changes), maxChatItems-3)]
	for i, c := range j.causes[:min(len(j.causes), maxChatItems-1)] {
		add(fmt.Sprintf("\n\n*%s*, %s: %s", c.title(), plural(c.failed, "failure"), plain(c.Cause)))
		for _, g := range c.groups[:min(len(c.groups), maxChatItems-1)] {
			add(fmt.Sprintf("\n- %s: %s, port %d, %s", number(g.Failed), span(g.negotiated()), g.ListenerPort, w.clients(g)))
		}
		if i < maxChatItems-1-len(changes) {
			steps = append(steps, c.title()+": "+plain(c.Remedy))
		}
	}
	for _, c := range changes {
		steps = append(steps, fmt.Sprintf("Port %d has %s. %s", c.port, c.from.Name, plain(c.advice())))
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
	Schema          string        `json:"schema"`
	Rule            string        `json:"rule"`
	Severity        string        `json:"severity"`
	LoadBalancerARN string        `json:"loadBalancerArn"`
	Threshold       threshold     `json:"threshold"`
	Client          string        `json:"client,omitempty"` // the worst, for a rule per client
	Failed          uint64        `json:"failed"`           // failures that the rule counts
	FailedPercent   float64       `json:"failedPercent"`
	Window          Window        `json:"window"`
	Explanations    []explanation `json:"explanations"` // of the window's groups, in their order

	// ListenerPolicies are the security policies of the groups' listeners by
	// port, as far as they are known.
	ListenerPolicies map[uint16]string `json:"listenerPolicies,omitempty"`
	PolicyChanges    []policyChange    `json:"policyChanges,omitempty"` // of listeners whose policy refuses clients
}

type threshold struct {
	MinFailed        uint64   `json:"minFailed"`
	MinFailedPercent float64  `json:"minFailedPercent"`
	Reasons          []string `json:"reasons,omitempty"`
}

// An explanation says why failures of a group happened.
type explanation struct {
	Reason    string                `json:"reason"`
	Diagnosis secpolicy.DiagnosisID `json:"diagnosis"`
	Cause     string                `json:"cause"`  // for people
	Remedy    string                `json:"remedy"` // likewise
}

// A policyChange is the smallest change of a listener's policy that accepts the
// clients that it refuses. It is no recommendation: see what it weakens.
type policyChange struct {
	Port     uint16   `json:"port"`
	From     string   `json:"from"`
	To       string   `json:"to,omitempty"`      // "" if no policy accepts them
	Weakens  []string `json:"weakens,omitempty"` // "tls-1.0", "no-forward-secrecy"
	Caveats  []string `json:"caveats,omitempty"` // what is not confirmed about From and To, for people
	Prevents uint64   `json:"prevents"`          // failures of the window
	Leaves   uint64   `json:"leaves"`            // those of clients that it does not accept either
}

func (a *Alert) document(j *judgement) document {
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
		Explanations:    []explanation{},

		ListenerPolicies: make(map[uint16]string),
	}
	for i, g := range a.Window.Groups {
		if policy := a.policy(g.ListenerPort); policy != "" {
			d.ListenerPolicies[g.ListenerPort] = policy
		}
		d.Explanations = append(d.Explanations, explanation{g.Reason, j.groups[i].ID, j.groups[i].Cause, j.groups[i].Remedy})
	}
	for _, c := range j.changes {
		m := policyChange{Port: c.port, From: c.from.Name, Prevents: c.failed, Leaves: c.beyond}
		if c.to != nil {
			m.To, m.Weakens, m.Caveats = c.to.B.Name, []string{}, secpolicy.Caveats(c.from, c.to.B)
			for _, w := range c.to.Weakens() {
				m.Weakens = append(m.Weakens, w.String())
			}
		}
		d.PolicyChanges = append(d.PolicyChanges, m)
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
