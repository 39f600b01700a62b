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
				ch.onset = Bracket{c.NotAfter, c.NotAfter.Add(time.Second)} // which it still works: RFC 5280, section 4.1.2.5
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
	b = Bracket{s.record.First, begin(clients)}
	for _, c := range clients {
		if c.LastWorked.After(b.After) && !c.LastWorked.After(b.Until) {
			b.After = c.LastWorked
		}
	}
	return s.narrowed(b, s.record.Last)
}

// narrowed returns a bracket that begins with the last success of what vanished.
func (s *scene) narrowed(b Bracket, end time.Time) Bracket {
	for _, t := range s.traits(b.Until, end) {
		if t.vanished() && t.last.After(b.After) && !t.last.After(b.Until) {
			b.After = t.last
		}
	}
	return b
}

// begin returns the first failure of clients that were hit at once. Clients that began
// to fail by chance before are left out: those with little evidence, and those much
// earlier than the next ones.
func begin(clients []*suspect) time.Time {
	var times []time.Time
	for _, c := range clients {
		if c.evidence() >= strong {
			times = append(times, c.first)
		}
	}
	if len(times) < 3 {
		times = times[:0]
		for _, c := range clients {
			times = append(times, c.first)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	const next = 8
	for len(times) > next && times[1].Sub(times[0]) > times[next].Sub(times[1]) {
		times = times[1:]
	}
	return times[0]
}

// strong is the evidence of a client that chance hardly explains.
const strong = 4.5

// ramp explains clients that stopped one after another.
func (s *scene) ramp(clients []*suspect, brackets map[*suspect]Bracket) {
	at := begin(clients)
	i := slices.IndexFunc(clients, func(c *suspect) bool { return c.first.Equal(at) })
	s.explain(&change{shape: Ramp, onset: brackets[clients[i]], clients: clients})
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

// bursts finds changes that ended: times in which the same clients fail, that succeed
// at other times.
func (s *scene) bursts() {
	var clients []*suspect
	for _, c := range s.suspects {
		if c.Worked&^c.fails != 0 && c.fails != 0 {
			clients = append(clients, c)
		}
	}
	var in uint64
	for range 4 { // the clients tell the times, and the times the clients
		in = s.failing(clients)
		clients = slices.DeleteFunc(clients, func(c *suspect) bool { return !c.fits(in) })
	}
	var most float64
	for _, c := range clients {
		most = max(most, c.evidence())
	}
	if len(clients) < 3 || score(clients)-most < 2*switchLimit { // one client would fit its own times
		return
	}
	s.explain(s.burst(clients, in))
}

// failing returns the steps in which clients fail more than they succeed, each client
// with the weight of its evidence.
func (s *scene) failing(clients []*suspect) (in uint64) {
	for i := range s.steps {
		var sum float64
		for _, c := range clients {
			switch e := c.evidence(); {
			case c.fails>>i&1 != 0:
				sum += e
			case c.Worked>>i&1 != 0:
				sum -= e
			}
		}
		if sum > 0 {
			in |= 1 << i
		}
	}
	return in
}

// fits reports whether a client fails in the given steps and works in others. Steps at
// their edges may have either.
func (c *suspect) fits(in uint64) bool {
	edges := (in<<1 | in>>1) &^ in
	inner := in & (in << 1) & (in >> 1)
	return c.fails&in != 0 && c.fails&^in&^edges == 0 && c.Worked&inner&^c.fails == 0
}

// burst describes a change in the given steps.
func (s *scene) burst(clients []*suspect, in uint64) *change {
	ch := &change{shape: Spike, clients: clients}
	from, to := firstStep(in), lastStep(in)+1
	stretch := bits.TrailingZeros64(^(in >> from)) + from
	switch {
	case stretch < to:
		ch.shape = Flapping
	case to == s.steps:
		ch.shape = Step
	}
	ch.onset = Bracket{s.record.First, begin(clients)}
	for _, c := range clients {
		clean := c.Worked &^ c.fails & upTo(s.stepOf(ch.onset.Until))
		if clean == 0 {
			continue
		}
		if at := s.at(lastStep(clean)); at.After(ch.onset.After) { // it succeeded then or later
			ch.onset.After = at
		}
	}
	if stretch < s.steps {
		ch.stretch = s.at(stretch - 1) // which may be the last to have failures
	}
	ch.onset = s.narrowed(ch.onset, s.until(ch))
	if to < s.steps {
		last := slices.MaxFunc(clients, func(a, b *suspect) int { return a.last.Compare(b.last) }).last
		ch.end = &Bracket{last, s.at(min(to+1, s.steps))}
		if ch.end.Until.Before(last) {
			ch.end.Until = last
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
	if b := s.narrowed(ch.onset, s.record.Last); b != ch.onset {
		ch.scan, ch.onset = false, b
	}
	s.explain(ch)
}

func abs(n int) int { return max(n, -n) }

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
