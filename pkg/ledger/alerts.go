package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// An AlertClaim asks to send an alert about a window.
type AlertClaim struct {
	LoadBalancer string
	Rule         string
	End          time.Time     // of the window
	Length       time.Duration // of the window
	Failed       uint64        // or an upper bound, for MayAlert
	Cooldown     time.Duration
	Growth       float64 // alert again within the cooldown once failures reach this multiple

	Owner string // the event, as in Claim
	Batch []string
	Lease time.Time
}

// An AlertTicket answers an AlertClaim. If it is Claimed, the caller sends the
// alert and then calls CommitAlert; or ReleaseAlert, if it certainly sent none. If
// it may have sent one and does not know, it calls neither: then the event's retry
// reports a take-over. Suppressed means that the window was alerted before, or that
// the cooldown is not over.
type AlertTicket struct {
	State     State
	TakenOver bool      // from an interrupted attempt: the alert may be sent a second time
	Until     time.Time // as in Ticket

	key, etag string
	record    alertRecord
}

// An alertRecord has the last alerts of a rule for a load balancer.
type alertRecord struct {
	State   string          `json:"state"`
	Owner   string          `json:"owner"`
	Token   string          `json:"token"`
	Lease   time.Time       `json:"lease"`             // of the pending alert; zero if it was released
	Sent    time.Time       `json:"sent,omitzero"`     // when the last alert was sent
	Alerted []alertedWindow `json:"alerted,omitempty"` // in the order in which they were sent
	Pending *alertedWindow  `json:"pending,omitempty"`
}

// An alertedWindow is a window with the failures that its alert reported.
type alertedWindow struct {
	End    time.Time `json:"end"`
	Failed uint64    `json:"failed"`
}

// States of an alertRecord.
const (
	pending = "pending"
	sent    = "sent"
)

// maxAlerted limits the windows that a record remembers: four days of alerts once
// an hour.
const maxAlerted = 100

// MayAlert reports whether RaiseAlert would let any of the alerts pass, which are
// of one load balancer and rule. It saves reading a window's records during a
// cooldown.
func (l *Ledger) MayAlert(ctx context.Context, claims ...AlertClaim) (bool, error) {
	if len(claims) == 0 {
		return false, nil
	}
	r, _, err := get[alertRecord](ctx, l.store, alertKey(claims[0].LoadBalancer, claims[0].Rule))
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("alert state: %w", err)
	}
	return slices.ContainsFunc(claims, func(a AlertClaim) bool { return !l.suppresses(r, a) }), nil
}

// RaiseAlert decides who sends an alert about a window.
func (l *Ledger) RaiseAlert(ctx context.Context, a AlertClaim) (AlertTicket, error) {
	key := alertKey(a.LoadBalancer, a.Rule)
	token := l.token()
	takenOver := false
	for round := 1; ; round++ {
		r, etag, err := get[alertRecord](ctx, l.store, key)
		missing := errors.Is(err, ErrNotFound)
		switch {
		case err != nil && !missing:
			return AlertTicket{}, fmt.Errorf("alert state: %w", err)
		case !missing && r.Token == token: // our own write, whose reply was lost
			return AlertTicket{State: Claimed, TakenOver: takenOver, key: key, etag: etag, record: r}, nil
		case !missing && l.suppresses(r, a):
			return AlertTicket{State: Suppressed}, nil
		case r.State == pending && !owns(r.Owner, a.Owner, a.Batch) && !l.over(r.Lease):
			return AlertTicket{State: Busy, Until: r.Lease.Add(Skew)}, nil
		}
		takenOver = r.State == pending && !r.Lease.IsZero()
		r.State, r.Owner, r.Token, r.Lease = pending, a.Owner, token, l.lease(a.Lease)
		r.Pending = &alertedWindow{a.End.UTC(), a.Failed}
		if missing {
			etag, err = l.createAlert(ctx, key, r)
		} else {
			etag, err = l.replaceAlert(ctx, key, r, etag)
		}
		switch {
		case err == nil:
			return AlertTicket{State: Claimed, TakenOver: takenOver, key: key, etag: etag, record: r}, nil
		case !lostRace(err) || round == maxRounds:
			return AlertTicket{}, fmt.Errorf("alert state: %w", err)
		}
	}
}

// suppresses reports whether the alerts that were sent make this one unnecessary.
// A pending one does not count: it may never be sent.
func (l *Ledger) suppresses(r alertRecord, a AlertClaim) bool {
	// A window that was alerted, or overlaps one that was, is worth another alert
	// only if its failures have grown since. In the cooldown, any window's failures
	// must have grown since the last alert, whatever that was about.
	for _, w := range slices.Backward(r.Alerted) {
		if a.End.Sub(w.End).Abs() < a.Length {
			if !grown(a, w) {
				return true
			}
			break
		}
	}
	n := len(r.Alerted)
	return n > 0 && l.now().Before(r.Sent.Add(a.Cooldown)) && !grown(a, r.Alerted[n-1])
}

func grown(a AlertClaim, since alertedWindow) bool {
	return float64(a.Failed) >= a.Growth*float64(since.Failed)
}

// CommitAlert records that an alert was sent.
func (l *Ledger) CommitAlert(ctx context.Context, t AlertTicket) error {
	r := t.record
	r.State, r.Sent, r.Pending = sent, l.now().UTC(), nil
	r.Alerted = append(slices.Clone(r.Alerted), *t.record.Pending)
	r.Alerted = r.Alerted[max(0, len(r.Alerted)-maxAlerted):]
	return l.endAlert(ctx, t, r)
}

// ReleaseAlert gives a pending alert back: any event may send it.
func (l *Ledger) ReleaseAlert(ctx context.Context, t AlertTicket) error {
	r := t.record
	r.Lease = time.Time{}
	return l.endAlert(ctx, t, r)
}

// endAlert replaces the record of a pending alert. If another event took it over
// meanwhile, that is no error.
func (l *Ledger) endAlert(ctx context.Context, t AlertTicket, r alertRecord) error {
	for round := 1; ; round++ {
		_, err := l.replaceAlert(ctx, t.key, r, t.etag)
		switch {
		case err == nil:
			return nil
		case !lostRace(err) || round == maxRounds:
			return fmt.Errorf("alert state: %w", err)
		}
		now, etag, err := get[alertRecord](ctx, l.store, t.key)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("alert state: %w", err)
		case now.Token != r.Token || now.State == r.State && now.Lease.Equal(r.Lease):
			return nil
		}
		t.etag = etag
	}
}

func (l *Ledger) createAlert(ctx context.Context, key string, r alertRecord) (string, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encoding an alert's record: %w", err)
	}
	return l.store.Create(ctx, key, body)
}

func (l *Ledger) replaceAlert(ctx context.Context, key string, r alertRecord, etag string) (string, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encoding an alert's record: %w", err)
	}
	return l.store.Replace(ctx, key, body, etag)
}
