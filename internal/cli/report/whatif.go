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
	for _, row := range f.Rows() {
		r.Outcomes = append(r.Outcomes, report.Outcome{
			Class: row.Class.String(), Name: oldOutcomes[row.Class], Text: row.Class.Text(),
			Connections: row.Connections, Clients: int(row.Clients), Bad: row.Class == secpolicy.Breaks,
		})
	}
	return r
}

// oldOutcomes are the names of the classes until now, for one more version.
var oldOutcomes = map[secpolicy.Class]string{
	secpolicy.KeepsWorking: "keep working", secpolicy.Breaks: "break for certain", secpolicy.Fixed: "failed, would be accepted",
	secpolicy.StillFails: "failed, still refused", secpolicy.Unknown: "cannot be told",
}
