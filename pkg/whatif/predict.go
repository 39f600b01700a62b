package whatif

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A prediction is a forecast in the making.
type prediction struct {
	q         Question
	rows      []Row
	kinds     []Kind
	parsed    []parsed
	listeners []*listener // by kind

	forecast  Forecast
	assessed  map[situation]assessment
	breaking  map[Breaking]*broken
	undecided map[string]uint64
	risks     map[string]uint64
	results   []result // of the client at hand
	works     []result // those of them that succeeded and will
	shown     []shown  // likewise
}

func (q Question) newPrediction(kinds []Kind, rows []Row) *prediction {
	p := &prediction{
		q: q, rows: rows, kinds: kinds, assessed: make(map[situation]assessment),
		breaking: make(map[Breaking]*broken), undecided: make(map[string]uint64), risks: make(map[string]uint64),
	}
	for i := range kinds {
		p.parsed = append(p.parsed, kinds[i].parse())
	}
	p.listen()
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(p.listeners[a.Kind].number, p.listeners[b.Kind].number),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.first, b.first))
	})
	p.gather()
	return p
}

// An assessment is the class of a connection and the reason, none for KeepsWorking
// and Fixed.
type assessment struct {
	Class  Class
	Reason string // one or more sentences
}

// A situation is all that the assessment of a connection depends on.
type situation struct {
	kind uint32
	from *secpolicy.Policy // nil if unknown
	client
}

// A client is what its other connections show.
type client struct {
	higher     bool // it tried a higher version
	tls13      bool // it succeeded with TLS 1.3, with this listener
	lower      bool // it tried a lower version
	otherGroup bool // it has another group of the new policy
	bothKinds  bool // it accepts certificates of both kinds
	moved      bool // before or after, it only used another suite, which the new policy has
}

// shown is the time in which a client made connections of a kind.
type shown struct {
	kind uint32
	at   span
}

// A result is the assessment of a row.
type result struct {
	assessment
	row      *Row
	policy   *secpolicy.Policy // that was in force, nil if that is unknown
	doubtful bool              // the policy of From may not have been in force
}

// broken is what the connections of a client that will break have in common.
type broken struct {
	connections  uint64
	policy       *secpolicy.Policy // nil if unknown, or not the same for all
	certificates secpolicy.KeyKinds
}

// add assesses the rows of a client.
func (p *prediction) add(rows []Row) {
	p.results, p.shown = p.results[:0], p.shown[:0]
	for _, r := range rows {
		at := span{r.first, r.last}
		if last := len(p.shown) - 1; last >= 0 && p.shown[last].kind == r.Kind {
			p.shown[last].at.add(at)
		} else {
			p.shown = append(p.shown, shown{r.Kind, at})
		}
	}
	p.works = p.works[:0]
	var others client
	for i := range rows {
		r := &rows[i]
		if p.parsed[r.Kind].plaintext {
			p.forecast.Plaintext += r.Connections
			continue
		}
		l := p.listeners[r.Kind]
		policies, doubtful := l.policies(r)
		if i == 0 || rows[i-1].Kind != r.Kind {
			others = p.others(r)
		}
		res := result{assessment: p.assessAll(r.Kind, policies, others), row: r, doubtful: doubtful}
		if len(policies) == 1 {
			res.policy = policies[0]
		}
		if doubtful {
			l.doubted += r.Connections
		}
		if p.parsed[r.Kind].success && (res.Class == KeepsWorking || res.Class == Likely) && r.Client != Others {
			p.works = append(p.works, res)
		}
		p.results = append(p.results, res)
	}
	for i := range p.results {
		if res := &p.results[i]; res.Class == Unknown && p.parsed[res.row.Kind].success && p.worksElsewhere(res) {
			res.assessment = assessment{Likely, "The client keeps working by what it negotiated under another policy. Another program at its address may have made these connections."}
		}
	}
	p.count(rows[0].Client)
}

// worksElsewhere reports whether something else that the client negotiated keeps
// working, where the policy at the time of a row may not have had it: only before or
// only after, if the policy may have changed, or with another listener.
func (p *prediction) worksElsewhere(res *result) bool {
	l := p.listeners[res.row.Kind]
	own := p.shownAt(res.row.Kind)
	return slices.ContainsFunc(p.works, func(w result) bool {
		if p.listeners[w.row.Kind] != l {
			return l.from != nil && !res.doubtful && !allows(l.from, &p.parsed[w.row.Kind])
		}
		return (w.doubtful || res.doubtful) && p.shownAt(w.row.Kind).apart(own)
	})
}

// shownAt returns the time in which the client made connections of a kind.
func (p *prediction) shownAt(kind uint32) span {
	i := slices.IndexFunc(p.shown, func(s shown) bool { return s.kind == kind })
	return p.shown[i].at
}

// others returns what connections of other kinds show of the client of a row.
func (p *prediction) others(r *Row) (c client) {
	if r.Client == Others {
		return client{higher: true, tls13: true} // for all that is known
	}
	k := &p.parsed[r.Kind]
	l := p.listeners[r.Kind]
	own := never // the times of the same suite
	for i := range p.shown {
		if o := &p.parsed[p.shown[i].kind]; p.listeners[p.shown[i].kind] == l && o.success == k.success && o.version == k.version && o.suite == k.suite {
			own.add(p.shown[i].at)
		}
	}
	var kinds secpolicy.KeyKinds
	for i := range p.shown {
		s := &p.shown[i]
		o := &p.parsed[s.kind]
		if !o.success && !o.failed {
			continue
		}
		c.higher = c.higher || o.version > k.version
		c.lower = c.lower || o.version != 0 && o.version < k.version
		if !o.success || !o.known {
			continue
		}
		c.otherGroup = c.otherGroup || o.group != 0 && o.group != k.group && hasUsableGroup(p.q.To, o.group, k.version)
		if p.listeners[s.kind] != l {
			continue
		}
		kinds |= keyKind(o.suite)
		c.tls13 = c.tls13 || o.version == tlsname.TLS13
		c.moved = c.moved || o.version == k.version && o.suite != k.suite && s.at.apart(own) && slices.Contains(p.q.To.Ciphers, o.suite)
	}
	c.bothKinds = kinds == secpolicy.RSA|secpolicy.ECDSA
	return c
}

func hasUsableGroup(p *secpolicy.Policy, g tlsname.Group, v tlsname.Version) bool {
	return slices.Contains(p.Groups, g) && (v >= tlsname.TLS13 || !g.PostQuantum())
}

// assessAll assesses a kind under each policy that may have been in force. What they
// do not agree on is unknown.
func (p *prediction) assessAll(kind uint32, policies []*secpolicy.Policy, c client) (a assessment) {
	for i, from := range policies {
		s := situation{kind, from, c}
		one, ok := p.assessed[s]
		if !ok {
			one = p.assess(s)
			p.assessed[s] = one
		}
		switch {
		case i == 0 || a.Class == one.Class:
			a = one
		case a.Class|one.Class == Likely: // KeepsWorking and Likely
			a = assessment{Likely, cmp.Or(a.Reason, one.Reason)}
		default:
			return assessment{Unknown, "The listener had another policy at some time, which allows another outcome."}
		}
	}
	return a
}

// assess classifies connections that are alike.
func (p *prediction) assess(s situation) assessment {
	k := &p.parsed[s.kind]
	to := p.q.To
	switch {
	case k.success:
	case !k.failed:
		return assessment{Unknown, "The log does not show whether the connection succeeded."}
	case k.reason == "ClientCertIncompatible":
		return assessment{Unknown, incompatible(s.from, to)}
	case secpolicy.IsClientCert(k.reason):
		return assessment{StillFails, "The client's certificate is refused under any policy."}
	case p.kinds[s.kind].Protocol == "" || p.kinds[s.kind].Cipher == "":
		return assessment{Unknown, "No cipher logged: capture the connection and use `tlswatch hello`."}
	}
	if !k.known {
		return assessment{Unknown, "tlswatch does not know the logged protocol or cipher, or they do not go together."}
	}
	refused := refuses(s.from, k.version, k.suite)
	switch {
	case !k.failed:
		if refused != no {
			s.from = nil
		}
	case refused == no:
		return assessment{Unknown, "The current policy has the client's protocol and cipher: something else made it fail."}
	case s.higher || s.lower:
		return assessment{Unknown, "The client tried different protocols, so this attempt may have failed for another reason than its protocol and cipher."}
	}
	l := p.listeners[s.kind]
	o := newKnowledge(p, l, s).outcome()
	works, fails := KeepsWorking, Breaks
	if k.failed {
		works, fails = Fixed, StillFails
	}
	switch {
	case k.failed && refused == maybe && o.result&no == 0:
		return assessment{Unknown, fmt.Sprintf("%s accepts what the log shows of the client, but the current policy may accept it too; then something else made it fail.", to.Name)}
	case o.result == yes:
		return assessment{works, ""}
	case o.result == no && s.moved:
		return assessment{Unknown, fmt.Sprintf("The client negotiated a suite that %s has only before or after. It works if the same program made these connections.", to.Name)}
	case o.result == no:
		return assessment{fails, o.reason}
	case o.result&no == 0:
		return assessment{Likely, o.risk}
	}
	return assessment{Unknown, o.reason}
}

// count adds the assessed rows of a client to the forecast.
func (p *prediction) count(number uint32) {
	f := &p.forecast
	c := Client{Client: number}
	reasons := make(map[Class]string)
	for i := range p.results {
		r := &p.results[i]
		n := r.row.Connections
		if n == 0 {
			continue
		}
		f.Connections[r.Class] += n
		c.Connections[r.Class] += n
		if reason, ok := reasons[r.Class]; !ok || r.Reason < reason {
			reasons[r.Class] = r.Reason
		}
		switch r.Class {
		case Breaks:
			kind := &p.kinds[r.row.Kind]
			certificates := p.listeners[r.row.Kind].certificates
			key := Breaking{Client: number, Protocol: kind.Protocol, Cipher: kind.Cipher, Reason: r.Reason}
			b := p.breaking[key]
			if b == nil {
				b = &broken{0, r.policy, certificates}
				p.breaking[key] = b
			}
			b.connections += n
			if b.policy != r.policy {
				b.policy = nil
			}
			if b.certificates != certificates {
				b.certificates = 0
			}
		case Unknown:
			p.undecided[r.Reason] += n
		case Likely:
			p.risks[r.Reason] += n
		}
	}
	if len(reasons) == 0 {
		return
	}
	if number != Others {
		f.All++
		for class := range reasons {
			f.Clients[class]++
		}
	}
	for _, class := range slices.Backward(gravity) {
		if reason, ok := reasons[class]; ok {
			c.Class, c.Reason = class, reason
		}
	}
	f.ByClient = append(f.ByClient, c)
}

// result returns the forecast, sorted.
func (p *prediction) result() *Forecast {
	f := &p.forecast
	for b, n := range p.breaking {
		b.Connections, b.Policy, b.Certificates = n.connections, n.policy, n.certificates
		f.Breaking = append(f.Breaking, b)
	}
	slices.SortFunc(f.Breaking, func(a, b Breaking) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.Cipher, b.Cipher), cmp.Compare(a.Reason, b.Reason))
	})
	f.Undecided, f.Risks = sorted(p.undecided), sorted(p.risks)
	seen := make(map[*listener]bool)
	for _, l := range p.listeners {
		if !seen[l] && l.doubted > 0 {
			f.Changes = append(f.Changes, l.changed())
		}
		if !seen[l] && l.unnamed {
			f.Unnamed = append(f.Unnamed, l.name)
		}
		seen[l] = true
	}
	slices.SortFunc(f.Changes, func(a, b Change) int { return a.Listener.compare(b.Listener) })
	slices.SortFunc(f.Unnamed, Listener.compare)
	return f
}

func sorted(counts map[string]uint64) (list []Reason) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, Reason{reason, counts[reason]})
	}
	slices.SortStableFunc(list, func(a, b Reason) int { return cmp.Compare(b.Connections, a.Connections) })
	return list
}
