package simulation

import (
	"context"
	"fmt"
	"time"

	"tlswatch/pkg/pipeline"
)

// A breach switches off rules of the ledger, to show that they matter.
type breach int

const (
	ownerIsAttempt  breach = 1 << iota // claims are owned by the attempt instead of the event
	noSecondLook                       // a duplicate does not evaluate its window
	leasesIgnored                      // other owners' live claims are taken over
	claimSuffices                      // an event succeeds when another owner has a live claim of its object
	pendingSuffices                    // an event succeeds when another owner's alert is pending
	claimsForgotten                    // a claim of another event in the batch is another owner's
	alertsForgotten                    // a pending alert of another event in the batch is another owner's

	none breach = 0
)

func (b breach) has(rule breach) bool { return b&rule != 0 }

// owner returns the owner of claims of a message's objects.
func (b breach) owner(m *message) string {
	if b.has(ownerIsAttempt) {
		return fmt.Sprint(m.id, "/", m.delivered)
	}
	return m.id
}

func (b breach) clock(clock func() time.Time) func() time.Time {
	if b.has(leasesIgnored) {
		return func() time.Time { return clock().Add(24 * time.Hour) }
	}
	return clock
}

func (b breach) ledger(l pipeline.Ledger) pipeline.Ledger {
	if b.has(noSecondLook) {
		l = &forgetful{Ledger: l}
	}
	return careless{l, b}
}

// careless is a ledger without some of its rules.
type careless struct {
	pipeline.Ledger
	breach
}

func (l careless) Claim(ctx context.Context, c pipeline.Claim) (pipeline.Ticket, error) {
	if l.has(claimsForgotten) {
		c.Batch = nil
	}
	t, err := l.Ledger.Claim(ctx, c)
	if l.has(claimSuffices) && t.State == pipeline.Busy {
		t.State = pipeline.Published
	}
	return t, err
}

func (l careless) RaiseAlert(ctx context.Context, a pipeline.AlertClaim) (pipeline.AlertTicket, error) {
	if l.has(alertsForgotten) {
		a.Batch = nil
	}
	t, err := l.Ledger.RaiseAlert(ctx, a)
	if l.has(pendingSuffices) && t.State == pipeline.Busy {
		t.State = pipeline.Published
	}
	return t, err
}

// forgetful is a ledger with which duplicates do not evaluate their window again.
type forgetful struct {
	pipeline.Ledger
	duplicate bool
}

func (f *forgetful) Claim(ctx context.Context, c pipeline.Claim) (pipeline.Ticket, error) {
	t, err := f.Ledger.Claim(ctx, c)
	f.duplicate = t.State == pipeline.Published
	return t, err
}

func (f *forgetful) Records(ctx context.Context, lb string, from, until time.Time) ([]pipeline.LedgerRecord, error) {
	if f.duplicate {
		return nil, nil
	}
	return f.Ledger.Records(ctx, lb, from, until)
}
