package rollup

import (
	"iter"
	"math"
	"time"
)

// RelativeError is how far a value of a [Histogram] may be from the latency
// that was measured, in whole milliseconds and relative to the latter, up to
// maxTracked.
const RelativeError = 0.05

// histogramBuckets is the number of values that a Histogram can tell apart,
// within the 150 that CloudWatch takes for one datum.
const histogramBuckets = 143

const (
	exactTo    = 40 // milliseconds, each of which has a bucket of its own
	gamma      = (1 + RelativeError) / (1 - RelativeError)
	maxTracked = 1000 * time.Second // longer latencies count as this
	tableSize  = 1024               // milliseconds that are looked up instead of computed
)

// A Histogram is a distribution of handshake latencies, which the log gives in
// milliseconds. Up to exactTo, bucket i holds i ms, beyond it the latencies in
// (exactTo * gamma^(i-exactTo-1), exactTo * gamma^(i-exactTo)] ms: a
// logarithmic histogram as in DDSketch (Masson, Rim and Lee, 2019), whose
// buckets bound the relative error.
type Histogram struct {
	buckets [histogramBuckets]uint64
}

// Add counts a latency. A negative one, which no log has, counts as 0.
func (h *Histogram) add(d time.Duration) {
	h.buckets[bucketOf(max(d, 0))]++
}

// Merge adds the latencies that g counts.
func (h *Histogram) Merge(g *Histogram) {
	for i, n := range g.buckets {
		h.buckets[i] += n
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

// bucketTable has the bucket of every short latency, and bucketValues what
// each bucket stands for: of a range, the value with the least relative error
// to both ends.
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
