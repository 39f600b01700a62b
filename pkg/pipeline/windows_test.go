package pipeline_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

// A document is what matters here of an alert's machine document.
type document struct {
	Rule   string
	Client string
	Failed uint64

	ListenerPolicies map[string]string

	Window struct {
		End         time.Time
		Connections uint64
		ObjectCount int
		Objects     []string
		Reasons     map[string]uint64
	}
}

func parse(t *testing.T, text string) (d document) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// seeds is how many orders and splits are tried: 6, or 50 if the environment
// variable SCHEDULES is set ('make crash').
func seeds() uint64 {
	switch {
	case os.Getenv("SCHEDULES") != "":
		return 50
	case testing.Short():
		return 2
	}
	return 6
}

// TestThreshold: the failures of a period are spread over 40 nodes with three
// objects each, which 16 functions process at once in random order. They reach
// the threshold together or not at all.
func TestThreshold(t *testing.T) {
	const (
		nodes     = 40
		parts     = 3
		functions = 16
		threshold = 100
	)
	for seed := range seeds() {
		for _, test := range []struct{ failed, alerts int }{{threshold, 1}, {threshold - 1, 0}, {threshold + 1, 1}} {
			t.Run(fmt.Sprintf("%d failures, seed %d", test.failed, seed), func(t *testing.T) {
				f := newFleet(t)
				r := rand.New(rand.NewPCG(seed, 0))
				loads := make([]load, nodes*parts)
				for i := range loads {
					loads[i] = load{node: i / parts, part: i % parts, ok: 1}
				}
				for range test.failed {
					loads[r.IntN(len(loads))].failed++
				}
				var jobs []pipeline.Job
				for _, l := range loads {
					jobs = append(jobs, f.job(t, l))
				}
				f.race(t, r, functions, jobs, func(p *pipeline.Pipeline) { p.Rules = []alert.Rule{f.rule(threshold)} })
				alerts := f.sentAlerts(t)
				if len(alerts) != test.alerts {
					t.Errorf("%d alerts, want %d", len(alerts), test.alerts)
				}
				for _, a := range alerts {
					if a.Failed < threshold || a.Failed > uint64(test.failed) {
						t.Errorf("alert about %d failures", a.Failed)
					}
					if test.failed == threshold && a.Window.ObjectCount < len(slices.DeleteFunc(slices.Clone(loads), func(l load) bool { return l.failed == 0 })) {
						t.Errorf("alert about %d objects", a.Window.ObjectCount)
					}
				}
				want := []int{len(loads) + test.failed, len(loads), 0}
				if d := gocmp.Diff(want, []int{f.connections(lb), f.total(metric.ObjectsProcessed), f.total(metric.UncertainRepublishes)}); d != "" {
					t.Errorf("connections, processed, republished: -want +got\n%s", d)
				}
			})
		}
	}
}

// TestWindows: what arrives when, and which alerts follow.
func TestWindows(t *testing.T) {
	at := func(minutes int) time.Time { return period.Add(time.Duration(minutes) * time.Minute) }
	// An event is an object that arrives, or one that is announced again, or
	// time that passes.
	type event struct {
		object load
		again  bool
		pass   time.Duration
		want   []uint64 // failures of the alerts that follow at once
	}
	object := func(end, node, failed int, want ...uint64) event {
		return event{object: load{end: at(end), node: node, failed: failed, ok: 1}, want: want}
	}
	duplicate := func(e event, want ...uint64) event {
		e.again, e.want = true, want
		return e
	}
	pass := func(d time.Duration) event { return event{pass: d} }
	fifteen := func(r *alert.Rule) { r.Window = 15 * time.Minute }
	for _, test := range []struct {
		name   string
		rule   func(*alert.Rule)
		events []event
	}{
		{"nodes add up", nil, []event{object(0, 1, 60), object(0, 2, 39), object(0, 3, 1, 100)}},
		{"periods do not", nil, []event{object(0, 1, 60), object(5, 1, 60), object(10, 1, 60)}},
		{"a rate that is too low", func(r *alert.Rule) { r.MinFailedPercent = 99.5 }, []event{object(0, 1, 60), object(0, 2, 60)}},
		{"a rate that all nodes together reach", func(r *alert.Rule) { r.MinFailedPercent = 90 }, []event{object(0, 1, 5), object(0, 2, 95, 100)}},
		{"periods of a window add up", fifteen, []event{object(0, 1, 40), object(5, 1, 40), object(10, 1, 40, 120)}},
		{"but not those that no window holds", fifteen, []event{object(0, 1, 40), object(5, 1, 40), object(15, 1, 40)}},
		{"the middle of a window arrives last", fifteen, []event{object(0, 1, 40), object(10, 1, 40), object(5, 1, 40, 120)}},
		{"the start of a window arrives last", fifteen, []event{object(10, 1, 40), object(5, 1, 40), object(0, 1, 40, 120)}},
		{"of several windows the worst", fifteen, []event{object(-10, 1, 50), object(-5, 1, 20), object(5, 1, 50), object(10, 1, 40), object(0, 1, 20, 110)}},
		{"a window that overlaps an alerted one", fifteen, []event{object(0, 1, 100, 100), object(5, 1, 60), object(10, 1, 60), pass(2 * time.Hour), duplicate(object(5, 1, 60), 120)}},
		{"late objects count into their own period", nil, []event{
			object(0, 1, 60), object(5, 1, 99), pass(50 * time.Minute), object(0, 2, 40, 100), object(5, 2, 1),
		}},
		{"growth in the cooldown", nil, []event{object(0, 1, 100, 100), object(0, 2, 199), object(0, 3, 1, 300), object(5, 1, 899), object(5, 2, 1, 900)}},
		{"after the cooldown", nil, []event{object(0, 1, 100, 100), object(5, 1, 100), pass(61 * time.Minute), object(10, 1, 100, 100)}},
		{"a late duplicate", func(r *alert.Rule) { r.Cooldown = 30 * time.Minute }, []event{
			object(0, 1, 100, 100), duplicate(object(0, 1, 100)), pass(31 * time.Minute), duplicate(object(0, 1, 100)),
			object(30, 1, 100, 100), duplicate(object(0, 1, 100)), pass(31 * time.Minute), duplicate(object(30, 1, 100)), duplicate(object(0, 1, 100)),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			rule := f.rule(100)
			if test.rule != nil {
				test.rule(&rule)
			}
			f.Rules = []alert.Rule{rule}
			for i, e := range test.events {
				f.pass(e.pass)
				if e.pass > 0 {
					continue
				}
				before := len(f.SNS.Messages())
				job := f.job(t, e.object)
				if e.again {
					job = another(job)
				}
				r := f.run(t, job)[0]
				if (r.Duplicate == "published") != e.again {
					t.Errorf("event %d: duplicate %q", i, r.Duplicate)
				}
				var got []uint64
				for _, a := range f.sentAlerts(t)[before:] {
					got = append(got, a.Failed)
				}
				if d := gocmp.Diff(e.want, got); d != "" {
					t.Errorf("event %d: alerts: -want +got\n%s", i, d)
				}
			}
		})
	}
}

// TestSecondLook: the function crashed between commit and alert. The next event
// that evaluates the window alerts, even if it is a duplicate.
func TestSecondLook(t *testing.T) {
	f := newFleet(t)
	job := f.job(t, load{ok: 20, failed: 5})
	f.wire.hurt(func(call string, n int) damage { return damage{refused: call == list} })
	if r := f.Run(t.Context(), job)[0]; r.Err == nil || f.connections(lb) != 25 {
		t.Fatalf("the first attempt should fail after its commit: %v", r.Err)
	}
	f.wire.hurt(nil)
	if r := f.run(t, another(job))[0]; r.Duplicate != "published" || r.Alerts != 1 {
		t.Errorf("the duplicate: %+v", r)
	}
	if r := f.run(t, job)[0]; r.Duplicate != "published" || r.Alerts != 0 || r.Suppressed != 1 {
		t.Errorf("the event itself: %+v", r)
	}
	if d := gocmp.Diff([]int{25, 1}, []int{f.connections(lb), len(f.SNS.Messages())}); d != "" {
		t.Errorf("connections, alerts: -want +got\n%s", d)
	}
}

// TestAlertOfAllNodes: the alert names the objects of all nodes that it saw,
// and the failures of all.
func TestAlertOfAllNodes(t *testing.T) {
	const nodes = 40
	f := newFleet(t)
	f.Rules = []alert.Rule{f.rule(nodes * 3)}
	var want []string
	for node := range nodes {
		job := f.job(t, load{node: node, ok: 2, failed: 3, reason: []string{"A", "B"}[node%2]})
		want = append(want, job.Object.URI())
		f.run(t, job)
	}
	alerts := f.sentAlerts(t)
	if len(alerts) != 1 {
		t.Fatalf("%d alerts", len(alerts))
	}
	slices.Sort(want)
	w := alerts[0].Window
	if d := gocmp.Diff(want, w.Objects); d != "" {
		t.Errorf("objects: -want +got\n%s", d)
	}
	if w.ObjectCount != nodes || w.Connections != 5*nodes || !w.End.Equal(period) {
		t.Errorf("window %+v", w)
	}
	if d := gocmp.Diff(map[string]uint64{"A": 60, "B": 60}, w.Reasons); d != "" {
		t.Errorf("reasons: -want +got\n%s", d)
	}
}

// TestReasons: with ALERT_REASONS, other failures do not count.
func TestReasons(t *testing.T) {
	f := newFleet(t)
	rule := f.rule(100)
	rule.Reasons = []string{"A", "B"}
	f.Rules = []alert.Rule{rule}
	for i, o := range []struct {
		reason string
		failed int
		want   int // alerts so far
	}{{"C", 500, 0}, {"A", 60, 0}, {"C", 60, 0}, {"B", 39, 0}, {"B", 1, 1}, {"C", 1000, 1}, {"A", 199, 1}, {"A", 1, 2}} {
		f.run(t, f.job(t, load{node: i, ok: 1, failed: o.failed, reason: o.reason}))
		if n := len(f.SNS.Messages()); n != o.want {
			t.Errorf("object %d: %d alerts, want %d", i, n, o.want)
		}
	}
	var got []uint64
	for _, a := range f.sentAlerts(t) {
		got = append(got, a.Failed)
	}
	if d := gocmp.Diff([]uint64{100, 300}, got); d != "" {
		t.Errorf("failures: -want +got\n%s", d)
	}
}

// TestClientFailures: one client, spread over all nodes, has many failures,
// while the load balancer as a whole is well.
func TestClientFailures(t *testing.T) {
	f := newFleet(t)
	all, one := f.rule(10_000), f.rule(50)
	one.Name, one.PerClient, one.MinFailedPercent = alert.ClientFailures, true, 50
	f.Rules = []alert.Rule{all, one}
	for node := range 10 {
		var b strings.Builder
		for i := range 20 { // other clients that fail too, none of them often
			fmt.Fprintf(&b, "2026-11-23T10:02:00Z 203.0.113.%d 40000 443 TLSv1.2 - - \"-\" - - Failed:X TID_1 -\n", i+1)
		}
		for range 5 {
			fmt.Fprint(&b, "2026-11-23T10:02:00Z 198.51.100.7 40000 443 TLSv1.2 - - \"-\" - - Failed:X TID_1 -\n")
		}
		l := load{node: node}
		f.run(t, pipeline.Job{Object: f.put(t, l.key(), []byte(b.String()+string(load{ok: 100}.body()))), Owner: l.key()})
		if n := len(f.SNS.Messages()); n != node/9 {
			t.Errorf("%d alerts after %d nodes", n, node+1)
		}
	}
	alerts := f.sentAlerts(t)
	if len(alerts) != 1 {
		t.Fatalf("%d alerts", len(alerts))
	}
	if d := gocmp.Diff([]any{alert.ClientFailures, "198.51.100.7", uint64(50), 10}, []any{alerts[0].Rule, alerts[0].Client, alerts[0].Failed, alerts[0].Window.ObjectCount}); d != "" {
		t.Errorf("rule, client, failures, objects: -want +got\n%s", d)
	}
}

// TestOldWindows: a window that ended long ago is not alerted, with or without a
// ledger, so that a backfill sends no alerts about the past.
func TestOldWindows(t *testing.T) {
	for _, ledger := range []bool{true, false} {
		for _, test := range []struct {
			age    time.Duration // before the latest period, which ended some minutes ago
			alerts int
		}{{pipeline.MaxAlertAge - 5*time.Minute, 1}, {pipeline.MaxAlertAge, 0}, {10 * 24 * time.Hour, 0}} {
			f := newFleet(t)
			if !ledger {
				f.Ledger = nil
			}
			r := f.run(t, f.job(t, load{end: period.Add(-test.age), ok: 20, failed: 5}))[0]
			if n := len(f.SNS.Messages()); n != test.alerts || r.Alerts != test.alerts {
				t.Errorf("ledger %v, %v old: %d alerts, %d reported", ledger, test.age, n, r.Alerts)
			}
		}
	}
}

// TestClientFailuresOfReasons: with ALERT_REASONS, a client has 400 failures over
// ten nodes. At each node, five others have more.
func TestClientFailuresOfReasons(t *testing.T) {
	f := newFleet(t)
	rule := f.rule(400)
	rule.Name, rule.PerClient, rule.Reasons = alert.ClientFailures, true, []string{"X"}
	f.Rules = []alert.Rule{rule}
	for node := range 10 {
		var b strings.Builder
		lines := func(n int, client string) {
			for range n {
				fmt.Fprintf(&b, "2026-11-23T10:02:00Z %s 40000 443 TLSv1.2 - - \"-\" - - Failed:X TID_1 -\n", client)
			}
		}
		for i := range 5 {
			lines(50, fmt.Sprintf("203.0.113.%d", 5*node+i))
		}
		lines(40, "198.51.100.7")
		fmt.Fprint(&b, "2026-11-23T10:02:00Z 192.0.2.1 40000 443 TLSv1.2 - - \"-\" - - Failed:Y TID_1 -\n")
		l := load{node: node}
		f.run(t, pipeline.Job{Object: f.put(t, l.key(), []byte(b.String())), Owner: l.key()})
	}
	alerts := f.sentAlerts(t)
	if len(alerts) != 1 || alerts[0].Client != "198.51.100.7" || alerts[0].Failed != 400 {
		t.Errorf("alerts %+v", alerts)
	}
}
