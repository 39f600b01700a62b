package report

import (
	"context"
	"fmt"
	"time"

	"tlswatch/internal/cli/forecast"
	"tlswatch/pkg/report"
	"tlswatch/pkg/whatif"
)

// maxObserved is how many clients and kinds of connections --to keeps. It is less than in
// 'tlswatch whatif', to save memory. Beyond it, --to keeps a sample of the clients.
const maxObserved = 100_000

// A whatIf adds a change of policy to a report.
type whatIf struct {
	change forecast.Change
	log    *forecast.Log
}

// newWhatIf returns what --to asks for, or nil.
func (o *options) newWhatIf(ctx context.Context) (*whatIf, error) {
	if o.to == "" {
		return nil, nil
	}
	w := &whatIf{change: forecast.Change{Flags: o.Flags, To: []string{o.to}}}
	if err := w.change.Prepare(ctx, time.Now()); err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	return w, nil
}

func (w *whatIf) summary() *report.WhatIf {
	f := w.change.Answer(w.log)[0]
	r := &report.WhatIf{From: f.From, To: f.To, Notes: f.Notes}
	for _, row := range f.Rows() {
		r.Outcomes = append(r.Outcomes, report.Outcome{
			Class: row.Class.String(), Name: oldOutcomes[row.Class], Text: row.Class.Text(),
			Connections: row.Connections, Clients: int(row.Clients), Bad: row.Class == whatif.Breaks,
		})
	}
	return r
}

// oldOutcomes are the names of the classes until now, for one more version.
var oldOutcomes = map[whatif.Class]string{
	whatif.KeepsWorking: "keep working", whatif.Likely: "likely to work", whatif.Breaks: "break for certain",
	whatif.Fixed: "failed, would be accepted", whatif.StillFails: "failed, still refused", whatif.Unknown: "unknown",
}
