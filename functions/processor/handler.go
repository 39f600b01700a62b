package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/trigger"
)

// A handler is a lambda.Handler: it parses the event, runs the pipeline for its
// objects, and replies in the form that the event's sender expects.
type handler struct {
	pipeline *pipeline.Pipeline
	margin   time.Duration // before the deadline, for reporting unfinished objects
	clients  bool          // whether the log may quote what clients sent
	log      *slog.Logger
}

// Invoke handles one event. Objects are independent: an error about one is
// returned after all others have been processed.
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline.Add(-h.margin), errors.New("deadline of the invocation is near"))
		defer cancel()
	}
	event, err := trigger.Parse(payload)
	if err != nil {
		h.log.ErrorContext(ctx, "invalid event", "error", text.Printable(err.Error()))
		return nil, fmt.Errorf("invalid event: %w", err)
	}
	for _, ignored := range event.Ignored {
		h.log.InfoContext(ctx, "ignored", "reason", string(ignored.Reason), "what", text.Printable(ignored.What))
	}
	outcomes := make([]error, len(event.Items))
	var jobs []pipeline.Job
	var items []int // of the jobs
	for i, item := range event.Items {
		if item.Err != nil {
			h.log.ErrorContext(ctx, "invalid item in the event", "item", text.Printable(item.ID), "error", text.Printable(item.Err.Error()))
		}
		for _, o := range item.Objects {
			jobs = append(jobs, pipeline.Job{Object: o.Object, Owner: event.Owner(o, requestID(ctx))})
			items = append(items, i)
		}
	}
	for i, r := range h.pipeline.Run(ctx, jobs...) {
		h.report(ctx, r)
		if r.Err != nil {
			err := fmt.Errorf("%s: %w", r.Object.URI(), r.Err)
			if errors.Is(err, connlog.ErrCorrupt) || errors.Is(err, connlog.ErrTooLarge) || errors.Is(err, logkey.ErrMixed) {
				err = trigger.Permanent(err)
			}
			outcomes[items[i]] = errors.Join(outcomes[items[i]], err)
		}
	}
	reply, err := event.Reply(outcomes)
	if err != nil {
		return nil, err
	}
	return json.Marshal(reply)
}

// requestID returns Lambda's request id, which is the same in all attempts at an
// asynchronous event.
func requestID(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// report writes the log line of an object.
func (h *handler) report(ctx context.Context, r pipeline.Report) {
	level, message := slog.LevelInfo, "processed"
	switch {
	case onlyInProgress(r.Err):
		level, message = slog.LevelWarn, inProgress
	case r.Err != nil:
		level, message = slog.LevelError, "failed"
	case r.Skipped != "":
		message = "skipped"
	case r.Duplicate != "":
		message = "duplicate"
	case r.TakenOver || r.AlertTakenOver:
		level = slog.LevelWarn
	}
	h.log.LogAttrs(ctx, level, message, attrs(r)...)
	if r.PolicyErr != nil {
		h.log.WarnContext(ctx, "cannot look up the listeners' security policies", "loadBalancer", r.Key.LoadBalancer, "error", r.PolicyErr.Error())
	}
	if r.FirstMalformed != nil && h.clients {
		h.log.DebugContext(ctx, "invalid line", "key", text.Printable(r.Object.Key), "error", text.Printable(r.FirstMalformed.Error()))
	}
	if r.Err == nil { // after an error, a retry reports them
		for _, c := range r.Failing {
			h.log.LogAttrs(ctx, slog.LevelInfo, failingClient,
				slog.String("loadBalancer", r.Key.LoadBalancer),
				slog.String("client", c.Client),
				slog.String("reason", text.Name(c.Reason)),
				slog.Uint64("failed", c.Failed),
				slog.Int("listenerPort", int(c.ListenerPort)),
				slog.String("protocol", text.Name(c.Protocol)),
				slog.String("cipher", text.Name(c.Cipher)),
			)
		}
	}
}

// inProgress is the message about an object that will be retried because another
// event is working on it or its alert.
const inProgress = "in progress in another event"

// onlyInProgress reports whether err is pipeline.ErrInProgress, or several of them:
// anything else that was joined to them needs attention.
func onlyInProgress(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !onlyInProgress(err) })
	case interface{ Unwrap() error }:
		return onlyInProgress(e.Unwrap())
	}
	return err == pipeline.ErrInProgress
}

// failingClient is the message of the lines from which Contributor Insights ranks
// clients and reasons. The rules in template.yaml name it and the attributes of
// the lines; names there may have only letters and digits.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/ContributorInsights-RuleSyntax.html
const failingClient = "failing client"

// attrs are the attributes of an object's log line. They name no client.
func attrs(r pipeline.Report) []slog.Attr {
	list := []slog.Attr{slog.String("bucket", text.Printable(r.Object.Bucket)), slog.String("key", text.Printable(r.Object.Key))}
	if r.Err != nil {
		list = append(list, slog.String("error", text.Printable(r.Err.Error())))
	}
	if r.Object.Size >= 0 {
		list = append(list, slog.Int64("compressedBytes", r.Object.Size))
	}
	list = append(list,
		slog.Int("attempts", r.Attempts),
		slog.Float64("readMs", milliseconds(r.Reading)),
		slog.Float64("publishMs", milliseconds(r.Publishing)),
	)
	if r.Skipped != "" {
		return append(list, slog.String("reason", r.Skipped))
	}
	list = append(list,
		slog.String("loadBalancer", r.Key.LoadBalancer),
		slog.Int64("bytes", r.Bytes),
		slog.Uint64("lines", r.Lines),
		slog.Uint64("malformed", r.Malformed),
		slog.Uint64("connections", r.Counts.Connections),
		slog.Uint64("failed", r.Counts.Failed),
		slog.Uint64("plaintext", r.Plaintext),
		slog.Uint64("tooOld", r.Stale.TooOld),
		slog.Uint64("tooNew", r.Stale.TooNew),
		slog.Int("metricData", r.Data),
		slog.Int("alerts", r.Alerts),
		slog.Int("alertsSuppressed", r.Suppressed),
	)
	if r.Duplicate != "" {
		list = append(list, slog.String("duplicate", r.Duplicate))
	}
	if r.TakenOver || r.AlertTakenOver {
		list = append(list, slog.Bool("takenOver", r.TakenOver), slog.Bool("alertTakenOver", r.AlertTakenOver))
	}
	if pe := r.FirstMalformed; pe != nil {
		list = append(list, slog.Group("firstMalformed", slog.Int("line", pe.Line), slog.String("field", pe.Field), slog.String("problem", pe.Err.Error())))
	}
	return list
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
