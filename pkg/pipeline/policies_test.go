package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/secpolicy"
)

// A registry is a PolicySource that records its calls.
type registry struct {
	policies secpolicy.ListenerPolicies
	err      error
	asked    []string
}

func (r *registry) Policies(_ context.Context, account, region, loadBalancer string) (secpolicy.ListenerPolicies, error) {
	r.asked = append(r.asked, fmt.Sprintf("%s %s %s", account, region, loadBalancer))
	return r.policies, r.err
}

// TestPoliciesOfAlerts: an alert names the policies of the listeners that it is
// about. Without an alert they are not looked up, and an error stops nothing.
func TestPoliciesOfAlerts(t *testing.T) {
	known := secpolicy.ListenerPolicies{443: "ELBSecurityPolicy-2016-08", 8443: "ELBSecurityPolicy-FS-2018-06"}
	denied := errors.New("access denied")
	for name, c := range map[string]struct {
		policies secpolicy.ListenerPolicies
		err      error
		want     map[string]string
	}{
		"known":     {known, nil, map[string]string{"443": "ELBSecurityPolicy-2016-08"}},
		"by others": {secpolicy.ListenerPolicies{0: "ELBSecurityPolicy-2016-08"}, nil, map[string]string{"443": "ELBSecurityPolicy-2016-08"}},
		"not known": {nil, denied, nil},
		"old":       {known, denied, map[string]string{"443": "ELBSecurityPolicy-2016-08"}},
	} {
		for _, ledger := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ledger %t", name, ledger), func(t *testing.T) {
				f := newFleet(t)
				f.Rules = []alert.Rule{f.rule(5)}
				if !ledger {
					f.Ledger = nil
				}
				r := &registry{policies: c.policies, err: c.err}
				f.Policies = r
				quiet := f.Run(t.Context(), f.job(t, load{node: 1, ok: 20, failed: 4}))[0]
				if quiet.Err != nil || quiet.PolicyErr != nil || len(r.asked) != 0 {
					t.Fatalf("without an alert: %v, %v, asked about %q", quiet.Err, quiet.PolicyErr, r.asked)
				}
				report := f.Run(t.Context(), f.job(t, load{node: 2, ok: 20, failed: 5}))[0]
				if report.Err != nil || !errors.Is(report.PolicyErr, c.err) || report.Alerts != 1 {
					t.Errorf("%v, %v, %d alerts", report.Err, report.PolicyErr, report.Alerts)
				}
				if want := []string{"123456789012 us-east-2 " + lb}; !gocmp.Equal(want, r.asked) {
					t.Errorf("asked about %q, want %q", r.asked, want)
				}
				alerts := f.sentAlerts(t)
				if len(alerts) != 1 {
					t.Fatalf("%d alerts", len(alerts))
				}
				if d := gocmp.Diff(c.want, alerts[0].ListenerPolicies); d != "" {
					t.Errorf("policies: -want +got\n%s", d)
				}
			})
		}
	}
}

func TestFixedPolicies(t *testing.T) {
	denied := errors.New("access denied")
	found := &registry{policies: secpolicy.ListenerPolicies{443: "found", 8443: "found"}, err: denied}
	fixed := secpolicy.ListenerPolicies{443: "fixed", 0: "others"}
	for name, c := range map[string]struct {
		source pipeline.FixedPolicies
		want   [3]string // of ports 443, 8443 and 9443
		err    error
	}{
		"both":       {pipeline.FixedPolicies{Known: fixed, Found: found}, [3]string{"fixed", "found", "others"}, denied},
		"fixed":      {pipeline.FixedPolicies{Known: fixed}, [3]string{"fixed", "others", "others"}, nil},
		"found":      {pipeline.FixedPolicies{Found: found}, [3]string{"found", "found", ""}, denied},
		"no default": {pipeline.FixedPolicies{Known: secpolicy.ListenerPolicies{443: "fixed"}}, [3]string{"fixed", "", ""}, nil},
		"nothing":    {pipeline.FixedPolicies{}, [3]string{}, nil},
	} {
		policies, err := c.source.Policies(t.Context(), "123456789012", "us-east-2", lb)
		if got := [3]string{policies.At(443), policies.At(8443), policies.At(9443)}; got != c.want || err != c.err {
			t.Errorf("%s: got %q, %v, want %q, %v", name, got, err, c.want, c.err)
		}
	}
	if len(found.policies) != 2 || len(fixed) != 2 {
		t.Errorf("the sources were changed: %v, %v", found.policies, fixed)
	}
}
