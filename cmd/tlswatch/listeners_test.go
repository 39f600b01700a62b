package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/wire"
)

// startELB starts a stand-in with some load balancers and points the
// environment at it.
func startELB(t *testing.T) *localaws.Stack {
	t.Helper()
	stack, err := localaws.Start(t.Context(), localaws.Options{Region: "eu-west-2"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stack.Close() })
	for name, value := range stack.Env() {
		t.Setenv(name, value)
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	stack.ELB.SetLoadBalancers(
		elb.LoadBalancer{Path: "app/shop/50dc6c495c0c9188", Listeners: []elb.Listener{
			{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-2016-08", CertificateARN: "arn:aws:acm:eu-west-2:123456789012:certificate/1"},
			{Port: 8443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-2-2021-06"},
			{Port: 80, Protocol: "HTTP"},
		}},
		elb.LoadBalancer{Path: "net/edge/1234567890abcdef", Listeners: []elb.Listener{
			{Port: 443, Protocol: "TLS", SSLPolicy: "ELBSecurityPolicy-Of-The-Future-2031-01"}, {Port: 53, Protocol: "UDP"},
		}},
		elb.LoadBalancer{Path: "app/bare/fedcba0987654321"},
		elb.LoadBalancer{Path: "app/agency/0011223344556677", Listeners: []elb.Listener{
			{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"},
		}},
	)
	return stack
}

// listeners runs the command and returns what it prints.
func listeners(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(t.Context(), append([]string{"listeners"}, args...), strings.NewReader(""), &out, &errs); status != want {
		t.Fatalf("%q: exit status %d, want %d: %s", args, status, want, &errs)
	}
	return out.String(), errs.String()
}

func TestListeners(t *testing.T) {
	stack := startELB(t)
	stack.ELB.SetPageSize(2)
	for name, args := range map[string][]string{
		"all":         nil,
		"to":          {"--to", "TLS13-1-2-Res-PQ-2025-09"},
		"unconfirmed": {"--load-balancer", "agency", "--load-balancer", "edge", "--to", "TLS13-1-2-FIPS-PQ-2025-09"},
		"weaker":      {"--load-balancer", "shop", "--to", "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06"},
		"no-to":       {"--load-balancer", "app/shop/50dc6c495c0c9188", "--load-balancer", "bare"},
		"nothing":     {"--load-balancer", "agency", "--to", "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"},
	} {
		got, stderr := listeners(t, exitOK, args...)
		if stderr != "" {
			t.Errorf("%s: standard error: %s", name, stderr)
		}
		file := filepath.Join("testdata", "listeners", name+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(string(want), got); d != "" {
			t.Errorf("%s: 'make golden' rewrites it: -want +got\n%s", name, d)
		}
	}
	for call := range stack.Calls.Counts() {
		if !strings.HasPrefix(call, "elasticloadbalancing:Describe") {
			t.Errorf("the command calls %s", call)
		}
	}
}

func TestListenersJSON(t *testing.T) {
	startELB(t)
	stdout, _ := listeners(t, exitOK, "--to", "ELBSecurityPolicy-TLS13-1-2-2021-06", "--format", "json")
	var got listenersResult
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ReplaceAll(strings.ReplaceAll(stdout, `"accepts": null`, ""), `"change": null`, ""), "null") {
		t.Errorf("a list is null: %s", stdout)
	}
	if got.Region != "eu-west-2" || got.To != "ELBSecurityPolicy-TLS13-1-2-2021-06" || len(got.LoadBalancers) != 4 {
		t.Fatalf("got %+v", got)
	}
	shop := got.LoadBalancers[slices.IndexFunc(got.LoadBalancers, func(lb loadBalancerEntry) bool { return lb.Name == "shop" })]
	plain, old, same := shop.Listeners[0], shop.Listeners[1], shop.Listeners[2]
	if plain.Port != 80 || plain.Policy != "" || plain.Accepts != nil || plain.Change != nil {
		t.Errorf("plain: %+v", plain)
	}
	if old.Port != 443 || old.Accepts == nil || !slices.Contains(old.Accepts.Ciphers, "AES128-SHA") || len(old.CertificateARNs) != 1 {
		t.Errorf("old: %+v", old)
	}
	c := old.Change
	if c == nil || !c.Known || !slices.Equal(c.ProtocolsRemoved, []string{"TLSv1", "TLSv1.1"}) || !slices.Equal(c.ProtocolsAdded, []string{"TLSv1.3"}) ||
		!slices.Contains(c.CiphersRemoved, "AES128-SHA") || len(c.Weakens) != 0 || !slices.Contains(c.Strengthens, "no-forward-secrecy") {
		t.Errorf("change: %+v", c)
	}
	if want := "aws elbv2 modify-listener --region eu-west-2 --listener-arn " + old.ARN + " --ssl-policy "; c.Command != want+got.To || c.Undo != want+"ELBSecurityPolicy-2016-08" {
		t.Errorf("commands:\n%s\n%s", c.Command, c.Undo)
	}
	if same.Port != 8443 || same.Change != nil {
		t.Errorf("same: %+v", same)
	}
	for _, lb := range got.LoadBalancers {
		if warned := len(lb.Warnings) > 0; warned != (lb.Name == "agency") {
			t.Errorf("%s: warnings %q", lb.Name, lb.Warnings)
		}
		if lb.Name == "edge" {
			if l := lb.Listeners[1]; l.Accepts != nil || !strings.Contains(l.Problem, "tlswatch policy update") || l.Change == nil || l.Change.Known {
				t.Errorf("policy of the future: %+v", l)
			}
		}
	}
}

func TestListenersFail(t *testing.T) {
	stack := startELB(t)
	for _, c := range []struct {
		status int
		args   []string
		want   string
	}{
		{exitUsage, []string{"--format", "csv"}, "--format csv: want table or json"},
		{exitUsage, []string{"shop"}, "unknown command"},
		{exitFailed, []string{"--to", "ELBSecurityPolicy-Nobody-Knows"}, "--to: "},
		{exitFailed, []string{"--load-balancer", "gone"}, "tlswatch: there is no load balancer gone in this account and region\n"},
		{exitFailed, []string{"--load-balancer", "app/shop/0000000000000000"}, "there is no load balancer app/shop/0000000000000000"},
	} {
		stdout, stderr := listeners(t, c.status, c.args...)
		if !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%q: %q, %q", c.args, stdout, stderr)
		}
	}
	stack.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	if _, stderr := listeners(t, exitFailed); !strings.Contains(stderr, "must be allowed elasticloadbalancing:DescribeLoadBalancers") {
		t.Errorf("denied: %s", stderr)
	}
	stack.ELB.SetFaults(nil)
	stack.ELB.SetLoadBalancers()
	if stdout, _ := listeners(t, exitOK); !strings.Contains(stdout, "No application or network load balancers in eu-west-2") {
		t.Errorf("none: %s", stdout)
	}
	if stdout, _ := listeners(t, exitOK, "--format", "json"); !strings.Contains(stdout, `"loadBalancers": []`) {
		t.Errorf("none: %s", stdout)
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if _, stderr := listeners(t, exitUsage); !strings.Contains(stderr, "which region?") {
		t.Errorf("no region: %s", stderr)
	}
	if stdout, _ := listeners(t, exitOK, "--region", "eu-central-1"); !strings.Contains(stdout, "eu-central-1") {
		t.Errorf("--region: %s", stdout)
	}
}
