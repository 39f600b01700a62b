package secpolicy

import (
	"cmp"
	"slices"

	"tlswatch/pkg/tlsname"
)

// Constraints restrict the policies to suggest.
type Constraints struct {
	MinVersion     tlsname.Version // the lowest that the policy may allow
	ForwardSecrecy bool
	PostQuantum    bool
	Confirmed      bool // only policies with [Policy.Confirmed]
	Legacy         bool // also legacy policies

	// At most one is set. All secure listeners of a load balancer have FIPS
	// policies, or none has.
	OnlyFIPS, NoFIPS bool
}

func (c Constraints) allow(p *Policy) bool {
	return p.MinVersion() >= c.MinVersion &&
		(p.ForwardSecrecy || !c.ForwardSecrecy) &&
		(p.PostQuantum || !c.PostQuantum) &&
		(p.Confirmed() || !c.Confirmed) &&
		(!p.Legacy || c.Legacy) &&
		(p.FIPS || !c.OnlyFIPS) && (!p.FIPS || !c.NoFIPS)
}

// Needs are what a recommended policy has to accept.
type Needs struct {
	// Current is the policy in force, nil if unknown. A recommended policy has
	// the same FIPS module, and TLS 1.2 and 1.3 if Current has them.
	Current *Policy

	// Kept are clients that work and must go on working. Nil stands for
	// everything that Current accepts; empty for nothing.
	Kept []Offer

	// Clients are those that the policy should accept, as many as possible.
	Clients []Client

	// NoTLS13 excludes policies with TLS 1.3, for clients that fail since a
	// listener has it.
	NoTLS13 bool

	Constraints
}

// A Client is one client, or several alike.
type Client struct {
	Offers []Offer // all of which must be accepted
	Weight uint64  // of the client among others, such as its failures
}

// A Recommendation is a policy that accepts everything that must go on working.
type Recommendation struct {
	Policy  *Policy
	Refused []int  // of the clients, by index; empty if the policy accepts all
	Weight  uint64 // of the clients that it accepts
}

// Recommend returns the policies that keep everything in n.Kept and accept a
// client at least, if there are any, as far as [Policy.Admits] knows. The best policy
// is first. It is, in this order, the one that
//
//  1. accepts clients with the greatest weight,
//  2. has TLS 1.3, if one of the clients offers it or nothing is known of the
//     listener,
//  3. has no FIPS module, if the current policy is unknown,
//  4. is confirmed, if nothing is known of the listener,
//  5. newly allows least: see [Needs.compareNew]. So it brings TLS 1.3 to a listener
//     that does not have it, and at which some clients may fail, only if it must.
func (s *Set) Recommend(n Needs) []Recommendation {
	var list []Recommendation
	for i := range s.policies {
		if r, ok := n.assess(&s.policies[i]); ok {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b Recommendation) int {
		p, q := a.Policy, b.Policy
		return cmp.Or(cmp.Compare(b.Weight, a.Weight),
			compareBool(n.lacksTLS13(p), n.lacksTLS13(q)),
			compareBool(p.FIPS, q.FIPS),
			compareBool(n.blank() && !p.Confirmed(), n.blank() && !q.Confirmed()),
			n.compareNew(p, q))
	})
	return list
}

// assess returns false for a policy that must not be recommended.
func (n *Needs) assess(p *Policy) (Recommendation, bool) {
	r := Recommendation{Policy: p}
	if !n.allow(p) || n.NoTLS13 && slices.Contains(p.Protocols, tlsname.TLS13) || n.Current != nil && !n.keepsCurrent(p) {
		return r, false
	}
	if slices.ContainsFunc(n.Kept, func(o Offer) bool { return !p.Admits(o) }) {
		return r, false
	}
	for i, c := range n.Clients {
		if slices.ContainsFunc(c.Offers, func(o Offer) bool { return !p.Admits(o) }) {
			r.Refused = append(r.Refused, i)
		} else {
			r.Weight += c.Weight
		}
	}
	return r, len(n.Clients) == 0 || len(r.Refused) < len(n.Clients)
}

// keepsCurrent reports whether p keeps what must stay of the current policy.
func (n *Needs) keepsCurrent(p *Policy) bool {
	if p.FIPS != n.Current.FIPS {
		return false
	}
	d := Compare(n.Current, p)
	if n.Kept == nil {
		return len(d.ProtocolsRemoved)+len(d.CiphersRemoved)+len(d.GroupsRemoved) == 0 && (p.PostQuantum || !n.Current.PostQuantum)
	}
	return !slices.Contains(d.ProtocolsRemoved, tlsname.TLS12) && (n.NoTLS13 || !slices.Contains(d.ProtocolsRemoved, tlsname.TLS13))
}

// Admits reports whether the policy has a protocol, cipher suite and group for the
// offer, and nothing known speaks against it. For an offer of unknown groups it
// must have secp256r1, which nearly all clients have.
func (p *Policy) Admits(o Offer) bool {
	v := p.Accepts(o)
	switch {
	case !v.Accepted || len(v.Hints) > 0:
		return false
	case !ephemeral(v.Suite):
		return true
	case p.Groups == nil:
		return o.Groups == nil
	case o.Groups == nil:
		return slices.Contains(p.Groups, secp256r1)
	}
	return true // otherwise there would be a hint
}

// lacksTLS13 reports whether clients may lose TLS 1.3.
func (n *Needs) lacksTLS13(p *Policy) bool {
	return !slices.Contains(p.Protocols, tlsname.TLS13) && (n.blank() || slices.ContainsFunc(n.Clients, func(c Client) bool {
		return slices.ContainsFunc(c.Offers, func(o Offer) bool { return slices.Contains(o.Versions, tlsname.TLS13) })
	}))
}

// blank reports whether nothing is known of the listener.
func (n *Needs) blank() bool { return n.Current == nil && n.Kept == nil }

// compareNew compares what two policies allow that the current one does not: the
// most serious weakness that only one of them adds, then whether it is confirmed,
// then the number of protocols, cipher suites and groups. If the current policy is
// unknown, everything that a policy allows is new. What a policy lacks (TLS 1.3,
// post-quantum key exchange) counts as a weakness only if the current policy has it, or
// nothing is known of the listener. Of policies that add nothing, the current one is
// the first, then the strictest.
//
// So no confirmed policy that Recommend puts after another, for this reason alone,
// allows a proper subset of what the other newly allows.
func (n *Needs) compareNew(p, q *Policy) int {
	weak := func(p *Policy) []Weakness {
		list := p.Weaknesses()
		if n.Current != nil {
			return without(list, n.Current.Weaknesses())
		}
		if n.Kept != nil {
			return without(list, []Weakness{noTLS13, notPostQuantum})
		}
		return list
	}
	base := n.Current
	if base == nil {
		base = &Policy{Groups: []tlsname.Group{}, SignatureSchemes: []tlsname.SignatureScheme{}}
	}
	c, d := Compare(base, p), Compare(base, q)
	return cmp.Or(compareWeaknesses(weak(p), weak(q)),
		compareBool(!p.Confirmed(), !q.Confirmed()),
		cmp.Compare(len(c.ProtocolsAdded), len(d.ProtocolsAdded)),
		cmp.Compare(len(c.CiphersAdded), len(d.CiphersAdded)),
		cmp.Compare(len(c.GroupsAdded), len(d.GroupsAdded)),
		cmp.Compare(len(c.SchemesRemoved), len(d.SchemesRemoved)),
		compareBool(p != n.Current, q != n.Current),
		compareWeaknesses(p.Weaknesses(), q.Weaknesses()))
}

// ParseOffer returns the offer of a client that negotiated, or tried to, what a
// line of the log has, "" for none. It returns false if the line lacks protocol or
// cipher suite, if tlswatch does not know them, or if they do not go together:
// then it proves nothing about the client.
func ParseOffer(protocol, cipher, keyExchange string) (Offer, bool) {
	version, err := tlsname.ParseVersion(protocol)
	if err != nil || !version.Known() {
		return Offer{}, false
	}
	suite, err := tlsname.ParseSuite(cipher)
	if err != nil || !suite.UsableIn(version) {
		return Offer{}, false
	}
	o := Offer{Versions: []tlsname.Version{version}, Suites: []tlsname.Suite{suite}}
	if g, err := tlsname.ParseGroup(keyExchange); err == nil && keyExchange != "" {
		o.Groups, o.partial = []tlsname.Group{g}, true
	}
	return o, true
}
