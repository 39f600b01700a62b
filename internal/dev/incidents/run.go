package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"tlswatch/internal/dev/incidents/baseline"
	"tlswatch/internal/dev/incidents/score"
	"tlswatch/internal/dev/incidents/world"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident"
)

// A reading is what one pass over the logs of a world leaves.
type reading struct {
	story   *incident.Story
	minutes *baseline.Minutes
}

func read(w *world.World) (*reading, error) {
	r := &reading{minutes: baseline.NewMinutes()}
	collector := incident.New(incident.Options{})
	workers := []*incident.Worker{collector.Worker(), collector.Worker()}
	z := connlog.NewReader(nil)
	var e connlog.Entry
	for i, l := range w.Logs {
		z.Reset(bytes.NewReader(l.Text))
		for {
			err := z.Read(&e)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.Key, err)
			}
			r.minutes.Add(&e)
			workers[i%2].Add(&e)
		}
	}
	for _, worker := range workers {
		worker.Close()
	}
	r.story = collector.Story()
	return r, nil
}

// A system tells stories.
type system struct {
	name  string
	tell  func(*reading) *incident.Story
	bound bool // it has to meet the bounds, and its failures are listed
}

var packageIncident = system{"package incident", func(r *reading) *incident.Story { return r.story }, true}

// simpler returns the toys, and the baselines with limits at which one of a hundred
// quiet worlds has a story.
func simpler(quiet seeds) (list []system, err error) {
	peaks := make([][]float64, len(baseline.Detectors))
	var mu sync.Mutex
	err = each(world.Quiet, quiet, func(w *world.World, r *reading) {
		for i, d := range baseline.Detectors {
			peak := d.Peak(r.minutes)
			mu.Lock()
			peaks[i] = append(peaks[i], peak)
			mu.Unlock()
		}
	})
	if err != nil {
		return nil, err
	}
	for i, d := range baseline.Detectors {
		limit := baseline.Limit(peaks[i], 0.01)
		list = append(list, system{
			name: fmt.Sprintf("%s (limit %.3g)", d.Name, limit),
			tell: func(r *reading) *incident.Story { return d.Story(r.minutes, limit) },
		})
	}
	for _, toy := range []struct{ name, policy string }{
		{"a policy, at the first failure", ""},
		{"always TLS13-1-0-2021-06", "TLS13-1-0-2021-06"},
	} {
		list = append(list, system{name: toy.name, tell: func(r *reading) *incident.Story { return baseline.Toy(r.minutes, toy.policy) }})
	}
	return list, nil
}

// seeds are consecutive seeds.
type seeds struct {
	first uint64
	count int
}

// each generates and reads the worlds of a kind, several at a time.
func each(kind string, s seeds, use func(*world.World, *reading)) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range next {
				w, err := world.Generate(kind, seed)
				var r *reading
				if err == nil {
					r, err = read(w)
				}
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, fmt.Errorf("%s, seed %d: %w", kind, seed, err))
					mu.Unlock()
					continue
				}
				use(w, r)
			}
		})
	}
	for i := range s.count {
		next <- s.first + uint64(i)
	}
	close(next)
	wg.Wait()
	return failed
}

// measure returns the marks of each system, by kind.
func measure(list []system, kinds []string, ofKind func(string) seeds) ([][]*score.Summary, error) {
	all := make([][]*score.Summary, len(list))
	for _, kind := range kinds {
		summaries := make([]*score.Summary, len(list))
		for i := range list {
			summaries[i] = &score.Summary{Kind: kind}
			all[i] = append(all[i], summaries[i])
		}
		var mu sync.Mutex
		err := each(kind, ofKind(kind), func(w *world.World, r *reading) {
			for i, s := range list {
				m := score.Score(w.Truth, s.tell(r))
				mu.Lock()
				summaries[i].Marks = append(summaries[i].Marks, m)
				mu.Unlock()
			}
		})
		if err != nil {
			return nil, err
		}
		for _, s := range summaries {
			slices.SortFunc(s.Marks, func(a, b *score.Marks) int { return int(a.Seed) - int(b.Seed) })
		}
		fmt.Fprintf(os.Stderr, "%s: done\n", kind)
	}
	return all, nil
}
