package rollup

import (
	"iter"
	"math"
	"time"
)

// RelativeError is the maximum relative difference between a value of a [Histogram]
// and the latency in whole milliseconds, up to maxTracked.
const RelativeError = 0.05

// histogramBuckets is the number of different values of a Histogram. CloudWatch
// accepts 150 in a datum.
const histogramBuckets = 143

const (
	exactTo    = 40 // milliseconds; up to there, each has its own bucket
	gamma      = (1 + RelativeError) / (1 - RelativeError)
	maxTracked = 1000 * time.Second // longer latencies count as this
	tableSize  = 1024               // milliseconds whose bucket is looked up, not computed
)

// A Histogram is a distribution of handshake latencies, which the log has in
// milliseconds. Up to exactTo, bucket i counts i ms. Above, it counts the latencies in
// (exactTo * gamma^(i-exactTo-1), exactTo * gamma^(i-exactTo)] ms, as in DDSketch
// (Masson, Rim and Lee, 2019): this bounds the relative error.
type Histogram struct {
	buckets [histogramBuckets]uint64
}

// Add counts a latency. A negative one counts as 0.
func (h *Histogram) add(d time.Duration) {
	h.buckets[bucketOf(max(d, 0))]++
}

// Merge adds the latencies of g.
func (h *Histogram) Merge(g *Histogram) {
	for i, n := range g.buckets {
		h.buckets[i] += n
	}
}

// Values iterates over the different values, in seconds and ascending, and their
// numbers of latencies.
func (h *Histogram) Values() iter.Seq2[float64, uint64] {
	return func(yield func(float64, uint64) bool) {
		for i, n := range h.buckets {
			if n > 0 && !yield(bucketValue(i).Seconds(), n) {
				return
			}
		}
	}
}

func bucketOf(d time.Duration) int {
	ms := int64((min(d, maxTracked) + time.Millisecond/2) / time.Millisecond)
	if ms < tableSize {
		return int(bucketTable[ms])
	}
	return logBucket(ms)
}

func logBucket(ms int64) int {
	if ms <= exactTo {
		return int(ms)
	}
	return exactTo + int(math.Ceil(math.Log(float64(ms)/exactTo)/math.Log(gamma)))
}

// bucketTable has the bucket of every short latency. bucketValues has the value of
// each bucket: for a range, the value with the smallest relative error to both ends.
var bucketTable, bucketValues = makeBuckets()

func makeBuckets() (table [tableSize]uint8, values [histogramBuckets]time.Duration) {
	for ms := range table {
		table[ms] = uint8(logBucket(int64(ms)))
	}
	for i := range values {
		values[i] = time.Duration(i) * time.Millisecond
		if i > exactTo {
			upper := exactTo * math.Pow(gamma, float64(i-exactTo))
			values[i] = time.Duration(2 * upper / (1 + gamma) * float64(time.Millisecond))
		}
	}
	return table, values
}

func bucketValue(i int) time.Duration { return bucketValues[i] }
