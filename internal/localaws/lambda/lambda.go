// Package lambda runs a real function executable as AWS Lambda does, serves the
// Invoke operation of the Lambda API, and works on SQS queues as an event
// source mapping does.
package lambda

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

	"tlswatch/internal/localaws/wire"
)

// Options are the settings of [Start]. Only Bootstrap is required.
type Options struct {
	// Bootstrap is the executable of the function, as in a deployment package
	// for an OS-only runtime. Its folder is the working directory and
	// LAMBDA_TASK_ROOT.
	Bootstrap string

	// Env is the function's environment in addition to what Lambda itself
	// sets; it may override the region and credentials. From the environment
	// of this process the function gets only PATH and the folder for temporary
	// files.
	Env map[string]string

	Name     string        // default "function"
	Handler  string        // default "bootstrap"
	Region   string        // default us-east-1
	MemoryMB int           // reported to the function, not enforced; default 512
	Timeout  time.Duration // of an invocation; default 3 s as on Lambda

	// Concurrency is the number of execution environments, each a process that
	// works on one event at a time; default 1. They are started when needed.
	// Events wait while all are busy (Lambda would throttle).
	Concurrency int

	// RetryDelays are the pauses before the second and third attempt at an
	// asynchronous event; at most two. Lambda waits 1 minute and 2 minutes; the
	// default here is 100 and 200 ms. An empty slice that is not nil means no
	// retries (MaximumRetryAttempts 0).
	RetryDelays []time.Duration

	// Output gets the function's standard output and error in whole lines;
	// default none. It is complete for a process when the process has ended.
	Output io.Writer
}

const (
	initTimeout   = 10 * time.Second       // for the executable to ask for its first event, as on Lambda
	shutdownGrace = 500 * time.Millisecond // between SIGTERM and SIGKILL at Close (2 s on Lambda)
)

// maxRetries is the largest MaximumRetryAttempts.
//
// https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
const maxRetries = 2

// errClosed is returned by the methods of a Function after Close.
var errClosed = errors.New("the function is closed")

// A Function is a real function executable, run through the Runtime API with
// deadlines, retries of asynchronous events, and a list of the events that
// failed after all retries.
type Function struct {
	o             Options
	initTimeout   time.Duration
	shutdownGrace time.Duration

	arn    string
	output *lineWriters
	detach func() bool // from the context of Start
	end    func()      // shutDown, once; a second caller waits for the first

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
	async   bool            // if not, a caller waits on done
	ctx     context.Context // of that caller
	done    chan Result
}

// A slot holds an execution environment. The attempt that took it off the idle
// stack owns it.
type slot struct{ env *environment }

// Start prepares to run a function until Close is called or ctx ends.
// Processes start when events arrive; if one cannot start, its event fails, not
// Start.
func Start(ctx context.Context, o Options) (*Function, error) {
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
	o.Region = cmp.Or(o.Region, wire.DefaultRegion)
	o.MemoryMB = cmp.Or(o.MemoryMB, 512)
	o.Timeout = cmp.Or(o.Timeout, 3*time.Second)
	o.Concurrency = max(o.Concurrency, 1)
	if o.RetryDelays == nil {
		o.RetryDelays = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	f := &Function{
		o: o, initTimeout: initTimeout, shutdownGrace: shutdownGrace,
		arn:     arn(o.Region, o.Name),
		output:  &lineWriters{w: o.Output},
		closing: make(chan struct{}),
		working: make(map[string]*environment),
	}
	for range o.Concurrency {
		f.slots = append(f.slots, new(slot))
	}
	f.idle = slices.Clone(f.slots)
	f.end = sync.OnceFunc(f.shutDown)
	f.detach = context.AfterFunc(ctx, f.end)
	return f, nil
}

func arn(region, name string) string {
	return "arn:aws:lambda:" + region + ":" + wire.AccountID + ":function:" + name
}

// InvokeAsync queues an event and returns its request id. A failed event is
// retried, with the same id, after each of the RetryDelays; then it is a dead
// letter.
func (f *Function) InvokeAsync(payload []byte) (requestID string, err error) {
	e := &event{id: wire.NewUUID(), payload: slices.Clone(payload), async: true}
	return e.id, f.accept(e)
}

// Invoke runs the function once and waits for it, at most until ctx ends. A
// failure of the function is in the Result, not in the error.
func (f *Function) Invoke(ctx context.Context, payload []byte) (Result, error) {
	e := &event{id: wire.NewUUID(), payload: slices.Clone(payload), ctx: ctx, done: make(chan Result, 1)}
	if err := f.accept(e); err != nil {
		return Result{}, err
	}
	select {
	case r := <-e.done:
		return r, nil
	case <-ctx.Done():
		return Result{}, fmt.Errorf("invoke %s: %w", e.id, ctx.Err())
	case <-f.closing:
		return Result{}, fmt.Errorf("invoke %s: %w", e.id, errClosed)
	}
}

// Wait returns when no event is waiting, running or about to be retried.
func (f *Function) Wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		quiet := f.quiet
		f.mu.Unlock()
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

// Invocations returns all finished attempts in the order in which they started.
func (f *Function) Invocations() []Invocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Clone(f.invocations)
	slices.SortStableFunc(all, func(a, b Invocation) int { return a.Started.Compare(b.Started) })
	return all
}

// DeadLetters returns the asynchronous events that failed after all retries.
func (f *Function) DeadLetters() []DeadLetter {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.dead)
}

// Kill sends SIGKILL to the process that works on the attempt with a trace id,
// and reports whether there was one. It returns when the process is gone. An
// AWS SDK for Go in the function sends the trace id with every request, as
// X-Amzn-Trace-Id, so the receiver of a request can kill exactly its sender.
func (f *Function) Kill(traceID string) bool {
	f.mu.Lock()
	env := f.working[traceID]
	alive := env != nil && !env.killed
	if alive {
		env.killed = true
		env.process.kill()
	}
	f.mu.Unlock()
	if !alive {
		return false
	}
	<-env.process.exited
	return true
}

// work records which attempt an environment works on, for Kill. The function that
// it returns removes the record and, if the process was killed, waits for its
// end, so that it does not get the next event.
func (f *Function) work(traceID string, env *environment) (done func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.working[traceID] = env
	return func() {
		f.mu.Lock()
		delete(f.working, traceID)
		killed := env.killed
		f.mu.Unlock()
		if killed {
			<-env.process.exited
		}
	}
}

// Close ends the function's processes, SIGTERM first, and returns when they
// are gone. Events in progress and queued events are dropped.
func (f *Function) Close() error {
	f.detach()
	f.end()
	return nil
}

func (f *Function) shutDown() {
	f.mu.Lock()
	f.closed = true
	f.queue = nil
	close(f.closing)
	f.mu.Unlock()
	f.running.Wait()

	var ends sync.WaitGroup
	for _, s := range f.slots {
		ends.Go(func() { s.discard(f.shutdownGrace) })
	}
	ends.Wait()

	f.mu.Lock()
	defer f.mu.Unlock()
	f.finish(f.pending)
}

// accept queues a new event.
func (f *Function) accept(e *event) error {
	if !json.Valid(e.payload) {
		return errors.New("invoke: the event is not JSON") // Lambda: InvalidRequestContentException
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errClosed
	}
	if f.pending == 0 {
		f.quiet = make(chan struct{})
	}
	f.pending++
	f.enqueue(e)
	return nil
}

// enqueue queues an event for its next attempt. The caller holds f.mu.
func (f *Function) enqueue(e *event) {
	e.attempt++
	f.queue = append(f.queue, e)
	f.dispatch()
}

// dispatch starts attempts while there are events and idle slots. The caller
// holds f.mu.
func (f *Function) dispatch() {
	for len(f.queue) > 0 && len(f.idle) > 0 && !f.closed {
		e := f.queue[0]
		f.queue = f.queue[1:]
		if !e.async && e.ctx.Err() != nil {
			f.finish(1) // its caller has given up
			continue
		}
		last := len(f.idle) - 1
		s := f.idle[last]
		f.idle = f.idle[:last]
		f.running.Go(func() { f.attempt(s, e) })
	}
}

// finish marks n events as done. The caller holds f.mu.
func (f *Function) finish(n int) {
	f.pending -= n
	if f.pending == 0 && f.quiet != nil {
		close(f.quiet)
		f.quiet = nil
	}
}

// attempt runs one attempt at an event and decides what happens next.
func (f *Function) attempt(s *slot, e *event) {
	inv := f.run(s, e)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.invocations = append(f.invocations, inv)
	f.idle = append(f.idle, s)
	switch {
	case f.closed:
	case !e.async:
		e.done <- Result{e.id, inv.response, inv.Error}
		f.finish(1)
	case inv.Error == nil:
		f.finish(1)
	case e.attempt <= len(f.o.RetryDelays):
		time.AfterFunc(f.o.RetryDelays[e.attempt-1], func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if !f.closed {
				f.enqueue(e)
			}
		})
	default:
		f.dead = append(f.dead, f.deadLetter(e, inv))
		f.finish(1)
	}
	f.dispatch()
}

// run makes one attempt in the slot's environment, which it starts if there is
// none.
func (f *Function) run(s *slot, e *event) Invocation {
	inv := Invocation{RequestID: e.id, Attempt: e.attempt, Payload: e.payload, Started: time.Now()}
	if s.env != nil && s.env.process.ended() {
		s.discard(0)
	}
	if s.env == nil {
		env, err := f.startEnvironment(e.id)
		inv.init = time.Since(inv.Started)
		if env != nil {
			s.env = env
		}
		if err != nil {
			inv.Error = err
			inv.Exit = s.discard(0)
			return inv
		}
		inv.Started = inv.Started.Add(inv.init)
	}
	inv.TraceID = newTraceID()
	done := f.work(inv.TraceID, s.env)
	inv.response, inv.Error = s.env.invoke(delivery{
		id:       e.id,
		trace:    inv.TraceID,
		payload:  e.payload,
		deadline: inv.Started.Add(f.o.Timeout),
		arn:      f.arn,
	}, f.o.Timeout, f.closing)
	inv.Duration = time.Since(inv.Started)
	done()
	if s.env.process.ended() {
		inv.Exit = s.discard(0)
	}
	return inv
}

// discard ends the slot's environment, if there is one, and says how its process
// ended.
func (s *slot) discard(grace time.Duration) (exit string) {
	if s.env == nil {
		return ""
	}
	exit = s.env.close(grace)
	s.env = nil
	return exit
}
