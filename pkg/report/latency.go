package report

import (
	"math"
	"time"
)

const (
	exactTo  = 4096                // milliseconds; up to here each counts in its own slot
	latGamma = 1.01                // above, each slot is wider by this factor
	latSlots = exactTo + 1 + 1<<11 // up to exactTo ms * latGamma^2048, more than a log can hold
)

var logLatGamma = math.Log(latGamma)

// latencies is a distribution of handshake latencies, exact up to exactTo
// milliseconds and within 1 % above. (The log has milliseconds.)
type latencies struct {
	count uint64
	max   time.Duration
	slots [latSlots]uint64
}

// add counts a latency, given also in milliseconds.
func (l *latencies) add(d time.Duration, millis int32) {
	l.count++
	l.max = max(l.max, d)
	l.slots[latSlot(millis)]++
}

// millisOf rounds a latency to milliseconds.
func millisOf(d time.Duration) int32 {
	return int32(min((max(d, 0)+time.Millisecond/2)/time.Millisecond, math.MaxInt32))
}

func (l *latencies) merge(m *latencies) {
	l.count += m.count
	l.max = max(l.max, m.max)
	for i, n := range m.slots {
		l.slots[i] += n
	}
}

func latSlot(ms int32) int {
	if ms <= exactTo {
		return int(ms)
	}
	return min(exactTo+int(math.Ceil(math.Log(float64(ms)/exactTo)/logLatGamma)), latSlots-1)
}

// quantile returns the quantile q (nearest rank) in seconds.
func (l *latencies) quantile(q float64) float64 {
	rank := uint64(math.Ceil(q * float64(l.count)))
	var seen uint64
	for i, n := range l.slots {
		if seen += n; n > 0 && seen >= rank {
			ms := float64(i)
			if i > exactTo {
				ms = exactTo * math.Pow(latGamma, float64(i-exactTo)-0.5)
			}
			return min(math.Round(ms)/1000, l.max.Seconds())
		}
	}
	return 0
}

// Latency is how long handshakes took, in seconds. Percentiles are exact to the
// millisecond up to 4 seconds, and within 1 % above. Only successful handshakes
// count: the log has no latency of others.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func (l *latencies) summary() Latency {
	return Latency{l.count, l.quantile(0.5), l.quantile(0.9), l.quantile(0.99), l.max.Seconds()}
}
