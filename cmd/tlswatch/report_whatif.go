package main

import (
	"context"
	"fmt"

	"tlswatch/pkg/report"
	"tlswatch/pkg/secpolicy"
)

// reportObservations bounds the memory of --what-if in a report, below that of
// 'tlswatch whatif': beyond, clients count as one.
const reportObservations = 50_000

// A reportWhatIf adds a change of policy to a report.
type reportWhatIf struct {
	o       whatIfOptions
	q       secpolicy.Question
	caveats []string
	folds   []observations
}

// newWhatIf returns what --what-if asks for, or nil.
func (o *reportOptions) newWhatIf(ctx context.Context) (*reportWhatIf, error) {
	if o.whatIf == "" {
		return nil, nil
	}
	w := &reportWhatIf{o: whatIfOptions{data: o.data, from: o.policy, region: o.region, to: o.whatIf}}
	var err error
	if w.q, w.caveats, err = w.o.question(ctx); err != nil {
		return nil, fmt.Errorf("--what-if: %w", err)
	}
	return w, nil
}

func (w *reportWhatIf) summary() *report.WhatIf {
	f := w.o.forecast(w.q, w.folds, w.caveats)
	r := &report.WhatIf{From: f.From, To: f.To, Notes: f.Notes}
	for _, x := range []struct {
		name                 string
		connections, clients uint64
		bad                  bool
	}{
		{"keep working", f.Connections.KeepsWorking, f.Clients.KeepsWorking, false},
		{"break for certain", f.Connections.Breaks, f.Clients.Breaks, true},
		{"failed, would be accepted", f.Connections.WouldBeAccepted, f.Clients.WouldBeAccepted, false},
		{"failed, still refused", f.Connections.StillRefused, f.Clients.StillRefused, false},
		{"cannot be told", f.Connections.Unknown, f.Clients.Unknown, false},
	} {
		r.Outcomes = append(r.Outcomes, report.Outcome{Name: x.name, Connections: x.connections, Clients: int(x.clients), Bad: x.bad})
	}
	return r
}
