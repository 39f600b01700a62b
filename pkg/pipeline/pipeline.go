// Package pipeline is the order of work for log objects: open, read to the end,
// count, claim, publish metrics, commit, alert. It names what it needs from AWS in
// small interfaces, so that the function and its tests run the same steps.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/secpolicy"
)

// A Source opens log objects. It returns the object that it opened, with its key
// and ETag. The error of Open is or wraps [ErrGone] or [ErrReplaced] in these
// cases.
type Source interface {
	Open(context.Context, Object) (Object, io.ReadCloser, error)
}

// Reasons why an announced object can no longer be read. Retrying cannot help.
var (
	ErrGone     = errors.New("object is gone")
	ErrReplaced = errors.New("object was replaced; its own event follows")
)

// ErrNothingSent means that a MetricSink or AlertSink certainly published
// nothing.
var ErrNothingSent = errors.New("nothing was published")

// A MetricSink publishes metric data. It may have published a part of them
// when it fails, unless the error is [ErrNothingSent].
type MetricSink interface {
	Put(context.Context, []metric.Datum) error
}

// An AlertSink publishes alerts. It may have published one when it fails, unless
// the error is [ErrNothingSent]. If it succeeds, twice reports whether it may have
// published the alert more than once.
type AlertSink interface {
	Publish(context.Context, notice.Message) (twice bool, err error)
}

// A Pipeline processes log objects. Its fields must not be changed while it is in
// use. It may be used by several goroutines at once.
type Pipeline struct {
	Source  Source
	Metrics MetricSink
	Alerts  AlertSink // nil: alerts are evaluated and reported, not sent

	// Ledger remembers what earlier invocations did. If it is nil, a duplicate
	// event counts twice, rules evaluate one object at a time without a cooldown,
	// and ClientBudget does not apply.
	Ledger *ledger.Ledger

	// Policies finds the security policies of listeners for alerts. It is asked
	// only when there is an alert; nil: they are unknown.
	Policies PolicySource

	// KnownPolicies are the security policies that explain failures; nil for the
	// built-in ones.
	KnownPolicies *secpolicy.Set

	MetricOptions  metric.Options
	ClientBudget   int          // values of the dimension Client for a load balancer and hour
	IPv6Prefix     int          // see rollup.Options
	ObjectLimit    int64        // bytes of an object after decompression; see connlog.Limit
	PublishClients bool         // whether alerts name client addresses
	ReportClients  bool         // whether reports do: see Report.Failing
	Rules          []alert.Rule // evaluated for every object, or window

	// Readers is the number of objects that are read at the same time, each by a
	// goroutine and into memory. 0 means 1. Everything else is done in the order of
	// the objects.
	Readers int

	// Patience is how long a Run waits, in all, for other events' claims and pending
	// alerts. When it is used up, objects that meet one fail with ErrInProgress.
	Patience time.Duration

	// Margin is the time between the deadline of the context and the end of the
	// process. A step that has begun may take three quarters of it to end.
	Margin time.Duration

	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error

	readers sync.Pool // of *connlog.Reader, to use their buffers again
}

// A Job is an object to process, and the event that announced it. Events have
// the same name over all attempts, where the trigger gives them one.
type Job struct {
	Object Object
	Owner  string
}

// A Report says what became of an object.
type Report struct {
	Object  Object
	Key     logkey.Key
	Err     error  // the whole object must be retried
	Skipped string // why the object was skipped; "" if it was not

	// Duplicate says why the object is a duplicate: it was "published" before,
	// or is already "in this batch".
	Duplicate string

	Attempts       int                 // times the object was opened
	Bytes          int64               // after decompression
	Lines          uint64              // entries and invalid lines
	Malformed      uint64              // invalid lines
	FirstMalformed *connlog.ParseError // the first of them
	Counts         rollup.Counts       // TLS connections
	Plaintext      uint64              // connections without TLS
	Stale          metric.Stale        // connections that are too old or too new for CloudWatch
	TakenOver      bool                // from an interrupted attempt: the data may count twice
	Data           int                 // metric data published about the load balancer
	Alerts         int                 // alerts sent, or found if there is no AlertSink
	Suppressed     int                 // alerts suppressed by earlier ones
	AlertTakenOver bool                // an alert may have been sent twice
	PolicyErr      error               // why an alert does not name the policies of listeners; fails nothing
	Failing        []FailingClient     // most failures first; empty for a duplicate, whose first report has them
	Reading        time.Duration
	Publishing     time.Duration // of all objects that were published together
}

// Errors of Report.Err.
var (
	// ErrNotBegun fails an object for which no time was left.
	ErrNotBegun = errors.New("not begun: too little time before the deadline")

	// ErrInProgress fails an object that another event claims, or whose alert
	// another event is about to send. That event may never finish, so this one
	// must come again.
	ErrInProgress = errors.New("another event is at work on this object or its alert")
)

// inProgress is ErrInProgress with the time after which the object can be retried even
// if the other event died.
func inProgress(until time.Time) error {
	return fmt.Errorf("%w; if that died, retry after %s", ErrInProgress, until.UTC().Add(time.Second).Format(time.RFC3339))
}

// Run processes objects and returns a report for each, in their order. Each is
// read to its end and claimed before any of it is published; nothing is published
// of one that cannot be read completely. The metrics of all are sent in as few
// requests as possible; the objects in a request share its result.
//
// If an error comes after metrics were published, publishing them again counts
// them twice, because CloudWatch adds up everything it receives.
func (p *Pipeline) Run(ctx context.Context, jobs ...Job) []Report {
	reports := make([]Report, 0, len(jobs))
	shared := &invocation{owners: owners(jobs), claimed: make(map[Object]*task), patience: p.Patience}
	for some := range slices.Chunk(jobs, maxClaimed) {
		for _, t := range p.run(ctx, some, shared) {
			reports = append(reports, t.report())
		}
	}
	return reports
}

// owners returns the owners of jobs, each once: a claim looks them through, and one
// event may name tens of thousands of objects.
func owners(jobs []Job) []string {
	list := make([]string, len(jobs))
	for i, j := range jobs {
		list[i] = j.Owner
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// maxClaimed limits the objects that are claimed and not yet published: their
// data are in memory, and all of them are uncertain if the process crashes.
const maxClaimed = 100

// An invocation is what the objects of one Run share.
type invocation struct {
	owners   []string         // of all jobs, each once
	claimed  map[Object]*task // by the version of the object
	pace     pace
	patience time.Duration // that is left
}

// A task is an object with the results of the stages that it has passed.
type task struct {
	job       Job
	reading   reading
	claim     claim
	published publication
	alerts    alerts
	first     *task // of a duplicate in this batch, the one that was claimed
}

// err is the error of the stage that ended the task.
func (t *task) err() error {
	switch {
	case t.reading.err != nil:
		return t.reading.err
	case t.claim.err != nil:
		return t.claim.err
	case t.published.err != nil:
		return t.published.err
	case t.first != nil && t.first.published.err != nil:
		return t.first.published.err
	}
	return t.alerts.err
}

func (t *task) report() Report {
	return Report{
		Object: t.reading.object, Key: t.reading.key, Err: t.err(), Skipped: t.reading.skipped, Duplicate: t.claim.duplicate,
		Attempts: t.reading.attempts, Bytes: t.reading.bytes, FirstMalformed: t.reading.firstMalformed, Reading: t.reading.took,
		Lines: t.reading.lines, Malformed: t.reading.malformed, Counts: t.reading.counts, Plaintext: t.reading.plaintext,
		Stale: t.claim.stale, TakenOver: t.claim.ticket.TakenOver, Failing: t.claim.failing,
		Data: t.published.data, Publishing: t.published.took,
		Alerts: t.alerts.sent, Suppressed: t.alerts.suppressed, AlertTakenOver: t.alerts.maybeTwice, PolicyErr: t.alerts.policyErr,
	}
}

// run is Run for some of the objects, after those that were claimed before.
func (p *Pipeline) run(ctx context.Context, jobs []Job, shared *invocation) []*task {
	tasks := make([]*task, len(jobs))
	var begun []<-chan reading
	for i, job := range jobs {
		for len(begun) < min(i+max(p.Readers, 1), len(jobs)) {
			begun = append(begun, p.begin(ctx, jobs[len(begun)].Object, shared.pace))
		}
		t := &task{job: job, reading: <-begun[i]}
		start := p.Now()
		p.claimTask(ctx, t, shared)
		tasks[i] = t
		shared.pace.add(t.reading.took+p.Now().Sub(start), t.claim.took)
	}
	p.publishTasks(ctx, tasks)
	p.claimBusy(ctx, tasks, shared)
	p.alert(ctx, tasks, shared)
	shared.pace.claims = 0
	for _, t := range tasks {
		t.claim.data, t.reading.summary = nil, nil
	}
	return tasks
}

// A pace is how long the objects of a Run took so far.
type pace struct {
	slowest time.Duration // to read and claim one
	claims  time.Duration // of those that are not yet published, in all
}

func (p *pace) add(object, claim time.Duration) {
	p.slowest = max(p.slowest, object)
	p.claims += claim
}

// tooSlow reports whether one more object might leave too little time to publish
// those that are claimed: a request takes as long as the slowest object, and the
// commits as long as the claims.
func (p pace) tooSlow(ctx context.Context, now time.Time) bool {
	deadline, ok := ctx.Deadline()
	return ok && p.slowest > 0 && deadline.Sub(now) < 2*p.slowest+p.claims
}

// finish runs a step that should not be interrupted: after the deadline, it may go
// on for that many quarters of the margin.
func (p *Pipeline) finish(ctx context.Context, quarters time.Duration, step func(context.Context) error) error {
	last, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(quarters*p.Margin/4, func() { cancel(context.Cause(ctx)) })
	})
	defer stop()
	return step(last)
}

// Sleep waits for d, or until the context is done, and then returns its error.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
