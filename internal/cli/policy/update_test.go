package policy

import (
	"encoding/json"
	"strings"
	"testing"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/listeners"
	"tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/secpolicy"
)

// TestPolicyUpdateLive: what AWS has is what all commands know from then on,
// over any number of pages.
func TestPolicyUpdateLive(t *testing.T) {
	stack := clitest.StartELB(t)
	var list []elb.SSLPolicy
	for _, p := range secpolicy.Builtin().Policies() {
		list = append(list, elb.SSLPolicy{Name: p.Name, Protocols: command.Names(p.Protocols), Ciphers: command.Names(p.Ciphers), LoadBalancerTypes: []string{"application"}})
	}
	const future = "ELBSecurityPolicy-Of-The-Future-2031-01"
	list = append(list[1:], elb.SSLPolicy{Name: future, Protocols: []string{"TLSv1.3"}, Ciphers: []string{"TLS_AES_256_GCM_SHA384"}, LoadBalancerTypes: []string{"application"}})
	list[0].Ciphers = list[0].Ciphers[1:]
	stack.ELB.SetSSLPolicies(list...)
	stack.ELB.SetPageSize(10)

	clitest.Want(t, command.ExitUsage, New(), "policy", "show", future)
	stdout, _ := clitest.Want(t, command.ExitOK, New(), "policy", "update", "--format", "json")
	var got updateJSON
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	missing := secpolicy.Builtin().Policies()[0].Name
	if got.Policies != len(list) || strings.Join(got.New, " ") != future || strings.Join(got.Changed, " ") != list[0].Name || strings.Join(got.Missing, " ") != missing {
		t.Errorf("got %+v", got)
	}
	if n, pages := stack.Calls.Counts()["elasticloadbalancing:DescribeSSLPolicies"], (len(list)+9)/10; n < pages { // more if a connection broke
		t.Errorf("%d calls for %d pages", n, pages)
	}
	stdout, _ = clitest.Want(t, command.ExitOK, New(), "policy", "show", future, "--format", "json")
	if !strings.Contains(stdout, `"confirmed": true`) {
		t.Errorf("got %s", stdout)
	}
	if stdout, _ := clitest.Want(t, command.ExitOK, listeners.New(), "listeners", "--load-balancer", "edge"); !strings.Contains(stdout, "TLSv1.3") {
		t.Errorf("listeners do not know the new policy: %s", stdout)
	}

	stack.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	if _, stderr := clitest.Want(t, command.ExitFailed, New(), "policy", "update"); !strings.Contains(stderr, "must be allowed elasticloadbalancing:DescribeSSLPolicies") {
		t.Errorf("denied: %s", stderr)
	}
	stack.ELB.SetFaults(nil)
	stack.ELB.SetSSLPolicies()
	if _, stderr := clitest.Want(t, command.ExitFailed, New(), "policy", "update"); !strings.Contains(stderr, "none") {
		t.Errorf("no policies: %s", stderr)
	}
	clitest.Want(t, command.ExitOK, New(), "policy", "show", future) // the file is as it was
}
