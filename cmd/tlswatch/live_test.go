package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/secpolicy"
)

// command runs tlswatch in this process and returns what it prints.
func command(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(t.Context(), args, strings.NewReader(""), &out, &errs); status != want {
		t.Fatalf("%q: exit status %d, want %d: %s", args, status, want, &errs)
	}
	return out.String(), errs.String()
}

// TestPolicyUpdateLive: what AWS has is what all commands know from then on,
// over any number of pages.
func TestPolicyUpdateLive(t *testing.T) {
	stack := startELB(t)
	var list []elb.SSLPolicy
	for _, p := range secpolicy.Builtin().Policies() {
		list = append(list, elb.SSLPolicy{Name: p.Name, Protocols: texts(p.Protocols), Ciphers: texts(p.Ciphers), LoadBalancerTypes: []string{"application"}})
	}
	const future = "ELBSecurityPolicy-Of-The-Future-2031-01"
	list = append(list[1:], elb.SSLPolicy{Name: future, Protocols: []string{"TLSv1.3"}, Ciphers: []string{"TLS_AES_256_GCM_SHA384"}, LoadBalancerTypes: []string{"application"}})
	list[0].Ciphers = list[0].Ciphers[1:]
	stack.ELB.SetSSLPolicies(list...)
	stack.ELB.SetPageSize(10)

	command(t, exitFailed, "policy", "show", future)
	stdout, _ := command(t, exitOK, "policy", "update", "--format", "json")
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
	stdout, _ = command(t, exitOK, "policy", "show", future, "--format", "json")
	if !strings.Contains(stdout, `"confirmed": true`) {
		t.Errorf("got %s", stdout)
	}
	if stdout, _ := listeners(t, exitOK, "--load-balancer", "edge"); !strings.Contains(stdout, "TLSv1.3") {
		t.Errorf("listeners do not know the new policy: %s", stdout)
	}

	stack.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	if _, stderr := command(t, exitFailed, "policy", "update"); !strings.Contains(stderr, "must be allowed elasticloadbalancing:DescribeSSLPolicies") {
		t.Errorf("denied: %s", stderr)
	}
	stack.ELB.SetFaults(nil)
	stack.ELB.SetSSLPolicies()
	if _, stderr := command(t, exitFailed, "policy", "update"); !strings.Contains(stderr, "none") {
		t.Errorf("no policies: %s", stderr)
	}
	command(t, exitOK, "policy", "show", future) // the file is as it was
}

// TestWhatIfLive: with --from live each listener is judged by the policy that
// it has now, as if it had been named.
func TestWhatIfLive(t *testing.T) {
	stack := startELB(t)
	stack.ELB.SetLoadBalancers(
		elb.LoadBalancer{Path: "app/shop/50dc6c495c0c9188", Listeners: []elb.Listener{{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06"}}},
		elb.LoadBalancer{Path: "app/new/1234567890abcdef", Listeners: []elb.Listener{{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-Of-The-Future-2031-01"}}},
	)
	const line = `2026-11-23T10:01:00.000000Z 203.0.113.7 40000 PORT TLSv1.2 AES128-SHA 0.010 "-" - - Success TID_1 - app/shop/50dc6c495c0c9188 192.0.2.1`
	log := filepath.Join(t.TempDir(), "shop.log")
	if err := os.WriteFile(log, []byte(strings.ReplaceAll(line, "PORT", "443")+"\n"+strings.ReplaceAll(line, "PORT", "9443")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	forecast := func(args ...string) (r whatIfJSON) {
		t.Helper()
		stdout, _ := command(t, exitOK, append([]string{"whatif", "--format", "json", "--to", "ELBSecurityPolicy-FS-1-2-Res-2020-10", "--certificate", "rsa", log}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	live, named, unknown := forecast("--from", "live"), forecast("--from", "443=ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06"), forecast()
	if live.From != "live" || live.Connections != named.Connections {
		t.Errorf("live: %+v, named: %+v", live.Connections, named.Connections)
	}
	if live.Connections == unknown.Connections {
		t.Errorf("the policy makes no difference: %+v", live.Connections)
	}
	if text := strings.Join(live.Notes, "\n"); !strings.Contains(text, "ELBSecurityPolicy-Of-The-Future-2031-01") {
		t.Errorf("a policy that is not known is not named: %s", text)
	}
	stack.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	if _, stderr := command(t, exitFailed, "whatif", "--to", "ELBSecurityPolicy-2016-08", "--from", "live", log); !strings.Contains(stderr, "access denied") {
		t.Errorf("denied: %s", stderr)
	}
}
