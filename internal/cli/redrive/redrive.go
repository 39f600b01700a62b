// Package redrive is the command redrive: it sends dead letters through the deployed function again.
package redrive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/spf13/cobra"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/deployed"
	"tlswatch/internal/text"
	"tlswatch/pkg/trigger"
)

// visibility is how long a message is out of view for others. It is
// prolonged while the function works on it, and ended when redrive does.
const visibility = 5 * time.Minute

type options struct {
	queue       string
	function    string
	format      string
	max         int
	concurrency int
	wait        time.Duration
	dryRun      bool
}

// New returns the command.
func New() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "redrive --queue URL --function NAME",
		Short: "Send dead letters through the function again",
		Example: `  tlswatch redrive --queue "$FAILURE_QUEUE" --function tlswatch-ProcessorFunction-1A2B3C
  tlswatch redrive --queue https://sqs.eu-west-2.amazonaws.com/123456789012/failed --function tlswatch --dry-run`,
		Long: `redrive takes messages from a dead-letter queue or on-failure destination, has
the deployed function work on each, and deletes those that it accepted. It ends
when the queue is empty, after --max messages, or with Ctrl-C.

A message that the function does not accept stays in the queue and is listed
with the reason; it can be received again when redrive ends. Then the exit
status is 1.

The record of a failed invocation is sent as it is. Any other message is sent as
its queue would send it to the function, with its own message id. So each keeps
the identity under which the function claims objects, and what was published
before is not published again.

It needs the permissions sqs:ReceiveMessage, sqs:DeleteMessage,
sqs:ChangeMessageVisibility and lambda:InvokeFunction.`,
		Args: cobra.NoArgs,
		RunE: command.Runs(func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.queue, "queue", "", "URL of the queue")
	f.StringVar(&o.function, "function", "", "name or ARN of the deployed function")
	f.IntVar(&o.max, "max", 0, "messages to take at most (0: all)")
	f.IntVar(&o.concurrency, "concurrency", 4, "invocations at the same time")
	f.DurationVar(&o.wait, "wait", 5*time.Second, "how long no message must come for the queue to be empty (1s to 20s)")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be sent, and put it back (counts as a receipt of each message)")
	command.AddFormat(cmd, &o.format, "table", "json")
	return cmd
}

func (o options) check() error {
	switch {
	case o.queue == "":
		return errors.New("--queue is missing: the URL of the queue")
	case o.function == "":
		return errors.New("--function is missing: the name or ARN of the deployed function")
	case o.max < 0:
		return fmt.Errorf("--max %d: want 0 or more", o.max)
	case o.concurrency < 1:
		return fmt.Errorf("--concurrency %d: want 1 or more", o.concurrency)
	case o.wait < time.Second || o.wait > 20*time.Second:
		return fmt.Errorf("--wait %v: want 1s to 20s", o.wait)
	}
	return cloud.CheckQueueURL("queue", o.queue)
}

func (o options) run(ctx context.Context, stdout, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return command.Usage(err)
	}
	queue, err := cloud.OpenQueue(ctx, o.queue)
	if err != nil {
		return err
	}
	function, err := deployed.New(ctx, queue.Region, o.function)
	if err != nil {
		return err
	}
	r := &redriver{
		queue:      queue,
		function:   function,
		o:          o,
		visibility: visibility,
		progress:   console.NewProgress(stderr, "message"),
		taken:      make(map[string]*deadLetter),
	}
	if err := r.function.Check(ctx); err != nil {
		return err
	}
	result, err := r.run(ctx)
	r.progress.End()
	if werr := result.write(stdout, o.format); werr != nil {
		return errors.Join(err, werr)
	}
	switch {
	case ctx.Err() != nil:
		return command.Interrupted("interrupted: messages that are not done stay in the queue")
	case err != nil:
		return err
	case result.Left > 0 && !o.dryRun:
		return fmt.Errorf("left in the queue: %s of %s", text.Count(result.Left), text.Plural(result.Received, "message"))
	}
	return nil
}

// A redriver takes the messages of one queue to the function.
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

// run ends when the queue is empty, or --max or ctx ends it. The error is for
// what ends it early; the result holds what was done until then.
func (r *redriver) run(ctx context.Context) (result, error) {
	receiving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.progress.Start(0, 0)
	var (
		workers = make(chan struct{}, r.o.concurrency) // holds a token for each message in work
		work    sync.WaitGroup
		failed  error
		ended   = "empty"
	)
	for {
		// Only as many are taken as can be worked on at once: others could
		// make use of the rest.
		select {
		case workers <- struct{}{}:
		case <-receiving.Done():
		}
		if receiving.Err() != nil {
			break
		}
		n := 1
	more:
		for n < 10 && (r.o.max == 0 || len(r.order)+n < r.o.max) {
			select {
			case workers <- struct{}{}:
				n++
			default:
				break more
			}
		}
		messages, err := r.receive(receiving, n)
		var fresh []*deadLetter
		for _, m := range messages {
			switch l, before := r.take(m); {
			case !before:
				fresh = append(fresh, l)
			case r.isDone(l):
				_ = r.remove(l) // where it fails the message comes once more
			}
		}
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
		if err != nil {
			if receiving.Err() == nil {
				failed = fmt.Errorf("queue %s: %w", r.queue.URL, cloud.Explain(err))
			}
			break
		}
		if len(messages) == 0 {
			break
		}
		if r.o.max > 0 && len(r.order) >= r.o.max {
			ended = "max"
			break
		}
	}
	work.Wait()
	if cause := context.Cause(receiving); ctx.Err() == nil && cause != nil {
		failed = fmt.Errorf("function %s: %w", r.o.function, cause)
	}
	switch {
	case ctx.Err() != nil:
		ended = "interrupted"
	case failed != nil:
		ended = "error"
	}
	r.release()
	return r.result(ended), failed
}

// receive asks for up to n messages, and waits for one.
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

// take notes a received message and says whether it had been received before:
// one that is left comes again in a run that takes long, and a standard queue
// may deliver any message twice.
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

// process has the function work on a message and settles it. The error means
// that there is no use in going on.
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

// keepHidden prolongs the time for which a message is out of view, until the
// returned function is called.
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
			// Should it fail, somebody else may get the message, and the
			// function's ledger keeps the two apart.
			_ = r.changeVisibility(l, r.visibility)
		}
	})
	return func() {
		close(ended)
		done.Wait()
	}
}

// afterwards is a context for what must be said to the queue although ctx may
// be cancelled.
func afterwards() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), deployed.LastCalls)
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
		return fmt.Errorf("the function accepted it, but it cannot be deleted: %w", err)
	}
	return nil
}

// release makes all messages that are left visible again.
func (r *redriver) release() {
	workers := make(chan struct{}, 8)
	var work sync.WaitGroup
	for _, l := range r.order {
		if l.done {
			continue
		}
		workers <- struct{}{}
		work.Go(func() {
			defer func() { <-workers }()
			// Where this fails the message comes back by itself, later.
			_ = r.changeVisibility(l, 0)
		})
	}
	work.Wait()
}

// A result is what redrive did, in the form of --format json.
type result struct {
	Queue      string    `json:"queue"`
	Function   string    `json:"function"`
	DryRun     bool      `json:"dryRun"`
	Ended      string    `json:"ended"` // empty, max, interrupted or error
	Received   int       `json:"received"`
	Done       int       `json:"done"`       // accepted and deleted
	Left       int       `json:"left"`       // Received - Done
	Unreadable int       `json:"unreadable"` // of those left: no event known to tlswatch, not sent
	Throttled  int64     `json:"throttled"`  // invocations that Lambda had no room for, and that were repeated
	Messages   []message `json:"messages"`   // those left, at most 100
}

type message struct {
	MessageID string `json:"messageId"`
	Kind      string `json:"kind"` // s3, eventbridge, sns, redrive (record of an invocation), ..., or unreadable
	Objects   int    `json:"objects"`
	Reason    string `json:"reason"`
}

func (r *redriver) result(ended string) result {
	result := result{
		Queue:     r.queue.URL,
		Function:  r.o.function,
		DryRun:    r.o.dryRun,
		Ended:     ended,
		Received:  len(r.order),
		Throttled: r.function.Throttled(),
		Messages:  []message{},
	}
	for _, l := range r.order {
		if l.done {
			result.Done++
			continue
		}
		result.Left++
		if l.kind == unreadable {
			result.Unreadable++
		}
		if len(result.Messages) < command.MaxListed {
			result.Messages = append(result.Messages, message{*l.MessageId, l.kind, l.objects, l.reason})
		}
	}
	return result
}

func (r result) write(w io.Writer, format string) error {
	if format == "json" {
		return command.WriteJSON(w, r)
	}
	b := console.NewWriter(w)
	endings := map[string]string{
		"empty":       "the queue is empty, but for those left",
		"max":         "ended at --max",
		"interrupted": "interrupted: partial result",
		"error":       "ended by an error: partial result",
	}
	if r.DryRun {
		fmt.Fprintf(b, "DRY RUN: nothing was sent to %s\n\n", r.Function)
	}
	t := text.Table{Columns: "rw"}
	t.Add(text.Count(r.Received), "received; "+endings[r.Ended])
	t.Add(text.Count(r.Done), "done: accepted by the function and deleted")
	left := "left in the queue"
	if r.Unreadable > 0 {
		left += fmt.Sprintf(", %s of them unreadable and not sent", text.Count(r.Unreadable))
	}
	t.Add(text.Count(r.Left), left)
	if r.Throttled > 0 {
		t.Add(text.Count(r.Throttled), "repeated because Lambda had no room")
	}
	b.Table(&t)
	if len(r.Messages) > 0 {
		fmt.Fprintf(b, "\nLEFT IN THE QUEUE\n\n")
		t := text.Table{Columns: "llrw"}
		t.Add("message", "kind", "objects", "reason")
		for _, m := range r.Messages {
			t.Add(m.MessageID, m.Kind, text.Count(m.Objects), deployed.OneLine(m.Reason))
		}
		b.Table(&t)
		if more := r.Left - len(r.Messages); more > 0 {
			fmt.Fprintf(b, "  and %s more\n", text.Count(more))
		}
	}
	return b.Flush()
}
