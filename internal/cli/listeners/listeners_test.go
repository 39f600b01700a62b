package listeners

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/localaws/wire"
)

func TestListeners(t *testing.T) {
	stack := clitest.StartELB(t)
	stack.ELB.SetPageSize(2)
	for name, args := range map[string][]string{
		"all":         nil,
		"to":          {"--to", "TLS13-1-2-Res-PQ-2025-09"},
		"unconfirmed": {"--load-balancer", "AGEN*", "--load-balancer", "edge", "--to", "TLS13-1-2-FIPS-PQ-2025-09"},
		"weaker":      {"--load-balancer", "shop", "--to", "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06"},
		"no-to":       {"--load-balancer", "app/shop/50dc6c495c0c9188", "--load-balancer", "bare"},
		"nothing":     {"--load-balancer", "agency", "--to", "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"},
	} {
		got, stderr := clitest.Want(t, command.ExitOK, New(), append([]string{"listeners"}, args...)...)
		if stderr != "" {
			t.Errorf("%s: standard error: %s", name, stderr)
		}
		file := filepath.Join("testdata", name+".txt")
		if *clitest.Update {
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
	clitest.StartELB(t)
	stdout, _ := clitest.Want(t, command.ExitOK, New(), "listeners", "--to", "ELBSecurityPolicy-TLS13-1-2-2021-06", "--format", "json")
	var got result
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
	stack := clitest.StartELB(t)
	for _, c := range []struct {
		status int
		args   []string
		want   string
	}{
		{command.ExitUsage, []string{"--format", "csv"}, `--format must be table or json, not "csv"`},
		{command.ExitUsage, []string{"shop"}, `unexpected argument "shop"`},
		{command.ExitUsage, []string{"--to", "ELBSecurityPolicy-Nobody-Knows"}, "--to: "},
		{command.ExitFailed, []string{"--load-balancer", "gone"}, "tlswatch: there is no load balancer gone in this account and Region; there are: app/bare/fedcba0987654321, net/edge/1234567890abcdef, app/agency/0011223344556677, app/shop/50dc6c495c0c9188\n"},
		{command.ExitFailed, []string{"--load-balancer", "app/shop/0000000000000000"}, "there is no load balancer app/shop/0000000000000000"},
	} {
		stdout, stderr := clitest.Want(t, c.status, New(), append([]string{"listeners"}, c.args...)...)
		if !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%q: %q, %q", c.args, stdout, stderr)
		}
	}
	stack.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	if _, stderr := clitest.Want(t, command.ExitFailed, New(), "listeners"); !strings.Contains(stderr, "must be allowed elasticloadbalancing:DescribeLoadBalancers") {
		t.Errorf("denied: %s", stderr)
	}
	stack.ELB.SetFaults(nil)
	stack.ELB.SetLoadBalancers()
	if stdout, _ := clitest.Want(t, command.ExitOK, New(), "listeners"); !strings.Contains(stdout, "No application or network load balancers in eu-west-2") {
		t.Errorf("none: %s", stdout)
	}
	if stdout, _ := clitest.Want(t, command.ExitOK, New(), "listeners", "--format", "json"); !strings.Contains(stdout, `"loadBalancers": []`) {
		t.Errorf("none: %s", stdout)
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if _, stderr := clitest.Want(t, command.ExitUsage, New(), "listeners"); !strings.Contains(stderr, "no AWS Region: use --region, or set AWS_REGION") {
		t.Errorf("no region: %s", stderr)
	}
	if stdout, _ := clitest.Want(t, command.ExitOK, New(), "listeners", "--region", "eu-central-1"); !strings.Contains(stdout, "eu-central-1") {
		t.Errorf("--region: %s", stdout)
	}
}
