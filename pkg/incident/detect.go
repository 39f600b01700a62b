package incident

import (
	"math"
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
