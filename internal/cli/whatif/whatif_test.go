package whatif

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/forecast"
	"tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/wire"
)

// TestWhatIfLive: with --policy live each listener is judged by the policy that
// it has now, as if it had been named.
func TestWhatIfLive(t *testing.T) {
	stack := clitest.StartELB(t)
	stack.ELB.SetLoadBalancers(
		elb.LoadBalancer{Path: "app/shop/50dc6c495c0c9188", Listeners: []elb.Listener{{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06"}}},
		elb.LoadBalancer{Path: "app/new/1234567890abcdef", Listeners: []elb.Listener{{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-Of-The-Future-2031-01"}}},
	)
	const line = `2026-11-23T10:01:00.000000Z 203.0.113.7 40000 PORT TLSv1.2 AES128-SHA 0.010 "-" - - Success TID_1 - app/shop/50dc6c495c0c9188 192.0.2.1`
	log := filepath.Join(t.TempDir(), "shop.log")
	if err := os.WriteFile(log, []byte(strings.ReplaceAll(line, "PORT", "443")+"\n"+strings.ReplaceAll(line, "PORT", "9443")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	forecast := func(args ...string) (r forecast.Forecast) {
		t.Helper()
		stdout, _ := clitest.Want(t, command.ExitOK, New(), append([]string{"whatif", "--format", "json", "--to", "ELBSecurityPolicy-FS-1-2-Res-2020-10", "--certificate", "rsa", log}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	live, named, unknown := forecast("--policy", "live"), forecast("--policy", "443=ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06"), forecast()
	if live.From != "live" || live.Connections != named.Connections {
		t.Errorf("live: %+v, named: %+v", live.Connections, named.Connections)
	}
	if live.Connections == unknown.Connections {
		t.Errorf("the policy makes no difference: %+v", live.Connections)
	}
	text := strings.Join(live.Notes, "\n")
	for _, want := range []string{"ELBSecurityPolicy-Of-The-Future-2031-01", "Nothing in the log speaks against them at an earlier time."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the notes: %s", want, text)
		}
	}
	older, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, append(older, strings.ReplaceAll(strings.ReplaceAll(line, "PORT", "443"), "TLSv1.2", "TLSv1.1")+"\n"...), 0o666); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(forecast("--policy", "live").Notes, "\n"); !strings.Contains(text, "They hold for sure only after the times above.") || !strings.Contains(text, "had another policy than ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06") {
		t.Errorf("a change of policy is not named: %s", text)
	}
	stack.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	if _, stderr := clitest.Want(t, command.ExitFailed, New(), "whatif", "--to", "ELBSecurityPolicy-2016-08", "--policy", "live", log); !strings.Contains(stderr, "access denied") {
		t.Errorf("denied: %s", stderr)
	}
}
