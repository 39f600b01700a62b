// Package tail is the command tail: it prints failures as their logs are delivered.
package tail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/report"
)

const (
	defaultSince = 10 * time.Minute // what is shown at the start, by default
	maxAttempts  = 3                // at reading an object, without a queue
	ahead        = 8                // objects that are opened before their turn
)

type options struct {
	filters  input.FilterFlags
	policies policyflags.Flags
	queue    string
	format   string
	interval time.Duration
	duration time.Duration

	visibility time.Duration // of a message that could not be printed
}

// New returns the command.
func New() *cobra.Command {
	o := options{visibility: defaultVisibility}
	cmd := &cobra.Command{
		Use:   "tail [s3://BUCKET/PREFIX]",
		Short: "Print failed negotiations as their logs arrive",
		Example: `  tlswatch tail s3://my-logs/AWSLogs/123456789012/elasticloadbalancing/eu-west-2/ --policy TLS13-1-2-2021-06
  tlswatch tail --queue https://sqs.eu-west-2.amazonaws.com/123456789012/new-logs --load-balancer shop --format json`,
		Long: `tail follows the logs under a prefix. It prints each failed negotiation and why
it failed, until Ctrl-C or for the time of --for, and then a summary. It starts
with the logs whose period ended in the last ten minutes, or after --since. (The
keys of vended logs do not contain the period; for them, the time of delivery
counts.) Elastic Load Balancing delivers logs every five minutes, so the newest
failure is a few minutes old.

Without --queue, the prefix is listed every --interval. Under AWSLogs/, only the
folders of today and yesterday are listed, so that late logs are found too.
Anywhere else, the whole prefix is listed each time.

With --queue, events in an SQS queue announce new logs, directly from S3 or
through EventBridge or SNS. A message is deleted once everything in it is
printed. Use a queue that nothing else reads, because each message goes to only
one reader. With a prefix as well, logs outside of it are ignored.

Each log is printed once, even if it is listed or announced again. If a log
cannot be read, was deleted or was replaced, standard error says so. Logs that
could not be read are retried.

` + input.TimeHelp + `

It needs the permissions s3:ListBucket and s3:GetObject; with --queue, it needs
sqs:ReceiveMessage and sqs:DeleteMessage instead of s3:ListBucket.

` + policyflags.FileHelp,
		Args: command.AtMost(1),
		RunE: command.Runs(func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	o.filters.Register(cmd)
	command.AddRequesterPays(cmd)
	o.policies.Register(cmd, "explains why negotiations failed")
	f.Lookup("since").Usage += ", starting with logs whose period ended then or later (default " + strings.TrimSuffix(defaultSince.String(), "0s") + ")"
	f.Lookup("until").Hidden = true // tail has no end in time
	f.Lookup("failed").Hidden = true
	f.StringVar(&o.queue, "queue", "", command.QueueUsage+" with the events of new logs")
	f.DurationVar(&o.interval, "interval", 30*time.Second, "`DURATION` between listings")
	f.DurationVar(&o.duration, "for", 0, "stop after this `DURATION`; 0 to go on until Ctrl-C")
	command.AddFormat(cmd, &o.format, "table", "json")
	cmd.PersistentFlags().Lookup("format").Usage += ", one object a line"
	return cmd
}

func (o *options) check(args []string) error {
	switch {
	case len(args) == 0 && o.queue == "":
		return errors.New("missing s3://BUCKET/PREFIX, or --queue URL")
	case o.filters.Until != "":
		return errors.New("tail takes no --until; use --for DURATION")
	case o.interval < time.Second:
		return fmt.Errorf("--interval must be 1s or more, not %v", o.interval)
	case o.duration < 0:
		return fmt.Errorf("--for must not be negative, but is %v", o.duration)
	case o.queue != "":
		return cloud.CheckQueueURL("queue", o.queue)
	}
	return nil
}

func (o *options) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if err := o.check(args); err != nil {
		return command.Usage(err)
	}
	t := &tailer{
		interval: o.interval,
		begin:    time.Now().Add(-defaultSince),
		stderr:   stderr,
		memory:   newMemory(),
	}
	if len(args) > 0 {
		var err error
		if t.bucket, t.prefix, err = cloud.ParseS3(args[0]); err != nil {
			return command.Usage(err)
		}
	}
	filter, err := o.filters.Filter(time.Now())
	if err != nil {
		return err
	}
	if filter != nil {
		filter.Failed = false // the summary is about all connections
		if !filter.Since.IsZero() {
			t.begin = filter.Since
		}
	}
	filter.WarnUnknown(stderr)
	if t.filter = filter; filter.Ignoring() {
		t.source.Ignored = new(report.Counts)
	}
	if t.out, err = o.printer(ctx, stdout); err != nil {
		return err
	}

	following := ctx
	if o.duration > 0 {
		var cancel context.CancelFunc
		following, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	if o.queue != "" {
		err = t.followQueue(following, o.queue, o.visibility)
	} else {
		err = t.poll(following)
	}
	if following.Err() != nil {
		err = nil // not a fault: it was to end
	}
	if problem := t.out.summary(t.source, console.Screen(stdout)); problem != nil {
		return problem
	}
	command.WriteRemarks(stderr, t.out.judge.Remarks())
	if ctx.Err() == nil {
		t.filter.WarnNothing(stderr)
	}
	switch failed := t.source.TotalFailedObjects; {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return command.Interrupted("interrupted")
	case failed > 0:
		return fmt.Errorf("%s of %s logs could not be read to the end", text.Count(failed), text.Count(failed+t.source.Objects))
	}
	return nil
}

// A tailer prints each object once, from a listing or a queue.
type tailer struct {
	buckets        cloud.Buckets
	filter         *input.Filter
	bucket, prefix string
	interval       time.Duration
	begin          time.Time // the first listing skips objects from before
	patient        bool      // no limit of attempts
	out            *printer
	stderr         io.Writer

	memory *memory
	reader *connlog.Reader
	source report.Source // what became of the objects
}

// note records an object, and returns it if it has something to print.
func (t *tailer) note(o pipeline.Object) *reading {
	known, done, replaced := t.memory.find(o)
	switch {
	case replaced:
		t.warn(o.URI(), "replaced after it was read; the new version is not read")
		return nil
	case done:
		return nil
	case known != nil:
		if known.lines == 0 {
			known.Object = o // it may have been replaced
		}
		return known
	}
	fresh := &reading{Object: o}
	var err error
	if fresh.key, err = logkey.Parse(o.Key); err != nil && o.AltKey != "" {
		fresh.key, err = logkey.Parse(o.AltKey)
	}
	if err != nil || !t.filter.MatchObject(fresh.key) {
		t.memory.finish(fresh)
		if ke, ok := errors.AsType[*logkey.Error](err); ok && !strings.HasSuffix(o.Key, "/") {
			t.skip(ke.Reason)
		}
		return nil
	}
	t.memory.add(fresh)
	return fresh
}

// skip counts an object that is not read.
func (t *tailer) skip(reason string) {
	i := slices.IndexFunc(t.source.Skipped, func(s report.SkippedCount) bool { return s.Reason == reason })
	if i < 0 {
		i = len(t.source.Skipped)
		t.source.Skipped = append(t.source.Skipped, report.SkippedCount{Reason: reason})
	}
	t.source.Skipped[i].Count++
}

func (t *tailer) warn(name, problem string) {
	command.Complain(t.stderr, "%s: %s", text.Printable(name), problem)
}

// read prints what is new in objects, in the order of their periods, and reports
// whether all of them are done.
func (t *tailer) read(ctx context.Context, objects []*reading) (all bool) {
	slices.SortFunc(objects, func(a, b *reading) int {
		_, endA := a.key.Ends()
		_, endB := b.key.Ends()
		return cmp.Or(endA.Compare(endB), cmp.Compare(a.Key, b.Key))
	})
	opened := make([]func() (io.ReadCloser, error), len(objects))
	for i, o := range objects {
		opened[i] = sync.OnceValues(func() (io.ReadCloser, error) { return input.OpenObject(ctx, &t.buckets, o.Object) })
	}
	i, next := 0, 0 // the current object, and the next to open
	defer func() {
		for i++; i < next; i++ {
			if body, err := opened[i](); err == nil {
				body.Close()
			}
		}
	}()
	for all = true; i < len(objects); i++ {
		for ; next < len(objects) && next < i+ahead; next++ {
			go opened[next]()
		}
		body, err := opened[i]()
		if err == nil {
			err = t.print(ctx, objects[i], body)
			body.Close()
		}
		if ctx.Err() != nil && err != nil {
			return false
		}
		if all = t.settle(objects[i], err) && all; t.out.err != nil {
			return false
		}
	}
	return all
}

// settle records the outcome for an object, and reports whether it is done.
func (t *tailer) settle(o *reading, err error) bool {
	o.attempts++
	refused, isRefused := errors.AsType[*connlog.FormatError](err)
	done := true
	switch {
	case err == nil:
		t.source.Objects++
	case errors.Is(err, pipeline.ErrGone):
		t.skip(pipeline.SkippedGone)
		t.warn(o.URI(), "gone before it was read")
	case errors.Is(err, pipeline.ErrReplaced) && o.lines == 0:
		t.memory.forget(o) // the next listing or event has the new one
		return true
	case isRefused:
		t.skip(refused.Reason())
		t.warn(o.URI(), refused.Error())
	case errors.Is(err, connlog.ErrCorrupt), o.attempts >= maxAttempts && !t.patient, errors.Is(err, pipeline.ErrReplaced):
		text := fmt.Sprintf("is not read to its end, %s: %v", text.Counted(o.lines, "line of it is", "lines of it are"), err)
		if t.source.TotalFailedObjects++; len(t.source.FailedObjects) < command.MaxListed {
			t.source.FailedObjects = append(t.source.FailedObjects, report.FailedObject{Object: o.URI(), Error: text})
		}
		t.warn(o.URI(), text)
	default:
		done = false
		t.warn(o.URI(), fmt.Sprintf("will retry: %v", err))
	}
	if done {
		t.memory.finish(o)
	}
	return done
}

// print prints the failures in an object, starting where an earlier attempt ended.
func (t *tailer) print(ctx context.Context, o *reading, body io.Reader) error {
	if t.reader == nil {
		t.reader = connlog.NewReader(nil)
	}
	r := t.reader
	r.Reset(body)
	if o.key.LoadBalancer != "" {
		r.IgnoreLoadBalancer()
	}
	defer func() {
		t.source.Bytes += r.Bytes()
		t.out.flush()
	}()
	var e connlog.Entry
	for n := 0; ; n++ {
		err := r.Read(&e)
		var malformed *connlog.ParseError
		switch {
		case err == nil, errors.As(err, &malformed):
		case err == io.EOF:
			return nil
		default:
			return err
		}
		line := r.Lines()
		if line <= o.lines {
			continue
		}
		o.lines = line
		t.source.Lines++
		if malformed != nil {
			t.source.MalformedLines++
			if len(t.source.Malformed) < command.MaxListed {
				t.warn(o.URI(), malformed.Error())
				text := *malformed
				text.Line = 0 // has a field of its own
				t.source.Malformed = append(t.source.Malformed, report.MalformedLine{Object: o.URI(), Line: line, Error: text.Error()})
			}
			continue
		}
		if e.LoadBalancer == "" {
			e.LoadBalancer = o.key.LoadBalancer
		}
		switch {
		case !t.filter.Match(&e):
		case t.filter.Ignores(&e):
			t.ignore(&e)
		default:
			t.out.add(o, line, &e)
		}
		if n%4096 == 0 {
			if t.out.err != nil {
				return t.out.err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

// ignore counts a connection apart.
func (t *tailer) ignore(e *connlog.Entry) {
	t.source.Ignored.Connections++
	if e.Failed() {
		t.source.Ignored.Failed++
	}
}

// poll lists the prefix repeatedly.
func (t *tailer) poll(ctx context.Context) error {
	wait := t.interval
	for listing := 1; ; listing++ {
		started := time.Now()
		t.memory.listing = listing
		objects, err := t.list(ctx, listing == 1)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && listing == 1:
			return err // later attempts are unlikely to succeed
		case err != nil:
			wait = min(2*wait, 10*t.interval)
			t.warn(cloud.S3Scheme+t.bucket+"/"+t.prefix, fmt.Sprintf("will list again in %v: %v", wait, err))
		default:
			wait = t.interval
			t.read(ctx, objects)
		}
		if t.out.err != nil {
			return t.out.err
		}
		if pipeline.Sleep(ctx, time.Until(started.Add(wait))) != nil {
			return nil
		}
	}
}

// list returns the objects that have something to print. The first listing skips old
// objects.
func (t *tailer) list(ctx context.Context, first bool) (objects []*reading, err error) {
	// The Lister adds a day of slack.
	lister := input.Lister{Buckets: &t.buckets, Bucket: t.bucket, Span: input.Span{Since: time.Now()}}
	err = lister.List(ctx, t.prefix, func(page []input.Object) error {
		for _, found := range page {
			o := t.note(pipeline.Object{Bucket: t.bucket, Key: found.Key, ETag: found.ETag, Size: found.Size})
			if o == nil {
				continue
			}
			end := o.key.PeriodEnd
			if end.IsZero() {
				end = found.Modified
			}
			if first && end.Before(t.begin) {
				t.memory.finish(o)
				continue
			}
			objects = append(objects, o)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.memory.listed()
	return objects, nil
}
