package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/trigger"
)

// A handler is a lambda.Handler: it takes the event apart, has each object
// processed, and answers as the event's sender wants it.
type handler struct {
	pipeline *pipeline.Pipeline
	margin   time.Duration // kept free before the deadline, to report what is left undone
	log      *slog.Logger
}

// errNoTime fails an object that was not begun: its event comes again.
var errNoTime = errors.New("not begun: too little time before the deadline")

// Invoke handles one event. Objects are independent of each other: an error
// for one is returned when all the others have been done.
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline.Add(-h.margin), errors.New("deadline of the invocation is near"))
		defer cancel()
	}
	event, err := trigger.Parse(payload)
	if err != nil {
		h.log.ErrorContext(ctx, "event not understood", "error", err.Error())
		return nil, fmt.Errorf("event not understood: %w", err)
	}
	for _, ignored := range event.Ignored {
		h.log.InfoContext(ctx, "ignored", "reason", string(ignored.Reason), "what", ignored.What)
	}
	outcomes := make([]error, len(event.Items))
	for i, item := range event.Items {
		if item.Err != nil {
			h.log.ErrorContext(ctx, "part of the event not understood", "item", item.ID, "error", item.Err.Error())
		}
		for _, o := range item.Objects {
			if err := h.object(ctx, o.Object); err != nil {
				outcomes[i] = errors.Join(outcomes[i], fmt.Errorf("%s: %w", o.URI(), err))
			}
		}
	}
	reply, err := event.Reply(outcomes)
	if err != nil {
		return nil, err
	}
	return json.Marshal(reply)
}

// object processes one object and writes its line in the log.
func (h *handler) object(ctx context.Context, o pipeline.Object) error {
	if ctx.Err() != nil {
		return errNoTime
	}
	r, err := h.pipeline.Process(ctx, o)
	level, message := slog.LevelInfo, "processed"
	switch {
	case err != nil:
		level, message = slog.LevelError, "failed"
	case r.Skipped != "":
		message = "skipped"
	}
	h.log.LogAttrs(ctx, level, message, attrs(r, err)...)
	if r.FirstMalformed != nil { // the text may hold what a client sent
		h.log.DebugContext(ctx, "malformed line", "key", o.Key, "error", r.FirstMalformed.Error())
	}
	return err
}

// attrs are the attributes of an object's log line. They name no client.
func attrs(r pipeline.Report, err error) []slog.Attr {
	list := []slog.Attr{slog.String("bucket", r.Object.Bucket), slog.String("key", r.Object.Key)}
	if err != nil {
		list = append(list, slog.String("error", err.Error()))
	}
	if r.Skipped != "" {
		return append(list, slog.String("reason", r.Skipped))
	}
	list = append(list,
		slog.String("loadBalancer", r.Key.LoadBalancer),
		slog.Int("attempts", r.Attempts),
		slog.Int64("compressedBytes", r.Object.Size),
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
		slog.Float64("readMs", milliseconds(r.Reading)),
		slog.Float64("publishMs", milliseconds(r.Publishing)),
	)
	if pe := r.FirstMalformed; pe != nil {
		list = append(list, slog.Group("firstMalformed", slog.Int("line", pe.Line), slog.String("field", pe.Field), slog.String("problem", pe.Err.Error())))
	}
	return list
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
