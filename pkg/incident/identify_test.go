package incident

import (
	"strings"
	"testing"

	"tlswatch/pkg/secpolicy"
)

// What clients negotiated before names their software, by the policy of that time.
func TestIdentify(t *testing.T) {
	lookup := func(name string) *secpolicy.Policy {
		p, err := secpolicy.Lookup(secpolicy.Prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	cbc := &Negotiated{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-SHA256", KeyExchange: "secp256r1"}
	const ie = "IE 11 on Windows 7, 8.1, Phone 8.1 and Phone 8.1 Update"
	for _, test := range []struct {
		name     string
		before   *Negotiated
		policies listenerPolicies
		cause    Kind
		crowd    bool
		ie       bool // and nothing newer
		none     bool
	}{
		{name: "policy before the change", before: cbc, policies: listenerPolicies{Previous: lookup("2016-08"), InForce: lookup("TLS13-1-2-Res-2021-06")}, cause: PolicyChange, ie: true},
		{name: "no change of policy", before: cbc, policies: listenerPolicies{InForce: lookup("2016-08")}, cause: ClientRelease, ie: true},
		{name: "changed from an unknown policy", before: cbc, policies: listenerPolicies{InForce: lookup("2016-08")}, cause: PolicyChange, none: true},
		{name: "several programs share the address", before: cbc, policies: listenerPolicies{InForce: lookup("2016-08")}, cause: ClientRelease, crowd: true, none: true},
		{name: "never worked", policies: listenerPolicies{InForce: lookup("2016-08")}, cause: ClientRelease, none: true},
		{name: "common", before: &Negotiated{Protocol: "TLSv1.2", Cipher: "AES128-SHA"}, cause: ClientRelease, none: true},
		{name: "unknown suite", before: &Negotiated{Protocol: "TLSv1.2", Cipher: "ROT13"}, cause: ClientRelease, none: true},
	} {
		in := Incident{Causes: []Cause{{Kind: test.cause}}, Cohorts: []Cohort{{Before: test.before, Crowd: test.crowd}}}
		in.identify(test.policies)
		got := in.Cohorts[0].Software
		if test.none != (got == "") || test.ie != strings.Contains(got, ie+",") || test.ie != strings.HasSuffix(got, "; not with any known browser since 2016") {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
