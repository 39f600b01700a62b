package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tlswatch/pkg/pipeline"
)

// An alertRecord has the last alerts of a rule for a load balancer.
type alertRecord struct {
	State   string          `json:"state"`
	Owner   string          `json:"owner"`
	Token   string          `json:"token"`
	Lease   time.Time       `json:"lease"`
	Sent    time.Time       `json:"sent,omitzero"`     // when the last one was sent
	Alerted []alertedWindow `json:"alerted,omitempty"` // in the order in which they were sent
	Pending *alertedWindow  `json:"pending,omitempty"` // the one that is being sent
}

// An alertedWindow is a window with the failures of which an alert told.
type alertedWindow struct {
	End    time.Time `json:"end"`
	Failed uint64    `json:"failed"`
}

// States of an alertRecord.
const (
	pending = "pending"
	sent    = "sent"
)

// maxAlerted bounds the windows that a record remembers: four days of alerts
// once an hour.
const maxAlerted = 100

func alertKey(lb, rule string) string { return alertsPrefix + lb + "/" + rule }

// MayAlert reports whether an alert about any of the windows, which are of one
// load balancer and rule and have at most so many failures, could be raised. It
// spares reading a window's records while a cooldown lasts.
func (l *Ledger) MayAlert(ctx context.Context, windows ...pipeline.AlertClaim) (bool, error) {
	if len(windows) == 0 {
		return false, nil
	}
	r, _, err := get[alertRecord](ctx, l.store, alertKey(windows[0].LoadBalancer, windows[0].Rule))
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("alert state: %w", err)
	}
	return slices.ContainsFunc(windows, func(a pipeline.AlertClaim) bool { return l.verdict(r, a) != suppressed }), nil
}

// RaiseAlert decides who alerts about a window. The ticket's state is Claimed
// if the caller is to publish the alert and then to call Commit, or Release if
// it could not; Published if the window was alerted or its alert is suppressed
// by the cooldown; and Busy if somebody else is at it.
func (l *Ledger) RaiseAlert(ctx context.Context, a pipeline.AlertClaim) (pipeline.AlertTicket, error) {
	key := alertKey(a.LoadBalancer, a.Rule)
	token := l.token()
	takenOver := false
	for round := 1; ; round++ {
		r, etag, err := get[alertRecord](ctx, l.store, key)
		missing := errors.Is(err, ErrNotFound)
		if err != nil && !missing {
			return pipeline.AlertTicket{}, fmt.Errorf("alert state: %w", err)
		}
		if !missing && r.Token == token { // our own write, whose answer was lost
			return l.alertTicket(key, etag, r, takenOver), nil
		}
		if !missing {
			switch l.verdict(r, a) {
			case suppressed:
				return pipeline.AlertTicket{State: pipeline.Published}, nil
			case elsewhere:
				return pipeline.AlertTicket{State: pipeline.Busy}, nil
			}
		}
		takenOver = r.State == pending && !r.Lease.IsZero() // else it was released
		next := r
		next.State, next.Owner, next.Token, next.Lease = pending, a.Owner, token, l.lease(a.Lease)
		next.Pending = &alertedWindow{a.End.UTC(), a.Failed}
		newETag, err := l.putAlert(ctx, key, next, etag, missing)
		switch {
		case err == nil:
			return l.alertTicket(key, newETag, next, takenOver), nil
		case !lostRace(err) || round == maxRounds:
			return pipeline.AlertTicket{}, fmt.Errorf("alert state: %w", err)
		}
	}
}

func (l *Ledger) putAlert(ctx context.Context, key string, r alertRecord, etag string, create bool) (string, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encoding an alert's record: %w", err)
	}
	if create {
		return l.store.Create(ctx, key, body)
	}
	return l.store.Replace(ctx, key, body, etag)
}

// What an alert's record says to a new alert.
type verdict int

const (
	free       verdict = iota // alert
	suppressed                // the window was alerted, or the cooldown lasts
	elsewhere                 // somebody else is about to alert
)

func (l *Ledger) verdict(r alertRecord, a pipeline.AlertClaim) verdict {
	if l.suppresses(r, a) {
		return suppressed
	}
	if r.State == pending && !owns(r.Owner, a.Owner, a.Batch) && !l.over(r.Lease) {
		return elsewhere
	}
	return free
}

// suppresses reports whether the alerts that were sent make this one needless.
// A pending one does not count: it may never be sent, and its own event comes
// back to it.
func (l *Ledger) suppresses(r alertRecord, a pipeline.AlertClaim) bool {
	// A window that was alerted, or overlaps such a one, is worth another alert
	// only if it has grown since. During the cooldown, any must have grown from
	// the last alert, whatever that was about.
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

func grown(a pipeline.AlertClaim, since alertedWindow) bool {
	return float64(a.Failed) >= a.Growth*float64(since.Failed)
}

func (l *Ledger) alertTicket(key, etag string, r alertRecord, takenOver bool) pipeline.AlertTicket {
	return pipeline.AlertTicket{
		State: pipeline.Claimed, TakenOver: takenOver,
		Commit: func(ctx context.Context) error {
			done := r
			done.State, done.Sent, done.Pending = sent, l.now().UTC(), nil
			done.Alerted = append(slices.Clone(r.Alerted), *r.Pending)
			done.Alerted = done.Alerted[max(0, len(done.Alerted)-maxAlerted):]
			return l.endAlert(ctx, key, etag, r.Token, done)
		},
		Release: func(ctx context.Context) error {
			freed := r
			freed.Lease = time.Time{}
			return l.endAlert(ctx, key, etag, r.Token, freed)
		},
	}
}

// endAlert ends a pending alert. That somebody took it over is no error.
func (l *Ledger) endAlert(ctx context.Context, key, etag, token string, r alertRecord) error {
	for round := 1; ; round++ {
		_, err := l.putAlert(ctx, key, r, etag, false)
		if !lostRace(err) || round == maxRounds {
			if err != nil {
				return fmt.Errorf("alert state: %w", err)
			}
			return nil
		}
		now, newETag, err := get[alertRecord](ctx, l.store, key)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("alert state: %w", err)
		case now.Token != token || now.State == r.State && now.Lease.Equal(r.Lease):
			return nil
		}
		etag = newETag
	}
}
