package whatif

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strings"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A span is the time from first to last, empty if first is later.
type span struct{ first, last int64 }

var never = span{math.MaxInt64, math.MinInt64}

func (s *span) add(t span) { s.first, s.last = min(s.first, t.first), max(s.last, t.last) }

func (s span) empty() bool { return s.first > s.last }

// apart reports whether one of the spans ends before the other begins.
func (s span) apart(t span) bool { return s.last < t.first || t.last < s.first }

// A listener is what all lines of a listener prove about it.
type listener struct {
	number       int
	name         Listener
	from         *secpolicy.Policy  // nil if unknown
	certificates secpolicy.KeyKinds // 0 if unknown
	unnamed      bool               // Question.Certificates lacks one that connections show
	shown        secpolicy.KeyKinds
	onlyRSA      int  // clients that would have shown an ECDSA certificate if they supported its suites
	mutual       bool // clients presented certificates

	kinds  map[uint32]span // of successful connections
	top    span            // of successful connections with the highest version of from
	denied span            // of successful connections that from does not allow

	better shifts // clients that negotiated different things, where from would always have negotiated the best of them
	failed shifts // clients that failed and succeeded

	visits  []span // of each client
	topped  int    // clients with the highest version of from
	until   int64  // from may not hold before
	since   int64  // from may not hold after
	doubted uint64 // connections outside of the time of from
	former  []former
}

// A part is some connections of a client.
type part struct {
	at span
	n  uint64
}

func (p *part) add(r *Row) {
	p.at.add(span{r.first, r.last})
	p.n += r.Evidence
}

// Shifts are clients of which from explains only a part, by which part came last.
type shifts struct {
	improved []shift
	worsened []shift
	mixed    int
}

// A shift is the time between the two parts.
type shift struct {
	span
	strong bool // chance alone would seldom part them so
}

// add adds a client, unless it has one part only.
func (s *shifts) add(bad, good part) {
	// Connections in random order part with a probability of 1 in n over the smaller
	// number of the two.
	n, k := bad.n+good.n, min(bad.n, good.n)
	strong := k > 2 || k == 2 && n >= 4 || k == 1 && n >= 6
	switch {
	case k == 0:
	case bad.at.last < good.at.first:
		s.improved = append(s.improved, shift{span{bad.at.last, good.at.first}, strong})
	case good.at.last < bad.at.first:
		s.worsened = append(s.worsened, shift{span{good.at.last, bad.at.first}, strong})
	default:
		s.mixed++
	}
}

// A former is a policy that a listener may have had at the time of the denied
// connections.
type former struct {
	*secpolicy.Policy
	before, after bool  // it may have been replaced by from; it may have replaced from
	until, since  int64 // the latest and earliest time at which it may have been in force
}

// allows reports whether a policy may have produced a successful connection.
func allows(p *secpolicy.Policy, k *parsed) bool {
	return refuses(p, k.version, k.suite) != yes && (k.group == 0 || hasGroup(p, k.group))
}

func hasGroup(p *secpolicy.Policy, g tlsname.Group) bool {
	return len(p.Groups) == 0 || slices.Contains(p.Groups, g)
}

// rank orders what from allows: a lower rank is negotiated rather than a higher one.
func (l *listener) rank(k *parsed) int {
	rank := int(tlsname.TLS13-k.version) << 16
	if !l.from.OrderConfirmed {
		return rank
	}
	if pair := l.from.Unordered; slices.Contains(pair, k.suite) {
		return rank + l.from.Position(pair[0])
	}
	return rank + l.from.Position(k.suite)
}

// twins are the ECDSA suites that differ from RSA suites in nothing else.
var twins = func() map[tlsname.Suite]tlsname.Suite {
	m := make(map[tlsname.Suite]tlsname.Suite)
	for _, s := range tlsname.Suites() {
		if rsa, ok := strings.CutPrefix(s.OpenSSL(), "ECDHE-ECDSA-"); ok {
			if t, err := tlsname.ParseSuite("ECDHE-RSA-" + rsa); err == nil {
				m[t] = s
			}
		}
	}
	return m
}()

// look collects what the rows of one client prove about the listener.
func (l *listener) look(rows []Row, kinds []parsed) {
	best, top, onlyRSA := math.MaxInt, false, false
	good, other, failed, visits := part{at: never}, part{at: never}, part{at: never}, part{at: never}
	for i := range rows {
		r := &rows[i]
		k := &kinds[r.Kind]
		at := span{r.first, r.last}
		if k.failed && !secpolicy.IsClientCert(k.reason) {
			failed.add(r)
		}
		if !k.success || !k.known {
			continue
		}
		seen, ok := l.kinds[r.Kind]
		if !ok {
			seen = never
		}
		seen.add(at)
		l.kinds[r.Kind] = seen
		l.shown |= keyKind(k.suite)
		if l.from == nil {
			continue
		}
		if !allows(l.from, k) {
			l.denied.add(at)
			continue
		}
		visits.add(r)
		onlyRSA = onlyRSA || keyKind(k.suite) == secpolicy.RSA && l.from.Prefers(twins[k.suite], k.suite)
		if k.version == l.from.MaxVersion() {
			l.top.add(at)
			top = true
		}
		switch rank := l.rank(k); {
		case rank < best:
			other.at.add(good.at)
			other.n += good.n
			best, good = rank, part{at, r.Evidence}
		case rank == best:
			good.add(r)
		default:
			other.add(r)
		}
	}
	if visits.n == 0 || rows[0].Client == Others {
		return
	}
	l.visits = append(l.visits, visits.at)
	if top {
		l.topped++
	}
	if onlyRSA {
		l.onlyRSA++
	}
	l.better.add(other, good)
	l.failed.add(failed, visits)
}

// conclude decides when from may not have held.
func (l *listener) conclude(p *prediction) {
	l.until, l.since = math.MinInt64, math.MaxInt64
	if l.certificates != 0 && l.shown&^l.certificates != 0 {
		l.certificates |= l.shown
		l.unnamed = true
	}
	if l.from == nil {
		return
	}
	// Clients whose programs differ go both ways, at any time, as do those that fail
	// for other reasons. A change of policy makes most of those that differ go one
	// way, around one time.
	l.shift(&l.better)
	l.shift(&l.failed)
	l.missing()
	switch {
	case l.denied.empty():
	case l.until > l.denied.last || l.since < l.denied.first:
		// Explained.
	case l.until == math.MinInt64 && l.since == math.MaxInt64:
		l.findFormer(p)
	default: // more than one change
		l.until = math.MaxInt64
	}
}

// shift applies what shifts show, if enough clients agree.
func (l *listener) shift(s *shifts) {
	if in, ok := turn(s.improved, len(s.worsened), s.mixed); ok {
		l.until = max(l.until, in.last)
	} else if in, ok := turn(s.worsened, len(s.improved), s.mixed); ok {
		l.since = min(l.since, in.first)
	}
}

// turn returns the time in which a change explains most of the clients that shifted.
// It allows for clients that shifted by chance; as many of these went the other way.
func turn(list []shift, otherWay, mixed int) (span, bool) {
	const enoughClients = 3
	least := enoughClients
	if slices.ContainsFunc(list, func(s shift) bool { return s.strong }) {
		least = 1
	}
	type edge struct {
		at    int64
		delta int
	}
	var edges []edge
	for _, s := range list {
		edges = append(edges, edge{s.first, 1}, edge{s.last, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.delta, a.delta)) })
	depth, deepest := 0, 0
	for _, e := range edges {
		depth += e.delta
		deepest = max(deepest, depth)
	}
	if deepest < least || 5*deepest < 2*(len(list)+otherWay+mixed) {
		return never, false
	}
	enough := max(1, deepest-2*otherWay-deepest/50)
	in := never
	depth = 0
	for _, e := range edges {
		if e.delta < 0 && depth >= enough {
			in.add(span{e.at, e.at})
		}
		if depth += e.delta; e.delta > 0 && depth >= enough {
			in.add(span{e.at, e.at})
		}
	}
	return in, true
}

// missing finds times without the highest version of from that chance does not
// explain: with the share of clients that have it at other times, its absence has a
// probability below e^-5.
func (l *listener) missing() {
	const enough = 5
	if l.top.empty() {
		return
	}
	var before, after, from, to int
	for _, v := range l.visits {
		if v.first < l.top.first {
			before++
		}
		if v.last >= l.top.first {
			from++
		}
		if v.last > l.top.last {
			after++
		}
		if v.first <= l.top.last {
			to++
		}
	}
	if before*l.topped > enough*from {
		l.until = max(l.until, l.top.first)
	}
	if after*l.topped > enough*to {
		l.since = min(l.since, l.top.last)
	}
}

// findFormer finds the policies that may have been in force at the time of the
// connections that from does not allow.
func (l *listener) findFormer(p *prediction) {
	policies := p.q.Policies.Policies()
	for i := range policies {
		f := former{Policy: &policies[i], before: true, after: !p.q.Now, until: math.MaxInt64, since: math.MinInt64}
		if f.Policy == l.from {
			continue
		}
		for kind, at := range l.kinds {
			if allows(f.Policy, &p.parsed[kind]) {
				continue
			}
			if at.first <= l.denied.last {
				f.before = false
			}
			if at.last >= l.denied.first {
				f.after = false
			}
			f.until, f.since = min(f.until, at.first), max(f.since, at.last)
		}
		if f.before || f.after {
			l.former = append(l.former, f)
		}
	}
	if len(l.former) == 0 { // more than one change, or a policy that is not known
		l.until = math.MaxInt64
	}
}

var unknownPolicy = []*secpolicy.Policy{nil}

// policies returns the policies that may have been in force at the time of a row. Nil
// is an unknown one. Doubtful means that it may not be that of from.
func (l *listener) policies(r *Row) (list []*secpolicy.Policy, doubtful bool) {
	at := span{r.first, r.last}
	switch {
	case l.from == nil:
		return unknownPolicy, false
	case at.first < l.until, at.last > l.since,
		!l.denied.empty() && at.first <= l.denied.last && at.last >= l.denied.first:
		return unknownPolicy, true
	case l.former == nil:
		return []*secpolicy.Policy{l.from}, false
	}
	list = append(list, l.from)
	for _, f := range l.former {
		later := at.first > l.denied.last
		if f.before && (!later || f.until >= at.first) || f.after && (later || f.since <= at.last) {
			list = append(list, f.Policy)
		}
	}
	return list, len(list) > 1
}

// clients yields the rows of each client, and those of Others together.
func (p *prediction) clients() iter.Seq[[]Row] {
	return func(yield func([]Row) bool) {
		for rest := p.rows; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Client == rest[0].Client {
				n++
			}
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// listen finds the listeners of the kinds.
func (p *prediction) listen() {
	byName := make(map[Listener]*listener)
	for i := range p.kinds {
		name := p.kinds[i].Listener
		l := byName[name]
		if l == nil {
			l = &listener{number: len(byName), name: name, kinds: make(map[uint32]span), top: never, denied: never}
			if p.q.From != nil {
				l.from = p.q.From(name)
			}
			if p.q.Certificates != nil {
				l.certificates = p.q.Certificates(name)
			}
			byName[name] = l
		}
		l.mutual = l.mutual || p.kinds[i].clientCertificate > 0
		p.listeners = append(p.listeners, l)
	}
}

// gather collects the evidence of all rows about the listeners.
func (p *prediction) gather() {
	for rows := range p.clients() {
		for rest := rows; len(rest) > 0; {
			l, n := p.listeners[rest[0].Kind], 1
			for n < len(rest) && p.listeners[rest[n].Kind] == l {
				n++
			}
			l.look(rest[:n], p.parsed)
			rest = rest[n:]
		}
	}
	seen := make(map[*listener]bool)
	for _, l := range p.listeners {
		if !seen[l] {
			l.conclude(p)
		}
		seen[l] = true
	}
}

// changed describes when from may not have held.
func (l *listener) changed() Change {
	c := Change{Listener: l.name, Policy: l.from, Connections: l.doubted}
	switch {
	case l.until == math.MaxInt64: // never known to hold
	case l.until == math.MinInt64 && l.since == math.MaxInt64:
		c.Until, c.Since = l.denied.last, l.denied.first
	default:
		if l.until != math.MinInt64 {
			c.Until = l.until
		}
		if l.since != math.MaxInt64 {
			c.Since = l.since
		}
	}
	return c
}
