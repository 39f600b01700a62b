package alert_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/rollup"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	bucket = "amzn-s3-demo-logging-bucket"
	// key is the form of a key in the AWS page on connection logs.
	key = "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/conn_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20261123T1005Z_172.160.001.192_20sg8hgm.log.gz"
)

// generated is a log of connlogtest.
func generated(t *testing.T, o connlogtest.Options) []byte {
	t.Helper()
	var log bytes.Buffer
	if err := connlogtest.Write(&log, o); err != nil {
		t.Fatal(err)
	}
	return log.Bytes()
}

// summarize reads a log.
func summarize(t *testing.T, log []byte) *rollup.Summary {
	t.Helper()
	s := rollup.New(rollup.Options{IPv6Prefix: 64})
	z := connlog.NewReader(bytes.NewReader(log))
	var e connlog.Entry
	for {
		switch err := z.Read(&e).(type) {
		case nil:
			s.Add(&e)
		case *connlog.ParseError:
			s.AddMalformed()
		default:
			if err != io.EOF {
				t.Fatal(err)
			}
			return s
		}
	}
}

func observe(t *testing.T, log []byte, clients bool) alert.Window {
	t.Helper()
	k, err := connlog.ParseObjectKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return alert.Observe(summarize(t, log), k, "s3://"+bucket+"/"+key, clients)
}

// tlsLog is the window of a TLS log that CloudWatch delivered to a place that
// says nothing of the account.
func tlsLog(t *testing.T) alert.Window {
	t.Helper()
	native := strings.Split(strings.TrimSuffix(string(generated(t, connlogtest.Options{Seed: 1, Lines: 2500})), "\n"), "\n")
	s := summarize(t, []byte(strings.Join(connlogtest.TLSLog(native, "net/edge/1234567890abcdef"), "\n")))
	const key = "logs/us-east-2/2026/11/23/5f2c81d0.log.gz"
	k, err := connlog.ParseObjectKey(key)
	if err != nil {
		t.Fatal(err)
	}
	k.LoadBalancer, k.PeriodEnd = "net/edge/1234567890abcdef", s.Last.Truncate(connlog.Period).Add(connlog.Period)
	return alert.Observe(s, k, "s3://"+bucket+"/"+key, true)
}

func lines(n int, client, rest string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "2026-11-23T10:0%d:%02d.000000Z %s %d %s\n", i/60%5, i%60, client, 40000+i, rest)
	}
	return b.String()
}

const (
	success = `443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.010 "-" - - Success`
	expired = `8443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 - "CN=till-4.example.com,O=Example" NotBefore=2025-11-22T00:00:00Z;NotAfter=2026-11-22T00:00:00Z 0A1B Failed:ClientCertExpired`
	old     = `443 TLSv1.2 RC4-SHA - "-" - - Failed:UnmappedConnectionError`
	broken  = `443 TLSv1.3 TLS_AES_128_GCM_SHA256 - "-" - - Failed:UnmappedConnectionError`
	novel   = `443 TLSv1.3 TLS_AES_128_GCM_SHA256 - "-" - - Failed:ClientCertFromTheFuture`
)

// TestGolden compares the texts of whole alerts with files. Look at them as
// somebody who has just been woken up.
func TestGolden(t *testing.T) {
	busy := generated(t, connlogtest.Options{Seed: 1, Lines: 2500})
	rule := alert.Rule{Name: alert.FailedNegotiations, MinFailed: 100, MinFailedPercent: 1}
	low := alert.Rule{Name: alert.FailedNegotiations, MinFailed: 1}
	restricted := rule
	restricted.MinFailed = 20
	restricted.Reasons = []string{"ClientCertExpired", "ClientCertUntrusted"}
	certificates := lines(260, "198.51.100.40", expired) + lines(12, "198.51.100.41", expired) + lines(100, "10.0.0.1", success)

	hour := observe(t, busy, true)
	for i := range 11 {
		w := observe(t, generated(t, connlogtest.Options{Seed: uint64(i + 2), Lines: 2500}), true)
		w.Start, w.End = w.Start.Add(-connlog.Period), w.End.Add(-connlog.Period)
		w.Objects = []string{fmt.Sprintf("s3://%s/%d.log.gz", bucket, i)}
		hour.Merge(w)
	}

	const strict = "ELBSecurityPolicy-TLS13-1-2-2021-06"
	tests := []struct {
		name     string
		rule     alert.Rule
		window   alert.Window
		policies map[uint16]string
	}{
		{"busy", rule, observe(t, busy, true), map[uint16]string{443: strict, 8443: strict}},
		{"policies-differ", rule, observe(t, busy, true), map[uint16]string{443: "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", 8443: "ELBSecurityPolicy-2016-08"}},
		{"policy-unknown", rule, observe(t, busy, true), map[uint16]string{0: "ELBSecurityPolicy-TLS13-1-2-2031-01"}},
		{"no-clients", rule, observe(t, busy, false), nil},
		{"restricted", restricted, observe(t, busy, true), nil},
		{"expired", rule, observe(t, []byte(certificates), true), nil},
		{"unknown-reason", low, observe(t, []byte(lines(1, "192.0.2.1", novel)+lines(4000, "10.0.0.1", success)), true), nil},
		{"in-no-policy", low, observe(t, []byte(lines(3, "192.0.2.1", old)+lines(9, "192.0.2.2", broken)+lines(40, "192.0.2.2", success)), true), map[uint16]string{443: strict}},
		{"merged", rule, hour, nil},
		{"tls-log", rule, tlsLog(t), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := test.rule.Evaluate(test.window)
			if a == nil {
				t.Fatal("no alert")
			}
			a.Policies = test.policies
			m := message(t, a)
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

func message(t *testing.T, a *alert.Alert) alert.Message {
	t.Helper()
	m, err := a.Message()
	if err != nil {
		t.Fatal(err)
	}
	return m
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

// TestSameTexts: who reads an alert by e-mail gets the text that others get
// by default, and all machines get the same document.
func TestSameTexts(t *testing.T) {
	a := alert.Rule{MinFailed: 1}.Evaluate(observe(t, []byte(lines(1, "192.0.2.1", novel)), true))
	m := message(t, a)
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
