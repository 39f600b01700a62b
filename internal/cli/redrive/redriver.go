package redrive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/deployed"
	"tlswatch/pkg/trigger"
)

// A redriver sends the messages of one queue to the function.
type redriver struct {
	function   *deployed.Function
	queue      *cloud.Queue
	o          options
	visibility time.Duration
	progress   *console.Progress

	mu    sync.Mutex
	taken map[string]*deadLetter // by message id
	order []*deadLetter          // as received
}

// run sends messages until the queue is empty, --max is reached, or ctx ends. It returns
// an error if it must stop early; the result then holds what was done until then.
func (r *redriver) run(ctx context.Context) (result, error) {
	receiving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.progress.Start(0, 0)
	workers := make(chan struct{}, r.o.concurrency) // holds a token for each message in work
	var work sync.WaitGroup
	var failed error
	ended := ""
	for ended == "" {
		n := r.reserve(receiving, workers)
		received, fresh, err := r.fetch(receiving, n)
		for range n - len(fresh) {
			<-workers
		}
		for _, l := range fresh {
			work.Go(func() {
				defer func() { <-workers }()
				if err := r.process(receiving, l); err != nil {
					stop(err)
				}
				r.progress.Add(1, 0)
			})
		}
		switch {
		case receiving.Err() != nil:
			ended = "error" // or interrupted, see below
		case err != nil:
			ended, failed = "error", fmt.Errorf("queue %s: %w", r.queue.URL, cloud.Explain(err))
		case received == 0:
			ended = "empty"
		case r.o.max > 0 && len(r.order) >= r.o.max:
			ended = "max"
		}
	}
	work.Wait()
	if cause := context.Cause(receiving); ctx.Err() == nil && cause != nil {
		ended, failed = "error", fmt.Errorf("function %s: %w", r.o.function, cause)
	}
	if ctx.Err() != nil {
		ended = "interrupted"
	}
	r.release()
	return r.result(ended), failed
}

// reserve waits for a worker, and takes as many more as are idle, up to what one request
// can use. So only messages that are worked on at once are received and hidden from
// others. It returns 0 when ctx ends.
func (r *redriver) reserve(ctx context.Context, workers chan<- struct{}) (n int) {
	select {
	case workers <- struct{}{}:
		n++
	case <-ctx.Done():
		return 0
	}
	for n < 10 && (r.o.max == 0 || len(r.order)+n < r.o.max) {
		select {
		case workers <- struct{}{}:
			n++
		default:
			return n
		}
	}
	return n
}

// fetch receives up to n messages. Fresh ones were not received before. It deletes
// others that are done.
func (r *redriver) fetch(ctx context.Context, n int) (received int, fresh []*deadLetter, err error) {
	if n == 0 || ctx.Err() != nil {
		return 0, nil, ctx.Err()
	}
	messages, err := r.receive(ctx, n)
	for _, m := range messages {
		switch l, before := r.take(m); {
		case !before:
			fresh = append(fresh, l)
		case r.isDone(l):
			_ = r.remove(l) // if it fails, the message comes again
		}
	}
	return len(messages), fresh, err
}

// receive requests up to n messages, and waits for the first.
func (r *redriver) receive(ctx context.Context, n int) ([]types.Message, error) {
	out, err := r.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &r.queue.URL,
		MaxNumberOfMessages:         int32(n),
		WaitTimeSeconds:             int32(r.o.wait / time.Second),
		VisibilityTimeout:           int32(r.visibility / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// take records a received message and reports whether it was received before: a message
// that is left in the queue becomes visible again, and a standard queue may deliver any
// message twice.
func (r *redriver) take(m types.Message) (l *deadLetter, before bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l = r.taken[*m.MessageId]; l != nil {
		l.handle = *m.ReceiptHandle
		return l, true
	}
	l = &deadLetter{Message: m, handle: *m.ReceiptHandle}
	r.taken[*m.MessageId] = l
	r.order = append(r.order, l)
	return l, false
}

// process sends a message to the function and records the outcome. It returns an error
// if every other message would fail as well.
func (r *redriver) process(ctx context.Context, l *deadLetter) error {
	event, err := trigger.Parse([]byte(*l.Body))
	if err != nil {
		l.kind = unreadable
		r.settle(l, err)
		return nil
	}
	l.kind, l.objects = string(event.Shape), event.Objects()
	if r.o.dryRun {
		r.settle(l, errors.New("would be sent"))
		return nil
	}
	if ctx.Err() != nil {
		r.settle(l, errors.New("not sent"))
		return nil
	}
	stop := r.keepHidden(l)
	err = r.send(ctx, l, event.Shape)
	stop()
	if err == nil {
		err = r.remove(l)
	}
	r.settle(l, err)
	if s, ok := errors.AsType[deployed.StopError](err); ok {
		return s.Unwrap()
	}
	return nil
}

func (r *redriver) send(ctx context.Context, l *deadLetter, shape trigger.Shape) error {
	if shape == trigger.Redrive {
		reply, _, err := r.function.Invoke(ctx, []byte(*l.Body), false)
		if err == nil {
			_, err = deployed.ParseSummary(reply)
		}
		return err
	}
	event, err := deployed.QueueEvent(l.Message, r.queue)
	if err != nil {
		return err
	}
	reply, requestID, err := r.function.Invoke(ctx, event, false)
	if err != nil {
		return err
	}
	return deployed.CheckQueueReply(reply, *l.MessageId, requestID)
}

func (r *redriver) settle(l *deadLetter, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.done = err == nil
	if err != nil {
		l.reason = err.Error()
	}
}

func (r *redriver) isDone(l *deadLetter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.done
}

func (r *redriver) currentHandle(l *deadLetter) *string {
	r.mu.Lock()
	defer r.mu.Unlock()
	handle := l.handle
	return &handle
}

// keepHidden keeps a message invisible to others until the returned function is called.
func (r *redriver) keepHidden(l *deadLetter) (stop func()) {
	ended := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		beat := time.NewTicker(r.visibility / 3)
		defer beat.Stop()
		for {
			select {
			case <-ended:
				return
			case <-beat.C:
			}
			// If this fails, another consumer may receive the message. The function's
			// ledger then prevents duplicates.
			_ = r.changeVisibility(l, r.visibility)
		}
	})
	return func() {
		close(ended)
		done.Wait()
	}
}

func (r *redriver) changeVisibility(l *deadLetter, d time.Duration) error {
	ctx, cancel := afterwards()
	defer cancel()
	_, err := r.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &r.queue.URL, ReceiptHandle: r.currentHandle(l), VisibilityTimeout: int32(d / time.Second)})
	return err
}

// remove deletes a message that the function accepted.
func (r *redriver) remove(l *deadLetter) error {
	ctx, cancel := afterwards()
	defer cancel()
	if _, err := r.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &r.queue.URL, ReceiptHandle: r.currentHandle(l)}); err != nil {
		return fmt.Errorf("processed, but not deleted: %w", err)
	}
	return nil
}

// release makes all messages that are left visible again.
func (r *redriver) release() {
	var calls errgroup.Group
	calls.SetLimit(8)
	for _, l := range r.order {
		if l.done {
			continue
		}
		calls.Go(func() error { return r.changeVisibility(l, 0) })
	}
	_ = calls.Wait() // a message whose call fails becomes visible later by itself
}

// A deadLetter is one message that was taken from the queue.
type deadLetter struct {
	types.Message
	handle  string // the latest one
	kind    string // what it is: a trigger.Shape, or unreadable
	objects int
	done    bool
	reason  string // why it is left
}

const unreadable = "unreadable"

// afterwards returns a context for calls to the queue after ctx is canceled.
func afterwards() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), deployed.LastCalls)
}
