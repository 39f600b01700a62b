package secpolicy

import (
	"cmp"
	"slices"

	"tlswatch/pkg/tlsname"
)

// A Weakness is a property of a policy that the strictest policy would not have.
// A lower value is more serious.
type Weakness uint8

const (
	allowsTLS10 Weakness = iota // RFC 8996 deprecates TLS 1.0 and 1.1
	allowsTLS11
	allows3DES       // 64-bit blocks: Sweet32
	noForwardSecrecy // static RSA: recorded traffic can be read once the key leaks
	allowsSHA1MAC
	allowsCBC // padding attacks: Lucky 13
	noTLS13
	allowsTLS12
	notPostQuantum // recorded traffic may be read by a future quantum computer
)

var weaknesses = [...]struct{ id, text string }{
	allowsTLS10:      {"tls-1.0", "allows TLS 1.0 (deprecated by RFC 8996)"},
	allowsTLS11:      {"tls-1.1", "allows TLS 1.1 (deprecated by RFC 8996)"},
	allows3DES:       {"3des", "allows 3DES with its short blocks (Sweet32)"},
	noForwardSecrecy: {"no-forward-secrecy", "allows static RSA key exchange (no forward secrecy)"},
	allowsSHA1MAC:    {"sha1-mac", "allows suites with a SHA-1 MAC"},
	allowsCBC:        {"cbc", "allows CBC suites (open to padding attacks)"},
	noTLS13:          {"no-tls-1.3", "lacks TLS 1.3"},
	allowsTLS12:      {"tls-1.2", "allows TLS 1.2 (whose handshake reveals more than TLS 1.3's)"},
	notPostQuantum:   {"not-post-quantum", "lacks post-quantum key exchange"},
}

// String returns the identifier, such as tls-1.0.
func (w Weakness) String() string { return weaknesses[w].id }

// Text returns a clause whose subject is the policy.
func (w Weakness) Text() string { return weaknesses[w].text }

// Weaknesses returns the policy's weaknesses, most serious first.
func (p *Policy) Weaknesses() []Weakness {
	has := func(r tlsname.Reason) bool {
		return slices.ContainsFunc(p.Ciphers, func(s tlsname.Suite) bool { return s.HasReason(r) })
	}
	var list []Weakness
	for w, found := range [...]bool{
		allowsTLS10:      p.MinVersion() <= tlsname.TLS10,
		allowsTLS11:      slices.Contains(p.Protocols, tlsname.TLS11),
		allows3DES:       has(tlsname.SmallBlock),
		noForwardSecrecy: !p.ForwardSecrecy,
		allowsSHA1MAC:    has(tlsname.SHA1MAC),
		allowsCBC:        has(tlsname.CBC),
		noTLS13:          p.MaxVersion() < tlsname.TLS13,
		allowsTLS12:      slices.Contains(p.Protocols, tlsname.TLS12),
		notPostQuantum:   !p.PostQuantum,
	} {
		if found {
			list = append(list, Weakness(w))
		}
	}
	return list
}

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

// A Suggestion is a policy that accepts all the clients.
type Suggestion struct {
	Policy  *Policy
	GivesUp []Weakness // most serious first
	Hints   []string   // from the clients' verdicts, without duplicates
}

// Suggest returns the policies that accept all the clients and meet the
// constraints, strictest first: those with less serious weaknesses, then those
// that are confirmed, then those without FIPS, then those with fewer cipher
// suites.
func (s *Set) Suggest(clients []Offer, c Constraints) []Suggestion {
	var list []Suggestion
	for i := range s.policies {
		p := &s.policies[i]
		if !c.allow(p) {
			continue
		}
		if hints, ok := p.acceptsAll(clients); ok {
			list = append(list, Suggestion{p, p.Weaknesses(), hints})
		}
	}
	slices.SortStableFunc(list, func(a, b Suggestion) int {
		return cmp.Or(compareWeaknesses(a.GivesUp, b.GivesUp),
			compareBool(!a.Policy.Confirmed(), !b.Policy.Confirmed()),
			compareBool(a.Policy.FIPS, b.Policy.FIPS),
			cmp.Compare(len(a.Policy.Ciphers), len(b.Policy.Ciphers)))
	})
	return list
}

func (p *Policy) acceptsAll(clients []Offer) (hints []string, ok bool) {
	for _, o := range clients {
		v := p.Accepts(o)
		if !v.Accepted {
			return nil, false
		}
		hints = append(hints, without(v.Hints, hints)...)
	}
	return hints, true
}

// compareWeaknesses compares by the most serious weakness that only one side has.
func compareWeaknesses(a, b []Weakness) int {
	onlyA, onlyB := without(a, b), without(b, a)
	switch {
	case len(onlyA) == 0:
		return -len(onlyB)
	case len(onlyB) == 0:
		return len(onlyA)
	}
	return cmp.Compare(onlyB[0], onlyA[0])
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// SmallestChange returns the change to the policy that accepts the clients and
// everything that current accepts, and adds the least. It returns false if there
// is none. The new policy has the same FIPS module, and post-quantum key exchange
// if current has.
func (s *Set) SmallestChange(current *Policy, clients []Offer) (Difference, bool) {
	var best Difference
	found := false
	for i := range s.policies {
		p := &s.policies[i]
		if p.Legacy || p.FIPS != current.FIPS || !p.PostQuantum && current.PostQuantum {
			continue
		}
		if _, ok := p.acceptsAll(clients); !ok {
			continue
		}
		d := Compare(current, p)
		if len(d.ProtocolsRemoved)+len(d.CiphersRemoved)+len(d.GroupsRemoved) > 0 {
			continue
		}
		if !found || d.smaller(&best) {
			best, found = d, true
		}
	}
	return best, found
}

// smaller reports whether c is a smaller change of the same policy than d.
func (c *Difference) smaller(d *Difference) bool {
	return cmp.Or(compareWeaknesses(c.Weakens(), d.Weakens()),
		compareBool(!c.B.Confirmed(), !d.B.Confirmed()),
		cmp.Compare(len(c.ProtocolsAdded), len(d.ProtocolsAdded)),
		cmp.Compare(len(c.CiphersAdded), len(d.CiphersAdded)),
		cmp.Compare(len(c.SchemesRemoved), len(d.SchemesRemoved)),
		cmp.Compare(len(c.GroupsAdded), len(d.GroupsAdded))) < 0
}
