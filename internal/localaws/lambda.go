package localaws

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// LambdaOptions are the settings of [StartLambda]. Only Bootstrap is required.
type LambdaOptions struct {
	// Bootstrap is the executable of the function, as in a deployment package
	// for an OS-only runtime. Its folder is the working directory and
	// LAMBDA_TASK_ROOT.
	Bootstrap string

	// Env is the function's environment beside what Lambda itself sets; it
	// may override the region and credentials. Nothing else is passed on from
	// the environment of this process but PATH and the place for temporary
	// files.
	Env map[string]string

	Name     string        // of the function; default "function"
	Handler  string        // default "bootstrap"
	Region   string        // default us-east-1
	MemoryMB int           // told to the function, not enforced; default 512
	Timeout  time.Duration // of an invocation; default 3 s as on Lambda

	// InitTimeout is how long the executable may take to ask for its first
	// event; default 10 s as on Lambda.
	InitTimeout time.Duration

	// Concurrency is the number of execution environments, each a process that
	// works on one event at a time; default 1. They are started when needed.
	// Events that find all of them busy wait (Lambda would throttle).
	Concurrency int

	// RetryDelays are the pauses before the second and third attempt at an
	// asynchronous event, of which there may be at most two. Lambda waits 1
	// minute and 2 minutes; the default here is 100 and 200 ms. An empty slice
	// that is not nil means no retries (MaximumRetryAttempts 0).
	RetryDelays []time.Duration

	// ShutdownGrace is the time between SIGTERM and SIGKILL at Close; default
	// 500 ms (2 s on Lambda).
	ShutdownGrace time.Duration

	// Output gets the function's standard output and error in whole lines;
	// default none. All of a process is there when the process has ended.
	Output io.Writer
	Calls  *Calls // counts "lambda:Invoke"; default none
}

// maxRetries is the most that MaximumRetryAttempts can be.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
const maxRetries = 2

// ErrClosed is returned by the methods of a Lambda after Close.
var ErrClosed = errors.New("lambda is closed")

// Lambda runs a real function executable as AWS Lambda does: through the
// Runtime API, with deadlines, retries of asynchronous events and a place for
// those that failed for good.
type Lambda struct {
	o      LambdaOptions
	arn    string
	output *lineWriters
	detach func() bool // from the context of StartLambda
	end    func()      // shutDown, once; whoever comes second waits for the first

	closing chan struct{}
	running sync.WaitGroup // attempts in progress

	mu          sync.Mutex
	closed      bool
	idle        []*slot // a stack: the environment used last is used first
	queue       []*event
	pending     int           // events accepted and not finished, retries to come included
	quiet       chan struct{} // closed when pending falls to 0; nil if it is 0
	invocations []Invocation
	dead        []DeadLetter
	slots       []*slot
	working     map[string]*environment // by the trace id of the attempt that they work on
}

// An event is one accepted request to invoke the function.
type event struct {
	id      string
	payload []byte
	attempt int             // from 1
	async   bool            // else somebody waits on done
	ctx     context.Context // of the waiter
	done    chan Result
}

// A slot is a place for an execution environment. The attempt that took it off
// the idle stack owns it.
type slot struct{ env *environment }

// A FunctionError is a failed invocation.
type FunctionError struct {
	Type    string // "Runtime.ExitError", "Sandbox.Timedout", or the function's own
	Message string
	Payload json.RawMessage // the whole document, for example with a stack trace
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// newFunctionError makes the document that Lambda makes for errors which the
// function does not report itself.
func newFunctionError(kind, requestID, format string, args ...any) *FunctionError {
	e := &FunctionError{Type: kind, Message: "RequestId: " + requestID + " Error: " + fmt.Sprintf(format, args...)}
	payload, err := json.Marshal(map[string]string{"errorType": e.Type, "errorMessage": e.Message})
	if err != nil {
		panic(err) // strings only: cannot happen
	}
	e.Payload = payload
	return e
}

// A Result is what a synchronous caller gets.
type Result struct {
	RequestID string
	Payload   []byte         // of a success
	Error     *FunctionError // nil after success
	Duration  time.Duration
}

// An Invocation is one attempt at one event.
type Invocation struct {
	RequestID string // the same over all attempts at an event
	Attempt   int    // from 1
	TraceID   string // of the attempt: what an SDK in the function sends along as X-Amzn-Trace-Id
	Started   time.Time
	Duration  time.Duration // without the start of the process
	Init      time.Duration // of the process, where this attempt had to start it
	Error     *FunctionError
	Payload   []byte
	Response  []byte

	// Exit says how the process ended, if it did in or after this attempt:
	// "exit status 1", "signal: killed".
	Exit string
}

// A DeadLetter is the record that Lambda sends to an on-failure destination.
//
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
type DeadLetter struct {
	Version         string          `json:"version"`
	Timestamp       string          `json:"timestamp"` // RFC 3339 with milliseconds
	RequestContext  RequestContext  `json:"requestContext"`
	RequestPayload  json.RawMessage `json:"requestPayload"`
	ResponseContext ResponseContext `json:"responseContext"`
	ResponsePayload json.RawMessage `json:"responsePayload"`
}

// RequestContext is the part of a DeadLetter about the event.
type RequestContext struct {
	RequestID              string `json:"requestId"`
	FunctionARN            string `json:"functionArn"`
	Condition              string `json:"condition"` // "RetriesExhausted"
	ApproximateInvokeCount int    `json:"approximateInvokeCount"`
}

// ResponseContext is the part of a DeadLetter about the last attempt.
type ResponseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError"` // "Unhandled"
}

// StartLambda prepares to run a function until Close is called or ctx ends.
// Processes start with the first events; one that cannot start fails its
// event, not StartLambda.
func StartLambda(ctx context.Context, o LambdaOptions) (*Lambda, error) {
	bootstrap, err := filepath.Abs(o.Bootstrap)
	if err != nil {
		return nil, fmt.Errorf("function executable: %w", err)
	}
	info, err := os.Stat(bootstrap)
	switch {
	case err != nil:
		return nil, fmt.Errorf("function executable: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("function executable: %s is not a file", bootstrap)
	case len(o.RetryDelays) > maxRetries:
		return nil, fmt.Errorf("%d retry delays: Lambda retries an event at most %d times", len(o.RetryDelays), maxRetries)
	}
	o.Bootstrap = bootstrap
	o.Name = cmp.Or(o.Name, "function")
	o.Handler = cmp.Or(o.Handler, "bootstrap")
	o.Region = cmp.Or(o.Region, defaultRegion)
	o.MemoryMB = cmp.Or(o.MemoryMB, 512)
	o.Timeout = cmp.Or(o.Timeout, 3*time.Second)
	o.InitTimeout = cmp.Or(o.InitTimeout, 10*time.Second)
	o.Concurrency = max(o.Concurrency, 1)
	o.ShutdownGrace = cmp.Or(o.ShutdownGrace, 500*time.Millisecond)
	if o.RetryDelays == nil {
		o.RetryDelays = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	if o.Calls == nil {
		o.Calls = new(Calls)
	}
	l := &Lambda{
		o:       o,
		arn:     "arn:aws:lambda:" + o.Region + ":" + accountID + ":function:" + o.Name,
		output:  &lineWriters{w: o.Output},
		closing: make(chan struct{}),
		working: make(map[string]*environment),
	}
	for range o.Concurrency {
		l.slots = append(l.slots, new(slot))
	}
	l.idle = slices.Clone(l.slots)
	l.end = sync.OnceFunc(l.shutDown)
	l.detach = context.AfterFunc(ctx, l.end)
	return l, nil
}

// ARN names the function.
func (l *Lambda) ARN() string { return l.arn }

// InvokeAsync accepts an event for later and returns its request id. A failed
// attempt is repeated, under the same id, after the RetryDelays; then the
// event is a dead letter.
func (l *Lambda) InvokeAsync(payload []byte) (requestID string, err error) {
	e := &event{id: newUUID(), payload: slices.Clone(payload), async: true}
	return e.id, l.accept(e)
}

// Invoke runs the function once and waits for it, at most until ctx ends. A
// failure of the function is in the Result, not in the error.
func (l *Lambda) Invoke(ctx context.Context, payload []byte) (Result, error) {
	e := &event{id: newUUID(), payload: slices.Clone(payload), ctx: ctx, done: make(chan Result, 1)}
	if err := l.accept(e); err != nil {
		return Result{}, err
	}
	select {
	case r := <-e.done:
		return r, nil
	case <-ctx.Done():
		return Result{}, fmt.Errorf("invoke %s: %w", e.id, ctx.Err())
	case <-l.closing:
		return Result{}, fmt.Errorf("invoke %s: %w", e.id, ErrClosed)
	}
}

// Wait returns when no event is waiting, running or about to be retried.
func (l *Lambda) Wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		quiet := l.quiet
		l.mu.Unlock()
		if quiet == nil {
			return nil
		}
		select {
		case <-quiet:
		case <-ctx.Done():
			return fmt.Errorf("wait for events to end: %w", ctx.Err())
		}
	}
}

// Invocations returns all ended attempts in the order in which they started.
func (l *Lambda) Invocations() []Invocation {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.invocations)
	slices.SortStableFunc(all, func(a, b Invocation) int { return a.Started.Compare(b.Started) })
	return all
}

// DeadLetters returns the asynchronous events that failed for good.
func (l *Lambda) DeadLetters() []DeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.dead)
}

// Kill sends SIGKILL to the process that works on the attempt with a trace id,
// and reports whether there was one. It returns when the process is gone. An
// AWS SDK for Go in the function sends the trace id with every request, as
// X-Amzn-Trace-Id; so the receiver of a request can kill its sender and nobody
// else.
func (l *Lambda) Kill(traceID string) bool {
	l.mu.Lock()
	env := l.working[traceID]
	alive := env != nil && !env.killed
	if alive {
		env.killed = true
		env.process.kill()
	}
	l.mu.Unlock()
	if !alive {
		return false
	}
	<-env.process.exited
	return true
}

// work notes what an environment works on, for Kill. The function that it
// returns takes that back and, if the process was killed, waits for its end, so
// that the next event does not get it.
func (l *Lambda) work(traceID string, env *environment) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working[traceID] = env
	return func() {
		l.mu.Lock()
		delete(l.working, traceID)
		killed := env.killed
		l.mu.Unlock()
		if killed {
			<-env.process.exited
		}
	}
}

// Close ends the function's processes, SIGTERM first, and returns when they
// are gone. Events in progress and in waiting are dropped.
func (l *Lambda) Close() error {
	l.detach()
	l.end()
	return nil
}

func (l *Lambda) shutDown() {
	l.mu.Lock()
	l.closed = true
	l.queue = nil
	close(l.closing)
	l.mu.Unlock()
	l.running.Wait()

	var ends sync.WaitGroup
	for _, s := range l.slots {
		ends.Go(func() { s.discard(l.o.ShutdownGrace) })
	}
	ends.Wait()

	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(l.pending)
}

// accept takes a new event in.
func (l *Lambda) accept(e *event) error {
	if !json.Valid(e.payload) {
		return errors.New("invoke: the event is not JSON") // Lambda: InvalidRequestContentException
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.o.Calls.add("lambda:Invoke")
	if l.pending == 0 {
		l.quiet = make(chan struct{})
	}
	l.pending++
	l.enqueue(e)
	return nil
}

// enqueue lets an event run for another time. The caller holds l.mu.
func (l *Lambda) enqueue(e *event) {
	e.attempt++
	l.queue = append(l.queue, e)
	l.dispatch()
}

// dispatch starts attempts while there are events and idle slots. The caller
// holds l.mu.
func (l *Lambda) dispatch() {
	for len(l.queue) > 0 && len(l.idle) > 0 && !l.closed {
		e := l.queue[0]
		l.queue = l.queue[1:]
		if !e.async && e.ctx.Err() != nil {
			l.finish(1) // nobody waits for it any more
			continue
		}
		last := len(l.idle) - 1
		s := l.idle[last]
		l.idle = l.idle[:last]
		l.running.Go(func() { l.attempt(s, e) })
	}
}

// finish marks n events as done. The caller holds l.mu.
func (l *Lambda) finish(n int) {
	l.pending -= n
	if l.pending == 0 && l.quiet != nil {
		close(l.quiet)
		l.quiet = nil
	}
}

// attempt runs one attempt at an event and decides what comes after it.
func (l *Lambda) attempt(s *slot, e *event) {
	inv := l.run(s, e)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.invocations = append(l.invocations, inv)
	l.idle = append(l.idle, s)
	switch {
	case l.closed:
	case !e.async:
		e.done <- Result{e.id, inv.Response, inv.Error, inv.Duration}
		l.finish(1)
	case inv.Error == nil:
		l.finish(1)
	case e.attempt <= len(l.o.RetryDelays):
		time.AfterFunc(l.o.RetryDelays[e.attempt-1], func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if !l.closed {
				l.enqueue(e)
			}
		})
	default:
		l.dead = append(l.dead, l.deadLetter(e, inv))
		l.finish(1)
	}
	l.dispatch()
}

func (l *Lambda) deadLetter(e *event, last Invocation) DeadLetter {
	return DeadLetter{
		Version:         "1.0",
		Timestamp:       time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		RequestContext:  RequestContext{e.id, l.arn + ":$LATEST", "RetriesExhausted", e.attempt},
		RequestPayload:  e.payload,
		ResponseContext: ResponseContext{200, "$LATEST", "Unhandled"},
		ResponsePayload: last.Error.Payload,
	}
}

// run has one attempt made in the slot's environment, after starting one if
// there is none.
func (l *Lambda) run(s *slot, e *event) Invocation {
	inv := Invocation{RequestID: e.id, Attempt: e.attempt, Payload: e.payload, Started: time.Now()}
	if s.env != nil && s.env.process.ended() {
		s.discard(0)
	}
	if s.env == nil {
		env, err := l.startEnvironment(e.id)
		inv.Init = time.Since(inv.Started)
		if env != nil {
			s.env = env
		}
		if err != nil {
			inv.Error = err
			inv.Exit = s.discard(0)
			return inv
		}
		inv.Started = inv.Started.Add(inv.Init)
	}
	inv.TraceID = newTraceID()
	done := l.work(inv.TraceID, s.env)
	inv.Response, inv.Error = s.env.invoke(delivery{
		id:       e.id,
		trace:    inv.TraceID,
		payload:  e.payload,
		deadline: inv.Started.Add(l.o.Timeout),
		arn:      l.arn,
	}, l.o.Timeout, l.closing)
	inv.Duration = time.Since(inv.Started)
	done()
	if s.env.process.ended() {
		inv.Exit = s.discard(0)
	}
	return inv
}

// discard ends what is left of the slot's environment and says how its process
// ended.
func (s *slot) discard(grace time.Duration) (exit string) {
	if s.env == nil {
		return ""
	}
	exit = s.env.close(grace)
	s.env = nil
	return exit
}
