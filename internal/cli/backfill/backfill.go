// Package backfill is the command backfill: it sends existing log objects through the
// deployed function.
package backfill

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/deployed"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/text"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/trigger"
)

const (
	// batchSize is the number of objects in one invocation, small enough for the
	// function's time limit.
	batchSize = 10

	// tooOld is the age at which CloudWatch starts to refuse data.
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
	tooOld = 14 * 24 * time.Hour
)

type options struct {
	input.TimeFlags
	function    string
	concurrency int
	manifest    string
	state       string
	format      string
	dryRun      bool

	bucket, prefix string
	span           input.Span
	now            time.Time
}

// New returns the command.
func New() *cobra.Command {
	o := options{TimeFlags: input.TimeFlags{Since: "2w", Until: "now"}}
	cmd := &cobra.Command{
		Use:   "backfill s3://BUCKET/PREFIX --function NAME",
		Short: "Send existing log objects through the function",
		Example: `  tlswatch backfill s3://my-logs/AWSLogs/123456789012/elasticloadbalancing/eu-west-2/ --since 3d --function tlswatch
  tlswatch backfill s3://my-logs --since 2026-11-20 --until 2026-11-21T06:00Z --function tlswatch --state backfill.state`,
		Long: `backfill lists the connection logs under a prefix and has the deployed function
process those whose five minutes ended between --since and --until, oldest
first. ` + input.TimeHelp + `

--state FILE records the objects that are done. After Ctrl-C or a failure,
another run with the same FILE skips them. Objects that are sent twice are not
published twice: the function's ledger prevents it.

CloudWatch refuses data older than two weeks, so older objects are counted, not
sent.

--manifest FILE writes a manifest for S3 Batch Operations instead, for more
objects than one machine should handle, and prints the commands that start the
job.

Under AWSLogs/ACCOUNT/elasticloadbalancing/REGION/, only the folders of the days
in question are listed; anywhere else, the whole prefix.

It needs the permissions s3:ListBucket and lambda:InvokeFunction.`,
		Args: command.Takes("s3://BUCKET/PREFIX"),
		RunE: command.Runs(func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	o.TimeFlags.Register(cmd)
	f.Lookup("since").Usage += ", by the end of a log's five minutes"
	f.StringVar(&o.function, "function", "", command.FunctionUsage)
	f.IntVar(&o.concurrency, "concurrency", 4, command.ConcurrencyUsage)
	f.StringVar(&o.manifest, "manifest", "", "write an S3 Batch Operations manifest to this `FILE`, and send nothing")
	f.StringVar(&o.state, "state", "", "`FILE` that records what is done, so that the next run skips it")
	f.BoolVar(&o.dryRun, "dry-run", false, command.DryRunUsage)
	command.AddFormat(cmd, &o.format, "table", "json")
	command.AddAWS(cmd)
	command.AddRequesterPays(cmd)
	return cmd
}

func (o *options) check(uri string, now time.Time) error {
	var uriErr, spanErr error
	o.bucket, o.prefix, uriErr = cloud.ParseS3(uri)
	o.now = now
	o.span, spanErr = o.Span(now)
	switch {
	case uriErr != nil:
		return uriErr
	case spanErr != nil:
		return spanErr
	case o.concurrency < 1:
		return fmt.Errorf("--concurrency must be 1 or more, not %d", o.concurrency)
	case o.manifest != "" && o.dryRun:
		return errors.New("--manifest and --dry-run exclude each other")
	case o.function == "" && o.sends():
		return errors.New("missing --function NAME")
	}
	return nil
}

// sends reports whether the function is to be called.
func (o *options) sends() bool { return !o.dryRun && o.manifest == "" }

func (o options) run(ctx context.Context, uri string, stdout, stderr io.Writer) error {
	if err := o.check(uri, time.Now().UTC()); err != nil {
		return command.Usage(err)
	}
	state, err := openState(ctx, o.state, o.bucket, !o.sends())
	if err != nil {
		return err
	}
	defer state.close()
	b := &backfiller{o: o, state: state, progress: console.NewProgress(stderr, "object")}
	if o.sends() {
		if b.function, err = deployed.New(ctx, "", o.function); err != nil {
			return err
		}
		if err := b.function.Check(ctx); err != nil {
			return err
		}
	}
	result := b.newResult()
	b.progress.Start(0, 0)
	listed, err := listObjects(ctx, new(cloud.Buckets), o, b.progress)
	b.progress.End()
	result.count(listed, state)
	switch {
	case err != nil:
		err = fmt.Errorf("s3://%s/%s: %w", o.bucket, o.prefix, err)
	case o.dryRun:
	case o.manifest != "":
		err = result.writeManifest(o, listed.objects)
	default:
		b.progress.Start(len(listed.objects), result.SelectedBytes)
		err = b.send(ctx, listed.objects, &result)
		b.progress.End()
	}
	result.Partial = err != nil || ctx.Err() != nil
	if werr := result.write(stdout, o.format, o.Zone()); werr != nil {
		return errors.Join(err, werr)
	}
	switch {
	case ctx.Err() != nil:
		hint := "; with --state FILE, another run would continue from here"
		if o.state != "" {
			hint = "; the same command continues from here"
		}
		return command.Interrupted("interrupted" + hint)
	case err != nil:
		return err
	case result.RetryAfter != nil:
		return fmt.Errorf("%d of %d objects failed, some because another invocation is at work on them; if that died, run the same command again after %s",
			result.Failed, result.Selected, result.RetryAfter.In(o.Zone()).Format(time.RFC3339))
	case result.Failed > 0:
		return fmt.Errorf("%d of %d objects failed", result.Failed, result.Selected)
	}
	return nil
}

// A backfiller sends objects to the function.
type backfiller struct {
	o        options
	function *deployed.Function
	state    *state
	progress *console.Progress
}

// send sends objects to the function in batches. It returns an error if it must stop
// early; the result then holds what was done until then.
func (b *backfiller) send(ctx context.Context, objects []logObject, result *result) error {
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(b.o.concurrency)
	var mu sync.Mutex // guards result
	for batch := range slices.Chunk(objects, batchSize) {
		calls.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			failed, err := b.sendBatch(ctx, batch)
			if s, ok := errors.AsType[deployed.StopError](err); ok {
				return fmt.Errorf("function %s: %w", b.o.function, s.Unwrap())
			}
			if err != nil { // neither done nor failed
				return nil
			}
			var done []logObject
			mu.Lock()
			for i, o := range batch {
				if reason, ok := failed[i]; ok {
					result.fail(o, reason)
				} else {
					done = append(done, o)
				}
			}
			result.Done += len(done)
			mu.Unlock()
			b.progress.Add(len(batch), totalSize(batch))
			return b.state.add(done)
		})
	}
	err := calls.Wait()
	result.Throttled = b.function.Throttled()
	result.Remaining = result.Selected - result.Done - result.Failed
	return err
}

// sendBatch sends one batch and returns why objects failed, by their index in the
// batch. It returns an error if it was interrupted or if every other batch would
// fail as well.
func (b *backfiller) sendBatch(ctx context.Context, batch []logObject) (failed map[int]string, err error) {
	type object struct {
		Bucket string `json:"bucket"`
		Key    string `json:"key"`
		ETag   string `json:"etag"`
	}
	var event []object
	for _, o := range batch {
		event = append(event, object{b.o.bucket, o.Key, o.ETag})
	}
	payload, err := json.Marshal(event)
	if err == nil {
		var reply []byte
		if reply, _, err = b.function.Invoke(ctx, payload, true); err == nil {
			var summary trigger.Summary
			if summary, err = deployed.ParseSummary(reply); err == nil && summary.Objects != len(batch) {
				err = fmt.Errorf("the function processed %d of %d objects", summary.Objects, len(batch))
			}
		}
	}
	switch f, ok := errors.AsType[*deployed.FunctionError](err); {
	case err == nil:
		return nil, nil
	case ok:
		if failed := failedItems(f, len(batch)); len(failed) > 0 {
			return failed, nil
		}
	case ctx.Err() != nil || errors.As(err, new(deployed.StopError)):
		return nil, err
	}
	failed = make(map[int]string, len(batch))
	for i := range batch {
		failed[i] = err.Error()
	}
	return failed, nil
}

// failedItem matches an item in the text of a trigger.Failures error.
var failedItem = regexp.MustCompile(`(?:^|; )item (\d+): `)

// failedItems returns why items of a batch failed, or nil if the error does not name
// items. The reason of one item may look as if it named another one. That one
// counts as failed too, so the next run sends it again.
func failedItems(e *deployed.FunctionError, n int) map[int]string {
	if e.Type != reflect.TypeFor[trigger.Failures]().Name() {
		return nil
	}
	at := failedItem.FindAllStringSubmatchIndex(e.Message, -1)
	failed := make(map[int]string)
	for i, m := range at {
		end := len(e.Message)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		item, err := strconv.Atoi(e.Message[m[2]:m[3]])
		if err != nil || item >= n {
			return nil
		}
		failed[item] = e.Message[m[1]:end]
	}
	return failed
}

func totalSize(objects []logObject) (n int64) {
	for _, o := range objects {
		n += o.Size
	}
	return n
}

// A result is what backfill did, as --format json prints it. Every listed object
// counts in one of Selected, NotLogs, OutsideTime, TooOld and AlreadyDone, and every
// selected one in one of Done, Failed and Remaining.
type result struct {
	Bucket   string    `json:"bucket"`
	Prefix   string    `json:"prefix"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Function string    `json:"function,omitempty"`
	DryRun   bool      `json:"dryRun"`
	Partial  bool      `json:"partial"` // interrupted, or ended by an error

	Listed      int          `json:"listed"`
	NotLogs     []passedOver `json:"notLogs"`     // what is no connection log, by reason
	OutsideTime int          `json:"outsideTime"` // period ended before since or after until
	TooOld      int          `json:"tooOld"`      // period ended more than two weeks ago, so CloudWatch would refuse the data
	OldestEnd   *time.Time   `json:"oldestEnd,omitempty"`
	AlreadyDone int          `json:"alreadyDone"` // according to the state file

	Selected      int            `json:"selected"`
	SelectedBytes int64          `json:"selectedBytes"`
	Done          int            `json:"done"`
	Failed        int            `json:"failed"`
	Remaining     int            `json:"remaining"`            // selected, and not sent
	Throttled     int64          `json:"throttled"`            // calls that Lambda throttled
	Failures      []failedObject `json:"failures"`             // at most 100
	RetryAfter    *time.Time     `json:"retryAfter,omitempty"` // when the last claim of another invocation ends, if that died

	Manifest  string   `json:"manifest,omitempty"`
	NextSteps []string `json:"nextSteps,omitempty"` // commands
}

type passedOver struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

type failedObject struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

func (b *backfiller) newResult() result {
	return result{
		Bucket: b.o.bucket, Prefix: b.o.prefix, Since: b.o.span.Since, Until: b.o.span.Until,
		Function: b.o.function, DryRun: b.o.dryRun,
		NotLogs: []passedOver{}, Failures: []failedObject{},
	}
}

// count adds what was listed, and removes from the listing what needs no work.
func (r *result) count(l *listing, state *state) {
	r.Listed, r.OutsideTime, r.TooOld = l.listed, l.outside, l.tooOld
	if !l.oldest.IsZero() {
		r.OldestEnd = &l.oldest
	}
	for reason, n := range l.others {
		r.NotLogs = append(r.NotLogs, passedOver{reason, n})
	}
	slices.SortFunc(r.NotLogs, func(a, b passedOver) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	n := len(l.objects)
	l.objects = slices.DeleteFunc(l.objects, state.has)
	r.AlreadyDone = n - len(l.objects)
	r.Selected, r.SelectedBytes = len(l.objects), totalSize(l.objects)
	r.Remaining = r.Selected
}

// retryAfter matches the time in the text of pipeline.ErrInProgress.
var retryAfter = regexp.MustCompile(regexp.QuoteMeta(pipeline.ErrInProgress.Error()) + `.* retry after (\S+)`)

func (r *result) fail(o logObject, reason string) {
	if m := retryAfter.FindStringSubmatch(reason); m != nil {
		if at, err := time.Parse(time.RFC3339, m[1]); err == nil && (r.RetryAfter == nil || at.After(*r.RetryAfter)) {
			r.RetryAfter = &at
		}
	}
	if r.Failed++; len(r.Failures) < command.MaxListed {
		r.Failures = append(r.Failures, failedObject{o.Key, reason})
	}
}

func (r result) write(w io.Writer, format string, zone *time.Location) error {
	slices.SortFunc(r.Failures, func(a, b failedObject) int { return cmp.Compare(a.Key, b.Key) })
	if format == "json" {
		return command.WriteJSON(w, r)
	}
	b := console.NewWriter(w)
	switch {
	case r.Partial:
		fmt.Fprintf(b, "PARTIAL RESULT: some objects were not processed\n\n")
	case r.DryRun:
		fmt.Fprintf(b, "DRY RUN: nothing was sent\n\n")
	}
	t := text.Table{Columns: "rw"}
	line := func(n int, format string, args ...any) {
		if n > 0 {
			t.Add(text.Count(n), fmt.Sprintf(format, args...))
		}
	}
	t.Add(text.Count(r.Listed), fmt.Sprintf("listed in s3://%s/%s", r.Bucket, r.Prefix))
	for _, o := range r.NotLogs {
		line(o.Count, "skipped: %s", o.Reason)
	}
	when := func(t time.Time) string { return text.Time(t.In(zone)) }
	line(r.OutsideTime, "skipped: ended before %s or after %s", when(r.Since), when(r.Until))
	if r.TooOld > 0 {
		line(r.TooOld, "not sent: ended more than two weeks ago (the oldest %s); CloudWatch would refuse the data", when(*r.OldestEnd))
	}
	line(r.AlreadyDone, "done by an earlier run")
	t.Add(text.Count(r.Selected), fmt.Sprintf("to send, %s", humanize.Bytes(uint64(r.SelectedBytes))))
	if r.Manifest != "" {
		t.Add(text.Count(r.Selected), "written to "+r.Manifest)
	} else if !r.DryRun {
		t.Add(text.Count(r.Done), "done")
		line(r.Failed, "failed")
		line(r.Remaining, "not sent")
	}
	line(int(r.Throttled), "repeated because Lambda throttled them")
	b.Table(&t)
	if len(r.Failures) > 0 {
		fmt.Fprintf(b, "\nFAILED\n\n")
		for _, f := range r.Failures {
			fmt.Fprintf(b, "  %s\n      %s\n", text.Printable(f.Key), text.Printable(deployed.OneLine(f.Reason)))
		}
		if more := r.Failed - len(r.Failures); more > 0 {
			fmt.Fprintf(b, "  and %s more\n", text.Count(more))
		}
	}
	if len(r.NextSteps) > 0 {
		fmt.Fprintf(b, "\nNEXT STEPS, with your own bucket and role\n\n%s\n", strings.Join(r.NextSteps, "\n"))
	}
	return b.Flush()
}
