package incident

import (
	"math"
	"math/bits"
	"slices"
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
		b := s.bracket(g)
		i := slices.IndexFunc(s.changes, func(c *change) bool { return (c.steps|c.steps<<1|c.steps>>1)>>s.stepOf(b.Until)&1 != 0 })
		if i < 0 {
			s.explain(&change{shape: Step, onset: b, clients: g})
			continue
		}
		s.changes[i].clients = append(s.changes[i].clients, g...) // hit when it came back
		s.explained(s.changes[i])
	}
}

// bracket returns the onset of clients that stopped at once: from the last success of
// theirs before the first of their failures. What vanished narrows it.
func (s *scene) bracket(clients []*suspect) (b Bracket) {
	b = Bracket{s.record.First, s.begin(clients)}
	for _, c := range clients {
		if c.LastWorked.After(b.After) && !c.LastWorked.After(b.Until) {
			b.After = c.LastWorked
		}
	}
	return s.narrowed(b, s.record.Last, clients)
}

// narrowed returns a bracket that begins with the last success of what vanished, or of
// what the clients negotiated and nobody does until an end.
func (s *scene) narrowed(b Bracket, end time.Time, clients []*suspect) Bracket {
	used := make(map[Negotiated]bool)
	for _, c := range clients {
		if c.Last != nil {
			used[negotiatedOf(c.Last)] = true
		}
	}
	latest := func(t time.Time) {
		if t.After(b.After) && !t.After(b.Until) {
			b.After = t
		}
	}
	for _, t := range s.traits(b.Until, end) {
		if t.vanished() {
			latest(t.last)
		}
	}
	for i := range s.listener.Kinds {
		if k := &s.listener.Kinds[i]; k.Outcome == history.Success && used[negotiatedOf(&k.Names)] {
			if _, since, last := around(k, b.Until, end); since == 0 {
				latest(last)
			}
		}
	}
	return b
}

// begin returns the first failure of clients that were hit at once, or from then on.
// Those that failed by chance before are left out: clients much earlier than the next
// ones, where chance explains them better than the rate of those next ones does.
func (s *scene) begin(clients []*suspect) time.Time {
	clients = slices.SortedFunc(slices.Values(clients), func(a, b *suspect) int { return a.first.Compare(b.first) })
	weak, sure := s.chance(clients)
	for len(clients) >= 5 {
		next := min(len(clients)-1, 8)
		gap := clients[1].first.Sub(clients[0].first).Seconds()
		rate := float64(next-1) / max(clients[next].first.Sub(clients[1].first).Seconds(), 0.1)
		chance := weak
		if clients[0].evidence() >= strong {
			chance = sure
		}
		if rate*math.Exp(-rate*gap) >= chance {
			break
		}
		clients = clients[1:]
	}
	return clients[0].first
}

// chance returns how many clients a second begin to fail for good by chance, with weak
// and with strong evidence, by those that no change explains.
func (s *scene) chance(hit []*suspect) (weak, sure float64) {
	weak, sure = 0.3, 0.1 // estimates for none
	known := make(map[*suspect]bool, len(hit))
	for _, c := range hit {
		known[c] = true
	}
	for _, c := range s.suspects {
		if _, ok := c.onset(s); !ok || known[c] {
			continue
		}
		if c.evidence() >= strong {
			sure++
		} else {
			weak++
		}
	}
	seconds := s.record.Last.Sub(s.record.First).Seconds() + 1
	return weak / seconds, sure / seconds
}

// strong is the evidence of a client that chance hardly explains.
const strong = 4.5

// ramp explains clients that stopped one after another.
func (s *scene) ramp(clients []*suspect, brackets map[*suspect]Bracket) {
	at := s.begin(clients)
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
	var all, sure []*suspect
	for _, c := range s.suspects {
		if c.Worked&^c.fails != 0 && c.fails != 0 {
			all = append(all, c)
			if c.evidence() >= strong {
				sure = append(sure, c)
			}
		}
	}
	var in uint64
	for range 4 { // the clients tell the times, and the times the clients
		in = s.failing(sure)
		sure = slices.DeleteFunc(sure, func(c *suspect) bool { return !c.fits(in) })
	}
	var test switchTest
	var clients []*suspect
	for _, c := range all {
		if c.fits(in) {
			clients = append(clients, c)
			test.switched = append(test.switched, c.evidence())
		} else {
			test.others++
		}
	}
	if len(sure) < 2 || len(clients) < 3 || !s.recovers(sure, in) || test.score()-slices.Max(test.switched) < burstLimit { // one client fits its own times
		return
	}
	s.explain(s.burst(clients, in))
}

// failing returns the steps in which clients fail more than they succeed, each client
// with the weight of its evidence. Steps without any of them are like those before.
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
		if sum > 0 || sum == 0 && i > 0 && in>>(i-1)&1 != 0 {
			in |= 1 << i
		}
	}
	return in
}

// recovers reports whether clients work again after they failed in the given steps:
// at least two, and three in ten.
func (s *scene) recovers(clients []*suspect, in uint64) bool {
	after := ^in &^ upTo(firstStep(in))
	n := 0
	for _, c := range clients {
		if c.Worked&^c.fails&after != 0 {
			n++
		}
	}
	return n >= 2 && n*10 >= len(clients)*3
}

// fits reports whether a client fails in the given steps and works in others, with one
// exception in eight. Steps at the edges may have either.
func (c *suspect) fits(in uint64) bool {
	edges := (in<<1 | in>>1) &^ in
	inner := in & (in << 1) & (in >> 1)
	odd := bits.OnesCount64(c.fails&^in&^edges) + bits.OnesCount64(c.Worked&^c.fails&inner)
	return c.fails&in != 0 && odd*8 <= bits.OnesCount64(c.fails|c.Worked)
}

// burst describes a change in the given steps.
func (s *scene) burst(clients []*suspect, in uint64) *change {
	ch := &change{shape: Spike, clients: clients, steps: in}
	from, to := firstStep(in), lastStep(in)+1
	stretch := bits.TrailingZeros64(^(in >> from)) + from
	if stretch < to {
		ch.shape = Flapping
	}
	ch.onset = Bracket{s.record.First, s.begin(clients)}
	for _, c := range clients {
		clean := c.Worked &^ c.fails & upTo(s.stepOf(ch.onset.Until))
		if clean == 0 {
			continue
		}
		if at := s.at(lastStep(clean)); at.After(ch.onset.After) { // it succeeded then or later
			ch.onset.After = at
		}
	}
	ch.stretch = s.resumed(clients, ch.onset.Until)
	if at := s.at(stretch); ch.stretch.IsZero() && stretch < s.steps {
		ch.stretch = at
	}
	ch.onset = s.narrowed(ch.onset, s.until(ch), clients)
	if to < s.steps {
		last := slices.MaxFunc(clients, func(a, b *suspect) int { return a.last.Compare(b.last) }).last
		ch.end = &Bracket{last, s.at(min(to+1, s.steps))}
		if ch.end.Until.Before(last) {
			ch.end.Until = last
		}
	}
	return ch
}

// resumed returns when clients first succeeded again with what they negotiate, after
// a pause that began at an onset; zero if nobody paused.
func (s *scene) resumed(clients []*suspect, at time.Time) (first time.Time) {
	used := make(map[Negotiated]bool)
	for _, c := range clients {
		used[negotiatedOf(c.Last)] = true
	}
	for i := range s.listener.Kinds {
		k := &s.listener.Kinds[i]
		if k.Outcome != history.Success || !used[negotiatedOf(&k.Names)] {
			continue
		}
		n, last := 0.0, s.record.First
		for _, c := range k.Cells {
			f := history.Time(c.First)
			if f.After(at.Add(lag)) {
				rate := n / max(last.Sub(s.record.First).Seconds(), 1)
				if rate*f.Sub(last).Seconds() >= fewest/2 && (first.IsZero() || f.Before(first)) {
					first = f
				}
				break
			}
			n, last = n+float64(c.N), history.Time(c.Last)
		}
	}
	return first
}
