package digest

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
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/secpolicy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var until = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// observed is the sum of the postures of some log objects.
func observed(t *testing.T, clients bool, logs ...string) *posture.Sum {
	t.Helper()
	sum := new(posture.Sum)
	for _, log := range logs {
		s := rollup.New(rollup.Options{IPv6Prefix: 64, Watch: posture.IsWeak, CertificateHorizon: posture.Horizon})
		var e connlog.Entry
		for r := connlog.NewReader(strings.NewReader(log)); r.Read(&e) == nil; {
			s.Add(&e)
		}
		sum.Add(posture.Observe(s, clients))
	}
	return sum
}

func madeLog(seed uint64, lines int) string {
	return string(connlogtest.Log(connlogtest.Options{Seed: seed, Lines: lines, Start: until.Add(-time.Hour)}))
}

// lines returns n equal lines of a successful connection.
func lines(n int, client, protocol, cipher, group string) string {
	return strings.Repeat(fmt.Sprintf("2026-11-22T10:00:01.000000Z %s 40000 443 %s %s 0.010 \"-\" - - Success TID_0123456789abcdef0123456789abcdef %s app/shop/1 192.0.2.10\n",
		client, protocol, cipher, group), n)
}

func certificate(subject string, notAfter time.Time, status string) string {
	return fmt.Sprintf("2026-11-22T10:00:01.000000Z 198.51.100.9 40000 8443 TLSv1.3 TLS_AES_128_GCM_SHA256 - \"%s\" NotBefore=2025-11-01T00:00:00Z;NotAfter=%s 0A1B %s TID_0123456789abcdef0123456789abcdef x25519 app/shop/1 192.0.2.10\n",
		subject, notAfter.Format("2006-01-02T15:04:05Z"), status)
}

func fixedPolicy(t *testing.T, name string) func(uint16) *secpolicy.Policy {
	t.Helper()
	p, err := secpolicy.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return func(uint16) *secpolicy.Policy { return p }
}

// The golden files are whole messages.
func TestGolden(t *testing.T) {
	weak := lines(900, "10.0.0.1", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768") +
		lines(60, "203.0.113.7", "TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1") +
		lines(5, "203.0.113.8", "TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1") +
		lines(30, "203.0.113.9", "TLSv1", "ECDHE-RSA-AES128-SHA", "secp256r1") +
		lines(2, "2001:db8::1", "TLSv1.2", "AES128-GCM-SHA256", "-")
	before := lines(400, "10.0.0.1", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768") +
		lines(400, "10.0.0.1", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1") +
		lines(100, "203.0.113.7", "TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1")
	certs := certificate("CN=till-4,O=Smith", until.Add(9*24*time.Hour), "Success") + certificate("CN=gone", until.Add(-24*time.Hour), "Failed:ClientCertExpired") +
		certificate("CN=later", until.Add(35*24*time.Hour), "Success") + madeLog(1, 300)
	var fleet strings.Builder
	for i := range 14 { // one more in the horizon than a record has room for, and one of them so soon that the digest names it
		fleet.WriteString(certificate(fmt.Sprintf("CN=van-%02d", i), until.Add(time.Duration(29+i)*24*time.Hour), "Success"))
	}
	for name, inputs := range map[string][]Input{
		"weeks": {
			{Name: "app/shop/50dc6c495c0c9188", Objects: 4032, ObjectsBefore: 4032, Now: observed(t, true, weak), Before: observed(t, true, before), Policy: fixedPolicy(t, "ELBSecurityPolicy-TLS13-1-0-PQ-2025-09")},
			{Name: "app/tills/1234567890abcdef", Objects: 1, ObjectsBefore: 0, Now: observed(t, true, certs), Before: observed(t, true)},
			{Name: "app/vans/2222222222222222", Objects: 1, ObjectsBefore: 0, Now: observed(t, true, fleet.String()), Before: observed(t, true)},
			{Name: "app/idle/0000000000000000", Now: observed(t, true), Before: observed(t, true)},
			{Name: "app/modern/1111111111111111", Objects: 1, ObjectsBefore: 1, Now: observed(t, true, lines(10, "10.0.0.1", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519")), Before: observed(t, true, lines(10, "10.0.0.1", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519"))},
		},
		"nameless": {{Name: "app/shop/50dc6c495c0c9188", Objects: 1, ObjectsBefore: 1, Now: observed(t, false, weak+certs), Before: observed(t, false, before)}},
		"nothing":  nil,
	} {
		d := New("us-east-1", until, inputs, secpolicy.Builtin())
		if name == "nothing" {
			d.Notes = []string{"3 of 14 records are left out: raise the function's timeout."}
		}
		m, err := d.Message()
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		fmt.Fprintf(&out, "SUBJECT %s\n\nATTRIBUTES %v\n\n", m.Subject, m.Attributes)
		for _, protocol := range []string{"email", "https", "sms", "sqs"} {
			text := m.Texts[protocol]
			if protocol == "https" || protocol == "sqs" {
				var indented bytes.Buffer
				if err := json.Indent(&indented, []byte(text), "", " "); err != nil {
					t.Errorf("%s: %v", protocol, err)
				}
				text = indented.String()
			}
			fmt.Fprintf(&out, "---- %s ----\n%s\n\n", protocol, text)
		}
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(out.String()), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), out.String()); d != "" {
			t.Errorf("%s: -want +got\n%s", golden, d)
		}
		if name == "nameless" && strings.Contains(out.String(), "203.0.113") || strings.Contains(out.String(), "CN=later") {
			t.Errorf("%s shows what it must not", golden)
		}
		checkLimits(t, m)
	}
}

func checkLimits(t *testing.T, m notice.Message) {
	t.Helper()
	if m.Size() > notice.MaxMessage || len(m.Subject) > notice.MaxSubject || strings.ContainsFunc(m.Subject, func(r rune) bool { return r > '~' || r < ' ' }) {
		t.Errorf("%d bytes, subject %q", m.Size(), m.Subject)
	}
	for _, protocol := range []string{"default", "email", "https", "sqs", "lambda", "email-json", "sms"} {
		if m.Texts[protocol] == "" {
			t.Errorf("no text for %s", protocol)
		}
	}
	if len(m.Texts["sms"]) > 140 {
		t.Errorf("sms: %q", m.Texts["sms"])
	}
	for line := range strings.Lines(m.Texts["email"]) {
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("email: %q", line)
		}
	}
}

// Every message is within the limits of SNS, and says what it leaves out.
func TestLimits(t *testing.T) {
	var inputs []Input
	sum := new(posture.Sum)
	for i := range 20 {
		p := posture.Posture{OtherWeak: 5, Negotiated: []posture.Negotiated{{Protocol: rollup.Other, Cipher: rollup.Other, Connections: 20}}}
		for j := range 60 {
			p.Negotiated = append(p.Negotiated, posture.Negotiated{Protocol: fmt.Sprint("TLSv1.", j%4), Cipher: fmt.Sprintf("CIPHER-%d-%s", j, strings.Repeat("x", 100)), KeyExchange: "x25519", Connections: 7})
		}
		for j := range 20 {
			p.Weak = append(p.Weak, posture.Weak{Client: fmt.Sprintf("2001:db8:%x:%x::/64", i, j), ListenerPort: 443, Protocol: "TLSv1", Cipher: fmt.Sprintf("CIPHER-%d\x1b[31m", j), Connections: 3})
		}
		p.Expiring = []posture.Certificate{{Subject: strings.Repeat("\x1b<é\x00", 40), Serial: fmt.Sprint(i), NotAfter: until, Connections: 1}}
		sum.Add(p)
	}
	for i := range 300 {
		inputs = append(inputs, Input{Name: fmt.Sprintf("app/%032d/%016x", i, i), Objects: 2016, ObjectsBefore: 2016, Now: sum, Before: sum})
	}
	m, err := New("us-east-1", until, inputs, secpolicy.Builtin()).Message()
	if err != nil {
		t.Fatal(err)
	}
	checkLimits(t, m)
	var doc Digest
	if err := json.Unmarshal([]byte(m.Texts["sqs"]), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.LoadBalancers) == 0 || len(doc.LoadBalancers)+doc.Omitted != 300 {
		t.Errorf("%d load balancers and %d omitted", len(doc.LoadBalancers), doc.Omitted)
	}
	lb := doc.LoadBalancers[0]
	n := uint64(0)
	for _, s := range lb.Ciphers {
		n += s.Connections
	}
	if len(lb.Ciphers) != maxCiphers || lb.Ciphers[maxCiphers-1].Name != rollup.Other || n != lb.Connections {
		t.Errorf("%d of %d connections by cipher suite: %+v", n, lb.Connections, lb.Ciphers)
	}
	if !strings.Contains(m.Texts["email"], "load balancers with fewer findings.\n") || !strings.Contains(m.Subject, "300 load balancers, 300 with weak TLS") {
		t.Errorf("%s\n%.300s", m.Subject, m.Texts["email"])
	}
}

// Shares add up to 1, and changes to 0.
func TestShares(t *testing.T) {
	in := Input{Name: "app/a/1", Objects: 3, ObjectsBefore: 2,
		Now:    observed(t, true, madeLog(1, 2000), madeLog(2, 2000), madeLog(3, 2000)),
		Before: observed(t, true, madeLog(4, 1000), lines(500, "10.0.0.1", "TLSv1.1", "AES128-SHA", "-"))}
	lb := New("", until, []Input{in}, secpolicy.Builtin()).LoadBalancers[0]
	for _, list := range [][]Share{lb.Protocols, lb.Ciphers} {
		var share, change float64
		var n uint64
		for _, s := range list {
			share += s.Share
			change += *s.Change
			n += s.Connections
		}
		if share < 0.999999 || share > 1.000001 || change < -1e-9 || change > 1e-9 || n != lb.Connections {
			t.Errorf("shares %v, changes %v, connections %d of %d", share, change, n, lb.Connections)
		}
	}
	if i := slices.IndexFunc(lb.Protocols, func(s Share) bool { return s.Name == "TLSv1.1" }); i < 0 || lb.Protocols[i].Connections != 0 || *lb.Protocols[i].Change >= 0 {
		t.Errorf("a protocol that is no longer used is missing: %+v", lb.Protocols)
	}
	want := float64(lb.Connections)/float64(total(in.Before.Negotiated())) - 1
	if *lb.Change < want-1e-9 || *lb.Change > want+1e-9 {
		t.Errorf("change %v, want %v", *lb.Change, want)
	}
}

// A file of policies replaces the recommended policy too.
func TestPolicies(t *testing.T) {
	in := Input{Name: "app/a/1", Objects: 1, Now: observed(t, true, lines(9, "203.0.113.9", "TLSv1", "ECDHE-RSA-AES128-SHA", "secp256r1")), Before: observed(t, true), Policy: fixedPolicy(t, "ELBSecurityPolicy-2016-08")}
	laxer, err := secpolicy.Load(strings.NewReader(`{"SslPolicies": [{"Name": "` + Recommended + `", "SslProtocols": ["TLSv1", "TLSv1.2", "TLSv1.3"],
		"Ciphers": [{"Name": "TLS_AES_128_GCM_SHA256", "Priority": 1}, {"Name": "ECDHE-RSA-AES128-SHA", "Priority": 2}], "SupportedLoadBalancerTypes": ["application"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		policies *secpolicy.Set
		breaks   uint64
	}{{secpolicy.Builtin(), 9}, {laxer, 0}} {
		if f := New("", until, []Input{in}, test.policies).LoadBalancers[0].Forecast; f.Breaks != test.breaks {
			t.Errorf("forecast %+v, want %d to break", f, test.breaks)
		}
	}
}
