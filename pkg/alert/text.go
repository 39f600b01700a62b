package alert

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/pkg/connlog"
)

// A Message is an alert as Amazon SNS takes it, with a text for each protocol.
type Message struct {
	Subject    string            // e-mail subject: printable ASCII, at most MaxSubject characters
	Texts      map[string]string // by SNS protocol; "default" is always there
	Attributes map[string]string // for subscription filters
}

// MaxSubject is the longest subject that SNS takes, in characters.
// Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
const MaxSubject = 99

// Message renders the alert.
//
// Source of the protocols' names: Publish, parameter MessageStructure. The
// https text is a custom notification for Amazon Q Developer in chat
// applications, which subscribes to the topic by https.
func (a *Alert) Message() (Message, error) {
	text := a.text()
	machine, err := json.Marshal(a.document())
	if err != nil {
		return Message{}, fmt.Errorf("encoding alert: %w", err)
	}
	chat, err := json.Marshal(a.chat())
	if err != nil {
		return Message{}, fmt.Errorf("encoding alert for chat: %w", err)
	}
	return Message{
		Subject: a.subject(),
		Texts: map[string]string{
			"default":    text,
			"email":      text,
			"https":      string(chat),
			"sqs":        string(machine),
			"lambda":     string(machine),
			"email-json": string(machine),
			"sms":        a.sms(),
		},
		Attributes: map[string]string{
			"rule":         a.Rule.Name,
			"severity":     a.Severity,
			"loadBalancer": a.Window.LoadBalancer,
			"account":      a.Window.Account,
			"region":       a.Window.Region,
		},
	}, nil
}

// headline is the alert in one phrase.
func (a *Alert) headline() string {
	return fmt.Sprintf("%s of %s TLS negotiations failed (%s)", number(a.Failed), number(a.Window.Connections), a.percentText())
}

func (a *Alert) percentText() string {
	return strconv.FormatFloat(a.Percent(), 'f', 1, 64) + " %"
}

// name is the load balancer's name, which people know it by.
func (a *Alert) name() string {
	parts := strings.Split(a.Window.LoadBalancer, "/")
	if len(parts) == 3 {
		return parts[1]
	}
	return a.Window.LoadBalancer
}

func (a *Alert) subject() string {
	s := fmt.Sprintf("tlswatch %s: %s: %s", a.Severity, clean(a.name()), a.headline())
	return s[:min(len(s), MaxSubject)]
}

const (
	columns     = 72
	textGroups  = 6  // explained in the text for people
	textClients = 10 // named in it
)

// text is the alert for people: which load balancer, since when, how many, why,
// who, and what to do.
func (a *Alert) text() string {
	w := &a.Window
	var b strings.Builder
	wrap(&b, "", fmt.Sprintf("%s on load balancer %s %s (%s).", a.headline(), w.LoadBalancer, w.span(), w.End.UTC().Format("2 January 2006")))
	b.WriteString("\n")
	fmt.Fprintf(&b, "Account    %s, %s\n", w.Account, w.Region)
	fmt.Fprintf(&b, "Since      %s to %s UTC\n", clock(w.FirstFailed), clock(w.LastFailed))
	fmt.Fprintf(&b, "Severity   %s\n", a.Severity)
	fmt.Fprintf(&b, "Threshold  %s\n", a.threshold())

	b.WriteString("\nWHY\n")
	shown := w.Groups[:min(len(w.Groups), textGroups)]
	rest := a.Failed
	for _, g := range shown {
		rest -= min(rest, g.Failed)
		e := g.Explain()
		b.WriteString("\n")
		wrap(&b, "  ", fmt.Sprintf("%s x %s, %s, from %s", number(g.Failed), g.Reason, g.what(), plural(g.Clients, "client")))
		wrap(&b, "    ", e.Cause)
		wrap(&b, "    ", "To do: "+e.Remedy)
	}
	if rest > 0 {
		fmt.Fprintf(&b, "\n  %s x others\n", number(rest))
	}

	if len(w.Clients) > 0 {
		b.WriteString("\nWHO\n\n")
		fmt.Fprintf(&b, "  %9s  %9s  client\n", "failed", "of")
		for _, c := range w.Clients[:min(len(w.Clients), textClients)] {
			fmt.Fprintf(&b, "  %9s  %9s  %s\n", number(c.Failed), number(c.Connections), c.Client)
		}
		if more := w.FailingClients - min(len(w.Clients), textClients); more > 0 {
			fmt.Fprintf(&b, "  and %s more\n", plural(more, "client"))
		}
	}

	b.WriteString("\nMORE\n\n")
	b.WriteString("  The listeners' security policies:\n")
	fmt.Fprintf(&b, "    %s\n", a.describeListeners())
	if len(w.Objects) > 0 {
		fmt.Fprintf(&b, "  The log (%s):\n", plural(w.ObjectCount, "object"))
		fmt.Fprintf(&b, "    %s\n", a.fetchLog())
	}
	return b.String()
}

func (a *Alert) threshold() string {
	s := fmt.Sprintf("%s failures and %s %% of connections", number(a.Rule.MinFailed), strconv.FormatFloat(a.Rule.MinFailedPercent, 'f', -1, 64))
	if len(a.Rule.Reasons) > 0 {
		s += ", counting " + strings.Join(a.Rule.Reasons, ", ")
	}
	return s
}

// what says what the clients of the group used.
func (g Group) what() string {
	s := "nothing negotiated"
	if g.Protocol != "" || g.Cipher != "" {
		s = strings.TrimSpace(g.Protocol + " " + g.Cipher)
	}
	return s + ", port " + strconv.Itoa(int(g.ListenerPort))
}

func (a *Alert) arn() string {
	return connlog.ObjectKey{Account: a.Window.Account, Region: a.Window.Region, LoadBalancer: a.Window.LoadBalancer}.LoadBalancerARN()
}

func (a *Alert) describeListeners() string {
	return fmt.Sprintf("aws elbv2 describe-listeners --region %s --query 'Listeners[].[Port,SslPolicy]' --load-balancer-arn %s", a.Window.Region, a.arn())
}

func (a *Alert) fetchLog() string {
	return fmt.Sprintf("aws s3 cp %s - | zcat", shellQuote(a.Window.Objects[0]))
}

// shellQuote makes s one word of a POSIX shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// sms is the alert in one line.
func (a *Alert) sms() string {
	s := fmt.Sprintf("tlswatch %s: %s, %s", a.Severity, clean(a.name()), a.headline())
	if len(a.Window.Groups) > 0 {
		g := a.Window.Groups[0]
		s += fmt.Sprintf("; most: %s, %s", g.Reason, g.what())
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
	var b strings.Builder
	fmt.Fprintf(&b, "*%s* on `%s` %s.\n", a.headline(), w.LoadBalancer, w.span())
	var steps []string
	for _, g := range w.Groups[:min(len(w.Groups), maxChatItems)] {
		e := g.Explain()
		fmt.Fprintf(&b, "\n- *%s* x `%s`, %s, from %s. %s", number(g.Failed), g.Reason, g.what(), plural(g.Clients, "client"), e.Cause)
		if step := fmt.Sprintf("%s: %s", g.Reason, e.Remedy); len(steps) < maxChatItems-1 && !slices.Contains(steps, step) {
			steps = append(steps, step)
		}
	}
	for i, c := range w.Clients[:min(len(w.Clients), maxChatItems)] {
		if i == 0 {
			b.WriteString("\n\nClients that failed most: ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "`%s` (%s of %s)", c.Client, number(c.Failed), number(c.Connections))
	}
	text := b.String()
	return notification{
		Version: "1.0",
		Source:  "custom",
		Content: content{
			TextType:    "client-markdown",
			Title:       a.subject(),
			Description: text[:min(len(text), maxChatText)],
			NextSteps:   append(steps, "See the listeners' policies: `"+a.describeListeners()+"`"),
			Keywords:    []string{a.Severity, a.Rule.Name, w.Region, w.Account},
		},
		Metadata: metadata{
			ThreadID:  a.Rule.Name + " " + w.LoadBalancer,
			Summary:   a.headline(),
			EventType: "tlswatch." + a.Rule.Name,
			Resources: []string{a.arn()},
		},
	}
}

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
	Failed          uint64          `json:"failed"` // failures that the rule counts
	FailedPercent   float64         `json:"failedPercent"`
	Window          Window          `json:"window"`
	Explanations    []explainedCode `json:"explanations"` // of the window's groups, in their order
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
		Threshold:       threshold{a.Rule.MinFailed, a.Rule.MinFailedPercent, a.Rule.Reasons},
		Failed:          a.Failed,
		FailedPercent:   a.Percent(),
		Window:          a.Window,
		Explanations:    []explainedCode{},
	}
	for _, g := range a.Window.Groups {
		d.Explanations = append(d.Explanations, explainedCode{g.Reason, g.Explain()})
	}
	return d
}

// wrap writes text in lines of at most columns characters, words permitting.
// Lines after the first are indented by two more than indent.
func wrap(b *strings.Builder, indent, text string) {
	width := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			b.WriteString(indent)
			width = len(indent)
		case width+1+len(word) > columns:
			b.WriteString("\n" + indent)
			width = len(indent)
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	b.WriteByte('\n')
}

// number formats n with commas: 12,345.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(uint64(n)) + " " + noun + "s"
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }
