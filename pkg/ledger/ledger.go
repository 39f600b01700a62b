// Package ledger remembers across invocations which log objects were published,
// what they add up to, and which alerts were sent.
//
// Each record is one object in a [Store], created if absent and then changed by
// compare-and-swap. The code never deletes: records expire.
//
//	v1/periods/LB/PERIOD-END/OBJECT-ID   one log object: claimed, then published
//	v1/alerts/LB/RULE                    the last alert of a rule: pending, then sent
//	v1/clients/LB/HOUR                   the Client dimension values in use
//
// docs/ledger.md says what is guaranteed, why, and what it costs.
package ledger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/posture"
)

// Skew is the largest difference between the clocks of two functions. A lease is
// over only when it has been over for this long.
const Skew = 2 * time.Minute

// DefaultLease is the lease of an owner without a deadline: the longest that a
// Lambda invocation can take.
const DefaultLease = 15 * time.Minute

// A Ledger decides who publishes a log object and who sends an alert. It may be
// used by several goroutines at once.
type Ledger struct {
	store Store
	now   func() time.Time
	token func() string
}

// Options of a Ledger.
type Options struct {
	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
	Random func() float64 // from 0 to 1, for pauses between attempts; math/rand if nil
	Token  func() string  // returns a unique text; random if nil
}

// New returns a Ledger that keeps its records in a store.
func New(s Store, o Options) *Ledger {
	if o.Random == nil {
		o.Random = mathrand.Float64
	}
	if o.Token == nil {
		o.Token = rand.Text
	}
	return &Ledger{store: retrying{s, o.Sleep, o.Random}, now: o.Now, token: o.Token}
}

// A Claim asks to publish a log object.
type Claim struct {
	Bucket, Key, ETag string // as the object was opened
	LoadBalancer      string
	PeriodEnd         time.Time

	Owner string    // the event, the same over all attempts; "" if it has no identity
	Batch []string  // the other events of this invocation; claims of their earlier attempts are taken over
	Lease time.Time // until when the claim holds; zero for DefaultLease from now

	Window  alert.Window // the input for rules
	Posture posture.Posture
}

// A State is the result of a claim.
type State int

const (
	Claimed    State = iota // by the caller, who must go on
	Published               // already: nothing is left to do
	Busy                    // another event has a live claim, and may never finish: try again later
	Suppressed              // an alert that the ones before make unnecessary
)

// A Ticket answers a Claim. If it is Claimed, the caller publishes the object and
// then calls Commit; or Release, if it certainly published nothing.
type Ticket struct {
	State     State
	TakenOver bool      // from an interrupted attempt: the data may be published a second time
	Until     time.Time // if Busy: when the other event's claim ends, should it have died

	key, etag string
	record    objectRecord
}

// An objectRecord is the record of a log object.
type objectRecord struct {
	ownership
	Window  alert.Window     `json:"window"`
	Posture *posture.Posture `json:"posture,omitempty"` // nil in records of early versions
}

// An ownership is the part of an objectRecord that decides about claims.
type ownership struct {
	State     string    `json:"state"`
	Released  bool      `json:"released,omitempty"` // claimed, but nothing was published
	Object    string    `json:"object"`             // its S3 URI, for people
	Owner     string    `json:"owner"`
	Token     string    `json:"token"` // of the owner's attempt
	Lease     time.Time `json:"lease"`
	TakenOver int       `json:"takenOver,omitempty"` // how often
}

// States of an objectRecord.
const (
	claimed   = "claimed"
	published = "published"
)

// Claim makes c.Owner the one to publish an object, or says why it is not.
func (l *Ledger) Claim(ctx context.Context, c Claim) (Ticket, error) {
	key := c.recordKey().String()
	mine := objectRecord{
		ownership: ownership{
			State: claimed, Object: "s3://" + c.Bucket + "/" + c.Key, Owner: c.Owner, Token: l.token(), Lease: l.lease(c.Lease),
		},
		Window: c.Window, Posture: &c.Posture,
	}
	etag, err := l.create(ctx, key, mine)
	for round := 1; lostRace(err) && round < maxRounds; round++ {
		var theirs ownership
		theirs, etag, err = get[ownership](ctx, l.store, key)
		switch {
		case errors.Is(err, ErrNotFound):
			etag, err = l.create(ctx, key, mine)
		case err != nil:
			return Ticket{}, fmt.Errorf("claim: %w", err)
		case theirs.Token == mine.Token: // our own write, whose reply was lost
			mine.ownership = theirs
		case theirs.State == published:
			return Ticket{State: Published}, nil
		case !theirs.Released && !owns(theirs.Owner, c.Owner, c.Batch) && !l.over(theirs.Lease):
			return Ticket{State: Busy, Until: theirs.Lease.Add(Skew)}, nil
		default:
			mine.TakenOver = theirs.TakenOver
			if !theirs.Released {
				mine.TakenOver++
			}
			etag, err = l.replace(ctx, key, mine, etag)
		}
	}
	if err != nil {
		return Ticket{}, fmt.Errorf("claim: %w", err)
	}
	return Ticket{State: Claimed, TakenOver: mine.TakenOver > 0, key: key, etag: etag, record: mine}, nil
}

// Release gives a claim back: any event may claim the object. If the record was
// changed meanwhile, there is nothing to give back.
func (l *Ledger) Release(ctx context.Context, t Ticket) error {
	t.record.Released = true
	if _, err := l.replace(ctx, t.key, t.record, t.etag); err != nil && !lostRace(err) {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// Commit records that the object is published. If another event took the claim
// over meanwhile, that is no error: it counts what it does.
func (l *Ledger) Commit(ctx context.Context, t Ticket) error {
	t.record.State = published
	_, err := l.replace(ctx, t.key, t.record, t.etag)
	for round := 1; lostRace(err) && round < maxRounds; round++ {
		var theirs ownership
		var etag string
		theirs, etag, err = get[ownership](ctx, l.store, t.key)
		switch {
		case errors.Is(err, ErrNotFound): // it expired, or somebody deleted it
			_, err = l.create(ctx, t.key, t.record)
		case err != nil:
		case theirs.State == published || theirs.Token != t.record.Token:
			return nil
		default: // still our claim, under another ETag
			_, err = l.replace(ctx, t.key, t.record, etag)
		}
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Records lists the records of a load balancer's periods that end after from,
// and at until at the latest, in the order of the periods.
func (l *Ledger) Records(ctx context.Context, lb string, from, until time.Time) ([]Record, error) {
	return records(ctx, l.store, lb, from, until)
}

// Window returns the input for rules of a record.
func (l *Ledger) Window(ctx context.Context, key string) (alert.Window, error) {
	return window(ctx, l.store, key)
}

func (l *Ledger) create(ctx context.Context, key string, r objectRecord) (string, error) {
	body, err := r.encode()
	if err != nil {
		return "", err
	}
	return l.store.Create(ctx, key, body)
}

func (l *Ledger) replace(ctx context.Context, key string, r objectRecord, etag string) (string, error) {
	body, err := r.encode()
	if err != nil {
		return "", err
	}
	return l.store.Replace(ctx, key, body, etag)
}

func (r objectRecord) encode() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	return levelOf(r.Window.Failed).pad(body), nil
}

// owns reports whether the holder of a record is the caller, or another event of
// the caller's batch. Then the attempt that wrote the record is over, since an
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

// get reads a record, or those members of it that T has.
func get[T any](ctx context.Context, s getter, key string) (T, string, error) {
	var r T
	body, etag, err := s.Get(ctx, key)
	if err != nil {
		return r, "", err
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, "", fmt.Errorf("%s is not a record of tlswatch: %w", key, err)
	}
	return r, etag, nil
}
