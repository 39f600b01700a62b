package rollup

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// one returns the value that a latency is counted as, in seconds.
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
	if len(values) > HistogramBuckets || len(values) > 150 {
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
	h := histogram(-5, 5)
	if h.Min != 0 || h.Max != 5 || h.Sum != 5 {
		t.Errorf("got sum %v, %v to %v", h.Sum, h.Min, h.Max)
	}
	h = histogram(math.MaxInt64, math.MaxInt64, 1)
	g := h
	g.Merge(&h)
	if h.Sum != math.MaxInt64 || g.Sum != math.MaxInt64 {
		t.Errorf("sum is %d, merged %d: not saturated", h.Sum, g.Sum)
	}
}

func TestHistogramQuantile(t *testing.T) {
	var empty Histogram
	if got := empty.Quantile(0.5); got != 0 {
		t.Errorf("got %v of nothing", got)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 50 {
		var h Histogram
		all := make([]time.Duration, 1+r.IntN(2000))
		for i := range all {
			all[i] = time.Duration(40*math.Exp(2*r.NormFloat64())) * time.Millisecond
			h.Add(all[i])
		}
		slices.Sort(all)
		last := time.Duration(0)
		for p := range 1001 {
			q := float64(p) / 1000
			got := h.Quantile(q)
			want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
			if math.Abs(float64(got-want)) > float64(want)*RelativeError*(1+1e-6) {
				t.Fatalf("round %d, %d latencies: quantile %v is %v, want %v", round, len(all), q, got, want)
			}
			if got < last || got < h.Min || got > h.Max {
				t.Fatalf("round %d: quantile %v is %v after %v, within %v to %v", round, q, got, last, h.Min, h.Max)
			}
			last = got
		}
	}
}

func TestHistogramMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var whole Histogram
	parts := make([]Histogram, 4) // the last one stays empty
	for range 5000 {
		d := time.Duration(r.ExpFloat64() * float64(50*time.Millisecond))
		whole.Add(d)
		parts[r.IntN(3)].Add(d)
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
