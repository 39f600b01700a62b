// Package pipeline is the order of work for one log object: open, read to the
// end, count, publish metrics, alert. What it needs from AWS it names in small
// interfaces, so that the function, the command line and tests run the same
// line of work.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/rollup"
)

// A Source opens log objects. The error of Open is or wraps [ErrGone] or
// [ErrReplaced] where that is what happened.
type Source interface {
	Open(context.Context, Object) (io.ReadCloser, error)
}

// Reasons why an announced object cannot be read any more. Neither is a fault
// that trying again would mend.
var (
	ErrGone     = errors.New("object is gone")
	ErrReplaced = errors.New("object was replaced; its own event follows")
)

// A MetricSink publishes metric data. It may have published a part of them
// when it fails.
type MetricSink interface {
	Put(context.Context, []metric.Datum) error
}

// An AlertSink publishes alerts.
type AlertSink interface {
	Publish(context.Context, alert.Message) error
}

// A Pipeline processes log objects. Its fields must not be changed once it is
// in use; it may then be used by several goroutines at once.
type Pipeline struct {
	Source  Source
	Metrics MetricSink
	Alerts  AlertSink // nil: alerts are evaluated and reported, not sent

	MetricOptions  metric.Options
	IPv6Prefix     int          // see rollup.Options
	PublishClients bool         // whether alerts name client addresses
	Rules          []alert.Rule //

	Now   func() time.Time // the clock
	Sleep func(context.Context, time.Duration) error
}

// Attempts is how often an object is read from its start, in all, when the
// transfer breaks off.
const Attempts = 3

// retryPause is the wait before the second attempt; it doubles from there.
const retryPause = 200 * time.Millisecond

// A Report tells what became of an object.
type Report struct {
	Object  Object
	Key     connlog.ObjectKey
	Skipped string // why the object was passed over; "" if it was processed

	Attempts       int                 // times the object was opened
	Bytes          int64               // after decompression
	Lines          uint64              //
	Malformed      uint64              // lines that are no entries
	FirstMalformed *connlog.ParseError // the first of them
	Counts         rollup.Counts       // TLS connections
	Plaintext      uint64              // connections without TLS
	Stale          metric.Stale        // connections that CloudWatch takes no data of any more, or yet
	Data           int                 // metric data published
	Alerts         int                 // alerts raised
	Reading        time.Duration
	Publishing     time.Duration
}

// Reasons of Report.Skipped that do not come from the object's key.
const (
	SkippedGone     = "gone before it was read"
	SkippedReplaced = "replaced before it was read; its own event follows"
	SkippedEmpty    = "empty"
)

// Process reads one object to its end and then publishes its metrics and the
// alerts it is worth. Nothing is published of an object that cannot be read in
// full.
//
// An error means that the object should be tried again, as a whole. If it
// comes after metrics were published, their next publication counts twice:
// CloudWatch adds up whatever it is sent.
func (p *Pipeline) Process(ctx context.Context, o Object) (Report, error) {
	r := Report{Object: o}
	start := p.Now()
	summary, err := p.read(ctx, &r)
	r.Reading = p.Now().Sub(start)
	if err != nil {
		return r, err
	}
	if err := ctx.Err(); err != nil {
		return r, fmt.Errorf("out of time before publishing: %w", context.Cause(ctx))
	}
	start = p.Now()
	err = p.publish(ctx, &r, summary)
	r.Publishing = p.Now().Sub(start)
	return r, err
}

// read returns what the object adds up to, or nil if it is to be skipped.
func (p *Pipeline) read(ctx context.Context, r *Report) (*rollup.Summary, error) {
	key, err := connlog.ParseObjectKey(r.Object.Key)
	if err != nil && r.Object.AltKey != "" {
		key, err = connlog.ParseObjectKey(r.Object.AltKey)
	}
	if ke, ok := errors.AsType[*connlog.KeyError](err); ok {
		r.Skipped = ke.Reason
		return nil, nil
	}
	r.Key = key
	for pause := retryPause; ; pause *= 2 {
		r.Attempts++
		s, err := p.readOnce(ctx, r)
		switch {
		case err == nil && s.Lines == 0 && r.Bytes == 0:
			r.Skipped = SkippedEmpty
			return nil, nil
		case err == nil:
			r.Lines, r.Malformed, r.Counts, r.Plaintext = s.Lines, s.Malformed, s.Totals, s.Plaintext
			return s, nil
		case errors.Is(err, ErrGone):
			r.Skipped = SkippedGone
			return nil, nil
		case errors.Is(err, ErrReplaced):
			r.Skipped = SkippedReplaced
			return nil, nil
		case !errors.Is(err, errCut) || r.Attempts == Attempts || ctx.Err() != nil:
			return nil, err
		}
		if stop := p.Sleep(ctx, pause); stop != nil {
			return nil, fmt.Errorf("%w; not tried again: %w", err, stop)
		}
	}
}

// errCut marks an error in the middle of a transfer: the object itself may be
// in order.
var errCut = errors.New("transfer broke off")

func (p *Pipeline) readOnce(ctx context.Context, r *Report) (*rollup.Summary, error) {
	body, err := p.Source.Open(ctx, r.Object)
	if err != nil {
		return nil, err
	}
	defer body.Close()

	r.FirstMalformed = nil
	s := rollup.New(rollup.Options{IPv6Prefix: p.IPv6Prefix})
	z := connlog.NewReader(body)
	var e connlog.Entry
	for {
		err := z.Read(&e)
		r.Bytes = z.Bytes()
		switch err := err.(type) {
		case nil:
			s.Add(&e)
			continue
		case *connlog.ParseError:
			s.AddMalformed()
			if r.FirstMalformed == nil {
				r.FirstMalformed = err
			}
			continue
		}
		switch {
		case err == io.EOF:
			return s, nil
		case errors.Is(err, connlog.ErrCorrupt):
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
}

// publish sends the metrics of an object, and then its alerts.
func (p *Pipeline) publish(ctx context.Context, r *Report, s *rollup.Summary) error {
	now := p.Now()
	var processor metric.Processor
	var data []metric.Datum
	if s == nil {
		processor.ObjectsSkipped++
	} else {
		processor.Processed(r.Key.PeriodEnd, now, s.Malformed)
		data, r.Stale = metric.Data(s, r.Key.LoadBalancer, now, p.MetricOptions)
	}
	data = append(data, processor.Data(now)...)
	if err := p.Metrics.Put(ctx, data); err != nil {
		return fmt.Errorf("publishing metrics: %w", err)
	}
	r.Data = len(data)
	if s == nil {
		return nil
	}
	window := alert.Observe(s, r.Key, r.Object.URI(), p.PublishClients)
	var failed []error
	for _, rule := range p.Rules {
		a := rule.Evaluate(window)
		if a == nil {
			continue
		}
		r.Alerts++
		if err := p.send(ctx, a); err != nil {
			failed = append(failed, fmt.Errorf("publishing alert %s: %w", rule.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (p *Pipeline) send(ctx context.Context, a *alert.Alert) error {
	if p.Alerts == nil {
		return nil
	}
	m, err := a.Message()
	if err != nil {
		return err
	}
	return p.Alerts.Publish(ctx, m)
}

// Sleep waits for d, or until the context is done, which is its error.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
