package posture

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/rollup"
)

var options = rollup.Options{IPv6Prefix: 64, Watch: IsWeak, CertificateHorizon: Horizon}

func observe(t *testing.T, log string, clients bool) Posture {
	t.Helper()
	s := rollup.New(options)
	var e connlog.Entry
	r := connlog.NewReader(strings.NewReader(log))
	for r.Read(&e) == nil {
		s.Add(&e)
	}
	return Observe(s, clients)
}

// weakLog has one client with CBC, one with TLS 1.0 and one certificate that
// expires soon, between successes without weaknesses.
func weakLog(n int) string {
	var b strings.Builder
	line := func(client, protocol, cipher, group, subject, validity, serial, status string) {
		latency := "-"
		if status == "Success" {
			latency = "0.010"
		}
		fmt.Fprintf(&b, "2026-11-23T10:00:01.000000Z %s 40000 443 %s %s %s %s %s %s %s TID_0123456789abcdef0123456789abcdef %s app/shop/1 192.0.2.10\n",
			client, protocol, cipher, latency, subject, validity, serial, status, group)
	}
	for range n {
		line("10.0.0.1", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768", `"-"`, "-", "-", "Success")
		line("10.0.0.2", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", `"CN=till-4,O=A B"`, "NotBefore=2026-01-01T00:00:00Z;NotAfter=2026-12-01T00:00:00Z", "0A", "Success")
		line("203.0.113.7", "TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1", `"-"`, "-", "-", "Success")
	}
	line("203.0.113.8", "TLSv1", "AES128-SHA", "-", `"-"`, "-", "-", "Success")
	line("203.0.113.9", "TLSv1", "AES128-SHA", "-", `"-"`, "-", "-", "Failed:UnmappedConnectionError")
	line("203.0.113.10", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", `"CN=old"`, "NotBefore=2025-01-01T00:00:00Z;NotAfter=2026-01-01T00:00:00Z", "0B", "Failed:ClientCertExpired")
	line("10.0.0.3", "-", "-", "-", `"-"`, "-", "-", "-")
	return b.String()
}

func TestObserve(t *testing.T) {
	want := Posture{
		Negotiated: []Negotiated{
			{"TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", 5},
			{"TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1", 5},
			{"TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768", 5},
			{"TLSv1", "AES128-SHA", "", 1},
		},
		Weak: []Weak{
			{"203.0.113.7", 443, "TLSv1.2", "ECDHE-RSA-AES256-SHA", 5},
			{"203.0.113.8", 443, "TLSv1", "AES128-SHA", 1},
		},
		Expiring: []Certificate{
			{"CN=old", "0B", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 1, 1},
			{"CN=till-4,O=A B", "0A", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), 5, 0},
		},
	}
	got := observe(t, weakLog(5), true)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	nameless := observe(t, weakLog(5), false)
	text, err := json.Marshal(nameless)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"203.0.113", "10.0.0", "CN=", "0A", "0B"} {
		if strings.Contains(string(text), s) {
			t.Errorf("%s is in %s, which must not name clients", s, text)
		}
	}
	if len(nameless.Weak) != 2 || nameless.Weak[0].Connections != 5 || len(nameless.Expiring) != 2 {
		t.Errorf("without names the numbers differ: %s", text)
	}
	var back Posture
	named, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(named, &back); err != nil || cmp.Diff(got, back) != "" {
		t.Errorf("JSON: %v\n%s", err, cmp.Diff(got, back))
	}
}

// TestSum checks that the sum of the parts is the whole if no bound is reached.
func TestSum(t *testing.T) {
	var parts Sum
	for n := range 5 {
		parts.Add(observe(t, weakLog(n), true))
	}
	var whole Sum
	whole.Add(observe(t, strings.Repeat(weakLog(0), 5)+strings.TrimSuffix(weakLog(10), weakLog(0)), true))
	for _, pair := range [][2]any{{whole.Negotiated(), parts.Negotiated()}, {whole.Weak(), parts.Weak()}, {whole.Expiring(), parts.Expiring()}} {
		if d := cmp.Diff(pair[0], pair[1]); d != "" {
			t.Errorf("-whole +parts\n%s", d)
		}
	}
	if parts.Postures() != 5 {
		t.Errorf("%d postures", parts.Postures())
	}
}

// TestBounds checks that a posture's record stays small for any log, and that
// its sums include every connection.
func TestBounds(t *testing.T) {
	s := rollup.New(options)
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	const n = 70_000
	for i := range n {
		s.Add(&connlog.Entry{
			Time: at, Client: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), ListenerPort: 443,
			Protocol: "TLSv1", Cipher: fmt.Sprint("CIPHER-", i%1000), KeyExchange: fmt.Sprint("group-", i%7), Status: "Success",
			ClientCert: connlog.ClientCert{Subject: []byte(strings.Repeat("x", i%3000)), Serial: fmt.Append(nil, i), Validity: []byte("x"), NotAfter: at.Add(time.Duration(i) * time.Second)},
		})
	}
	p := Observe(s, true)
	text, err := json.Marshal(p)
	if err != nil || len(text) > 12_000 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	var negotiated, weak, expiring uint64
	for _, r := range p.Negotiated {
		negotiated += r.Connections
	}
	for _, w := range p.Weak {
		weak += w.Connections
	}
	for _, c := range p.Expiring {
		expiring += c.Connections
	}
	if negotiated != n || weak+p.OtherWeak != n || expiring+p.OtherExpiring != n {
		t.Errorf("%d negotiated, %d weak and %d others, %d expiring and %d others, want %d each", negotiated, weak, p.OtherWeak, expiring, p.OtherExpiring, n)
	}
	var sum Sum
	for i := range 200_000 {
		sum.Add(Posture{
			Negotiated: []Negotiated{{Protocol: fmt.Sprint(i), Connections: 1}}, Weak: []Weak{{Client: fmt.Sprint(i), Connections: 1}},
			Expiring: []Certificate{{Serial: fmt.Sprint(i), Connections: 1}},
		})
	}
	sum.Add(p)
	if want := 200_000 - maxCertificates + n; sum.OtherExpiring() != uint64(want) {
		t.Errorf("%d connections with other certificates, want %d", sum.OtherExpiring(), want)
	}
	if len(sum.rows) > maxRows+1 || len(sum.clients) != maxClients || len(sum.certificates) != maxCertificates || sum.OtherWeak() != 200_000-maxClients+n {
		t.Errorf("%d rows, %d clients and %d others, %d certificates", len(sum.rows), len(sum.clients), sum.OtherWeak(), len(sum.certificates))
	}
}

func TestIsWeak(t *testing.T) {
	for _, test := range []struct {
		protocol, cipher string
		want             bool
	}{
		{"TLSv1.3", "TLS_AES_128_GCM_SHA256", false},
		{"TLSv1.3", "TLS_AES_256_GCM_SHA384", false},
		{"TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", false},
		{"TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", false},
		{"TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", false},
		{"TLSv1.2", "ECDHE-RSA-AES256-SHA384", true}, // CBC
		{"TLSv1.2", "AES128-GCM-SHA256", true},       // static RSA
		{"TLSv1.2", "DES-CBC3-SHA", true},
		{"TLSv1.1", "ECDHE-RSA-AES128-GCM-SHA256", true},
		{"TLSv1", "", true},
		{"", "AES256-SHA", true},
		{"TLSv1.2", "BRAND-NEW", false},
		{"", "", false},
		{"other", "other", false},
	} {
		if got := IsWeak(test.protocol, test.cipher); got != test.want {
			t.Errorf("%s %s: %v", test.protocol, test.cipher, got)
		}
	}
}
