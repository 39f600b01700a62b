package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// all runs seeds of the groups in turn until there are enough, prints what
// became of them, and returns an error if anything was violated.
func (o options) all(h *harness, chosen []group) error {
	start := time.Now()
	totals := make([]total, len(chosen))
	next, late := 0, false
	var mu sync.Mutex
	draw := func() (g int, seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		late = time.Since(start) > o.limit
		if late || o.enough(totals, next) {
			return 0, 0, false
		}
		g, seed = next%len(chosen), o.first+uint64(next/len(chosen))
		next++
		return g, seed, true
	}
	var worlds sync.WaitGroup
	for {
		h.running <- struct{}{}
		g, seed, ok := draw()
		if !ok {
			break
		}
		worlds.Go(func() {
			w := newWorld(h, chosen[g], seed)
			w.run()
			<-h.running
			mu.Lock()
			defer mu.Unlock()
			totals[g].add(w)
			o.report(w, time.Since(start))
		})
	}
	worlds.Wait()
	printTotals(chosen, totals, time.Since(start))
	violations := 0
	for _, t := range totals {
		for _, n := range t.violations {
			violations += n
		}
	}
	switch {
	case violations > 0:
		return fmt.Errorf("%d violations; traces are in %s", violations, o.traces)
	case late:
		return fmt.Errorf("not done in %v", o.limit)
	}
	return nil
}

// enough reports whether the seeds that have begun are as many as wanted, and
// those that have ended had as much trouble.
func (o options) enough(totals []total, begun int) bool {
	kills, faults := 0, 0
	for _, t := range totals {
		kills += t.kills
		faults += t.faults
	}
	return begun >= o.seeds*len(totals) && kills >= o.kills && faults >= o.faults
}

// report says what was violated in a seed.
func (o options) report(w *world, after time.Duration) {
	if len(w.violations) == 0 && !o.keep {
		return
	}
	name, err := w.write(o.traces)
	if err != nil {
		name = "no trace: " + err.Error()
	}
	fmt.Printf("%s, seed %d, after %v: %s\n", w.trouble.group.name, w.seed, after.Round(time.Second), name)
	for _, v := range w.violations {
		fmt.Printf("    %s: %s\n", v.kind, v.text)
	}
}

// A total is what became of the seeds of a group.
type total struct {
	seeds, failed, objects, events, invocations, kills, faults int
	doubled, windows, alerts                                   int
	doubles                                                    doubles
	told                                                       float64
	violations                                                 map[string]int
}

func (t *total) add(w *world) {
	t.seeds++
	t.objects += len(w.objects)
	t.events += len(w.events)
	t.invocations += w.invocations
	t.kills += w.trouble.kills
	t.faults += w.trouble.other
	t.windows += w.windows
	t.alerts += len(w.alerts)
	t.doubles.all += w.doubles.all
	t.doubles.told += w.doubles.told
	t.doubles.muted += w.doubles.muted
	for _, o := range w.objects {
		t.doubled += max(0, o.published-1)
	}
	for _, p := range w.publications {
		t.told += p.uncertain()
	}
	if len(w.violations) > 0 {
		t.failed++
	}
	if t.violations == nil {
		t.violations = make(map[string]int)
	}
	for _, v := range w.violations {
		t.violations[v.kind]++
	}
}

// printTotals prints a row for each group. What must be 0 is in capitals.
func printTotals(chosen []group, totals []total, took time.Duration) {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "group\tseeds\tFAILED\tobjects\tevents\tinvocations\tkills\tfaults\tLOST\tdoubled\ttold\tUNTOLD\twindows\talerts\tMISSED\tdouble\ttold\tmuted\tUNTOLD\tOTHER\t")
	for i, t := range totals {
		v := t.violations
		other := 0
		for kind, n := range v {
			if !slices.Contains([]string{"lost", "untold", "missed", "double"}, kind) {
				other += n
			}
		}
		row := []any{chosen[i].name, t.seeds, t.failed, t.objects, t.events, t.invocations, t.kills, t.faults, v["lost"], t.doubled, t.told, v["untold"],
			t.windows, t.alerts, v["missed"], t.doubles.all, t.doubles.told, t.doubles.muted, v["double"], other}
		fmt.Fprintf(out, strings.Repeat("%v\t", len(row))+"\n", row...)
	}
	out.Flush()
	fmt.Printf("%v\n", took.Round(time.Second))
}
