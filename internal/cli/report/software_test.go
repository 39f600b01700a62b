package report

import (
	"strings"
	"testing"

	"tlswatch/pkg/incident"
	"tlswatch/pkg/report"
	"tlswatch/pkg/secpolicy"
)

// The policy counts unless something in the log speaks against it.
func TestAddSoftware(t *testing.T) {
	policy, err := secpolicy.Lookup("ELBSecurityPolicy-2016-08")
	if err != nil {
		t.Fatal(err)
	}
	row := func(protocol, cipher string, n, failed uint64) report.CipherCount {
		return report.CipherCount{Protocol: protocol, Cipher: cipher, Counts: report.Counts{Connections: n, Failed: failed}}
	}
	changed := &incident.Story{Incidents: []incident.Incident{{Causes: []incident.Cause{{Kind: incident.ClientRelease}, {Kind: incident.PolicyChange}}}}}
	const java = "Java 6u45"
	for _, test := range []struct {
		name   string
		policy *secpolicy.Policy
		more   report.CipherCount
		story  *incident.Story
		want   string // in the software of TLS 1.0 with AES128-SHA; "" for none
	}{
		{name: "policy known", policy: policy, want: java},
		{name: "policy unknown"},
		{name: "another policy negotiated something", policy: policy, more: row("TLSv1.3", "TLS_AES_128_GCM_SHA256", 5, 1)},
		{name: "only failures with another protocol", policy: policy, more: row("TLSv1.3", "TLS_AES_128_GCM_SHA256", 5, 5), want: java},
		{name: "the policy may have changed", policy: policy, story: changed},
		{name: "something else happened", policy: policy, story: &incident.Story{Incidents: []incident.Incident{{Causes: []incident.Cause{{Kind: incident.Scan}}}}}, want: java},
	} {
		r := &report.Result{Story: test.story, ByCipher: []report.CipherCount{row("TLSv1", "AES128-SHA", 3, 1), row("-", "-", 3, 3), row("TLSv1.2", "AES128-SHA", 2, 2), test.more}}
		addSoftware(r, test.policy)
		got := r.ByCipher[0].Software
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if r.ByCipher[1].Software != "" || r.ByCipher[2].Software != "" {
			t.Errorf("%s: failed connections have software: %v", test.name, r.ByCipher[1:3])
		}
	}
}
