package incident

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/incident/internal/history"
)

// vanishings finds changes by what vanished, where those hit are not seen working:
// clients that change their addresses, or share them.
func (s *scene) vanishings() {
	at := s.record.First
	var most float64
	for _, t := range s.traits(s.record.Last, s.record.Last) {
		if after := s.traits(t.last, s.record.Last.Add(1)); t.last.Before(s.record.Last) {
			for _, u := range after {
				if u.Negotiated == t.Negotiated && u.vanished() && u.expectedSince > most {
					at, most = t.last, u.expectedSince
				}
			}
		}
	}
	if most == 0 || slices.ContainsFunc(s.changes, func(c *change) bool { return !c.narrow && c.onset.Until.Sub(at).Abs() < 2*lag }) {
		return
	}
	from := s.stepOf(at)
	events := make([]uint32, s.steps)
	var fresh []*suspect
	for _, c := range s.suspects {
		for i := range events {
			events[i] += uint32(c.fails >> i & 1)
		}
		if c.first.After(at) {
			fresh = append(fresh, c)
		}
	}
	if g := rise(events, s.exposure, from, s.steps); g.score < switchLimit*dispersion(events, s.exposure, g) || len(fresh) == 0 {
		return
	}
	ch := &change{shape: Step, onset: Bracket{at, s.begin(fresh)}}
	for _, c := range fresh {
		if c.Worked != 0 {
			ch.clients = append(ch.clients, c)
		}
	}
	s.explain(ch)
}

// strangers are clients that never succeeded.
func (s *scene) strangers(yield func(*suspect) bool) {
	for _, c := range s.suspects {
		if c.Successes == 0 && !yield(c) {
			return
		}
	}
}

// scans finds times in which clients that never worked are more, or try more often,
// than at other times.
func (s *scene) scans() {
	for _, attempts := range []bool{false, true} {
		exposure := slices.Clone(s.exposure)
		for range 3 {
			events := s.strange(exposure, attempts)
			g := raised(events, exposure)
			dispersed := dispersion(events, exposure, g)
			if attempts {
				dispersed = max(dispersed, s.attempts(g))
			}
			if g.score < segmentLimit*dispersed {
				break
			}
			s.scan(g)
			for i := g.from; i < g.to; i++ {
				exposure[i] = 0
			}
		}
	}
}

// strange counts the clients that never worked, or their attempts, in each exposed step.
func (s *scene) strange(exposure []float64, attempts bool) []uint32 {
	events := make([]uint32, s.steps)
	for c := range s.strangers {
		each := uint32(1)
		if attempts {
			each = uint32(c.failures / uint64(bits.OnesCount64(c.fails)))
		}
		for i := range events {
			if c.fails>>i&1 != 0 && exposure[i] > 0 {
				events[i] += each
			}
		}
	}
	return events
}

// attempts is by how much attempts are more dispersed than addresses, by those outside
// of a segment: a single address that tries often is no scan.
func (s *scene) attempts(g segment) float64 {
	const usual = 30 // attempts of a busy scanner
	var sum, squares float64
	for c := range s.strangers {
		if c.fails&g.steps() == 0 {
			sum += float64(c.failures)
			squares += float64(c.failures) * float64(c.failures)
		}
	}
	return max(usual, squares/max(sum, 1))
}

// scan explains a segment, unless it follows a change: then its clients may be new
// customers.
func (s *scene) scan(g segment) {
	if g.to == s.steps {
		for _, ch := range s.changes {
			if !ch.narrow && s.stepOf(ch.onset.Until) <= g.from+1 {
				return
			}
		}
	}
	ch := &change{shape: Spike, scan: true}
	ch.onset = s.minute(g)
	to := s.at(g.to)
	if g.to == s.steps {
		ch.shape, to = Step, s.record.Last
	}
	for c := range s.strangers {
		if !c.first.Before(ch.onset.After) && !c.first.After(to) {
			ch.clients = append(ch.clients, c)
		}
	}
	if len(ch.clients) == 0 {
		return
	}
	if ch.shape == Spike {
		last := slices.MaxFunc(ch.clients, func(a, b *suspect) int { return a.last.Compare(b.last) }).last
		if last.After(to) {
			last = to
		}
		ch.end = &Bracket{last, to}
		if g.to < s.steps {
			ch.end.Until = s.at(g.to + 1)
		}
	}
	s.explain(ch)
}

// minute returns the minute in which failures without a cipher suite began to be more,
// and the minutes beside it; where time steps are long, a part of a step instead.
func (s *scene) minute(g segment) Bracket {
	from, to := s.at(max(g.from-1, 0)), s.at(g.to)
	width := max(time.Minute, to.Sub(from)/120)
	n := int(to.Sub(from)/width) + 1
	events, exposure := make([]uint32, n), make([]float64, n)
	for i := range exposure {
		exposure[i] = 1
	}
	for i := range s.listener.Kinds {
		k := &s.listener.Kinds[i]
		if k.Outcome != history.Failure || k.Cipher != "" {
			continue
		}
		for _, c := range k.Cells {
			if t := history.Time(c.First); !t.Before(from) && t.Before(to) {
				events[t.Sub(from)/width] += uint32(c.N)
			}
		}
	}
	at := from.Add(time.Duration(raised(events, exposure).from) * width)
	return Bracket{at.Add(-width), at.Add(width)}
}

// steady finds customers that fail all along: they negotiate something or present a
// certificate, or they fail more steadily than scanners do.
func (s *scene) steady() {
	ch := &change{shape: Throughout, steady: true, narrow: true}
	for _, c := range s.suspects {
		if s.failsAllAlong(c) {
			ch.clients = append(ch.clients, c)
		}
	}
	if len(ch.clients) > 0 {
		s.explain(ch)
	}
}

func (s *scene) failsAllAlong(c *suspect) bool {
	edge := max(1, s.steps/8)
	if s.steps < 4 || c.Successes*10 > c.failures || firstStep(c.fails) > edge || lastStep(c.fails) < s.steps-1-edge {
		return false
	}
	steps := bits.OnesCount64(c.fails)
	if slices.ContainsFunc(c.ways, func(w history.Way) bool { return w.Cipher != "" || strings.HasPrefix(w.Status, "Failed:ClientCert") }) {
		return steps >= 3 && c.failures >= 10
	}
	return steps*10 >= s.steps*9
}
