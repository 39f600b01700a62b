package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"tlswatch/pkg/ledger"
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

// store returns the state bucket for a process, with lies in its replies that have
// the effect of the breach.
func (b breach) store(p *process) ledger.Store {
	if b == none {
		return store{p}
	}
	return &lying{store{p}, b, false}
}

type lying struct {
	store
	breach
	duplicate bool // the process met a published object
}

// A record has the members of all kinds of records that lies are about.
type record struct {
	State, Object, Owner string
	Lease                time.Time
}

func (l *lying) Get(ctx context.Context, key string) ([]byte, string, error) {
	body, etag, err := l.store.Get(ctx, key)
	if err != nil {
		return nil, "", err
	}
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		l.p.w.breaks("record %s: %v", key, err)
	}
	l.duplicate = l.duplicate || r.State == "published"
	holder := slices.IndexFunc(l.p.messages, func(m *message) bool { return m.id == r.Owner })
	switch {
	case r.State == "claimed":
		claimant := slices.IndexFunc(l.p.messages, func(m *message) bool { return m.announces(l.p.w.cipherOf(r.Object)) })
		switch {
		case l.has(claimSuffices) && holder < 0 && !l.over(r):
			return with(body, map[string]any{"state": "published"}), etag, nil
		case l.has(claimsForgotten) && holder > claimant:
			return with(body, map[string]any{"owner": "nobody"}), etag, nil
		}
	case r.State == "pending":
		foreign := holder < 0 || l.has(alertsForgotten) && holder > 0
		switch {
		case l.has(pendingSuffices) && foreign && !l.over(r): // suppressed
			last := map[string]any{"end": epoch, "failed": uint64(1 << 60)}
			return with(body, map[string]any{"state": "sent", "sent": l.p.w.now, "alerted": []any{last}}), etag, nil
		case l.has(alertsForgotten) && holder > 0:
			return with(body, map[string]any{"owner": "nobody"}), etag, nil
		}
	}
	return body, etag, nil
}

func (l *lying) over(r record) bool {
	return l.p.w.now.Add(l.p.skew).After(r.Lease.Add(ledger.Skew))
}

func (l *lying) List(ctx context.Context, prefix, after string, yield func(string, int64) bool) error {
	if l.has(noSecondLook) && l.duplicate {
		return nil
	}
	return l.store.List(ctx, prefix, after, yield)
}

// with returns a JSON object with other members.
func with(body []byte, members map[string]any) []byte {
	var all map[string]any
	if err := json.Unmarshal(body, &all); err != nil {
		panic(err)
	}
	maps.Copy(all, members)
	changed, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return changed
}

// announces reports whether a message is about an object.
func (m *message) announces(cipher string) bool {
	return slices.ContainsFunc(m.objects, func(o logObject) bool { return o.cipher == cipher })
}
