package incident

import (
	"math"
	"math/bits"
)

// Limits of the statistics below. Property tests hold them on quiet and bursty logs.
const (
	switchLimit  = 8               // of a switch score: odds of 1 to 3,000 by chance
	burstLimit   = switchLimit + 3 // since its times are those that fit best
	segmentLimit = 30              // of a segment's score, after division by the dispersion
)

// logChoose returns the logarithm of the number of ways to choose m of n.
func logChoose(n, m int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(m + 1))
	c, _ := math.Lgamma(float64(n - m + 1))
	return a - b - c
}

// A switchTest sums up what speaks for clients that changed from success to failure.
// If the order of a client's k steps with successes and m steps with failures were
// random, all successes would come first with probability 1/choose(k+m, m).
type switchTest struct {
	switched []float64 // log of choose(k+m, m)
	others   int       // clients that also succeeded and failed, in another order
}

// score returns the largest log likelihood ratio over the shares of clients that
// switched, against the share that does so by chance.
func (t *switchTest) score() (most float64) {
	for q := 1.0; q > 1e-5; q /= 2 {
		ratio := 0.0
		if t.others > 0 {
			ratio = float64(t.others) * math.Log1p(-q*(1-1e-9))
		}
		for _, s := range t.switched {
			ratio += math.Log1p(q * math.Expm1(min(s, 700)))
		}
		most = max(most, ratio)
	}
	return most
}

// A segment is steps from, until but without to.
type segment struct {
	from, to int
	score    float64
}

// steps returns the set of the segment's steps.
func (s segment) steps() uint64 { return upTo(s.to) &^ upTo(s.from) }

// upTo returns the set of the steps below n.
func upTo(n int) uint64 {
	if n >= 64 {
		return math.MaxUint64
	}
	return 1<<n - 1
}

// raised returns the segment whose rate of events per exposure differs most from the
// rate elsewhere, and is higher. Its score is a log likelihood ratio, which holds for
// independent events: divide it by their dispersion. It begins and ends with an event,
// since more exposure without events only lowers the rate: in a sparse log few segments
// are left to try. Where there is no exposure, there must be no events.
func raised(events []uint32, exposure []float64) (best segment) {
	n := len(events)
	var allEvents, allExposure float64
	for i := range n {
		allEvents += float64(events[i])
		allExposure += exposure[i]
	}
	for from := range n {
		if events[from] == 0 {
			continue
		}
		var in, exposed float64
		for to := from + 1; to <= n; to++ {
			exposed += exposure[to-1]
			if events[to-1] == 0 {
				continue
			}
			in += float64(events[to-1])
			out, unexposed := allEvents-in, allExposure-exposed
			if in < 3 || unexposed <= 0 || exposed <= 0 || in/exposed <= out/unexposed {
				continue
			}
			if ratio := likelihood(in, exposed, out, unexposed); ratio > best.score {
				best = segment{from, to, ratio}
			}
		}
	}
	return best
}

// rise is like raised for a given segment. Its score is 0 if the rate is not higher.
func rise(events []uint32, exposure []float64, from, to int) segment {
	var in, exposed, out, unexposed float64
	for i := range events {
		if i >= from && i < to {
			in, exposed = in+float64(events[i]), exposed+exposure[i]
		} else {
			out, unexposed = out+float64(events[i]), unexposed+exposure[i]
		}
	}
	g := segment{from: from, to: to}
	if exposed <= 0 || unexposed <= 0 || in/exposed <= out/unexposed {
		return g
	}
	g.score = likelihood(in, exposed, out, unexposed)
	return g
}

// likelihood is the log likelihood ratio of two rates against a common one.
func likelihood(in, exposed, out, unexposed float64) float64 {
	ratio := in*math.Log(in/exposed) - (in+out)*math.Log((in+out)/(exposed+unexposed))
	if out > 0 {
		ratio += out * math.Log(out/unexposed)
	}
	return ratio
}

// dispersion is the mean of the squared deviations from the expected number of events
// outside a segment, each divided by that number: at least 1.
func dispersion(events []uint32, exposure []float64, without segment) float64 {
	var n, sum, exposed float64
	for i := range events {
		if i < without.from || i >= without.to {
			n++
			sum += float64(events[i])
			exposed += exposure[i]
		}
	}
	if n < 2 || sum == 0 {
		return 1
	}
	var chi float64
	for i := range events {
		if i < without.from || i >= without.to {
			if expected := sum / exposed * exposure[i]; expected > 0 {
				d := float64(events[i]) - expected
				chi += d * d / expected
			}
		}
	}
	return max(1, chi/(n-1))
}

// firstStep and lastStep are the lowest and highest step of a set that is not empty.
func firstStep(set uint64) int { return bits.TrailingZeros64(set) }
func lastStep(set uint64) int  { return 63 - bits.LeadingZeros64(set) }
