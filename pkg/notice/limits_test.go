package notice_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/rollup"
)

// checkMessage checks what holds for every message.
func checkMessage(t *testing.T, m notice.Message) {
	t.Helper()

	texts, err := json.Marshal(m.Texts)
	if err != nil {
		t.Fatal(err)
	}
	size := len(texts) + len(m.Subject)
	for name, value := range m.Attributes {
		size += len(name) + len("String") + len(value)
	}
	if size >= 256<<10 {
		t.Errorf("the message has %d bytes", size)
	}

	if n := len(m.Subject); n == 0 || n > 99 || strings.ContainsFunc(m.Subject, func(r rune) bool { return r < ' ' || r > '~' }) || m.Subject[0] == ' ' {
		t.Errorf("subject of %d bytes: %q", n, m.Subject)
	}

	for name, text := range m.Texts {
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == utf8.RuneError }) {
			t.Errorf("%s holds control characters or invalid UTF-8", name)
		}
	}
	for line := range strings.Lines(m.Texts["email"]) {
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line) > 72 && !strings.HasPrefix(line, "    aws ") && !strings.HasPrefix(line, "    tlswatch ") {
			t.Errorf("line of %d columns: %q", utf8.RuneCountInString(line), line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("line ends in space: %q", line)
		}
	}
	if sms := m.Texts["sms"]; len(sms) > 160 || strings.Contains(sms, "\n") {
		t.Errorf("sms of %d characters: %q", len(sms), sms)
	}
	checkChat(t, m.Texts["https"])
	checkMachine(t, m.Texts["sqs"])
}

func checkChat(t *testing.T, text string) {
	t.Helper()
	var chat struct {
		Version, Source string
		Content         struct {
			TextType, Title, Description string
			NextSteps, Keywords          []string
		}
		Metadata struct {
			ThreadID, Summary, EventType string
			RelatedResources             []string
		}
	}
	if err := json.Unmarshal([]byte(text), &chat); err != nil {
		t.Fatal(err)
	}
	c := chat.Content
	switch {
	case chat.Version != "1.0" || chat.Source != "custom" || c.TextType != "client-markdown":
		t.Errorf("chat: version %q, source %q, textType %q", chat.Version, chat.Source, c.TextType)
	case c.Title == "" || len(c.Title) > 200:
		t.Errorf("chat: title of %d characters", len(c.Title))
	case c.Description == "" || len(c.Description) > 3000:
		t.Errorf("chat: description of %d characters", len(c.Description))
	case len(c.NextSteps) > 5 || len(c.Keywords) > 5 || len(chat.Metadata.RelatedResources) > 5:
		t.Errorf("chat: lists of %d, %d, %d", len(c.NextSteps), len(c.Keywords), len(chat.Metadata.RelatedResources))
	case chat.Metadata.ThreadID == "" || chat.Metadata.Summary == "" || chat.Metadata.EventType == "":
		t.Errorf("chat: metadata %+v", chat.Metadata)
	}
	for _, markdown := range append(c.NextSteps, c.Description) {
		if strings.Count(markdown, "`")%2 != 0 || strings.Count(markdown, "*")%2 != 0 || strings.ContainsAny(markdown, "<>&") {
			t.Errorf("chat: markup is cut or forged: %q", markdown)
		}
	}
}

func checkMachine(t *testing.T, text string) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"schema", "rule", "severity", "loadBalancerArn", "threshold", "failed", "failedPercent", "window", "explanations"} {
		if _, ok := members[name]; !ok {
			t.Errorf("the machine document lacks %s", name)
		}
	}
	if string(members["schema"]) != `"tlswatch.alert/v1"` {
		t.Errorf("schema %s", members["schema"])
	}
	if len(members["explanations"]) == 0 || members["explanations"][0] != '[' {
		t.Errorf("explanations are no list: %s", members["explanations"])
	}
}

// hostile sums up a log with the worst names that a log can hold, by so many
// clients.
func hostile(prefix string, clients int) *rollup.Summary {
	s := rollup.New(rollup.Options{IPv6Prefix: 64})
	long := strings.Repeat("x", 60_000)
	names := []string{
		long, "\x00\x01\x02", "\xff\xfe\xfd", "`*_~<!channel>&", "</pre><script>", strings.Repeat("\u00e9", 60), strings.Repeat(`"`, 128),
		strings.Repeat("\\", 128), "'; rm -rf / #", "\u202egnp.exe", "\x7f\u2028", " ", "a\r\nBcc: b",
	}
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for i := range clients {
		name := func(k int) string { return prefix + names[(i/k)%len(names)] }
		e := connlog.Entry{
			Time: at, ListenerPort: uint16(i % 7), Protocol: name(1), Cipher: name(3),
			Status: fmt.Sprintf("Failed:%s%d", name(5), i%400),
		}
		e.Client = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		s.Add(&e)
	}
	return s
}

func TestHostileSummary(t *testing.T) {
	for prefix, clients := range map[string]int{"": 100_000, strings.Repeat("\x00", 60): 5000, "z" + strings.Repeat("&", 100): 5000} {
		k, err := logkey.Parse(alerttest.Key)
		if err != nil {
			t.Fatal(err)
		}
		// The prefix of a key may hold almost anything, up to 1,024 bytes in all.
		hostileKey := strings.Repeat("<\"\x01", 250) + "/" + alerttest.Key
		s := hostile(prefix, clients)
		part := alert.Observe(s, k, "", true)
		var parts []alert.Window
		for i := range 60 {
			part.Objects = []string{fmt.Sprintf("s3://%s/%d%s", alerttest.Bucket, i, hostileKey)}
			parts = append(parts, part)
		}
		w := alerttest.Sum(parts...)
		rule := alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}
		m := evaluated(t, rule, w)
		checkMessage(t, m)

		for i := range 200 { // more than an environment variable of a function can hold
			rule.Reasons = append(rule.Reasons, fmt.Sprintf("ClientCertReason%d", i))
		}
		rule.Reasons = append(rule.Reasons, w.Groups[0].Reason, "`\x00\xff")
		checkMessage(t, evaluated(t, rule, w))
	}
}

// TestHostileName: a load balancer's name has at most 32 characters, but the
// parser of keys accepts longer ones.
func TestHostileName(t *testing.T) {
	w := alerttest.Observe(t, []byte(alerttest.Lines(3, "192.0.2.1", alerttest.Expired)), true)
	for _, n := range []int{1, 30, 32, 80, 900} {
		w.LoadBalancer = "app/" + strings.Repeat("n", n) + "/1234567890abcdef"
		w.Failed, w.Connections = 12_345_678_901, 12_345_678_902
		m := evaluated(t, alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}, w)
		checkMessage(t, m)
		if n < 32 && !strings.Contains(m.Subject, strings.Repeat("n", min(n, 5))) || !strings.Contains(m.Subject, "over 99.9 %") {
			t.Errorf("subject %q", m.Subject)
		}
	}
	w.Failed, w.Connections = 1<<64-1, 1<<64-1
	checkMessage(t, evaluated(t, alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}, w))
}

// TestUnprintableKeys: a command is one line that can be pasted, or is absent.
func TestUnprintableKeys(t *testing.T) {
	for uri, want := range map[string]string{
		"s3://b/it's here.log.gz": `aws s3 cp --region us-east-2 's3://b/it'\''s here.log.gz' - |`,
		"s3://b/\u00fc.log":       `aws s3 cp --region us-east-2 's3://b/` + "\u00fc" + `.log' - |`,
		"s3://b/a.log":            `aws s3 cp --region us-east-2 s3://b/a.log - |`,
		"s3://b/a\nb.log":         "",
		"s3://b/a\xff.log":        "",
		"s3://b/a\u2028.log":      "",
	} {
		w := alerttest.Observe(t, []byte(alerttest.Lines(3, "192.0.2.1", alerttest.Expired)), true)
		w.Objects = []string{uri}
		m := evaluated(t, alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}, w)
		checkMessage(t, notice.Message{Subject: m.Subject, Texts: map[string]string{"email": m.Texts["email"], "https": m.Texts["https"], "sqs": m.Texts["sqs"]}})
		if want == "" {
			if strings.Contains(m.Texts["email"], "s3 cp") {
				t.Errorf("%q: %s", uri, m.Texts["email"])
			}
		} else if !strings.Contains(m.Texts["email"], want) {
			t.Errorf("%q: no %s in %s", uri, want, m.Texts["email"])
		}
	}
}

// TestManyObjects: the document omits objects before the message gets too large.
func TestManyObjects(t *testing.T) {
	part := alerttest.Observe(t, []byte(alerttest.Lines(3, "192.0.2.1", alerttest.Expired)), true)
	parts := []alert.Window{part}
	for i := range 60 {
		part.Objects = []string{fmt.Sprintf("s3://%s/%s%02d", alerttest.Bucket, strings.Repeat("<", 950), i)}
		parts = append(parts, part)
	}
	w := alerttest.Sum(parts...)
	a := alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}.Evaluate(w)
	before := len(a.Window.Objects)
	m := message(t, notice.Alert{Alert: a})
	checkMessage(t, m)
	if len(a.Window.Objects) != before {
		t.Error("Message changed the alert")
	}
	var d struct{ Window alert.Window }
	if err := json.Unmarshal([]byte(m.Texts["lambda"]), &d); err != nil {
		t.Fatal(err)
	}
	if n := len(d.Window.Objects); n < 5 || n >= before {
		t.Errorf("%d of %d objects are named", n, before)
	}
}

// TestLongChat: a part that does not fit into a description is left out whole.
func TestLongChat(t *testing.T) {
	w := alerttest.Observe(t, []byte(alerttest.Lines(3, "192.0.2.1", alerttest.Expired)), true)
	w.Groups = nil
	for i := range 20 {
		w.Groups = append(w.Groups, alert.Group{
			ListenerPort: uint16(i), Protocol: strings.Repeat("p", 64), Cipher: strings.Repeat("c", 64),
			Reason: fmt.Sprintf("%s%d", strings.Repeat("r", 60), i%4), Failed: 1 << 60, Clients: math.MaxInt,
		})
	}
	m := evaluated(t, alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}, w)
	checkMessage(t, m)
	if n := len(m.Texts["https"]); n < 2500 {
		t.Errorf("the chat text is short, of %d characters", n)
	}
}
