// Package pipeline is the order of work for log objects: open, read to the
// end, count, claim, publish metrics, commit, alert. What it needs from AWS it
// names in small interfaces, so that the function, the command line and tests
// run the same line of work.
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
	"tlswatch/pkg/metric"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/secpolicy"
)

// A Source opens log objects. It returns what it opened, with the key and ETag
// that the object has. The error of Open is or wraps [ErrGone] or
// [ErrReplaced] where that is what happened.
type Source interface {
	Open(context.Context, Object) (Object, io.ReadCloser, error)
}

// Reasons why an announced object cannot be read any more. Neither is a fault
// that trying again would mend.
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

// A Pipeline processes log objects. Its fields must not be changed once it is
// in use; it may then be used by several goroutines at once.
type Pipeline struct {
	Source  Source
	Metrics MetricSink
	Alerts  AlertSink // nil: alerts are evaluated and reported, not sent

	// Ledger is the memory over invocations. Without it, nil, an object that
	// is announced twice counts twice, rules look at one object at a time and
	// know no cooldown, and ClientBudget is not observed.
	Ledger *ledger.Ledger

	// Policies names the security policies of listeners for alerts. It is
	// asked only when there is something to alert; nil: they are not known.
	Policies PolicySource

	// KnownPolicies are the security policies that failures are judged by; nil
	// for those that are compiled in.
	KnownPolicies *secpolicy.Set

	MetricOptions  metric.Options
	ClientBudget   int          // values of the dimension Client for a load balancer and hour
	IPv6Prefix     int          // see rollup.Options
	ObjectLimit    int64        // bytes of an object after decompression; see connlog.Limit
	PublishClients bool         // whether alerts name client addresses
	ReportClients  bool         // whether reports do: see Report.Failing
	Rules          []alert.Rule // evaluated for every object, or window

	// Readers is how many objects of a Run are read at the same time, each by
	// a goroutine, in memory for as many. 0 means 1. All else goes by the order
	// of the objects.
	Readers int

	// Patience is how long a Run waits, in all, for alerts that other events
	// are about to send. When it is used up, objects that meet such an alert
	// fail with ErrInProgress.
	Patience time.Duration

	// Margin is the time between the deadline of the context and the end of
	// the process. What was begun may take three quarters of it to end.
	Margin time.Duration

	Now   func() time.Time // the clock
	Sleep func(context.Context, time.Duration) error

	readers sync.Pool // of *connlog.Reader, whose buffers are worth keeping
}

// A Job is an object to process, and the event that announced it. Events have
// the same name over all attempts, where the trigger gives them one.
type Job struct {
	Object Object
	Owner  string
}

// A Report tells what became of an object.
type Report struct {
	Object  Object
	Key     connlog.ObjectKey
	Err     error  // the object is to be tried again, as a whole
	Skipped string // why the object was passed over; "" if it was not

	// Duplicate says why the object is a duplicate: it was "published" before,
	// or is already "in this batch".
	Duplicate string

	Attempts       int                 // times the object was opened
	Bytes          int64               // after decompression
	Lines          uint64              // entries and malformed lines
	Malformed      uint64              // lines that are no entries
	FirstMalformed *connlog.ParseError // the first of them
	Counts         rollup.Counts       // TLS connections
	Plaintext      uint64              // connections without TLS
	Stale          metric.Stale        // connections that CloudWatch takes no data of any more, or yet
	TakenOver      bool                // from an attempt that ended half-way: its data may count twice
	Data           int                 // metric data published about the load balancer
	Alerts         int                 // alerts raised
	Suppressed     int                 // alerts not raised, for one was sent not long ago
	AlertTakenOver bool                // an alert that may have been sent before
	PolicyErr      error               // why an alert does not name the policies of listeners; fails nothing
	Failing        []FailingClient     // most failures first; empty for a duplicate, whose first report has them
	Reading        time.Duration
	Publishing     time.Duration // of all objects that were published together
}

// Reasons of Report.Skipped that do not come from the object's key.
const (
	SkippedGone     = "gone before it was read"
	SkippedReplaced = "replaced before it was read; its own event follows"
	SkippedEmpty    = "empty"
	SkippedNameless = "neither the key nor an entry names the load balancer: add elb to the record fields of the log delivery"
)

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

// Process is Run for one object without an owner.
func (p *Pipeline) Process(ctx context.Context, o Object) (Report, error) {
	r := p.Run(ctx, Job{Object: o})[0]
	return r, r.Err
}

// Run processes objects and returns a report for each, in their order. Each is
// read to its end and claimed before anything of it is published, and nothing
// is published of one that cannot be read in full. The metrics of all are sent
// in as few requests as they fit in; the outcome of a request is that of the
// objects in it.
//
// If an error comes after metrics were published, their next publication
// counts twice: CloudWatch adds up whatever it is sent.
func (p *Pipeline) Run(ctx context.Context, jobs ...Job) []Report {
	reports := make([]Report, 0, len(jobs))
	shared := &invocation{taken: make(map[Object]*task), patience: p.Patience}
	for _, j := range jobs {
		shared.owners = append(shared.owners, j.Owner)
	}
	for some := range slices.Chunk(jobs, maxTaken) {
		reports = append(reports, p.run(ctx, some, shared)...)
	}
	return reports
}

// An invocation is what the objects of one Run share.
type invocation struct {
	owners   []string         // of all jobs
	taken    map[Object]*task // the objects claimed so far
	needed   pace
	patience time.Duration // that is left
}

// maxTaken bounds the objects that are claimed and not yet published: their
// data are in memory, and all of them are in doubt if the process dies.
const maxTaken = 100

// run is Run for a few of the objects, after those that were taken before.
func (p *Pipeline) run(ctx context.Context, jobs []Job, shared *invocation) []Report {
	reports := make([]Report, len(jobs))
	var tasks []*task
	var begun []*task // of which those from i on are being read, or not begun
	for i := range jobs {
		for len(begun) < min(i+max(p.Readers, 1), len(jobs)) {
			n := len(begun)
			t := &task{invocation: shared, job: jobs[n], Report: &reports[n]}
			t.Object = jobs[n].Object
			if ctx.Err() != nil || shared.needed.tooSlow(ctx, p.Now()) {
				t.Err = ErrNotBegun
			} else {
				p.begin(ctx, t)
			}
			begun = append(begun, t)
		}
		t := begun[i]
		if t.Err != nil {
			continue
		}
		s, err := t.reading()
		start := p.Now()
		if t.Err = p.take(ctx, t, s, err); t.Err == nil {
			tasks = append(tasks, t)
		}
		shared.needed.slowest = max(shared.needed.slowest, t.Reading+p.Now().Sub(start))
		shared.needed.claims += t.claiming
	}
	for _, b := range batches(tasks) {
		p.publish(ctx, b)
	}
	for _, t := range tasks {
		if t.Err == nil && t.twin != nil {
			t.Err = t.twin.Err
		}
	}
	p.alert(ctx, tasks)
	for _, t := range tasks {
		t.data, t.reading = nil, nil
	}
	shared.needed.claims = 0
	return reports
}

// A pace is how long the objects of a Run took so far.
type pace struct {
	slowest time.Duration // to take one
	claims  time.Duration // to claim all of them
}

// tooSlow reports whether taking one more object might leave too little time to
// publish those that were taken, which then had all been for nothing: as much
// for a request as for the slowest object, and for the commits as for the
// claims.
func (p pace) tooSlow(ctx context.Context, now time.Time) bool {
	deadline, ok := ctx.Deadline()
	return ok && p.slowest > 0 && deadline.Sub(now) < 2*p.slowest+p.claims
}

// A task is the work on one object. Its Err ends it.
type task struct {
	*Report
	*invocation
	job       Job
	reading   func() (*rollup.Summary, error) // waits for the object to be read
	ticket    ledger.Ticket
	claiming  time.Duration
	twin      *task        // the one that claimed the same object
	window    alert.Window // zero for a skipped object
	posture   posture.Posture
	data      []metric.Datum
	processor metric.Processor
}

// begin reads the object of t, in a goroutine of its own if several are read at
// the same time.
func (p *Pipeline) begin(ctx context.Context, t *task) {
	read := func() (*rollup.Summary, error) {
		start := p.Now()
		s, err := p.read(ctx, t.Report)
		t.Reading = p.Now().Sub(start)
		return s, err
	}
	if p.Readers <= 1 {
		t.reading = read
		return
	}
	var s *rollup.Summary
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, err = read()
	}()
	t.reading = func() (*rollup.Summary, error) {
		<-done
		return s, err
	}
}

// take does what comes between reading and publishing: it claims an object,
// unless it is among those taken.
func (p *Pipeline) take(ctx context.Context, t *task, s *rollup.Summary, err error) error {
	switch {
	case err != nil:
		return err
	case s == nil:
		t.processor.ObjectsSkipped++
		return nil
	}
	t.window = alert.Observe(s, t.Key, t.Object.URI(), p.PublishClients, countedReasons(p.Rules)...)
	t.posture = posture.Observe(s, p.PublishClients)
	version := Object{Bucket: t.Object.Bucket, Key: t.Object.Key, ETag: t.Object.ETag}
	if twin := t.taken[version]; twin != nil && p.Ledger != nil {
		t.twin = twin
		t.Duplicate = "in this batch"
		t.processor.DuplicateObjects++
		return nil
	}
	start := p.Now()
	err = p.claim(ctx, t)
	t.claiming = p.Now().Sub(start)
	if err != nil || t.Duplicate != "" {
		return err
	}
	o := p.MetricOptions
	if o.Only, err = p.clients(ctx, s, t); err != nil {
		return errors.Join(err, p.release(ctx, t))
	}
	if p.ReportClients {
		t.Failing = failingClients(s)
	}
	now := p.Now()
	t.data, t.Stale = metric.Data(s, t.Key.LoadBalancer, now, o)
	t.processor.Processed(t.Key.PeriodEnd, now, s.Malformed)
	t.taken[version] = t
	return nil
}

// claim makes this event the one to publish the object, or finds that it is a
// duplicate.
func (p *Pipeline) claim(ctx context.Context, t *task) error {
	if p.Ledger == nil {
		return nil
	}
	var err error
	t.ticket, err = p.Ledger.Claim(ctx, ledger.Claim{
		Bucket: t.Object.Bucket, Key: t.Object.Key, ETag: t.Object.ETag, LoadBalancer: t.Key.LoadBalancer, PeriodEnd: t.Key.PeriodEnd,
		Owner: t.job.Owner, Batch: t.owners, Lease: p.lease(ctx), Window: t.window, Posture: t.posture,
	})
	switch {
	case err != nil:
		return err
	case t.ticket.State == ledger.Published:
		t.Duplicate = "published"
	case t.ticket.State == ledger.Busy:
		return inProgress(t.ticket.Until)
	case t.ticket.TakenOver:
		t.TakenOver = true
		t.processor.UncertainRepublishes++
	}
	if t.Duplicate != "" {
		t.processor.DuplicateObjects++
	}
	return nil
}

// lease returns until when this process can be at work.
func (p *Pipeline) lease(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return deadline.Add(p.Margin)
}

// clients reserves dimension values for the clients to be named.
func (p *Pipeline) clients(ctx context.Context, s *rollup.Summary, t *task) (*metric.ClientSet, error) {
	wanted := metric.TopClients(s, p.MetricOptions)
	if p.Ledger == nil || len(wanted) == 0 || p.Now().Sub(t.Key.PeriodEnd) > metric.MaxAge {
		return nil, nil
	}
	hour := t.Key.PeriodEnd.Add(-connlog.Period).Truncate(time.Hour)
	granted, err := p.Ledger.Clients(ctx, t.Key.LoadBalancer, hour, wanted, p.ClientBudget)
	if err != nil {
		return nil, err
	}
	t.processor.ClientsOverBudget += len(wanted) - len(granted)
	return &metric.ClientSet{Names: granted, Hour: hour}, nil
}

// publish sends the metrics of a batch and commits its objects.
func (p *Pipeline) publish(ctx context.Context, b batch) {
	start := p.Now()
	sent := true
	err := ctx.Err()
	if err != nil {
		err = fmt.Errorf("out of time before publishing: %w", context.Cause(ctx))
		sent = false
	} else if err = p.finish(ctx, 2, func(ctx context.Context) error {
		return p.Metrics.Put(ctx, slices.Concat(b.data, b.processor.Data(start)))
	}); err != nil {
		sent = !errors.Is(err, ErrNothingSent)
		err = fmt.Errorf("publishing metrics: %w", err)
	}
	for _, t := range b.tasks {
		t.Err = err
		switch {
		case err == nil:
			t.Data = len(t.data)
			if p.Ledger != nil && t.Duplicate == "" && t.Skipped == "" {
				t.Err = p.finish(ctx, 3, func(ctx context.Context) error { return p.Ledger.Commit(ctx, t.ticket) })
			}
		case !sent:
			t.Err = errors.Join(err, p.release(ctx, t))
		}
		t.Publishing = p.Now().Sub(start)
	}
}

// release gives the claim of a task back, of which nothing was sent.
func (p *Pipeline) release(ctx context.Context, t *task) error {
	if p.Ledger == nil || t.Duplicate != "" || t.Skipped != "" {
		return nil
	}
	return p.finish(ctx, 3, func(ctx context.Context) error { return p.Ledger.Release(ctx, t.ticket) })
}

// finish does a step that is better not cut off: it may go on for so many
// quarters of the margin when the context has run out.
func (p *Pipeline) finish(ctx context.Context, quarters time.Duration, step func(context.Context) error) error {
	last, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(quarters*p.Margin/4, func() { cancel(context.Cause(ctx)) })
	})
	defer stop()
	return step(last)
}

// A batch is the tasks whose metrics go into one request.
type batch struct {
	tasks     []*task
	data      []metric.Datum
	processor metric.Processor
}

// batches groups tasks such that each group's data fit one request, as far as
// those of a single task do.
func batches(tasks []*task) []batch {
	var list []batch
	for _, t := range tasks {
		if n := len(list) - 1; n >= 0 {
			last := &list[n]
			processor := last.processor.Plus(t.processor)
			if data := metric.Merge(last.data, t.data); metric.FitOne(slices.Concat(data, processor.Data(time.Time{}))) {
				last.tasks, last.data, last.processor = append(last.tasks, t), data, processor
				continue
			}
		}
		list = append(list, batch{[]*task{t}, t.data, t.processor})
	}
	return list
}

// Sleep waits for d, or until the context is done, which is its error.
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
