package notice_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/notice"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// tlsLog is the window of a TLS log that CloudWatch delivered under a key without
// the account.
func tlsLog(t *testing.T) alert.Window {
	t.Helper()
	native := strings.Split(strings.TrimSuffix(string(connlogtest.Log(connlogtest.Options{Seed: 1, Lines: 2500})), "\n"), "\n")
	s := alerttest.Summarize(t, []byte(strings.Join(connlogtest.TLSLog(native, "net/edge/1234567890abcdef"), "\n")))
	const key = "logs/us-east-2/2026/11/23/5f2c81d0.log.gz"
	k, err := logkey.Parse(key)
	if err != nil {
		t.Fatal(err)
	}
	k.LoadBalancer, k.PeriodEnd = "net/edge/1234567890abcdef", s.Last.Truncate(logkey.Period).Add(logkey.Period)
	return alert.Observe(s, k, "s3://"+alerttest.Bucket+"/"+key, true)
}

const (
	old    = `443 TLSv1.2 RC4-SHA - "-" - - Failed:UnmappedConnectionError`
	broken = `443 TLSv1.3 TLS_AES_128_GCM_SHA256 - "-" - - Failed:UnmappedConnectionError`
)

// TestGolden compares whole messages with files. Read them as somebody whom the
// alert has just woken up.
func TestGolden(t *testing.T) {
	busy := connlogtest.Log(connlogtest.Options{Seed: 1, Lines: 2500})
	rule := alert.Rule{Name: alert.FailedNegotiations, MinFailed: 100, MinFailedPercent: 1}
	low := alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}
	restricted := rule
	restricted.MinFailed = 20
	restricted.Reasons = []string{"ClientCertExpired", "ClientCertUntrusted"}
	certificates := alerttest.Lines(260, "198.51.100.40", alerttest.Expired) + alerttest.Lines(12, "198.51.100.41", alerttest.Expired) + alerttest.Lines(100, "10.0.0.1", alerttest.Success)

	hour := []alert.Window{alerttest.Observe(t, busy, true)}
	for i := range 11 {
		w := alerttest.Observe(t, connlogtest.Log(connlogtest.Options{Seed: uint64(i + 2), Lines: 2500}), true)
		w.Start, w.End = w.Start.Add(-logkey.Period), w.End.Add(-logkey.Period)
		w.Objects = []string{fmt.Sprintf("s3://%s/%d.log.gz", alerttest.Bucket, i)}
		hour = append(hour, w)
	}

	const strict = "ELBSecurityPolicy-TLS13-1-2-2021-06"
	tests := []struct {
		name     string
		rule     alert.Rule
		window   alert.Window
		policies map[uint16]string
	}{
		{"busy", rule, alerttest.Observe(t, busy, true), map[uint16]string{443: strict, 8443: strict}},
		{"policies-differ", rule, alerttest.Observe(t, busy, true), map[uint16]string{443: "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", 8443: "ELBSecurityPolicy-2016-08"}},
		{"policy-unknown", rule, alerttest.Observe(t, busy, true), map[uint16]string{0: "ELBSecurityPolicy-TLS13-1-2-2031-01"}},
		{"no-clients", rule, alerttest.Observe(t, busy, false), nil},
		{"restricted", restricted, alerttest.Observe(t, busy, true), nil},
		{"expired", rule, alerttest.Observe(t, []byte(certificates), true), nil},
		{"unknown-reason", low, alerttest.Observe(t, []byte(alerttest.Lines(1, "192.0.2.1", alerttest.Novel)+alerttest.Lines(4000, "10.0.0.1", alerttest.Success)), true), nil},
		{"in-no-policy", low, alerttest.Observe(t, []byte(alerttest.Lines(3, "192.0.2.1", old)+alerttest.Lines(9, "192.0.2.2", broken)+alerttest.Lines(40, "192.0.2.2", alerttest.Success)), true), map[uint16]string{443: strict}},
		{"merged", rule, alerttest.Sum(hour...), nil},
		{"tls-log", rule, tlsLog(t), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := test.rule.Evaluate(test.window)
			if a == nil {
				t.Fatal("no alert")
			}
			m := message(t, notice.Alert{Alert: a, Policies: test.policies})
			checkMessage(t, m)
			golden(t, test.name+".txt", "Subject: "+m.Subject+"\n\n"+m.Texts["email"])
			golden(t, test.name+".sms.txt", m.Texts["sms"]+"\n")
			golden(t, test.name+".chat.json", indent(t, m.Texts["https"]))
			golden(t, test.name+".machine.json", indent(t, m.Texts["sqs"]))
		})
	}
	if !*update {
		files, err := filepath.Glob("testdata/*")
		if err != nil || len(files) != 4*len(tests) {
			t.Errorf("%d golden files, want %d: is one left of a test that is gone? %v", len(files), 4*len(tests), err)
		}
	}
}

func message(t *testing.T, a notice.Alert) notice.Message {
	t.Helper()
	m, err := a.Message()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// evaluated is the message about a window that meets the rule.
func evaluated(t *testing.T, rule alert.Rule, w alert.Window) notice.Message {
	t.Helper()
	a := rule.Evaluate(w)
	if a == nil {
		t.Fatal("no alert")
	}
	return message(t, notice.Alert{Alert: a})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; rewrite with -update):\n%s", name, diff)
	}
}

func indent(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// TestSameTexts: the email is also the default, and all machines get the same
// document.
func TestSameTexts(t *testing.T) {
	m := evaluated(t, alert.Rule{MinFailed: 1}, alerttest.Observe(t, []byte(alerttest.Lines(1, "192.0.2.1", alerttest.Novel)), true))
	for _, pair := range [][2]string{{"default", "email"}, {"sqs", "lambda"}, {"sqs", "email-json"}} {
		if m.Texts[pair[0]] != m.Texts[pair[1]] {
			t.Errorf("%s and %s differ", pair[0], pair[1])
		}
	}
	var names []string
	for name := range m.Texts {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"default", "email", "email-json", "https", "lambda", "sms", "sqs"}; !slices.Equal(names, want) {
		t.Errorf("texts for %q, want %q", names, want)
	}
}
