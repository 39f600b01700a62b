package rollup

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// one returns the value that counts a latency, in seconds.
func one(t *testing.T, d time.Duration) float64 {
	h := histogram(d)
	for value, n := range h.Values() {
		if n != 1 {
			t.Fatalf("%v counts %d times", d, n)
		}
		return value
	}
	t.Fatalf("%v is not counted", d)
	return 0
}

func TestHistogramRelativeError(t *testing.T) {
	values := make(map[float64]bool)
	last := -1.0
	for ms := range 1_000_001 {
		d := time.Duration(ms) * time.Millisecond
		v := bucketValue(bucketOf(d)).Seconds()
		if math.Abs(v-d.Seconds()) > d.Seconds()*RelativeError*(1+1e-6) {
			t.Fatalf("%v counts as %v s", d, v)
		}
		if ms <= exactTo && v != d.Seconds() {
			t.Errorf("%v is not exact: %v s", d, v)
		}
		if v < last {
			t.Fatalf("%v counts as %v s, less than a shorter one: %v s", d, v, last)
		}
		last = v
		values[v] = true
	}
	if len(values) > histogramBuckets || len(values) > 150 {
		t.Errorf("%d distinct values", len(values))
	}
}

func TestHistogramExtremes(t *testing.T) {
	for _, test := range []struct {
		in   time.Duration
		want float64
	}{
		{math.MinInt64, 0},
		{-time.Second, 0},
		{-1, 0},
		{0, 0},
		{time.Millisecond/2 - 1, 0},
		{time.Millisecond / 2, 0.001},
		{time.Millisecond, 0.001},
		{maxTracked + 1, one(t, maxTracked)},
		{1e9 * time.Second, one(t, maxTracked)},
		{math.MaxInt64, one(t, maxTracked)},
	} {
		if got := one(t, test.in); got != test.want {
			t.Errorf("%v counts as %v s, want %v", test.in, got, test.want)
		}
	}
}

func TestHistogramMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var whole Histogram
	parts := make([]Histogram, 4) // the last one stays empty
	for range 5000 {
		d := time.Duration(r.ExpFloat64() * float64(50*time.Millisecond))
		whole.add(d)
		parts[r.IntN(3)].add(d)
	}
	for range 10 {
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		var merged Histogram
		for i := range parts {
			merged.Merge(&parts[i])
		}
		if merged != whole {
			t.Fatalf("got %v\nwant %v", merged, whole)
		}
	}
}

func TestHistogramValuesStops(t *testing.T) {
	h := histogram(1*time.Millisecond, 2*time.Millisecond, 2*time.Millisecond)
	var got []string
	for value, n := range h.Values() {
		got = append(got, fmt.Sprint(value, " ", n))
		if len(got) == 1 {
			break
		}
	}
	if !slices.Equal(got, []string{"0.001 1"}) {
		t.Errorf("got %v", got)
	}
}
