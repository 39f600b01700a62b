package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/wire"
)

const describeListeners = "elasticloadbalancing:DescribeListeners"

// alertPolicies are the listener policies in each alert that was sent.
func (r *rig) alertPolicies() (list []map[string]string) {
	r.t.Helper()
	for _, m := range r.stack.SNS.Messages() {
		var doc struct{ ListenerPolicies map[string]string }
		if err := json.Unmarshal([]byte(m.Text("sqs")), &doc); err != nil {
			r.t.Fatal(err)
		}
		list = append(list, doc.ListenerPolicies)
	}
	return list
}

// Alerts use the policies that the operator names and those that Elastic Load
// Balancing reports, and are sent even without its reply.
func TestListenerPolicies(t *testing.T) {
	lookup := map[string]string{"LISTENER_LOOKUP": "true"}
	both := map[string]string{"LISTENER_LOOKUP": "true", "LISTENER_POLICIES": "443=ELBSecurityPolicy-FS-2018-06,ELBSecurityPolicy-2015-05"}
	for name, c := range map[string]struct {
		settings map[string]string
		fault    wire.Fault
		want     map[string]string
		calls    int // over two alerts about one load balancer
		warnings int
	}{
		"nothing":         {nil, wire.Fault{}, nil, 0, 0},
		"by hand":         {map[string]string{"LISTENER_POLICIES": "ELBSecurityPolicy-2015-05"}, wire.Fault{}, map[string]string{"443": "ELBSecurityPolicy-2015-05", "8443": "ELBSecurityPolicy-2015-05"}, 0, 0},
		"looked up":       {lookup, wire.Fault{}, map[string]string{"443": "ELBSecurityPolicy-2016-08", "8443": "ELBSecurityPolicy-TLS13-1-3-2021-06"}, 1, 0},
		"both":            {both, wire.Fault{}, map[string]string{"443": "ELBSecurityPolicy-FS-2018-06", "8443": "ELBSecurityPolicy-TLS13-1-3-2021-06"}, 1, 0},
		"denied":          {lookup, wire.Refuse(403, "AccessDenied"), nil, 1, 1},
		"no answer":       {lookup, wire.Fault{Delay: time.Hour}, nil, 1, 1},
		"denied, by hand": {both, wire.Refuse(403, "AccessDenied"), map[string]string{"443": "ELBSecurityPolicy-FS-2018-06", "8443": "ELBSecurityPolicy-2015-05"}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.settings)
			r.stack.ELB.SetFaults(func(string, int) wire.Fault { return c.fault })
			r.stack.ELB.SetLoadBalancers(elb.LoadBalancer{Path: "app/shop/50dc6c495c0c9188", Listeners: []elb.Listener{
				{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-2016-08"},
				{Port: 8443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-3-2021-06"},
				{Port: 9443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-2016-08"},
			}})
			for seed := range uint64(2) {
				f := makeLog(t, seed+1, 2500, "app/shop/50dc6c495c0c9188")
				for i := range f.Lines {
					if i%2 == 1 {
						f.Lines[i] = strings.Replace(f.Lines[i], " 443 ", " 8443 ", 1)
					}
				}
				r.notify(r.put(strings.ReplaceAll(f.Key, "us-east-2", "us-east-1"), f.Gzip()))
			}
			if d := cmp.Diff([]map[string]string{c.want, c.want}, r.alertPolicies()); d != "" {
				t.Errorf("policies: -want +got\n%s", d)
			}
			if d := cmp.Diff([]string{"", ""}, r.errors()); d != "" {
				t.Errorf("errors: -want +got\n%s", d)
			}
			if n := r.stack.Calls.Counts()[describeListeners]; n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
			if n := len(r.logLines("cannot look up the listeners' security policies")); n != c.warnings {
				t.Errorf("%d warnings, want %d", n, c.warnings)
			}
		})
	}
}

// A data file has policies that are newer than the function. A file that cannot be
// read stops nothing.
func TestPolicyFile(t *testing.T) {
	const future = "ELBSecurityPolicy-Of-The-Future-2031-01"
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good": `{"schema": "tlswatch.policies/v1", "retrieved": "2031-02-03", "policies": [{"name": "` + future + `", "protocols": ["TLSv1.3"], "ciphers": ["TLS_AES_256_GCM_SHA384"]}]}`,
		"bad":  "{",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		want   string // in the alert
		errors int
	}{
		"good": {future + " lacks TLSv1.2", 0},
		"bad":  {`Unknown policy "` + future + `"`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, map[string]string{"LISTENER_POLICIES": future, "POLICY_FILE": filepath.Join(dir, name)})
			f := makeLog(t, 1, 2500, "app/shop/50dc6c495c0c9188")
			r.notify(r.put(strings.ReplaceAll(f.Key, "us-east-2", "us-east-1"), f.Gzip()))
			messages := r.stack.SNS.Messages()
			if len(messages) != 1 {
				t.Fatalf("%d alerts", len(messages))
			}
			if text := strings.Join(strings.Fields(messages[0].Text("email")), " "); !strings.Contains(text, c.want) {
				t.Errorf("no %q in\n%s", c.want, messages[0].Text("email"))
			}
			if n := len(r.logLines("cannot read POLICY_FILE; using the built-in policies")); n != c.errors {
				t.Errorf("%d errors in the log, want %d", n, c.errors)
			}
		})
	}
}
