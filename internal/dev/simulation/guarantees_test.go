package simulation

import (
	"fmt"
	"slices"
	"time"

	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
)

// violations returns the guarantees that are broken when nothing is left to do.
func (w *world) violations() []string {
	broken := w.broken
	fail := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }

	twice := 0
	for _, o := range w.objects {
		n := w.accepted[o.cipher]
		switch {
		case n == 0:
			fail("%s was never published", o.cipher)
		case n > 1+w.uncertain[o.cipher]:
			fail("%s was published %d times, with %d uncertain attempts", o.cipher, n, w.uncertain[o.cipher])
		default:
			twice += n - 1
		}
	}
	if float64(twice) > w.republished {
		fail("%d objects were published again, UncertainRepublishes is %v", twice, w.republished)
	}

	for i, a := range w.alerts {
		if n := w.failures(a.end); n < threshold {
			fail("alert about %s, which has %d failures", a.end.Format("15:04"), n)
		}
		for _, b := range w.alerts[:i] {
			again := a.end.Equal(b.end)
			soon := a.at.Sub(b.at) < cooldown-ledger.Skew
			if (again || soon) && !grown(a.failed, b) && !b.uncertain && !later(w.alerts[:i], b) {
				fail("alerts at %s and %s about %s and %s", b.at.Format("15:04:05"), a.at.Format("15:04:05"), b.end.Format("15:04"), a.end.Format("15:04"))
			}
		}
	}
	for _, end := range w.windows() {
		if n := w.failures(end); n >= threshold && !w.alerted(end, n) {
			fail("no alert about %s, which has %d failures", end.Format("15:04"), n)
		}
	}
	return broken
}

// windows returns the ends of all windows that have an object.
func (w *world) windows() []time.Time {
	var ends []time.Time
	for _, o := range w.objects {
		for d := time.Duration(0); d < w.window; d += logkey.Period {
			if end := o.period.Add(d); !slices.ContainsFunc(ends, end.Equal) {
				ends = append(ends, end)
			}
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	return ends
}

func (w *world) within(period, end time.Time) bool {
	return period.After(end.Add(-w.window)) && !period.After(end)
}

// failures counts the failures of a window.
func (w *world) failures(end time.Time) (n uint64) {
	for _, o := range w.objects {
		if w.within(o.period, end) {
			n += uint64(o.failed)
		}
	}
	return n
}

// alerted reports whether an alert was sent about a window with n failures, or
// the window was evaluated in the cooldown of an alert, and has not outgrown that
// alert. An alert about an overlapping window counts too.
func (w *world) alerted(end time.Time, n uint64) bool {
	var evaluated time.Time // when a message about any of its objects last succeeded
	for period, at := range w.evaluated {
		if w.within(period, end) && at.After(evaluated) {
			evaluated = at
		}
	}
	return slices.ContainsFunc(w.alerts, func(a *sentAlert) bool {
		overlaps := a.end.Sub(end).Abs() < w.window
		inCooldown := !evaluated.Before(a.at) && evaluated.Sub(a.at) < cooldown+ledger.Skew
		return (overlaps || inCooldown) && !grown(n, a)
	})
}

func grown(n uint64, since *sentAlert) bool { return float64(n) >= growth*float64(since.failed) }

// later reports whether an alert followed b within its cooldown. The later alert
// then decides what is suppressed.
func later(alerts []*sentAlert, b *sentAlert) bool {
	return slices.ContainsFunc(alerts, func(c *sentAlert) bool {
		return c.at.After(b.at) && (c.uncertain || grown(c.failed, b))
	})
}
