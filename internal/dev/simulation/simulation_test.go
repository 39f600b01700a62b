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

func TestSchedules(t *testing.T) {
	if *oneSeed != 0 {
		w, broken := schedule(*oneSeed, none)
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
				w, broken := schedule(seed, none)
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

// Without a rule, both schedulers find the fault that the rule prevents.
func TestRulesMatter(t *testing.T) {
	for _, test := range []struct {
		name   string
		breach breach
		finds  string
		small  string // the name of the small case that shows it
	}{
		{"the owner is the event, not the attempt", ownerIsAttempt, "waits for itself", oneObject},
		{"every event evaluates its window, duplicates too", noSecondLook, "no alert", oneObject},
		{"a live claim is left alone", leasesIgnored, "while another owner had its claim", announcedTwice},
		{"a live claim is no success", claimSuffices, "never published", oneObject},
		{"a pending alert is no success", pendingSuffices, "no alert", twoWindows},
		{"not even in a batch with its owner", pendingSuffices | alertsForgotten, "no alert", announcedTwice},
		{"a claim of the batch is taken over", claimsForgotten, "waits for itself", announcedTwice},
		{"a pending alert of the batch is taken over", alertsForgotten, "waits for itself", announcedTwice},
	} {
		t.Run(test.name, func(t *testing.T) {
			shows := func(broken []string) bool {
				return slices.ContainsFunc(broken, func(v string) bool { return strings.Contains(v, test.finds) })
			}
			t.Run("random schedules", func(t *testing.T) {
				if test.breach == alertsForgotten {
					t.Skip("takes a minute: no other message may have begun when one crashes with its alert pending")
				}
				for seed := range uint64(5000) {
					if _, broken := schedule(seed+1, test.breach); shows(broken) {
						t.Logf("found by seed %d: %s", seed+1, strings.Join(broken, "; "))
						return
					}
				}
				t.Error("no schedule shows that the rule matters")
			})
			t.Run("small case", func(t *testing.T) {
				for _, c := range smallCases(1, test.breach == claimSuffices) {
					if c.name != test.small {
						continue
					}
					if states, found := c.explore(test.breach); found != nil && shows(found.broken) {
						t.Logf("%s: found after %d states: %s\n%s", c.name, states, strings.Join(found.broken, "; "), strings.Join(found.steps, "\n"))
						return
					}
				}
				t.Error("no small case shows that the rule matters")
			})
		})
	}
}

// The same seed gives the same schedule.
func TestReplay(t *testing.T) {
	for seed := range uint64(20) {
		a, _ := schedule(seed, none)
		b, _ := schedule(seed, none)
		if !slices.Equal(a.trace, b.trace) {
			t.Errorf("seed %d: the schedules differ", seed)
		}
	}
}

// Everything that can happen in small cases, with one crash. If SCHEDULES is set,
// there are more cases, and each with two crashes, or one and redrives by the
// console.
func TestEverything(t *testing.T) {
	cases := smallCases(1, false)[:2]
	if os.Getenv("SCHEDULES") != "" {
		cases = slices.Concat(smallCases(1, true), smallCases(2, false))
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s, %d crashes, console %v", c.name, c.crashes, c.console), func(t *testing.T) {
			t.Parallel()
			states, found := c.explore(none)
			if found != nil {
				t.Errorf("%s\n%s", strings.Join(found.broken, "\n"), strings.Join(found.steps, "\n"))
			}
			t.Logf("%d states", states)
		})
	}
}
