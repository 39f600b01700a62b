package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/pipeline"
)

// leavePending lets an attempt end between SNS's acceptance of its alert and
// the record of it.
func (f *fleet) leavePending(t *testing.T, j pipeline.Job) {
	t.Helper()
	f.wire.hurt(func(call string, n int) damage { return damage{refused: call == putSent} })
	if r := f.Run(t.Context(), j)[0]; r.Err == nil {
		t.Fatal("the attempt should fail with its alert pending")
	}
	f.wire.hurt(nil)
}

// failedOf returns the failures that each alert reports.
func (f *fleet) failedOf(t *testing.T) (list []uint64) {
	for _, a := range f.sentAlerts(t) {
		list = append(list, a.Failed)
	}
	return list
}

// TestPendingOfBatch: the owner of a pending alert comes again in a batch,
// behind another event of the same window, or of another window of the rule.
func TestPendingOfBatch(t *testing.T) {
	for _, test := range []struct {
		name   string
		second load
		want   []uint64
	}{
		{"of the same period", load{node: 2, ok: 1, failed: 10}, []uint64{100, 110}},
		{"of another period", load{end: period.Add(5 * time.Minute), ok: 1, failed: 10}, []uint64{100, 110}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			rule := f.rule(100)
			rule.Window = 10 * time.Minute
			f.Rules = []alert.Rule{rule}
			m1 := f.job(t, load{node: 1, ok: 1, failed: 100})
			f.leavePending(t, m1)
			m2 := f.job(t, test.second)
			reports := f.run(t, m2, m1)
			if !reports[0].AlertTakenOver {
				t.Error("the alert may have been sent before, which no report says")
			}
			if d := gocmp.Diff(test.want, f.failedOf(t)); d != "" {
				t.Errorf("alerts: -want +got\n%s", d)
			}
		})
	}
}

// TestPendingElsewhere: a pending alert does not answer for other windows, nor
// for more failures. An event that meets one waits, and comes again.
func TestPendingElsewhere(t *testing.T) {
	f := newFleet(t)
	f.Rules = []alert.Rule{f.rule(10)}
	f.Patience = time.Second
	a, b := f.job(t, load{node: 1, ok: 1, failed: 12}), f.job(t, load{end: period.Add(5 * time.Minute), ok: 1, failed: 200})
	f.leavePending(t, a)

	var waited time.Duration
	var during func()
	f.Sleep = func(ctx context.Context, d time.Duration) error {
		waited += d
		if during != nil {
			during()
			during = nil
		}
		return nil
	}
	if r := f.Run(t.Context(), b)[0]; !errors.Is(r.Err, pipeline.ErrInProgress) || waited != f.Patience {
		t.Errorf("while the alert is pending: %v, waited %v", r.Err, waited)
	}
	sender, _ := f.function(t)
	sender.Rules = f.Rules
	during = func() {
		if r := sender.Run(t.Context(), a)[0]; r.Err != nil || !r.AlertTakenOver {
			t.Errorf("the sender: %+v", r)
		}
	}
	f.run(t, b)
	if d := gocmp.Diff([]uint64{12, 12, 200}, f.failedOf(t)); d != "" {
		t.Errorf("alerts: -want +got\n%s", d)
	}
}

// TestTakenOverOfTwoRules: one rule takes a pending alert over, the next has
// nothing to take over. The report says so.
func TestTakenOverOfTwoRules(t *testing.T) {
	f := newFleet(t)
	all, one := f.rule(10), f.rule(10)
	one.Name, one.PerClient = alert.ClientFailures, true
	f.Rules = []alert.Rule{all}
	j := f.job(t, load{node: 1, ok: 1, failed: 12})
	f.leavePending(t, j)
	f.Rules = []alert.Rule{all, one}
	if r := f.run(t, j)[0]; !r.AlertTakenOver || r.Alerts != 2 {
		t.Errorf("%+v", r)
	}
}

// TestPendingInDoubt: an alert whose reply was lost may have been sent. It
// stays pending, so that the next attempt says that it may come twice.
func TestPendingInDoubt(t *testing.T) {
	f := newFleet(t)
	j := f.job(t, load{ok: 20, failed: 5})
	f.wire.hurt(func(call string, n int) damage {
		if call == publish {
			return damage{Fault: wire.Fault{Kind: wire.FaultReplyLost}}
		}
		return damage{}
	})
	if r := f.Run(t.Context(), j)[0]; r.Err == nil {
		t.Fatal("no error")
	}
	f.wire.hurt(nil)
	if r := f.Run(t.Context(), another(j))[0]; !errors.Is(r.Err, pipeline.ErrInProgress) {
		t.Errorf("another event: %v", r.Err)
	}
	if r := f.run(t, j)[0]; !r.AlertTakenOver {
		t.Errorf("the event itself: %+v", r)
	}
}
