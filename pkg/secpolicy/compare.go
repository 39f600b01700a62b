package secpolicy

import (
	"slices"

	"tlswatch/pkg/tlsname"
)

// A Difference is what changes from policy A to policy B.
type Difference struct {
	A, B             *Policy
	ProtocolsRemoved []tlsname.Version
	ProtocolsAdded   []tlsname.Version
	CiphersRemoved   []tlsname.Suite // in the order of A
	CiphersAdded     []tlsname.Suite // in the order of B
	Reordered        bool            // the suites that both have are in another order

	// From s2n-tls, as hints; empty where that is silent about A or B.
	GroupsRemoved  []tlsname.Group
	GroupsAdded    []tlsname.Group
	SchemesRemoved []tlsname.SignatureScheme
	SchemesAdded   []tlsname.SignatureScheme
}

// Compare says how two policies differ.
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

// Same reports whether the policies accept the same, in the same order, as far
// as AWS documents it.
func (d *Difference) Same() bool {
	return len(d.ProtocolsRemoved)+len(d.ProtocolsAdded)+len(d.CiphersRemoved)+len(d.CiphersAdded) == 0 &&
		!d.Reordered && d.A.PostQuantum == d.B.PostQuantum && d.A.FIPS == d.B.FIPS
}

// Caveats say for people what is not confirmed about policies, nil being one
// that is not known: for each that has a [Policy.Caveat], that with its name.
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

// Weakens returns what B gives up that A does not, Strengthens the reverse;
// both the gravest first.
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
