package pipeline

import (
	"context"
	"encoding/json"
	"time"
)

// A Ledger remembers across invocations what was published and alerted.
// Package ledger keeps one in S3; see docs/ledger.md for what it guarantees.
type Ledger interface {
	// Claim makes the owner the one to publish a log object.
	Claim(context.Context, Claim) (Ticket, error)

	// Clients reserves values of the dimension Client for a load balancer's
	// hour and returns those of the wanted that may be used.
	Clients(ctx context.Context, loadBalancer string, hour time.Time, wanted []string, budget int) ([]string, error)

	// Records lists the log objects of a load balancer's periods that end
	// after from and at until at the latest.
	Records(ctx context.Context, loadBalancer string, from, until time.Time) ([]LedgerRecord, error)

	// Window returns what the object of a record adds up to, as its Claim had
	// it.
	Window(ctx context.Context, key string) (json.RawMessage, error)

	// MayAlert reports whether RaiseAlert would let any of the alerts through,
	// which have at most so many failures.
	MayAlert(context.Context, ...AlertClaim) (bool, error)

	// RaiseAlert decides who alerts about a window.
	RaiseAlert(context.Context, AlertClaim) (AlertTicket, error)
}

// A Claim is the wish to publish a log object that was read.
type Claim struct {
	Object       Object // as it was opened, with its ETag
	LoadBalancer string
	PeriodEnd    time.Time
	Owner        string          // the event, over all attempts at it
	Batch        []string        // the other events of this invocation: claims that their earlier attempts left are taken over
	Lease        time.Time       // until when the claim holds; zero for the longest that an invocation can take
	Failed       uint64          // failed negotiations in the object
	Window       json.RawMessage // what the object adds up to, for rules
	Posture      json.RawMessage // what it tells of the TLS in use, for those who look later
}

// A TicketState says what became of a claim.
type TicketState int

const (
	Claimed   TicketState = iota // by the caller, who is to go on
	Published                    // already: there is nothing left to do
	Busy                         // somebody else holds a live claim, and may not finish: try again later
)

// A Ticket answers a Claim.
type Ticket struct {
	State     TicketState
	TakenOver bool // from an attempt that ended half-way: what follows may be done a second time

	// Of a claimed ticket, Commit notes that the object is published, and
	// Release that it was not and that nothing was sent: anybody may claim it.
	Commit  func(context.Context) error
	Release func(context.Context) error
}

// A LedgerRecord is what a list tells of a log object.
type LedgerRecord struct {
	Key          string
	PeriodEnd    time.Time
	FailedAtMost uint64 // failed negotiations, rounded up
}

// An AlertClaim is the wish to alert about a window.
type AlertClaim struct {
	LoadBalancer string
	Rule         string
	End          time.Time     // of the window
	Length       time.Duration // of the window
	Failed       uint64
	Cooldown     time.Duration // no alert so soon after another
	Growth       float64       // unless there are so many times the failures
	Owner        string
	Batch        []string // as of a Claim
	Lease        time.Time
}

// An AlertTicket answers an AlertClaim. Published also stands for an alert that
// the cooldown suppresses.
type AlertTicket struct {
	State     TicketState
	TakenOver bool

	Commit  func(context.Context) error // notes that the alert was sent
	Release func(context.Context) error // lets anybody try at once
}
