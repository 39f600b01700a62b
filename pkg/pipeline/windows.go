package pipeline

import (
	"context"
	"slices"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/ledger"
)

// windows are sums of the records around a period. Each record is read when a
// window needs it, added up with the others of its period, and forgotten.
type windows struct {
	ledger  *ledger.Ledger
	records []ledger.Record
	reasons [][]string // the reasons that rules count, without duplicates
	periods map[time.Time][]*alert.Sum
	sums    map[windowKey]alert.Window
}

// A windowKey identifies a sum that rules share.
type windowKey struct {
	end     time.Time
	length  time.Duration
	reasons int // index in windows.reasons
}

func newWindows(l *ledger.Ledger, records []ledger.Record, rules []alert.Rule) *windows {
	w := &windows{ledger: l, records: records, periods: make(map[time.Time][]*alert.Sum), sums: make(map[windowKey]alert.Window)}
	for _, r := range rules {
		if w.index(r.Reasons) < 0 {
			w.reasons = append(w.reasons, r.Reasons)
		}
	}
	return w
}

func (w *windows) index(reasons []string) int {
	return slices.IndexFunc(w.reasons, func(known []string) bool { return slices.Equal(known, reasons) })
}

func within(t, end time.Time, length time.Duration) bool {
	return t.After(end.Add(-length)) && !t.After(end)
}

// failedAtMost bounds the failures in a window.
func (w *windows) failedAtMost(end time.Time, length time.Duration) uint64 {
	var sum uint64
	for _, r := range w.records {
		if within(r.PeriodEnd, end, length) {
			sum += r.FailedAtMost
		}
	}
	return sum
}

// at adds up what a rule counts in a window.
func (w *windows) at(ctx context.Context, end time.Time, rule alert.Rule) (alert.Window, error) {
	key := windowKey{end, rule.Window, w.index(rule.Reasons)}
	if sum, ok := w.sums[key]; ok {
		return sum, nil
	}
	var sum alert.Sum
	var last time.Time
	for _, r := range w.records {
		if r.PeriodEnd.Equal(last) || !within(r.PeriodEnd, end, rule.Window) {
			continue
		}
		last = r.PeriodEnd
		period, err := w.period(ctx, last)
		if err != nil {
			return alert.Window{}, err
		}
		sum.AddSum(period[key.reasons])
	}
	window := sum.Window(end, rule.Window)
	w.sums[key] = window
	return window, nil
}

// period adds up the records of a period, for each list of reasons.
func (w *windows) period(ctx context.Context, end time.Time) ([]*alert.Sum, error) {
	if sums, ok := w.periods[end]; ok {
		return sums, nil
	}
	sums := make([]*alert.Sum, len(w.reasons))
	for i := range sums {
		sums[i] = new(alert.Sum)
	}
	for _, r := range w.records {
		if !r.PeriodEnd.Equal(end) {
			continue
		}
		window, err := w.ledger.Window(ctx, r.Key)
		if err != nil {
			return nil, err
		}
		for i, reasons := range w.reasons {
			sums[i].Add(window.Only(reasons))
		}
	}
	w.periods[end] = sums
	return sums, nil
}
