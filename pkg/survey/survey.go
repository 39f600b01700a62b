// Package survey reads a time span of the ledger for many load balancers, within bounds
// of time, memory and requests. It reports what it left out.
//
// It only selects records: package ledger reads and interprets them. The [Source] is a
// [ledger.Reader], except in tests.
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

// A Source reads the ledger.
type Source interface {
	// LoadBalancers lists the load balancers that have records.
	LoadBalancers(context.Context) ([]string, error)

	// Records is as in [ledger.Reader].
	Records(ctx context.Context, loadBalancer string, from, until time.Time) ([]ledger.Record, error)
}

// A Record is the ledger's record of a log object.
type Record struct {
	LoadBalancer string
	ledger.Record
}

// A Query selects records.
type Query struct {
	LoadBalancers []string // nil for all
	From, Until   time.Time
	Parallel      int // maximum concurrent requests
	Most          int // stop after this number of records; 0 for no limit
}

// chunk is the time span of one request. The newest comes first, so that a survey that
// runs out of time has it.
const chunk = 24 * time.Hour

// A Listing is the result of a survey.
type Listing struct {
	LoadBalancers []string // those surveyed, sorted
	Records       []Record // of periods that end after From and not after Until, in no order
	Unlisted      int      // load-balancer days left out for lack of time or room
}

// List lists the records of a time span. It stops, without an error, at the deadline of
// the context or when it has q.Most records.
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

// errFull ends a listing that has enough records.
var errFull = errors.New("enough records")

// MostFailed returns at most the given number of records with failures, most failures
// first. It also returns the number of other records with failures, and an upper bound
// of the failures in those.
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

// Spread returns at most the given number of records, evenly spread over time. Its
// choice is deterministic.
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

// Each calls read for each record, in parallel goroutines, and returns the number of
// calls that succeeded. It starts no call after an error, or after the deadline of the
// context, which is not an error.
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
