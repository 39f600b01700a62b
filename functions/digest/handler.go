package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tlswatch/pkg/digest"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/survey"
)

// Bounds of one digest. If there are more records, it reads an evenly spread part
// of those of each load balancer and week, and says so.
const (
	maxListed  = 2_000_000 // records, of 200 bytes each
	maxRecords = 40_000    // read
	leastEach  = 20        // records of a load balancer and week that are always read
	parallel   = 64
	margin     = 20 * time.Second // left for sending before the deadline
)

// A source is what the digest reads of the ledger.
type source interface {
	survey.Source
	Posture(ctx context.Context, key string) (*posture.Posture, error)
}

type handler struct {
	ledger   source
	topic    pipeline.AlertSink
	policies secpolicy.ListenerPolicies // from the operator
	known    *secpolicy.Set             // all policies
	region   string
	now      func() time.Time
	log      *slog.Logger
}

// A summary is the reply, for manual invocations.
type summary struct {
	Subject       string `json:"subject"`
	LoadBalancers int    `json:"loadBalancers"`
	Records       int    `json:"records"`
}

// handle sends the digest of the week that ends now. It ignores the event. A retry
// after SNS has accepted the message sends the message again.
func (h *handler) handle(ctx context.Context) (summary, error) {
	until := h.now().UTC().Truncate(logkey.Period)
	w, err := h.read(ctx, until)
	if err != nil {
		return summary{}, fmt.Errorf("reading the ledger: %w", err)
	}
	d := digest.New(h.region, until, w.inputs(h.policies, h.known), h.known)
	d.Notes = w.notes
	m, err := d.Message()
	if err != nil {
		return summary{}, err
	}
	if _, err := h.topic.Publish(ctx, m); err != nil {
		return summary{}, fmt.Errorf("publishing the digest: %w", err)
	}
	h.log.InfoContext(ctx, "digest sent", "subject", m.Subject, "loadBalancers", len(w.loadBalancers), "records", w.read)
	return summary{m.Subject, len(w.loadBalancers), w.read}, nil
}

// weeks has what was found about this week and the week before, by load balancer.
type weeks struct {
	loadBalancers []string
	objects       map[part]int
	sums          map[part]*posture.Sum
	read          int
	notes         []string
}

// A part is one week of a load balancer.
type part struct {
	loadBalancer string
	before       bool // the week before
}

func (h *handler) read(ctx context.Context, until time.Time) (*weeks, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	list, err := survey.List(ctx, h.ledger, survey.Query{From: until.Add(-2 * digest.Week), Until: until, Parallel: parallel, Most: maxListed})
	if err != nil {
		return nil, err
	}
	w := &weeks{loadBalancers: list.LoadBalancers, objects: make(map[part]int), sums: make(map[part]*posture.Sum)}
	if list.Unlisted > 0 {
		w.note("The oldest data were left out: %d load-balancer days, because of the limit on records or for lack of time. If the function timed out, raise its timeout.", list.Unlisted)
	}
	at := func(r survey.Record) part {
		return part{r.LoadBalancer, !r.PeriodEnd.After(until.Add(-digest.Week))}
	}
	parts := make(map[part][]survey.Record)
	for _, r := range list.Records {
		parts[at(r)] = append(parts[at(r)], r)
	}
	var chosen []survey.Record
	for p, records := range parts {
		w.objects[p] = len(records)
		w.sums[p] = new(posture.Sum)
		chosen = append(chosen, survey.Spread(records, max(leastEach, maxRecords/len(parts)))...)
	}
	var mu sync.Mutex
	without := 0
	w.read, err = survey.Each(ctx, parallel, chosen, func(ctx context.Context, r survey.Record) error {
		p, err := h.ledger.Posture(ctx, r.Key)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil && p != nil:
			w.sums[at(r)].Add(*p)
		case err == nil, errors.As(err, new(*json.SyntaxError)), errors.As(err, new(*json.UnmarshalTypeError)):
			without++ // of an earlier version, or not ours
		case errors.Is(err, ledger.ErrNotFound): // it expired after it was listed
		default:
			return err
		}
		return nil
	})
	if w.read < len(chosen) && err == nil {
		w.note("%d of %d records were not read in time. Raise the function's timeout.", len(chosen)-w.read, len(chosen))
	}
	if without > 0 {
		w.note("%d records have no data about the TLS in use, for example because an earlier version of tlswatch wrote them.", without)
	}
	return w, err
}

func (w *weeks) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

func (w *weeks) inputs(policies secpolicy.ListenerPolicies, known *secpolicy.Set) []digest.Input {
	var list []digest.Input
	for _, lb := range w.loadBalancers {
		now, before := part{lb, false}, part{lb, true}
		if w.objects[now]+w.objects[before] == 0 { // only older records
			continue
		}
		in := digest.Input{Name: lb, Objects: w.objects[now], ObjectsBefore: w.objects[before], Now: new(posture.Sum), Before: new(posture.Sum)}
		if s := w.sums[now]; s != nil {
			in.Now = s
		}
		if s := w.sums[before]; s != nil {
			in.Before = s
		}
		if len(policies) > 0 {
			in.Policy = func(port uint16) *secpolicy.Policy {
				return policies.Policy(known, port)
			}
		}
		list = append(list, in)
	}
	return list
}
