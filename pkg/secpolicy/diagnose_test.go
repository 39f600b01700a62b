package secpolicy

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/pkg/connlog"
)

// TestDiagnose compares whole texts with a golden file, which people can review.
func TestDiagnose(t *testing.T) {
	const policy = "TLS13-1-2-2021-06"
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	entry := func(protocol, cipher, status string) connlog.Entry {
		return connlog.Entry{Time: at, Protocol: protocol, Cipher: cipher, Status: status}
	}
	failed := func(protocol, cipher string) connlog.Entry {
		return entry(protocol, cipher, "Failed:UnmappedConnectionError")
	}
	cert := func(e connlog.Entry, from, until time.Duration) connlog.Entry {
		e.ClientCert.NotBefore, e.ClientCert.NotAfter = at.Add(from), at.Add(until)
		return e
	}
	tests := []struct {
		name   string
		policy string // "" if unknown
		entry  connlog.Entry
		want   []DiagnosisID
	}{
		{"article", policy, failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), []DiagnosisID{CipherRefused}},
		{"protocol", policy, failed("TLSv1", "ECDHE-RSA-AES256-SHA"), []DiagnosisID{ProtocolRefused}},
		{"protocol, TLS 1.3 only", "TLS13-1-3-PQ-2025-09", failed("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"), []DiagnosisID{ProtocolRefused}},
		{"TLS 1.3 for an old policy", "2016-08", failed("TLSv1.3", "TLS_AES_128_GCM_SHA256"), []DiagnosisID{ProtocolRefused}},
		{"no policy helps", policy, failed("TLSv1.2", "DHE-RSA-AES256-SHA"), []DiagnosisID{CipherRefused}},
		{"known from one source", "TLS13-1-2-Ext1-PQ-2025-09", failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), []DiagnosisID{CipherRefused}},
		{"not confirmed", "TLS13-1-2-Res-FIPS-PQ-2025-09", failed("TLSv1.2", "ECDHE-RSA-AES128-SHA256"), []DiagnosisID{CipherRefused}},
		{"both in the policy", policy, failed("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"), []DiagnosisID{OfferAccepted}},
		{"both in the policy, which needs no group for them", "2016-08", failed("TLSv1.2", "AES128-GCM-SHA256"), []DiagnosisID{OfferAccepted}},
		{"a cipher that does not go with the protocol", "2016-08", failed("TLSv1.1", "ECDHE-RSA-AES128-GCM-SHA256"), []DiagnosisID{NoCipher}},
		{"cipher alone", policy, failed("", "ECDHE-RSA-AES256-SHA"), []DiagnosisID{CipherRefused}},
		{"protocol alone", policy, failed("TLSv1.2", ""), []DiagnosisID{NoCipher}},
		{"wrong protocol alone", policy, failed("TLSv1.1", ""), []DiagnosisID{ProtocolRefused}},
		{"nothing", policy, failed("", ""), []DiagnosisID{NothingNegotiated}},
		{"nothing, policy not known", "", failed("", ""), []DiagnosisID{NothingNegotiated}},
		{"policy not known", "", failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), []DiagnosisID{PolicyUnknown}},
		{"policy not known, and none accepts", "", failed("TLSv1.2", "RC4-SHA"), []DiagnosisID{RefusedByAll}},
		{"unreadable", policy, failed("TLSv1.2", "ROT13 `x`\n"), []DiagnosisID{OfferUnreadable}},
		{"TLS log, nothing", policy, entry("", "", "Failed:HandshakeNotCompleted"), []DiagnosisID{NothingNegotiated}},
		{"TLS log, cipher", policy, entry("TLSv1.2", "ECDHE-RSA-AES256-SHA", "Failed:HandshakeNotCompleted"), []DiagnosisID{CipherRefused}},
		{"TLS log, certificate rejected", policy, entry("", "", "Failed:ClientAlert:unknown_ca"), []DiagnosisID{ServerCertRejected}},
		{"TLS log, choice rejected", policy, entry("", "", "Failed:ClientAlert:protocol_version"), []DiagnosisID{ChoiceRejected}},
		{"TLS log, other alert", policy, entry("", "", "Failed:ClientAlert:internal_error"), []DiagnosisID{ClientAlert}},
		{"unknown reason", policy, entry("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "Failed:Gremlins"), []DiagnosisID{UnknownReason}},
		{"unknown reason and cipher", policy, entry("TLSv1.2", "ECDHE-RSA-AES256-SHA", "Failed:Gremlins"), []DiagnosisID{CipherRefused, UnknownReason}},
		{"untrusted", policy, cert(entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Failed:ClientCertUntrusted"), -day, 300*day), []DiagnosisID{"client-cert-untrusted"}},
		{"untrusted and expired", policy, cert(entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Failed:ClientCertUntrusted"), -9*day, -2*day), []DiagnosisID{"client-cert-untrusted", ClientCertExpired}},
		{"expired", policy, cert(entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Failed:ClientCertExpired"), -9*day, -time.Hour), []DiagnosisID{ClientCertExpired}},
		{"expired, without dates", policy, entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Failed:ClientCertExpired"), []DiagnosisID{ClientCertExpired}},
		{"expired, without a code", policy, cert(failed("TLSv1.3", "TLS_AES_128_GCM_SHA256"), -9*day, -day), []DiagnosisID{ClientCertExpired}},
		{"not yet valid", policy, cert(entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Failed:ClientCertNotYetValid"), 2*day, 9*day), []DiagnosisID{ClientCertNotYetValid}},
		{"success", policy, entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Success"), nil},
		{"success, certificate for a year", policy, cert(entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Success"), -day, 365*day), nil},
		{"success, certificate for 30 days", policy, cert(entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Success"), -day, 30*day), nil},
		{"success, certificate for less", policy, cert(entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Success"), -day, 30*day-time.Second), []DiagnosisID{ClientCertExpiresSoon}},
		{"success, certificate expired", policy, cert(entry("TLSv1.3", "TLS_AES_128_GCM_SHA256", "Success"), -9*day, -day), []DiagnosisID{ClientCertExpired}},
		{"no TLS", policy, entry("", "", ""), nil},
		{"no status", policy, entry("TLSv1.3", "", ""), nil},
	}
	var golden strings.Builder
	for _, test := range tests {
		var p *Policy
		if test.policy != "" {
			p = lookup(t, test.policy)
		}
		list := Builtin().Diagnose(&test.entry, p)
		var ids []DiagnosisID
		for _, d := range list {
			ids = append(ids, d.ID)
			fmt.Fprintf(&golden, "%s: %s\n  %s\n  %s\n", test.name, d.ID, d.Cause, d.Remedy)
			if d.Advice != "" {
				fmt.Fprintf(&golden, "  %s\n", d.Advice)
			}
			golden.WriteString("\n")
			if d.Change != nil {
				if d.Change.A != p || len(d.Change.Weakens()) > 0 && !strings.Contains(d.Advice, "weakens") {
					t.Errorf("%s: the advice does not name what the change weakens: %s", test.name, d.Advice)
				}
			}
		}
		if diff := cmp.Diff(test.want, ids); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.name, diff)
		}
	}
	compareGolden(t, "testdata/diagnose.txt", golden.String())
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s; 'make golden' rewrites it: -want +got\n%s", name, diff)
	}
}

// TestReasonCodes checks that every documented reason code has a diagnosis with
// an ID derived from the code.
func TestReasonCodes(t *testing.T) {
	for _, code := range []string{
		"ClientCertMaxChainDepthExceeded", "ClientCertMaxSizeExceeded", "ClientCertCrlHit", "ClientCertCrlProcessingError",
		"ClientCertUntrusted", "ClientCertNotYetValid", "ClientCertExpired", "ClientCertTypeUnsupported", "ClientCertInvalid",
		"ClientCertPurposeInvalid", "ClientCertRejected", "ClientCertIncompatible",
	} {
		list := Builtin().Diagnose(&connlog.Entry{Protocol: "TLSv1.2", Cipher: "AES128-SHA", Status: "Failed:" + code}, nil)
		if len(list) != 1 || strings.ReplaceAll(string(list[0].ID), "-", "") != strings.ToLower(code) || list[0].Cause == "" || list[0].Remedy == "" {
			t.Errorf("%s: %+v", code, list)
		}
	}
}

func TestNoise(t *testing.T) {
	if d, ok := (Noise{scannerClients - 1}).Diagnose(); ok {
		t.Errorf("too few clients: %+v", d)
	}
	if d, ok := (Noise{scannerClients}).Diagnose(); !ok || d.ID != ScannerNoise {
		t.Errorf("%+v", d)
	}
}

// Every number or name in place of a cipher suite has a diagnosis, with and
// without a protocol.
func TestDiagnoseAnySuite(t *testing.T) {
	policy, err := Lookup("ELBSecurityPolicy-TLS13-1-2-2021-06")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1 << 16 {
		for _, protocol := range []string{"", "TLSv1.2"} {
			e := connlog.Entry{Protocol: protocol, Cipher: fmt.Sprintf("0x%04X", n), Status: "Failed:UnmappedConnectionError"}
			if list := Builtin().Diagnose(&e, policy); len(list) != 1 || list[0].Cause == "" {
				t.Fatalf("%s %s: %+v", protocol, e.Cipher, list)
			}
		}
	}
}

// A certificate that the policy does not take: the diagnosis names what it takes, where
// that is known.
func TestDiagnoseIncompatible(t *testing.T) {
	for name, want := range map[string]string{
		"ELBSecurityPolicy-TLS13-1-2-RFC9151-FIPS-2023-07": "takes certificates that are signed with ecdsa_secp384r1_sha384 or rsa_pkcs1_sha384; AWS does not document that.",
		"ELBSecurityPolicy-2016-08":                        "is incompatible with the listener's security policy.", // s2n-tls has no list
		"":                                                 "is incompatible with the listener's security policy.",
	} {
		var p *Policy
		if name != "" {
			var err error
			if p, err = Lookup(name); err != nil {
				t.Fatal(err)
			}
		}
		if d := Builtin().DiagnoseAttempt(Attempt{Reason: "ClientCertIncompatible"}, p); !strings.HasSuffix(d.Cause, want) {
			t.Errorf("%s: %s", name, d.Cause)
		}
	}
}
