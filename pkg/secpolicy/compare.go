package secpolicy

import (
	"slices"

	"tlswatch/pkg/tlsname"
)

// A Difference lists what changes from policy A to policy B.
type Difference struct {
	A, B             *Policy
	ProtocolsRemoved []tlsname.Version
	ProtocolsAdded   []tlsname.Version
	CiphersRemoved   []tlsname.Suite // in the order of A
	CiphersAdded     []tlsname.Suite // in the order of B
	Reordered        bool            // the suites that both have are in a different order

	// Hints from s2n-tls, empty if it has none on A or B.
	GroupsRemoved  []tlsname.Group
	GroupsAdded    []tlsname.Group
	SchemesRemoved []tlsname.SignatureScheme
	SchemesAdded   []tlsname.SignatureScheme
}

// Compare returns the differences between two policies.
func Compare(a, b *Policy) Difference {
	d := Difference{
		A: a, B: b,
		ProtocolsRemoved: without(a.Protocols, b.Protocols),
		ProtocolsAdded:   without(b.Protocols, a.Protocols),
		CiphersRemoved:   without(a.Ciphers, b.Ciphers),
		CiphersAdded:     without(b.Ciphers, a.Ciphers),
		Reordered:        !slices.Equal(without(a.Ciphers, without(a.Ciphers, b.Ciphers)), without(b.Ciphers, without(b.Ciphers, a.Ciphers))),
	}
	if a.Groups != nil && b.Groups != nil {
		d.GroupsRemoved, d.GroupsAdded = without(a.Groups, b.Groups), without(b.Groups, a.Groups)
	}
	if a.SignatureSchemes != nil && b.SignatureSchemes != nil {
		d.SchemesRemoved, d.SchemesAdded = without(a.SignatureSchemes, b.SignatureSchemes), without(b.SignatureSchemes, a.SignatureSchemes)
	}
	return d
}

// Same reports whether the policies accept the same protocols and suites in the
// same order, and agree on FIPS and post-quantum key exchange.
func (d *Difference) Same() bool {
	return len(d.ProtocolsRemoved)+len(d.ProtocolsAdded)+len(d.CiphersRemoved)+len(d.CiphersAdded) == 0 &&
		!d.Reordered && d.A.PostQuantum == d.B.PostQuantum && d.A.FIPS == d.B.FIPS
}

// Caveats returns the [Policy.Caveat] of each policy that has one, after its
// name. It skips nil, which stands for an unknown policy.
func Caveats(policies ...*Policy) []string {
	var list []string
	for _, p := range policies {
		if p == nil {
			continue
		}
		if c := p.Caveat(); c != "" {
			list = append(list, p.Name+": "+c)
		}
	}
	return list
}

// Weakens returns the weaknesses that only B has, Strengthens those that only A
// has, both most serious first.
func (d *Difference) Weakens() []Weakness     { return without(d.B.Weaknesses(), d.A.Weaknesses()) }
func (d *Difference) Strengthens() []Weakness { return without(d.A.Weaknesses(), d.B.Weaknesses()) }

// without returns the elements of list that are not in other.
func without[T comparable](list, other []T) []T {
	var rest []T
	for _, v := range list {
		if !slices.Contains(other, v) {
			rest = append(rest, v)
		}
	}
	return rest
}
