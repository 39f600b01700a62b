package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/survey"
	"tlswatch/pkg/widget"
)

// Bounds of one invocation: a dashboard waits for it.
const (
	maxTime    = 8 * time.Second
	margin     = time.Second // left for rendering before the deadline
	maxRange   = 31 * 24 * time.Hour
	maxListed  = 1_000_000 // records, of 200 bytes each
	maxRecords = 2000      // that are read; the widget says what it left out
	parallel   = 16
)

// A source is what the widget reads of the ledger.
type source interface {
	survey.Source
	Window(ctx context.Context, key string) (alert.Window, error)
}

type handler struct {
	ledger   source
	policies secpolicy.ListenerPolicies // from the operator
	known    *secpolicy.Set             // all policies
	log      *slog.Logger
}

// A request is what a dashboard sends: the parameters of the widget or of a
// click, and the context.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html
type request struct {
	Describe     bool   `json:"describe"`
	LoadBalancer string `json:"loadBalancer"`
	Client       string `json:"client"`
	Policy       string `json:"policy"`
	Rows         int    `json:"rows"`

	Context *struct {
		Theme    string `json:"theme"`
		Timezone struct {
			OffsetISO string `json:"offsetISO"`
		} `json:"timezone"`
		TimeRange struct {
			millis
			Zoom *millis `json:"zoom"`
		} `json:"timeRange"`
	} `json:"widgetContext"`
}

// millis is a span of time in milliseconds since 1970.
type millis struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

//go:embed describe.md
var describe string

// handle returns documentation or HTML. The widget shows errors, so that viewers
// can correct their own.
func (h *handler) handle(ctx context.Context, event json.RawMessage) (string, error) {
	var r request
	if err := json.Unmarshal(event, &r); err != nil {
		return widget.Problem(fmt.Sprintf("Invalid widget parameters: %v.", err))
	}
	if r.Describe {
		return describe, nil
	}
	html, err := h.show(ctx, r)
	if usage, ok := errors.AsType[*usageError](err); ok {
		return widget.Problem(usage.Error())
	}
	if err != nil {
		h.log.ErrorContext(ctx, "cannot show the widget", "error", err.Error())
		return widget.Problem(fmt.Sprintf("Reading the ledger failed: %v.", err))
	}
	return html, nil
}

// A usageError is an error in the widget's parameters or context.
type usageError struct{ error }

func (h *handler) show(ctx context.Context, r request) (string, error) {
	view, err := r.view()
	if err != nil {
		return "", err
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		view.Endpoint = lc.InvokedFunctionArn
	}
	policies := h.policies
	if r.Policy != "" {
		if _, err := h.known.Lookup(r.Policy); err != nil {
			return "", &usageError{err}
		}
		policies = secpolicy.ListenerPolicies{0: r.Policy}
	}
	view.Known = h.known
	view.Listener = func(port uint16) *secpolicy.Policy {
		return policies.Policy(h.known, port)
	}
	tally := widget.NewTally(widget.Filter{LoadBalancer: r.LoadBalancer, Client: r.Client})
	if view.Notes, err = h.read(ctx, r, view, tally); err != nil {
		return "", err
	}
	return tally.Render(view)
}

// view reads the time range and the viewer's settings from the context.
func (r *request) view() (widget.View, error) {
	if r.Context == nil {
		return widget.View{}, &usageError{errors.New("the event has no widgetContext: this function is for CloudWatch dashboards")}
	}
	at := r.Context.TimeRange.millis
	if zoom := r.Context.TimeRange.Zoom; zoom != nil {
		at = *zoom
	}
	v := widget.View{
		From: time.UnixMilli(at.Start).UTC(), Until: time.UnixMilli(at.End).UTC(), Zone: time.UTC,
		Dark: r.Context.Theme == "dark", Policy: r.Policy, Rows: r.Rows,
	}
	if !v.Until.After(v.From) {
		return v, &usageError{errors.New("the time range ends before it begins")}
	}
	if t, err := time.Parse("-07:00", r.Context.Timezone.OffsetISO); err == nil {
		v.Zone = t.Location()
		if _, offset := t.Zone(); offset != 0 {
			v.Zone = time.FixedZone("UTC"+r.Context.Timezone.OffsetISO, offset)
		}
	}
	return v, nil
}

// read adds up the records of the time range and returns notes about those that
// it left out.
func (h *handler) read(ctx context.Context, r request, v widget.View, tally *widget.Tally) (notes []string, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()

	from := v.From
	if v.Until.Sub(from) > maxRange {
		from = v.Until.Add(-maxRange)
		notes = append(notes, "Only the last 31 days of the time range are shown.")
	}
	q := survey.Query{From: from, Until: v.Until.Add(logkey.Period - 1), Parallel: parallel, Most: maxListed}
	if r.LoadBalancer != "" {
		q.LoadBalancers = []string{r.LoadBalancer}
	}
	list, err := survey.List(ctx, h.ledger, q)
	if err != nil {
		return nil, err
	}
	if list.Unlisted > 0 {
		notes = append(notes, fmt.Sprintf("The oldest data were left out: %d load-balancer days. Choose a shorter time range or one load balancer.", list.Unlisted))
	}
	records, others, otherFailures := survey.MostFailed(list.Records, maxRecords)
	var mu sync.Mutex
	var unreadable []string
	done, err := survey.Each(ctx, parallel, records, func(ctx context.Context, r survey.Record) error {
		w, err := h.ledger.Window(ctx, r.Key)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			tally.Add(w)
		case errors.Is(err, ledger.ErrNotFound): // it expired after it was listed
		case errors.As(err, new(*json.SyntaxError)) || errors.As(err, new(*json.UnmarshalTypeError)):
			unreadable = append(unreadable, r.Key)
		default:
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range records[done:] { // an estimate: the records in progress may have been others
		others++
		otherFailures += min(r.FailedAtMost, math.MaxUint64-otherFailures)
	}
	if others > 0 {
		notes = append(notes, fmt.Sprintf("Only the %d log objects with the most failures were read. The other %d, with at most %d failures in total, are not counted here.", done, others, otherFailures))
	}
	if len(unreadable) > 0 {
		notes = append(notes, fmt.Sprintf("%d records are invalid, such as %s.", len(unreadable), slices.Min(unreadable)))
	}
	return notes, nil
}
