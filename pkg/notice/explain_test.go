package notice_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// judged is the part of the document that explains.
type judged struct {
	Explanations  []struct{ Reason, Diagnosis, Cause, Remedy string }
	PolicyChanges []struct {
		Port             uint16
		From, To         string
		Weakens          []string
		Prevents, Leaves uint64
	}
	Window struct {
		Groups []struct {
			Protocol, Cipher string
			Failed           uint64
			Scanners         int
		}
	}
}

// judge returns the judgement, and the email in one line.
func judge(t *testing.T, a notice.Alert) (j judged, email string) {
	t.Helper()
	m := message(t, a)
	checkMessage(t, m)
	if err := json.Unmarshal([]byte(m.Texts["sqs"]), &j); err != nil {
		t.Fatal(err)
	}
	return j, strings.Join(strings.Fields(m.Texts["email"]), " ")
}

// TestDiagnose: every group has a diagnosis.
func TestDiagnose(t *testing.T) {
	policies := secpolicy.Builtin()
	for _, reason := range []string{"", "none", "UnmappedConnectionError", "ClientCertExpired", "HandshakeNotCompleted", "ClientAlert:unknown_ca", "?"} {
		for _, protocol := range []string{"", "TLSv1.2", "TLSv9"} {
			for _, cipher := range []string{"", "AES256-SHA", "RC4-SHA", "new"} {
				for _, p := range []*secpolicy.Policy{nil, &policies.Policies()[0]} {
					g := alert.Group{Reason: reason, Protocol: protocol, Cipher: cipher}
					if d := policies.DiagnoseAttempt(g.Attempt(), p); d.ID == "" || d.Cause == "" || d.Remedy == "" {
						t.Errorf("%+v: %+v", g, d)
					}
				}
			}
		}
	}
}

const nothing = `443 - - - "-" - - Failed:UnmappedConnectionError`

// TestScanners: many clients with one attempt each count apart from clients that
// try again, and once over the objects of several nodes.
func TestScanners(t *testing.T) {
	scanners := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			b.WriteString(alerttest.Lines(1, fmt.Sprintf("192.0.2.%d", i), nothing))
		}
		return b.String()
	}
	stubborn := alerttest.Lines(7, "198.51.100.1", nothing)
	retries := alerttest.Lines(1, "198.51.100.2", nothing) + alerttest.Lines(3, "198.51.100.2", alerttest.Success) // one failure is not one attempt
	for _, test := range []struct {
		name     string
		nodes    []string
		scanners int
		apart    bool
	}{
		{"none", []string{stubborn + retries}, 0, false},
		{"few", []string{scanners(0, 9) + stubborn}, 9, false},
		{"many", []string{scanners(0, 12) + stubborn + retries}, 12, true},
		{"nothing else", []string{scanners(0, 12)}, 12, true},
		{"two nodes", []string{scanners(0, 8) + stubborn, scanners(8, 16) + stubborn}, 16, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var nodes []alert.Window
			for _, log := range test.nodes {
				nodes = append(nodes, alerttest.Observe(t, []byte(log), true))
			}
			w := alerttest.Sum(nodes...)
			j, email := judge(t, notice.Alert{Alert: alert.Rule{MinFailed: 1}.Evaluate(w)})
			if len(j.Window.Groups) != 1 || j.Window.Groups[0].Scanners != test.scanners {
				t.Errorf("groups %+v, want %d scanners", j.Window.Groups, test.scanners)
			}
			if apart := strings.Contains(email, fmt.Sprintf("%d of the failures look like scanner traffic", test.scanners)); apart != test.apart {
				t.Errorf("scanners apart: %v, want %v\n%s", apart, test.apart, email)
			}
			if rest := int(w.Failed) - test.scanners; test.apart && rest > 0 && !strings.Contains(email, fmt.Sprintf("Nothing negotiated (UnmappedConnectionError), %d failure", rest)) {
				t.Errorf("the other %d failures are gone:\n%s", rest, email)
			}
		})
	}
}

// TestPolicyChanges: a change accepts what it claims to, comes with what it
// weakens, and accounts for every failure that the policy caused.
func TestPolicyChanges(t *testing.T) {
	offer := func(protocol, cipher string) string {
		return fmt.Sprintf(`443 %s %s - "-" - - Failed:UnmappedConnectionError`, protocol, cipher)
	}
	for _, test := range []struct {
		name, policy, to string
		log              string
		prevents, leaves uint64
	}{
		{"one suite", "TLS13-1-2-2021-06", "TLS13-1-2-Ext2-2021-06", alerttest.Lines(5, "192.0.2.1", offer("TLSv1.2", "ECDHE-RSA-AES256-SHA")), 5, 0},
		{"suite and protocol", "TLS13-1-2-2021-06", "TLS13-1-0-2021-06", alerttest.Lines(5, "192.0.2.1", offer("TLSv1.2", "ECDHE-RSA-AES256-SHA")) + alerttest.Lines(2, "192.0.2.2", offer("TLSv1", "AES128-SHA")), 7, 0},
		{"one beyond all", "TLS13-1-2-2021-06", "TLS13-1-2-Ext2-2021-06", alerttest.Lines(5, "192.0.2.1", offer("TLSv1.2", "RC4-SHA")) + alerttest.Lines(2, "192.0.2.2", offer("TLSv1.2", "AES128-SHA")), 2, 5},
		{"all beyond", "TLS13-1-2-2021-06", "", alerttest.Lines(5, "192.0.2.1", offer("TLSv1.2", "RC4-SHA")), 0, 5},
		{"newer client", "2016-08", "TLS13-1-0-2021-06", alerttest.Lines(5, "192.0.2.1", offer("TLSv1.3", "TLS_AES_128_GCM_SHA256")), 5, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := notice.Alert{Alert: alert.Rule{MinFailed: 1}.Evaluate(alerttest.Observe(t, []byte(test.log), true))}
			a.Policies = map[uint16]string{443: secpolicy.Prefix + test.policy}
			j, email := judge(t, a)
			if len(j.PolicyChanges) != 1 {
				t.Fatalf("changes %+v", j.PolicyChanges)
			}
			c := j.PolicyChanges[0]
			if want := secpolicy.Prefix + test.to; c.To != want && c.To+test.to != "" || c.Prevents != test.prevents || c.Leaves != test.leaves || c.From != a.Policies[443] {
				t.Errorf("change %+v, want to %s", c, want)
			}
			if len(c.Weakens) > 0 && !strings.Contains(email, "weakens the listener for all clients") {
				t.Errorf("a change without its price:\n%s", email)
			}
			for _, g := range j.Window.Groups {
				if c.To == "" || g.Cipher == "RC4-SHA" {
					continue
				}
				p, err := secpolicy.Lookup(c.To)
				if err != nil {
					t.Fatal(err)
				}
				if p.Position(suite(t, g.Cipher)) < 0 {
					t.Errorf("%s lacks %s", c.To, g.Cipher)
				}
			}
		})
	}
}

func suite(t *testing.T, name string) tlsname.Suite {
	t.Helper()
	s, err := tlsname.ParseSuite(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
