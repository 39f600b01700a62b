package report

import (
	"context"
	"fmt"

	"tlswatch/internal/cli/forecast"
	"tlswatch/pkg/report"
	"tlswatch/pkg/secpolicy"
)

// maxObserved bounds the memory of --to in a report, below that of
// 'tlswatch whatif': beyond, clients count as one.
const maxObserved = 50_000

// A whatIf adds a change of policy to a report.
type whatIf struct {
	change  forecast.Change
	q       secpolicy.Question
	caveats []string
	folds   []forecast.Observations
}

// newWhatIf returns what --to asks for, or nil.
func (o *options) newWhatIf(ctx context.Context) (*whatIf, error) {
	if o.to == "" {
		return nil, nil
	}
	w := &whatIf{change: forecast.Change{Flags: o.Flags, To: o.to}}
	var err error
	if w.q, w.caveats, err = w.change.Question(ctx); err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	return w, nil
}

func (w *whatIf) summary() *report.WhatIf {
	f := w.change.Forecast(w.q, w.folds, w.caveats)
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
