package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tlswatch/internal/text"
	"tlswatch/pkg/secpolicy"
)

// negotiated parses "TLSv1.2 ECDHE-RSA-AES128-SHA x25519".
func negotiated(s string) Negotiated {
	var n Negotiated
	for i, f := range strings.Fields(s) {
		*[]*string{&n.Protocol, &n.Cipher, &n.KeyExchange}[i] = f
	}
	return n
}

func use(s string, before, since uint64) usage { return usage{negotiated(s), before, since} }

func cohort(before, now, reason string, failures uint64) Cohort {
	c := Cohort{Population: Population{Clients: 1, Failures: failures}, Now: negotiated(now), Reason: reason}
	if before != "" {
		n := negotiated(before)
		c.Before, c.WorkedBefore = &n, 1
	}
	return c
}

func policy(t *testing.T, name string) *secpolicy.Policy {
	t.Helper()
	if name == "" {
		return nil
	}
	p, err := secpolicy.Lookup(secpolicy.Prefix + name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRemedies: the actions, each with its policy and fixed failures, in order.
func TestRemedies(t *testing.T) {
	const unmapped = "UnmappedConnectionError"
	modern := []usage{
		use("TLSv1.3 TLS_AES_128_GCM_SHA256 x25519", 900, 900),
		use("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 x25519", 90, 90),
	}
	java7 := use("TLSv1 ECDHE-RSA-AES128-SHA secp256r1", 80, 0)
	for _, test := range []struct {
		name     string
		kind     Kind
		inForce  string
		uses     []usage
		cohorts  []Cohort
		vanished []string
		appeared []string
		want     string
	}{
		{
			name: "one policy for all, which keeps x25519",
			kind: PolicyChange,
			uses: append(slices.Clone(modern), java7, use("TLSv1.2 AES128-SHA", 70, 0)),
			cohorts: []Cohort{
				cohort(java7.Negotiated.text(), "", unmapped, 50),
				cohort("TLSv1.2 AES128-SHA", "TLSv1.2 AES128-SHA", unmapped, 40),
				cohort("", "TLSv1 ECDHE-RSA-AES128-SHA", unmapped, 5),
				cohort("", "", unmapped, 3),
				cohort(modern[0].Negotiated.text(), modern[0].Negotiated.text(), "ClientCertExpired", 2),
			},
			vanished: []string{"TLSv1"},
			want:     "undo 95 not [3 4]; set-policy TLS13-1-0-2021-06 95 not [3 4]; update-clients 95 not [3 4]",
		},
		{
			name:    "what the policy in force does not allow",
			kind:    PolicyChange,
			inForce: "TLS13-1-2-Res-PQ-2025-09",
			uses:    append(slices.Clone(modern), use("TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768", 500, 500)),
			cohorts: []Cohort{cohort("TLSv1.2 ECDHE-RSA-AES256-SHA384 secp256r1", "", unmapped, 50)},
			want:    "undo 50; set-policy TLS13-1-2-PQ-2025-09 50 allows CBC; update-clients 50",
		},
		{
			name:     "TLS 1.3 appeared",
			kind:     PolicyChange,
			inForce:  "TLS13-1-2-2021-06",
			uses:     []usage{use("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1", 900, 100), use("TLSv1.3 TLS_AES_128_GCM_SHA256 x25519", 0, 800)},
			cohorts:  []Cohort{cohort("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1", "TLSv1.3 TLS_AES_128_GCM_SHA256", unmapped, 50)},
			appeared: []string{"TLSv1.3"},
			want:     "undo 50; set-policy FS-1-2-Res-2020-10 50",
		},
		{
			name:    "FIPS stays FIPS",
			kind:    PolicyChange,
			inForce: "TLS13-1-2-Res-FIPS-2023-04",
			uses:    []usage{use("TLSv1.3 TLS_AES_128_GCM_SHA256 secp256r1", 900, 900)},
			cohorts: []Cohort{
				cohort("TLSv1.2 ECDHE-RSA-AES128-SHA256 secp256r1", "", unmapped, 50),
				cohort("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 x25519", "", unmapped, 60),
			},
			want: "undo 110; set-policy TLS13-1-2-FIPS-2023-04 50 not [1] allows CBC; update-clients 110",
		},
		{
			name:    "the policy in force accepts them",
			kind:    Unknown,
			inForce: "TLS13-1-2-2021-06",
			uses:    modern,
			cohorts: []Cohort{cohort(modern[1].Negotiated.text(), "", unmapped, 50)},
			want:    "",
		},
		{
			name:    "others still succeed with it",
			kind:    Unknown,
			uses:    modern,
			cohorts: []Cohort{cohort(modern[1].Negotiated.text(), "", unmapped, 50)},
			want:    "",
		},
		{
			name:    "others still succeed with each part of it",
			kind:    Steady,
			uses:    append(slices.Clone(modern), use("TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 secp256r1", 9, 9)),
			cohorts: []Cohort{cohort("", "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1", unmapped, 50)},
			want:    "",
		},
		{
			name:    "several programs behind one address",
			kind:    Steady,
			inForce: "TLS13-1-2-Res-2021-06",
			uses:    modern,
			cohorts: []Cohort{func() Cohort {
				c := cohort(modern[1].Negotiated.text(), "TLSv1.1 ECDHE-RSA-AES128-SHA", unmapped, 50)
				c.Crowd = true
				return c
			}()},
			want: "update-clients 50; set-policy TLS13-1-1-2021-06 50 allows TLS 1.1 static RSA SHA-1 MACs CBC",
		},
		{
			name:     "TLS 1.3 appeared, but those hit are refused for another reason",
			kind:     PolicyChange,
			uses:     []usage{use("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1", 900, 100), use("TLSv1.3 TLS_AES_128_GCM_SHA256 x25519", 0, 800), java7},
			cohorts:  []Cohort{cohort(java7.Negotiated.text(), "", unmapped, 50)},
			vanished: []string{"TLSv1"},
			want:     "undo 50; set-policy TLS13-1-0-2021-06 50; update-clients 50",
		},
		{
			name:    "clients that get TLS 1.3 now, and fail",
			kind:    PolicyChange,
			uses:    []usage{use("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1", 900, 0), use("TLSv1.3 TLS_AES_128_GCM_SHA256 x25519", 2, 800), java7},
			cohorts: []Cohort{cohort(java7.Negotiated.text(), "", unmapped, 50), cohort("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1", "TLSv1.3", unmapped, 40)},
			want:    "undo 90; set-policy FS-2018-06 90; update-clients 90",
		},
		{
			name: "x25519 came with TLS 1.3, a little before the first failure",
			kind: PolicyChange,
			uses: []usage{
				use("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1", 900, 0), use("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 x25519", 1, 90),
				use("TLSv1.3 TLS_AES_128_GCM_SHA256 x25519", 2, 800),
			},
			cohorts: []Cohort{cohort("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1", "", unmapped, 40)},
			want:    "undo 40; set-policy FS-1-2-Res-2020-10 40; update-clients 40",
		},
		{
			name:    "nobody uses x25519: FIPS",
			kind:    PolicyChange,
			uses:    []usage{use("TLSv1.3 TLS_AES_128_GCM_SHA256 secp256r1", 900, 900), java7},
			cohorts: []Cohort{cohort(java7.Negotiated.text(), "", unmapped, 50)},
			want:    "undo 50; set-policy TLS13-1-0-FIPS-2023-04 50; update-clients 50",
		},
		{
			name:    "too few to say that nobody uses x25519",
			kind:    PolicyChange,
			uses:    []usage{use("TLSv1.3 TLS_AES_128_GCM_SHA256 secp256r1", 9, 9), java7},
			cohorts: []Cohort{cohort(java7.Negotiated.text(), "", unmapped, 50)},
			want:    "undo 50; set-policy TLS13-1-0-2021-06 50; update-clients 50",
		},
		{
			name: "chance, and an agreement that holds for others",
			kind: PolicyChange,
			uses: append(slices.Clone(modern), java7, use("TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768", 9, 0)),
			cohorts: []Cohort{
				cohort(java7.Negotiated.text(), "", unmapped, 500),
				cohort("TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768", modern[0].Negotiated.text(), unmapped, 50),
				cohort("TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768", "", unmapped, 2),
			},
			want: "undo 552; set-policy TLS13-1-0-2021-06 500 not [1 2]; update-clients 500 not [1 2]",
		},
		{
			name:    "a fallback counts less than what worked before",
			kind:    Unknown,
			inForce: "TLS13-1-2-Res-2021-06",
			uses:    modern,
			cohorts: []Cohort{cohort("TLSv1.2 ECDHE-RSA-AES128-SHA256 secp256r1", "TLSv1 AES128-SHA", unmapped, 50)},
			want:    "set-policy TLS13-1-2-2021-06 50 allows CBC; update-clients 50",
		},
		{name: "certificate of the listener", kind: ListenerCertificate, cohorts: []Cohort{cohort(java7.Negotiated.text(), "", unmapped, 50)}, want: "check-certificate 50"},
		{name: "trust store", kind: TrustStoreChange, cohorts: []Cohort{cohort("", "", "ClientCertUntrusted", 50)}, want: "check-trust-store 50"},
		{name: "expired", kind: CertificateExpired, cohorts: []Cohort{cohort("", "", "ClientCertExpired", 50)}, want: "renew-certificate 50"},
		{name: "roll-out", kind: ClientRollout, cohorts: []Cohort{cohort(java7.Negotiated.text(), "", unmapped, 50)}, want: "stop-rollout 50"},
		{name: "scan", kind: Scan, cohorts: []Cohort{cohort("", "", unmapped, 50)}, want: "nothing 50; block-addresses 50"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := Incident{Causes: []Cause{{Kind: test.kind, Certainty: Likely}}, Cohorts: test.cohorts}
			for _, c := range in.Cohorts {
				in.WorkedBefore.Failures += c.Failures
			}
			for _, v := range test.vanished {
				in.Vanished = append(in.Vanished, Trait{Negotiated: negotiated(v)})
			}
			for _, v := range test.appeared {
				in.Appeared = append(in.Appeared, Trait{Negotiated: negotiated(v)})
			}
			var got []string
			for _, r := range remedies(&in, listenerPolicies{Known: secpolicy.Builtin(), InForce: policy(t, test.inForce), Uses: test.uses}) {
				got = append(got, describe(r))
				if r.Text == "" || r.Of != in.WorkedBefore.Failures {
					t.Errorf("%+v", r)
				}
			}
			if got := strings.Join(got, "; "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func describe(r Remedy) string {
	parts := []string{string(r.Action)}
	if r.Policy != "" {
		parts = append(parts, short(r.Policy))
	}
	parts = append(parts, text.Count(r.Fixes))
	if r.Not != nil {
		parts = append(parts, fmt.Sprintf("not %v", r.Not))
	}
	if r.Allows != nil {
		parts = append(parts, "allows "+strings.Join(r.Allows, " "))
	}
	return strings.Join(parts, " ")
}
