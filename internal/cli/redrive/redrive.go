// Package redrive is the command redrive: it sends dead letters through the deployed
// function again.
package redrive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/deployed"
	"tlswatch/internal/text"
)

// visibility is how long a received message is invisible to others. It is extended
// while the function works on the message.
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
		Short: "Reprocess failed messages",
		Example: `  tlswatch redrive --queue "$FAILURE_QUEUE" --function tlswatch-ProcessorFunction-1A2B3C
  tlswatch redrive --queue https://sqs.eu-west-2.amazonaws.com/123456789012/failed --function tlswatch --dry-run`,
		Long: `redrive takes messages from a dead-letter queue or on-failure destination, has
the deployed function process each, and deletes those that succeed. It ends when
the queue is empty, after --max messages, or with Ctrl-C.

Messages that fail stay in the queue and are listed with the reason. They become
visible again when redrive ends, and the exit status is 1.

The record of a failed invocation is sent unchanged. Any other message is sent
as its queue would send it, with its own message id. So each keeps the identity
under which the function claims objects, and what was published before is not
published again.

It needs the permissions sqs:ReceiveMessage, sqs:DeleteMessage,
sqs:ChangeMessageVisibility and lambda:InvokeFunction.`,
		Args: command.AtMost(0),
		RunE: command.Runs(func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.queue, "queue", "", command.QueueUsage+" with failed messages")
	f.StringVar(&o.function, "function", "", command.FunctionUsage)
	f.IntVar(&o.max, "max", 0, "take at most `N` messages; 0 for all")
	f.IntVar(&o.concurrency, "concurrency", 4, command.ConcurrencyUsage)
	f.DurationVar(&o.wait, "wait", 5*time.Second, "idle `DURATION` before the queue counts as empty, 1s to 20s")
	f.BoolVar(&o.dryRun, "dry-run", false, command.DryRunUsage+"; counts as a receipt of each message")
	command.AddFormat(cmd, &o.format, "table", "json")
	command.AddAWS(cmd)
	command.Require(cmd, "queue", "function")
	return cmd
}

func (o options) check() error {
	switch {
	case o.max < 0:
		return fmt.Errorf("--max must be 0 or more, not %d", o.max)
	case o.concurrency < 1:
		return fmt.Errorf("--concurrency must be 1 or more, not %d", o.concurrency)
	case o.wait < time.Second || o.wait > 20*time.Second:
		return fmt.Errorf("--wait must be 1s to 20s, not %v", o.wait)
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
	if !o.dryRun {
		if err := r.function.Check(ctx); err != nil {
			return err
		}
	}
	result, err := r.run(ctx)
	r.progress.End()
	if werr := result.write(stdout, o.format); werr != nil {
		return errors.Join(err, werr)
	}
	switch {
	case ctx.Err() != nil:
		return command.Interrupted("interrupted: unprocessed messages stay in the queue")
	case err != nil:
		return err
	case result.Left > 0 && !o.dryRun:
		return fmt.Errorf("left in the queue: %s of %s", text.Count(result.Left), text.Plural(result.Received, "message"))
	}
	return nil
}
