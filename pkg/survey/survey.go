// Package survey reads a span of time out of the ledger, over many load
// balancers, within bounds of time, memory and requests. It says what it left
// out.
//
// It only reads: package ledger has the records' meaning, and [ledger.Reader] is
// the usual [Source].
package survey

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"tlswatch/pkg/ledger"
)

// A Source is the part of the ledger that reads.
type Source interface {
	// LoadBalancers lists those that have records.
	LoadBalancers(context.Context) ([]string, error)

	// Records is as in [ledger.Reader].
	Records(ctx context.Context, loadBalancer string, from, until time.Time) ([]ledger.Record, error)
}

// A Record is a log object that the ledger knows.
type Record struct {
	LoadBalancer string
	ledger.Record
}

// Query says what to list.
type Query struct {
	LoadBalancers []string // all that there are, if nil
	From, Until   time.Time
	Parallel      int // requests at a time
	Most          int // records from which no more are asked for; no limit if 0
}

// chunk is the time that is listed at once: the newest come first, so that a
// survey that runs out of time has them.
const chunk = 24 * time.Hour

// A Listing is what a survey found.
type Listing struct {
	LoadBalancers []string // those looked at, sorted
	Records       []Record // of periods that end after From and at Until at the latest, in no order
	Unlisted      int      // days of load balancers for which there was no time or no room
}

// List lists the records of a span of time. When the context's deadline
// passes, or it has q.Most records, it returns what it has.
func List(ctx context.Context, s Source, q Query) (Listing, error) {
	l := Listing{LoadBalancers: slices.Clone(q.LoadBalancers)}
	if q.LoadBalancers == nil {
		var err error
		if l.LoadBalancers, err = s.LoadBalancers(ctx); err != nil {
			return l, err
		}
	}
	slices.Sort(l.LoadBalancers)
	type job struct {
		lb          string
		from, until time.Time
	}
	var jobs []job
	for until := q.Until; until.After(q.From); until = until.Add(-chunk) {
		from := until.Add(-chunk)
		if from.Before(q.From) {
			from = q.From
		}
		for _, lb := range l.LoadBalancers {
			jobs = append(jobs, job{lb, from, until})
		}
	}
	var mu sync.Mutex
	done, err := each(ctx, q.Parallel, jobs, func(ctx context.Context, j job) error {
		mu.Lock()
		full := q.Most > 0 && len(l.Records) >= q.Most
		mu.Unlock()
		if full {
			return errFull
		}
		records, err := s.Records(ctx, j.lb, j.from, j.until)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, r := range records {
			l.Records = append(l.Records, Record{j.lb, r})
		}
		return nil
	})
	l.Unlisted = len(jobs) - done
	if err == errFull {
		err = nil
	}
	return l, err
}

// errFull ends a listing that has records enough.
var errFull = errors.New("records enough")

// MostFailed returns the records with failures, at most so many, those with
// most of them first; how many others there are; and how many failures those
// have at the most.
func MostFailed(records []Record, most int) (some []Record, others int, otherFailures uint64) {
	some = slices.DeleteFunc(slices.Clone(records), func(r Record) bool { return r.FailedAtMost == 0 })
	slices.SortFunc(some, func(a, b Record) int {
		return cmp.Or(cmp.Compare(b.FailedAtMost, a.FailedAtMost), b.PeriodEnd.Compare(a.PeriodEnd), cmp.Compare(a.Key, b.Key))
	})
	for _, r := range some[min(most, len(some)):] {
		others++
		otherFailures += min(r.FailedAtMost, math.MaxUint64-otherFailures)
	}
	return some[:len(some)-others], others, otherFailures
}

// Spread returns at most so many of the records, evenly spread over time. The
// same records give the same choice.
func Spread(records []Record, most int) []Record {
	all := slices.SortedFunc(slices.Values(records), func(a, b Record) int {
		return cmp.Or(a.PeriodEnd.Compare(b.PeriodEnd), cmp.Compare(a.Key, b.Key))
	})
	if len(all) <= most {
		return all
	}
	some := make([]Record, 0, most)
	for i := range most {
		some = append(some, all[(2*i+1)*len(all)/(2*most)])
	}
	return some
}

// Each calls read for each record, from so many goroutines at a time, and
// returns for how many it was done. It begins none after the context's
// deadline, which is no error, and none after an error.
func Each(ctx context.Context, parallel int, records []Record, read func(context.Context, Record) error) (done int, err error) {
	return each(ctx, parallel, records, read)
}

func each[T any](ctx context.Context, parallel int, list []T, do func(context.Context, T) error) (done int, err error) {
	var (
		mu   sync.Mutex
		next int
		wg   sync.WaitGroup
	)
	take := func() (t T, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(list) || err != nil || ctx.Err() != nil {
			return t, false
		}
		next++
		return list[next-1], true
	}
	for range min(parallel, len(list)) {
		wg.Go(func() {
			for t, ok := take(); ok; t, ok = take() {
				failed := do(ctx, t)
				mu.Lock()
				switch {
				case failed == nil:
					done++
				case ctx.Err() == nil || !errors.Is(failed, ctx.Err()):
					err = cmp.Or(err, failed)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if errors.Is(ctx.Err(), context.Canceled) {
		err = cmp.Or(err, context.Cause(ctx))
	}
	return done, err
}
