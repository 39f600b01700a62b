package incident

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The segment with the highest score is the one that trying all of them finds.
func TestRaised(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + r.IntN(30)
		events, exposure := make([]uint32, n), make([]float64, n)
		for i := range n {
			exposure[i] = float64(r.IntN(4))
			if exposure[i] > 0 && r.IntN(3) == 0 {
				events[i] = uint32(r.IntN(5))
			}
		}
		want := 0.0
		for from := range n {
			for to := from + 1; to <= n; to++ {
				var in uint32
				for _, e := range events[from:to] {
					in += e
				}
				if in >= 3 {
					want = max(want, rise(events, exposure, from, to).score)
				}
			}
		}
		got := raised(events, exposure)
		if math.Abs(got.score-want) > 1e-9 || math.Abs(got.score-rise(events, exposure, got.from, got.to).score) > 1e-9 {
			t.Fatalf("%v, %v: %+v, want the score %v", events, exposure, got, want)
		}
	}
}

// Years with few events take no longer than the events.
func TestRaisedIsFastWhereEventsAreFew(t *testing.T) {
	const minutes = 3 * 366 * 24 * 60
	events, exposure := make([]uint32, minutes), make([]float64, minutes)
	for i := range exposure {
		exposure[i] = 1
	}
	events[7], events[minutes/2], events[minutes/2+1] = 1, 2, 2
	if g := raised(events, exposure); g.from != minutes/2 || g.to != minutes/2+2 {
		t.Errorf("%+v", g)
	}
}
