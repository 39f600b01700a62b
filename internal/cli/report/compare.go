package report

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
)

// offset is the value of --compare, 0 without it.
func (o *options) offset() (time.Duration, error) {
	if o.compare == "" {
		return 0, nil
	}
	by, err := input.ParseAge(o.compare)
	if err != nil || by == 0 {
		return 0, fmt.Errorf("--compare must be a duration such as 1h, 1d or 7d, not %q", o.compare)
	}
	return by, nil
}

// addEarlier reads the same span earlier, and adds to the report what differs. The span
// is that of --since and --until, else that of the entries.
func (o *options) addEarlier(ctx context.Context, a *analysis, r *report.Result, failing report.Failing, paths []string, p *console.Progress) error {
	if r.First == nil {
		return nil
	}
	by, err := o.offset()
	if err != nil {
		return err
	}
	span, err := o.Span(time.Now().UTC())
	if err != nil {
		return err
	}
	if span.Since.IsZero() {
		span.Since = *r.First
	}
	if span.Until.IsZero() {
		span.Until = r.Last.Add(1) // the last entry belongs to it
	}
	span.Since, span.Until = span.Since.Add(-by), span.Until.Add(-by)
	filter, err := o.Within(span)
	if err != nil {
		return err
	}
	settings := a.settings
	settings.Heat, settings.ByListener = false, false
	earlier := report.New(settings)
	in := input.New(paths, nil, p)
	in.Apply(filter)
	workers := make([]*report.Worker, in.Workers)
	for i := range workers {
		workers[i] = earlier.Worker()
	}
	err = in.Scan(ctx, func(worker int, e *connlog.Entry) { workers[worker].Add(e) })
	for _, w := range workers {
		w.Close()
	}
	if errors.Is(err, input.ErrNoLogs) {
		err = nil // the report says so
	}
	r.Compare(failing, earlier, span.Since, span.Until, o.rows())
	if err != nil {
		err = fmt.Errorf("--compare: %w", err)
	}
	return in.Finish(ctx, err)
}
