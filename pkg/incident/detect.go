package incident

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/incident/internal/history"
)

const expired = "Failed:ClientCertExpired"

// certificates finds client certificates that passed their end. The log says so:
// statistics are not needed.
func (s *scene) certificates() {
	type identity struct { // of a renewed or copied certificate too
		subject  string
		notAfter time.Time
	}
	groups := make(map[identity]*change)
	of := make(map[uint64]*change) // by Cert.ID
	var order []*change
	for i := range s.listener.Certs {
		c := &s.listener.Certs[i]
		k := identity{c.Subject, c.NotAfter}
		ch := groups[k]
		if ch == nil {
			ch = &change{narrow: true, certificate: c, shape: Throughout}
			if !c.NotAfter.IsZero() {
				ch.onset = Bracket{c.NotAfter, c.NotAfter}
				if c.NotAfter.After(s.record.First) {
					ch.shape = Step
				}
			}
			ch.only = func(w *history.Way) bool { return w.Status == expired && of[w.Cert] == ch }
			groups[k], order = ch, append(order, ch)
		}
		of[c.ID] = ch
	}
	for _, c := range s.suspects {
		for i := range c.ways {
			ch := of[c.ways[i].Cert]
			if ch != nil && c.ways[i].Status == expired && !slices.Contains(ch.clients[max(0, len(ch.clients)-1):], c) {
				ch.clients = append(ch.clients, c)
			}
		}
	}
	for _, ch := range order {
		if len(ch.clients) > 0 && ch.shape != Throughout {
			s.explain(ch)
		}
	}
}

// switches finds changes at which clients that worked stopped working.
func (s *scene) switches() {
	var open []*suspect
	var test switchTest
	brackets := make(map[*suspect]Bracket)
	for _, c := range s.suspects {
		if b, ok := c.onset(s); ok {
			brackets[c] = b
			open = append(open, c)
			test.switched = append(test.switched, c.evidence())
		} else if c.Worked != 0 {
			test.others++
		}
	}
	if test.score() < switchLimit {
		return
	}
	var groups [][]*suspect
	left := open
	for range 4 {
		group, rest := together(left, brackets)
		if score(group) < switchLimit {
			break
		}
		groups, left = append(groups, group), rest
		if len(left)*10 < len(open) {
			break
		}
	}
	if len(groups) == 0 {
		return
	}
	if len(left)*10 >= len(open) && score(left) >= switchLimit || len(groups) > 2 { // no few instants fit most clients
		s.ramp(open, brackets)
		return
	}
	for _, g := range groups {
		s.explain(&change{shape: Step, onset: s.bracket(g), clients: g})
	}
}

// bracket returns the onset of clients that stopped at once: from the last success of
// theirs before the first of their failures. What vanished narrows it.
func (s *scene) bracket(clients []*suspect) (b Bracket) {
	b = Bracket{s.record.First, slices.MinFunc(clients, func(a, b *suspect) int { return a.first.Compare(b.first) }).first}
	for _, c := range clients {
		if c.LastWorked.After(b.After) && !c.LastWorked.After(b.Until) {
			b.After = c.LastWorked
		}
	}
	if at, ok := s.vanishedBefore(b.Until); ok && at.After(b.After) {
		b.After = at
	}
	return b
}

// ramp explains clients that stopped one after another.
func (s *scene) ramp(clients []*suspect, brackets map[*suspect]Bracket) {
	first := slices.MinFunc(clients, func(a, b *suspect) int { return a.first.Compare(b.first) })
	s.explain(&change{shape: Ramp, onset: brackets[first], clients: clients})
}

func score(clients []*suspect) (sum float64) {
	for _, c := range clients {
		sum += c.evidence()
	}
	return sum
}

// atOnce is how long a change may take to reach all nodes and clients, so that it
// still counts as a step.
const atOnce = 75 * time.Second

// together returns the clients whose onsets may be the same instant, that which most
// evidence speaks for, and the others.
func together(clients []*suspect, brackets map[*suspect]Bracket) (group, rest []*suspect) {
	type edge struct {
		at     time.Time
		weight float64
	}
	edges := make([]edge, 0, 2*len(clients))
	for _, c := range clients {
		b, w := brackets[c], c.evidence()
		edges = append(edges, edge{b.After, w}, edge{b.Until.Add(atOnce), -w})
	}
	slices.SortStableFunc(edges, func(a, b edge) int {
		if n := a.at.Compare(b.at); n != 0 {
			return n
		}
		return int(b.weight - a.weight)
	})
	var sum, most float64
	var best time.Time
	for _, e := range edges {
		if sum += e.weight; sum > most+1e-9 {
			most, best = sum, e.at
		}
	}
	for _, c := range clients {
		if b := brackets[c]; !b.After.After(best) && b.Until.Add(atOnce).After(best) {
			group = append(group, c)
		} else {
			rest = append(rest, c)
		}
	}
	return group, rest
}

// bursts finds times in which more clients that work fail than at other times.
func (s *scene) bursts() {
	var segments []segment
	events := make([]uint32, s.steps)
	exposure := make([]float64, s.steps)
	for i := range exposure {
		exposure[i] = float64(s.listener.Active[i]) + s.exposure[i]
	}
	for _, c := range s.suspects {
		for i := range events {
			if c.Worked != 0 && c.fails>>i&1 != 0 {
				events[i]++
			}
		}
	}
	for range 8 {
		g := raised(events, exposure)
		if limit := segmentLimit; g.score < float64(limit) {
			break
		}
		segments = append(segments, g)
		for i := g.from; i < g.to; i++ {
			events[i], exposure[i] = 0, 0
		}
	}
	if len(segments) == 0 {
		return
	}
	slices.SortFunc(segments, func(a, b segment) int { return a.from - b.from })
	s.explain(s.burst(segments))
}

// burst describes one change with all segments.
func (s *scene) burst(segments []segment) *change {
	var in uint64
	for _, g := range segments {
		in |= g.steps()
	}
	ch := &change{shape: Spike}
	for _, c := range s.suspects {
		if c.Worked != 0 && c.fails&in != 0 && onesIn(c.fails, in) >= onesIn(c.fails, ^in) {
			ch.clients = append(ch.clients, c)
		}
	}
	begin, end := segments[0].from, segments[len(segments)-1].to
	ch.onset = Bracket{s.record.First, s.at(begin + 1)}
	for _, c := range ch.clients {
		if !c.first.Before(s.at(begin)) && c.first.Before(ch.onset.Until) {
			ch.onset.Until = c.first
		}
	}
	for _, c := range ch.clients {
		if clean := c.Worked &^ c.fails & upTo(begin+1); clean != 0 {
			if at := s.at(lastStep(clean)); at.After(ch.onset.After) && !at.After(ch.onset.Until) {
				ch.onset.After = at
			}
		}
	}
	switch {
	case len(segments) > 1:
		ch.shape = Flapping
	case end == s.steps:
		ch.shape = Step
	}
	if end < s.steps {
		ch.end = &Bracket{s.at(begin), s.at(min(end+1, s.steps))}
		for _, c := range ch.clients {
			if c.last.After(ch.end.After) && c.last.Before(s.at(end)) {
				ch.end.After = c.last
			}
		}
	}
	return ch
}

// strangers are clients that never succeeded.
func (s *scene) strangers(yield func(*suspect) bool) {
	for _, c := range s.suspects {
		if c.Successes == 0 && !yield(c) {
			return
		}
	}
}

// scans finds times in which more clients that never worked fail than at other times.
func (s *scene) scans() {
	events := make([]uint32, s.steps)
	for c := range s.strangers {
		for i := range events {
			if c.fails>>i&1 != 0 {
				events[i]++
			}
		}
	}
	exposure := slices.Clone(s.exposure)
	for range 4 {
		g := raised(events, exposure)
		if limit := segmentLimit; g.score < float64(limit) {
			return
		}
		s.scan(g)
		for i := g.from; i < g.to; i++ {
			events[i], exposure[i] = 0, 0
		}
	}
}

// scan explains a segment, unless a change did already.
func (s *scene) scan(g segment) {
	for _, ch := range s.changes {
		if !ch.narrow && abs(s.stepOf(ch.onset.Until)-g.from) <= 1 {
			return // the clients are first seen since that change
		}
	}
	ch := &change{shape: Spike, scan: true}
	from, to := s.at(g.from), s.at(g.to)
	if g.to == s.steps {
		ch.shape, to = Step, s.record.Last
	}
	for c := range s.strangers {
		if !c.first.Before(from) && !c.first.After(to) {
			ch.clients = append(ch.clients, c)
		}
	}
	if len(ch.clients) == 0 {
		return
	}
	ch.onset = Bracket{from, slices.MinFunc(ch.clients, func(a, b *suspect) int { return a.first.Compare(b.first) }).first}
	if ch.shape == Spike {
		last := slices.MaxFunc(ch.clients, func(a, b *suspect) int { return a.last.Compare(b.last) }).last
		if last.After(to) {
			last = to
		}
		ch.end = &Bracket{last, to}
	}
	if at, ok := s.vanishedBefore(ch.onset.Until); ok && at.After(s.at(max(g.from-1, 0))) {
		ch.scan, ch.onset.After = false, at
	}
	s.explain(ch)
}

func abs(n int) int { return max(n, -n) }

// vanishedBefore returns the last success with a trait that vanished before a time.
func (s *scene) vanishedBefore(until time.Time) (at time.Time, ok bool) {
	for _, t := range s.traits(until) {
		if t.vanished() && t.last.After(at) {
			at, ok = t.last, true
		}
	}
	return at, ok
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
		return steps >= 3
	}
	return steps*10 >= s.steps*9
}
