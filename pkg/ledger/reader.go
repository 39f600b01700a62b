package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tlswatch/pkg/pipeline"
)

// A Reader looks into the ledger and changes nothing. Its role needs no more
// than s3:ListBucket on the bucket and s3:GetObject on its objects.
type Reader struct{ store S3 }

// NewReader returns a Reader of the ledger in a bucket.
func NewReader(s S3) Reader { return Reader{s} }

// LoadBalancers returns the load balancers that have records, sorted. It takes
// a request for each name of one, sixteen at a time, besides one for a thousand
// names.
func (r Reader) LoadBalancers(ctx context.Context) ([]string, error) {
	// LB is app/NAME/ID.
	folders := []string{periodsPrefix}
	for range strings.Count("app/NAME/ID/", "/") {
		below := make([][]string, len(folders))
		errs := make([]error, len(folders))
		turn := make(chan struct{}, 16)
		var wg sync.WaitGroup
		for i, f := range folders {
			turn <- struct{}{}
			wg.Go(func() {
				below[i], errs[i] = r.store.folders(ctx, f)
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

// Records is that of [Ledger].
func (r Reader) Records(ctx context.Context, lb string, from, until time.Time) ([]pipeline.LedgerRecord, error) {
	return records(ctx, r.store, lb, from, until)
}

// Window is that of [Ledger].
func (r Reader) Window(ctx context.Context, key string) (json.RawMessage, error) {
	return window(ctx, r.store, key)
}

// Posture returns what the object of a record tells of the TLS in use, or nil
// if it is of a version of tlswatch that did not note that.
func (r Reader) Posture(ctx context.Context, key string) (json.RawMessage, error) {
	record, _, err := get[record](ctx, r.store, key)
	if err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	return record.Posture, nil
}

// Records returns the records of a load balancer's periods that end after
// from, and at until at the latest.
func (l *Ledger) Records(ctx context.Context, lb string, from, until time.Time) ([]pipeline.LedgerRecord, error) {
	return records(ctx, l.store, lb, from, until)
}

// Window returns what the object of a record adds up to.
func (l *Ledger) Window(ctx context.Context, key string) (json.RawMessage, error) {
	return window(ctx, l.store, key)
}

func records(ctx context.Context, s Store, lb string, from, until time.Time) ([]pipeline.LedgerRecord, error) {
	prefix := periodsPrefix + lb + "/"
	last := until.UTC().Format(periodTime)
	var list []pipeline.LedgerRecord
	// A key of the period that ends at from is less than this one: "~" follows
	// every character of an object ID.
	err := s.List(ctx, prefix, prefix+from.UTC().Format(periodTime)+"/~", func(key string, size int64) bool {
		period, id, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
		if period > last {
			return false
		}
		if end, err := time.Parse(periodTime, period); err == nil && id != "" {
			list = append(list, pipeline.LedgerRecord{Key: key, PeriodEnd: end, FailedAtMost: atMost(int(size % levels))})
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("listing records: %w", err)
	}
	return list, nil
}

func window(ctx context.Context, s Store, key string) (json.RawMessage, error) {
	r, _, err := get[record](ctx, s, key)
	if err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	return r.Window, nil
}
