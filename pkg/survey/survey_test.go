package survey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tlswatch/pkg/ledger"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// A fake ledger has a record for every hour of each load balancer.
type fake struct {
	lbs []string
	err error
	mu  sync.Mutex
	got []time.Time // the ends of the spans that were asked for

	stop context.CancelFunc // called in the request of that number
	at   int
}

func (f *fake) LoadBalancers(context.Context) ([]string, error) { return f.lbs, f.err }

func (f *fake) Records(ctx context.Context, lb string, from, until time.Time) ([]ledger.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, until)
	if len(f.got) == f.at {
		f.stop()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var list []ledger.Record
	for t := from.Truncate(time.Hour); !t.After(until); t = t.Add(time.Hour) {
		if t.After(from) {
			list = append(list, ledger.Record{Key: lb + t.String(), PeriodEnd: t, FailedAtMost: uint64(t.Hour())})
		}
	}
	return list, f.err
}

// TestList checks that each record is listed once, for spans of any length.
func TestList(t *testing.T) {
	for _, hours := range []int{0, 1, 23, 24, 25, 24 * 14} {
		f := &fake{lbs: []string{"app/b/1", "app/a/1", "app/c/1"}}
		l, err := List(t.Context(), f, Query{From: start, Until: start.Add(time.Duration(hours) * time.Hour), Parallel: 3})
		if err != nil || l.Unlisted != 0 || !slices.IsSorted(l.LoadBalancers) {
			t.Errorf("%d hours: %+v, %v", hours, l, err)
		}
		keys := make(map[string]bool)
		for _, r := range l.Records {
			keys[r.LoadBalancer+" "+r.Key] = true
		}
		if len(keys) != 3*hours || len(l.Records) != 3*hours {
			t.Errorf("%d hours: %d records, %d of them different", hours, len(l.Records), len(keys))
		}
	}
	f := &fake{lbs: []string{"app/a/1"}}
	l, err := List(t.Context(), f, Query{LoadBalancers: []string{"app/x/1"}, From: start, Until: start.Add(time.Hour), Parallel: 1})
	if err != nil || len(l.Records) != 1 || l.Records[0].LoadBalancer != "app/x/1" {
		t.Errorf("one load balancer: %+v, %v", l, err)
	}
	f.err = errors.New("denied")
	if _, err := List(t.Context(), f, Query{From: start, Until: start.Add(time.Hour), Parallel: 2}); !errors.Is(err, f.err) {
		t.Errorf("error %v", err)
	}
}

// deadline is a context whose deadline passes when the test calls its function.
type deadline struct {
	context.Context
	over atomic.Bool
}

func (d *deadline) Err() error {
	if d.over.Load() {
		return context.DeadlineExceeded
	}
	return d.Context.Err()
}

// TestListOutOfTime checks that the newest days are listed if time runs out.
func TestListOutOfTime(t *testing.T) {
	ctx := &deadline{Context: t.Context()}
	f := &fake{lbs: []string{"app/a/1", "app/b/1"}, at: 6, stop: func() { ctx.over.Store(true) }}
	l, err := List(ctx, f, Query{From: start, Until: start.Add(10 * 24 * time.Hour), Parallel: 1})
	if err != nil || l.Unlisted != 15 {
		t.Fatalf("%d unlisted, %v; want 15 of 20", l.Unlisted, err)
	}
	oldest := slices.MinFunc(l.Records, func(a, b Record) int { return a.PeriodEnd.Compare(b.PeriodEnd) })
	if want := start.Add(7*24*time.Hour + time.Hour); !oldest.PeriodEnd.Equal(want) || !slices.IsSortedFunc(f.got, func(a, b time.Time) int { return b.Compare(a) }) {
		t.Errorf("the oldest record is of %v, want %v", oldest.PeriodEnd, want)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := List(cancelled, f, Query{From: start, Until: start.Add(time.Hour), Parallel: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestListOutOfRoom checks that the newest days are listed if there are too many
// records.
func TestListOutOfRoom(t *testing.T) {
	f := &fake{lbs: []string{"app/a/1", "app/b/1"}}
	l, err := List(t.Context(), f, Query{From: start, Until: start.Add(10 * 24 * time.Hour), Parallel: 1, Most: 5*24 - 1})
	if err != nil || l.Unlisted != 15 || len(l.Records) != 5*24 {
		t.Fatalf("%d unlisted, %d records, %v; want 15 of 20, and 120", l.Unlisted, len(l.Records), err)
	}
	for _, r := range l.Records {
		if !r.PeriodEnd.After(start.Add(7 * 24 * time.Hour)) {
			t.Errorf("%v is older than a day that is left out", r.PeriodEnd)
		}
	}
	f.err = errors.New("denied")
	if _, err := List(t.Context(), f, Query{From: start, Until: start.Add(time.Hour), Parallel: 1, Most: 1}); !errors.Is(err, f.err) {
		t.Errorf("error %v", err)
	}
}

func records(n int) []Record {
	var list []Record
	for i := range n {
		list = append(list, Record{"app/a/1", ledger.Record{Key: fmt.Sprint(i), PeriodEnd: start.Add(time.Duration(i) * time.Minute), FailedAtMost: uint64(i * 7 % n)}})
	}
	return list
}

func TestMostFailed(t *testing.T) {
	all := records(100)
	for _, most := range []int{0, 1, 50, 98, 99, 100, 1000} {
		some, others, failures := MostFailed(all, most)
		sum := failures
		for _, r := range some {
			sum += r.FailedAtMost
		}
		if len(some) != min(most, 99) || len(some)+others != 99 || sum != 99*100/2 {
			t.Errorf("%d: %d and %d others, failures %d", most, len(some), others, sum)
		}
		if !slices.IsSortedFunc(some, func(a, b Record) int { return cmp.Compare(b.FailedAtMost, a.FailedAtMost) }) || others > 0 && len(some) > 0 && some[len(some)-1].FailedAtMost != uint64(others+1) {
			t.Errorf("%d: not those with most failures: %v", most, some)
		}
	}
	huge := []Record{{Record: ledger.Record{FailedAtMost: math.MaxUint64 / 2}}, {Record: ledger.Record{FailedAtMost: math.MaxUint64 / 2}}, {Record: ledger.Record{FailedAtMost: math.MaxUint64 / 2}}}
	if _, _, failures := MostFailed(huge, 0); failures != math.MaxUint64 {
		t.Errorf("the sum overflows: %d", failures)
	}
}

// TestSpread checks that the gaps are as small as possible.
func TestSpread(t *testing.T) {
	all := records(1000)
	for _, most := range []int{1, 2, 7, 333, 999, 1000, 5000} {
		some := Spread(all, most)
		if len(some) != min(most, 1000) {
			t.Fatalf("%d: %d", most, len(some))
		}
		for i := 1; i < len(some); i++ {
			if gap := some[i].PeriodEnd.Sub(some[i-1].PeriodEnd); gap <= 0 || gap > time.Duration(1000/most+1)*time.Minute {
				t.Errorf("%d: a gap of %v", most, gap)
			}
		}
	}
	if Spread(nil, 10) != nil {
		t.Error("a spread of nothing is not empty")
	}
}

func TestEach(t *testing.T) {
	var running, most, read atomic.Int64
	done, err := Each(t.Context(), 4, records(100), func(context.Context, Record) error {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		read.Add(1)
		running.Add(-1)
		return nil
	})
	if done != 100 || err != nil || read.Load() != 100 || most.Load() > 4 {
		t.Errorf("%d done, %v, %d read, %d at once", done, err, read.Load(), most.Load())
	}
	broken := errors.New("broken")
	done, err = Each(t.Context(), 1, records(100), func(_ context.Context, r Record) error {
		if r.Key == "10" {
			return broken
		}
		return nil
	})
	if done != 10 || err != broken {
		t.Errorf("%d done, %v", done, err)
	}
}
