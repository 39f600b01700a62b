// Package ledger remembers across invocations, in an S3 bucket of its own,
// which log objects were published, what they add up to, and what was alerted.
//
// S3's conditional writes are all it needs: every record is one object that is
// created if absent and then changed by compare-and-swap. Nothing deletes;
// records expire by the bucket's lifecycle.
//
//	v1/periods/LB/PERIOD-END/OBJECT-ID   one log object: claimed, then published
//	v1/alerts/LB/RULE                    the last alert of a rule: pending, then sent
//	v1/clients/LB/HOUR                   the Client dimension values in use
//
// docs/ledger.md says what is guaranteed, why it holds, and what it costs.
package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/pipeline"
)

const (
	periodsPrefix = "v1/periods/"
	alertsPrefix  = "v1/alerts/"
	clientsPrefix = "v1/clients/"

	periodTime = "20060102T1504Z"
	hourTime   = "20060102T15Z"
)

// Skew is how far the clocks of two functions may be apart: a lease counts as
// over only when it is over by this much.
const Skew = 2 * time.Minute

// DefaultLease is the lease of an owner without a deadline: the longest that a
// Lambda invocation can take.
const DefaultLease = 15 * time.Minute

// Ledger implements [pipeline.Ledger].
type Ledger struct {
	store Store
	now   func() time.Time
	token func() string
}

var _ pipeline.Ledger = (*Ledger)(nil)

// Options of a Ledger; all but the clock have defaults.
type Options struct {
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error // default pipeline.Sleep
	Random func() float64                             // from 0 to 1, for the pauses between tries
	Token  func() string                              // makes a text that nobody else makes
}

// New returns a Ledger over a store.
func New(s Store, o Options) *Ledger {
	if o.Sleep == nil {
		o.Sleep = pipeline.Sleep
	}
	if o.Random == nil {
		o.Random = mathrand.Float64
	}
	if o.Token == nil {
		o.Token = rand.Text
	}
	return &Ledger{store: unconflicted{s, o.Sleep, o.Random}, now: o.Now, token: o.Token}
}

// A record is what is kept of one log object.
type record struct {
	State     string          `json:"state"`
	Released  bool            `json:"released,omitempty"` // claimed, but nothing was sent
	Object    string          `json:"object"`             // s3://BUCKET/KEY, for people
	Owner     string          `json:"owner"`
	Token     string          `json:"token"` // of the owner's attempt
	Lease     time.Time       `json:"lease"`
	TakenOver int             `json:"takenOver,omitempty"` // how often
	Window    json.RawMessage `json:"window"`              // what the object adds up to
	Posture   json.RawMessage `json:"posture,omitempty"`   // what it tells of the TLS in use
}

// States of a record.
const (
	claimed   = "claimed"
	published = "published"
)

// objectID identifies a version of a log object however it was announced.
func objectID(o pipeline.Object) string {
	sum := sha256.Sum256([]byte(o.Bucket + "\n" + o.Key + "\n" + o.ETag))
	return hex.EncodeToString(sum[:16])
}

func periodKey(lb string, end time.Time) string {
	return periodsPrefix + lb + "/" + end.UTC().Format(periodTime) + "/"
}

// Claim makes c.Owner the one to publish an object, or says why it is not.
func (l *Ledger) Claim(ctx context.Context, c pipeline.Claim) (pipeline.Ticket, error) {
	key := periodKey(c.LoadBalancer, c.PeriodEnd) + objectID(c.Object)
	mine := record{
		State: claimed, Object: c.Object.URI(), Owner: c.Owner, Token: l.token(),
		Lease: l.lease(c.Lease), Window: c.Window, Posture: c.Posture,
	}
	etag, err := l.create(ctx, key, mine, c.Failed)
	for round := 1; lostRace(err) && round < maxRounds; round++ {
		var theirs record
		theirs, etag, err = get[record](ctx, l.store, key)
		switch {
		case errors.Is(err, ErrNotFound):
			etag, err = l.create(ctx, key, mine, c.Failed)
			continue
		case err != nil:
			return pipeline.Ticket{}, fmt.Errorf("claim: %w", err)
		case theirs.Token == mine.Token: // our own write, whose answer was lost
			mine = theirs
		case theirs.State == published:
			return pipeline.Ticket{State: pipeline.Published}, nil
		case !theirs.Released && !owns(theirs.Owner, c.Owner, c.Batch) && !l.over(theirs.Lease):
			return pipeline.Ticket{State: pipeline.Busy}, nil
		default:
			mine.TakenOver = theirs.TakenOver
			if !theirs.Released {
				mine.TakenOver++
			}
			etag, err = l.replace(ctx, key, mine, c.Failed, etag)
			continue
		}
	}
	if err != nil {
		return pipeline.Ticket{}, fmt.Errorf("claim: %w", err)
	}
	return pipeline.Ticket{
		State: pipeline.Claimed, TakenOver: mine.TakenOver > 0,
		Commit:  func(ctx context.Context) error { return l.commit(ctx, key, etag, mine, c.Failed) },
		Release: func(ctx context.Context) error { return l.release(ctx, key, etag, mine, c.Failed) },
	}, nil
}

// release gives the claim back. If the record was changed, there is nothing to
// give back.
func (l *Ledger) release(ctx context.Context, key, etag string, mine record, failed uint64) error {
	mine.Released = true
	if _, err := l.replace(ctx, key, mine, failed, etag); err != nil && !lostRace(err) {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// commit marks the object as published. That somebody has taken the claim over
// in the meantime is no error: the taker counts what it does.
func (l *Ledger) commit(ctx context.Context, key, etag string, mine record, failed uint64) error {
	mine.State = published
	_, err := l.replace(ctx, key, mine, failed, etag)
	for round := 1; lostRace(err) && round < maxRounds; round++ {
		var theirs record
		theirs, etag, err = get[record](ctx, l.store, key)
		switch {
		case errors.Is(err, ErrNotFound): // expired, or deleted by hand
			_, err = l.create(ctx, key, mine, failed)
		case err != nil:
		case theirs.State == published || theirs.Token != mine.Token:
			return nil
		default: // still our claim, under another ETag
			_, err = l.replace(ctx, key, mine, failed, etag)
		}
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (l *Ledger) create(ctx context.Context, key string, r record, failed uint64) (string, error) {
	body, err := encode(r, failed)
	if err != nil {
		return "", err
	}
	return l.store.Create(ctx, key, body)
}

func (l *Ledger) replace(ctx context.Context, key string, r record, failed uint64, etag string) (string, error) {
	body, err := encode(r, failed)
	if err != nil {
		return "", err
	}
	return l.store.Replace(ctx, key, body, etag)
}

// owns reports whether the holder of a record is the caller, or another event of
// the caller's batch: then the attempt that wrote the record is over, since an
// event has one attempt at a time. An owner without a name never matches.
func owns(holder, caller string, batch []string) bool {
	return holder != "" && (holder == caller || slices.Contains(batch, holder))
}

func (l *Ledger) lease(until time.Time) time.Time {
	if until.IsZero() {
		until = l.now().Add(DefaultLease)
	}
	return until.UTC()
}

func (l *Ledger) over(lease time.Time) bool { return l.now().After(lease.Add(Skew)) }

// get reads a record of any kind.
func get[T any](ctx context.Context, s Store, key string) (T, string, error) {
	var r T
	body, etag, err := s.Get(ctx, key)
	if err != nil {
		return r, "", err
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, "", fmt.Errorf("%s is no record of tlswatch: %w", key, err)
	}
	return r, etag, nil
}

// encode makes the body of a record: JSON, and as much white space behind it
// that the size tells how many failures the object has at the most. So a list
// of a window's records says whether it is worth reading them.
func encode(r record, failed uint64) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	size := len(body)/levels*levels + level(failed)
	if size < len(body) {
		size += levels
	}
	return append(body, strings.Repeat(" ", size-len(body))...), nil
}
