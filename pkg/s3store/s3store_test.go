package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/s3store"
)

func newStore(t *testing.T) s3store.Store {
	t.Helper()
	return s3store.Store{Client: s3.NewFromConfig(awstest.Config(t)), Bucket: "state"}
}

// TestConformance holds two implementations of S3 to what the ledger takes for
// granted.
func TestConformance(t *testing.T) {
	t.Run("localaws", func(t *testing.T) {
		awstest.Start(t, localaws.Options{}, "state")
		conform(t, newStore(t), raceWriters)
	})
	t.Run("moto", func(t *testing.T) {
		env := wire.BaseEnv("us-east-1")
		env["AWS_ENDPOINT_URL_S3"] = awstest.Moto(t, "the ledger was not held against an independent S3")
		awstest.Setenv(t, env)
		store := newStore(t)
		client := store.Client.(*s3.Client)
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &store.Bucket}); err != nil {
			t.Fatal(err)
		}
		conform(t, store, 1) // moto compares and writes without a lock
	})
}

// raceWriters is how many writers race for an object.
const raceWriters = 50

// conform tests a store of an empty bucket. At most atOnce writers race at the same time.
func conform(t *testing.T, s s3store.Store, atOnce int) {
	ctx := t.Context()
	const key = "v1/a key/with+all=kinds&of (characters)"

	t.Run("outcomes", func(t *testing.T) {
		var etag, stale string
		for _, step := range []struct {
			name string
			do   func() (string, error)
			want error
			body string // afterwards; "" for no object
		}{
			{"get nothing", func() (string, error) { return read(ctx, s, key) }, ledger.ErrNotFound, ""},
			{"replace nothing", func() (string, error) { return s.Replace(ctx, key, []byte("x"), `"0123456789abcdef0123456789abcdef"`) }, ledger.ErrNotFound, ""},
			{"create", func() (string, error) { return s.Create(ctx, key, []byte("one")) }, nil, "one"},
			{"create again", func() (string, error) { return s.Create(ctx, key, []byte("two")) }, ledger.ErrExists, "one"},
			{"create again, the same", func() (string, error) { return s.Create(ctx, key, []byte("one")) }, ledger.ErrExists, "one"},
			{"replace", func() (string, error) { stale = etag; return s.Replace(ctx, key, []byte("three"), etag) }, nil, "three"},
			{"replace what was replaced", func() (string, error) { return s.Replace(ctx, key, []byte("four"), stale) }, ledger.ErrChanged, "three"},
			{"replace again", func() (string, error) { return s.Replace(ctx, key, []byte("five"), etag) }, nil, "five"},
			{"get", func() (string, error) { return read(ctx, s, key) }, nil, "five"},
		} {
			tag, err := step.do()
			if !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
				t.Errorf("%s: %v, want %v", step.name, err, step.want)
			}
			for _, other := range []error{ledger.ErrNotFound, ledger.ErrExists, ledger.ErrChanged, ledger.ErrConflict} {
				if other != step.want && errors.Is(err, other) {
					t.Errorf("%s: %v is also %v", step.name, err, other)
				}
			}
			if err == nil {
				if tag == "" || step.name != "get" && tag == etag {
					t.Errorf("%s: ETag %s after %s", step.name, tag, etag)
				}
				etag = tag
			}
			body, current, err := s.Get(ctx, key)
			switch {
			case step.body == "":
				if !errors.Is(err, ledger.ErrNotFound) {
					t.Errorf("after %s: %v", step.name, err)
				}
			case err != nil || string(body) != step.body || current != etag:
				t.Errorf("after %s: %q, ETag %s, %v; want %q, %s", step.name, body, current, err, step.body, etag)
			}
		}
		_, err := newBucket(s, "nowhere").Create(ctx, key, nil)
		if err == nil || errors.Is(err, ledger.ErrNotFound) || !strings.Contains(err.Error(), `no state bucket "nowhere"`) {
			t.Errorf("no bucket: %v", err)
		}
	})

	t.Run("list", func(t *testing.T) {
		const n = 1050 // more than a page holds
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := worker; i < n; i += 8 {
					if _, err := s.Create(ctx, fmt.Sprintf("v1/list/%04d", i), bytes.Repeat([]byte(" "), i%7)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for _, other := range []string{"v1/lis", "v1/list", "v1/list0/0001", "v1/lisu/1"} {
			if _, err := s.Create(ctx, other, nil); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		for _, test := range []struct {
			prefix, after string
			limit         int
			first, count  int
		}{
			{"v1/list/", "", 0, 0, n},
			{"v1/list/", "v1/list/0000", 0, 1, n - 1},
			{"v1/list/", "v1/list/0041~", 0, 42, n - 42},
			{"v1/list/", "v1/list/1049", 0, 0, 0},
			{"v1/list/", "v1/a", 0, 0, n},
			{"v1/list/10", "", 0, 1000, 50},
			{"v1/list/", "", 3, 0, 3},
			{"v1/list/", "v1/list/0001", 1010, 2, 1010},
			{"v1/nothing/", "", 0, 0, 0},
		} {
			type entry struct {
				key  string
				size int64
			}
			var got, want []entry
			err := s.List(ctx, test.prefix, test.after, func(key string, size int64) bool {
				got = append(got, entry{key, size})
				return len(got) != test.limit
			})
			if err != nil {
				t.Error(err)
			}
			for i := range test.count {
				want = append(want, entry{fmt.Sprintf("v1/list/%04d", test.first+i), int64((test.first + i) % 7)})
			}
			if d := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); d != "" {
				t.Errorf("%+v: -want +got\n%.1000s", test, d)
			}
		}
	})

	t.Run("load balancers", func(t *testing.T) {
		list, err := ledger.NewReader(s).LoadBalancers(ctx)
		if err != nil || len(list) > 0 {
			t.Errorf("of no records: %q, %v", list, err)
		}
		var want []string
		for i := range 40 { // two of each name
			lb := fmt.Sprintf("app/shop-%02d/%016x", i/2, i)
			want = append(want, lb)
			for period := range 2 {
				if _, err := s.Create(ctx, fmt.Sprintf("v1/periods/%s/20261123T10%02dZ/0123", lb, 5*period), nil); err != nil {
					t.Error(err)
				}
			}
		}
		list, err = ledger.NewReader(s).LoadBalancers(ctx)
		if d := cmp.Diff(want, list); d != "" || err != nil {
			t.Errorf("-want +got\n%s%v", d, err)
		}
		if _, err := ledger.NewReader(newBucket(s, "nowhere")).LoadBalancers(ctx); err == nil || !strings.Contains(err.Error(), `no state bucket "nowhere"`) {
			t.Errorf("no bucket: %v", err)
		}
	})

	// Of many concurrent writers one succeeds, and the object is what it wrote.
	t.Run("races", func(t *testing.T) {
		const rounds = 10
		etag := ""
		for round := range rounds {
			create := func(i int) (string, error) {
				return s.Create(ctx, fmt.Sprintf("v1/race/%d", round), fmt.Appendf(nil, "writer %d", i))
			}
			race(t, s, fmt.Sprintf("v1/race/%d", round), atOnce, ledger.ErrExists, create)
			if round == 0 {
				var err error
				if _, etag, err = s.Get(ctx, "v1/race/0"); err != nil {
					t.Fatal(err)
				}
			}
			replace := func(i int) (string, error) {
				return s.Replace(ctx, "v1/race/0", fmt.Appendf(nil, "round %d, writer %d", round, i), etag)
			}
			etag = race(t, s, "v1/race/0", atOnce, ledger.ErrChanged, replace)
		}
	})
}

// race has writers write a key concurrently, at most atOnce of them, and returns the
// winner's ETag.
func race(t *testing.T, s s3store.Store, key string, atOnce int, want error, write func(int) (string, error)) (etag string) {
	t.Helper()
	etags, errs := make([]string, raceWriters), make([]error, raceWriters)
	begin, slots := make(chan struct{}), make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range raceWriters {
		wg.Go(func() {
			<-begin
			slots <- struct{}{}
			defer func() { <-slots }()
			for {
				etags[i], errs[i] = write(i)
				if !errors.Is(errs[i], ledger.ErrConflict) {
					return
				}
			}
		})
	}
	close(begin)
	wg.Wait()
	winner := slices.Index(errs, nil)
	for i, err := range errs {
		if i != winner && !errors.Is(err, want) {
			t.Errorf("%s: writer %d: %v, and writer %d won", key, i, err, winner)
		}
	}
	if winner < 0 {
		t.Fatalf("%s: no writer won", key)
	}
	body, now, err := s.Get(t.Context(), key)
	if err != nil || !strings.HasSuffix(string(body), fmt.Sprintf("writer %d", winner)) || now != etags[winner] {
		t.Errorf("%s: writer %d won, there is %q with %s, not %s: %v", key, winner, body, now, etags[winner], err)
	}
	return now
}

func read(ctx context.Context, s s3store.Store, key string) (string, error) {
	_, etag, err := s.Get(ctx, key)
	return etag, err
}

func newBucket(s s3store.Store, name string) s3store.Store {
	s.Bucket = name
	return s
}
