package simulation

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tlswatch/pkg/ledger"
)

var oneSeed = flag.Uint64("seed", 0, "run and show only the schedule of this seed")

// schedules is the number of seeds: 2,000, or the environment variable SCHEDULES
// ("make crash" sets 100,000).
func schedules(t *testing.T) uint64 {
	text := os.Getenv("SCHEDULES")
	if text == "" {
		return 2000
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SCHEDULES: %v", err)
	}
	return n
}

// violations runs the schedule of a seed and returns the guarantees that it breaks.
func violations(seed uint64, b breach) (*world, []string) {
	w := newWorld(seed, b)
	w.run()
	broken := w.broken
	fail := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }

	twice := 0
	failures := make(map[time.Time]int)
	for _, o := range w.objects {
		failures[o.period] += o.failed
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
		if failures[a.end] < threshold {
			fail("alert about %s, which has %d failures", a.end.Format("15:04"), failures[a.end])
		}
		for _, b := range w.alerts[:i] {
			again := a.end.Equal(b.end)
			soon := a.at.Sub(b.at) < cooldown-ledger.Skew
			if (again || soon) && float64(a.failed) < growth*float64(b.failed) && !b.uncertain && !later(w.alerts[:i], b) {
				fail("alerts at %s and %s about %s and %s", b.at.Format("15:04:05"), a.at.Format("15:04:05"), b.end.Format("15:04"), a.end.Format("15:04"))
			}
		}
	}
	for end, n := range failures {
		if n < threshold {
			continue
		}
		// An alert was sent about the window, or the window was evaluated while
		// another alert was pending or in its cooldown.
		if !slices.ContainsFunc(w.alerts, func(a *sentAlert) bool {
			at := w.evaluated[end]
			return a.end.Equal(end) || !at.Before(a.since) && at.Sub(a.at) < cooldown+ledger.Skew
		}) {
			fail("no alert about %s, which has %d failures", end.Format("15:04"), n)
		}
	}
	return w, broken
}

// later reports whether an alert followed b within its cooldown. The later alert
// then decides what is suppressed.
func later(alerts []*sentAlert, b *sentAlert) bool {
	return slices.ContainsFunc(alerts, func(c *sentAlert) bool {
		return c.at.After(b.at) && (c.uncertain || float64(c.failed) >= growth*float64(b.failed))
	})
}

func TestSchedules(t *testing.T) {
	if *oneSeed != 0 {
		w, broken := violations(*oneSeed, none)
		t.Logf("seed %d:\n%s", *oneSeed, strings.Join(w.trace, "\n"))
		for _, v := range broken {
			t.Error(v)
		}
		return
	}
	n := schedules(t)
	var next, published, uncertain, alerts, republished atomic.Uint64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for seed := next.Add(1); seed <= n && !t.Failed(); seed = next.Add(1) {
				w, broken := violations(seed, none)
				for _, v := range broken {
					t.Errorf("seed %d: %s\nreplay: go test ./internal/dev/simulation -run Schedules -v -seed %d", seed, v, seed)
				}
				for _, n := range w.accepted {
					published.Add(uint64(n))
				}
				for _, n := range w.uncertain {
					uncertain.Add(uint64(n))
				}
				alerts.Add(uint64(len(w.alerts)))
				republished.Add(uint64(w.republished))
			}
		})
	}
	wg.Wait()
	t.Logf("%d schedules: %d publications, %d attempts that ended between acceptance and commit, %d republishes, %d alerts",
		n, published.Load(), uncertain.Load(), republished.Load(), alerts.Load())
	if published.Load() == 0 || uncertain.Load() == 0 || republished.Load() == 0 || alerts.Load() == 0 {
		t.Error("the schedules do not cover what they must test")
	}
}

// Without a rule, the simulation finds the fault that the rule prevents.
func TestRulesMatter(t *testing.T) {
	for _, test := range []struct {
		name   string
		breach breach
		finds  string
	}{
		{"the owner is the event, not the attempt", ownerIsAttempt, "never published"},
		{"every event evaluates its window, duplicates too", noSecondLook, "no alert"},
		{"a live claim is left alone", leasesIgnored, "while another owner had its claim"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(5000) {
				_, broken := violations(seed+1, test.breach)
				if slices.ContainsFunc(broken, func(v string) bool { return strings.Contains(v, test.finds) }) {
					t.Logf("found by seed %d: %s", seed+1, strings.Join(broken, "; "))
					return
				}
			}
			t.Errorf("no schedule shows that the rule matters")
		})
	}
}

// The same seed gives the same schedule.
func TestReplay(t *testing.T) {
	for seed := range uint64(20) {
		a, _ := violations(seed, none)
		b, _ := violations(seed, none)
		if !slices.Equal(a.trace, b.trace) {
			t.Errorf("seed %d: the schedules differ", seed)
		}
	}
}
