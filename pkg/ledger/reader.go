package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/posture"
)

// A Record is what a list says about the record of a log object.
type Record struct {
	Key          string // in the store
	PeriodEnd    time.Time
	FailedAtMost uint64 // failed negotiations, rounded up
}

// A Reader reads the ledger and changes nothing.
type Reader struct{ store ReadStore }

// NewReader returns a Reader of a store.
func NewReader(s ReadStore) Reader { return Reader{s} }

// Records is the same as [Ledger.Records].
func (r Reader) Records(ctx context.Context, lb string, from, until time.Time) ([]Record, error) {
	return records(ctx, r.store, lb, from, until)
}

// Window is the same as [Ledger.Window].
func (r Reader) Window(ctx context.Context, key string) (alert.Window, error) {
	return window(ctx, r.store, key)
}

// Posture returns the posture of a record, nil if it has none: early versions of
// tlswatch did not record it.
func (r Reader) Posture(ctx context.Context, key string) (*posture.Posture, error) {
	record, _, err := get[struct{ Posture *posture.Posture }](ctx, r.store, key)
	if err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	return record.Posture, nil
}

// LoadBalancers returns the load balancers that have records, sorted. It takes
// one request per load-balancer name, sixteen at a time, and one per thousand
// names.
func (r Reader) LoadBalancers(ctx context.Context) ([]string, error) {
	folders := []string{periodsPrefix}
	for range strings.Count("app/NAME/ID/", "/") {
		below := make([][]string, len(folders))
		errs := make([]error, len(folders))
		turn := make(chan struct{}, 16)
		var wg sync.WaitGroup
		for i, f := range folders {
			turn <- struct{}{}
			wg.Go(func() {
				below[i], errs[i] = r.store.Folders(ctx, f)
				<-turn
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("listing load balancers: %w", err)
			}
		}
		folders = slices.Concat(below...)
	}
	for i, f := range folders {
		folders[i] = strings.Trim(strings.TrimPrefix(f, periodsPrefix), "/")
	}
	slices.Sort(folders)
	return folders, nil
}

func records(ctx context.Context, s lister, lb string, from, until time.Time) ([]Record, error) {
	var list []Record
	// "~" follows every character of an id, so the list begins after from.
	after := recordKey{lb, from, "~"}
	err := s.List(ctx, periodsPrefix+lb+"/", after.String(), func(key string, size int64) bool {
		k, ok := parseRecordKey(lb, key)
		if ok && k.periodEnd.After(until) {
			return false
		}
		if ok {
			list = append(list, Record{Key: key, PeriodEnd: k.periodEnd, FailedAtMost: levelOfSize(size).atMost()})
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("listing records: %w", err)
	}
	return list, nil
}

func window(ctx context.Context, s getter, key string) (alert.Window, error) {
	record, _, err := get[struct{ Window alert.Window }](ctx, s, key)
	if err != nil {
		return alert.Window{}, fmt.Errorf("reading a record: %w", err)
	}
	return record.Window, nil
}
