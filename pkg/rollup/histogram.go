package rollup

import (
	"iter"
	"math"
	"slices"
	"time"
)

// RelativeError is how far a value of a [Histogram] may be from the latency
// that was measured, relative to the latter, from 1 ms to maxTracked.
const RelativeError = 0.05

// HistogramBuckets is the number of values that a Histogram can tell apart,
// within the 150 that CloudWatch takes for one datum.
const HistogramBuckets = 141

const (
	gamma      = (1 + RelativeError) / (1 - RelativeError)
	maxTracked = 1000 * time.Second // longer latencies count as this
	tableSize  = 1024               // milliseconds that are looked up instead of computed
)

// A Histogram is a distribution of handshake latencies, which the log gives in
// milliseconds. Bucket 0 holds 0, bucket i the latencies in (gamma^(i-2),
// gamma^(i-1)] ms: a logarithmic histogram as in DDSketch (Masson, Rim and Lee,
// 2019), whose buckets bound the relative error.
type Histogram struct {
	Count    uint64
	Sum      time.Duration // saturates
	Min, Max time.Duration // exact; meaningless if Count is 0
	buckets  [HistogramBuckets]uint64
}

// Add counts a latency.
func (h *Histogram) Add(d time.Duration) {
	h.add(d, d, d, 1)
	h.buckets[bucketOf(d)]++
}

// Merge adds the latencies that g counts.
func (h *Histogram) Merge(g *Histogram) {
	if g.Count == 0 {
		return
	}
	h.add(g.Sum, g.Min, g.Max, g.Count)
	for i, n := range g.buckets {
		h.buckets[i] += n
	}
}

func (h *Histogram) add(sum, lo, hi time.Duration, n uint64) {
	if h.Count == 0 {
		h.Min, h.Max = lo, hi
	}
	h.Count += n
	h.Min, h.Max = min(h.Min, lo), max(h.Max, hi)
	if h.Sum += sum; h.Sum < 0 {
		h.Sum = math.MaxInt64
	}
}

// Values calls yield for each distinct value, in seconds and ascending, with
// the number of latencies it stands for.
func (h *Histogram) Values() iter.Seq2[float64, uint64] {
	return func(yield func(float64, uint64) bool) {
		for i, n := range h.buckets {
			if n > 0 && !yield(bucketValue(i).Seconds(), n) {
				return
			}
		}
	}
}

// Quantile returns the latency below or at which the share q of all lie,
// within RelativeError; 0 if there are none. q is from 0 to 1.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.Count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(h.Count)))
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; n > 0 && seen >= rank {
			return min(max(bucketValue(i), h.Min), h.Max)
		}
	}
	return h.Max
}

func bucketOf(d time.Duration) int {
	ms := int64((d + time.Millisecond/2) / time.Millisecond)
	if ms < tableSize {
		return int(bucketTable[ms])
	}
	return logBucket(min(ms, int64(maxTracked/time.Millisecond)))
}

func logBucket(ms int64) int {
	if ms == 0 {
		return 0
	}
	// The small term keeps powers of gamma in their own bucket despite rounding.
	return 1 + int(math.Ceil(math.Log(float64(ms))/math.Log(gamma)-1e-9))
}

// bucketTable has the bucket of every short latency, and bucketValues what
// each bucket stands for: the one millisecond value in it if there is only
// one, else the value with the least relative error to both ends.
var bucketTable, bucketValues = makeBuckets()

func makeBuckets() (table [tableSize]uint8, values [HistogramBuckets]time.Duration) {
	for ms := range table {
		table[ms] = uint8(logBucket(int64(ms)))
	}
	for i := 1; i < HistogramBuckets; i++ {
		upper := math.Pow(gamma, float64(i-1))
		values[i] = time.Duration(2 * upper / (1 + gamma) * float64(time.Millisecond))
		if first, ok := slices.BinarySearch(table[:], uint8(i)); ok {
			if first+1 == tableSize || table[first+1] != uint8(i) {
				values[i] = time.Duration(first) * time.Millisecond
			}
		}
	}
	return table, values
}

func bucketValue(i int) time.Duration { return bucketValues[i] }
