package secpolicy

import (
	"slices"

	"tlswatch/pkg/tlsname"
)

// Version returns the protocol version that the load balancer negotiates, 0 if there is
// none in common.
func (v Verdict) Version() tlsname.Version { return v.version }

// Group returns the key-exchange group that the load balancer negotiates with an
// accepted client, 0 if that is unknown or the suite uses none. Like s2n-tls, it takes
// the first group of the policy that the client sent a key share for, otherwise the
// first one that the client supports. It is a hint: AWS does not document the groups.
func (v Verdict) Group(o Offer, keyShares []tlsname.Group) tlsname.Group {
	if !v.Accepted || !ephemeral(v.Suite) {
		return 0
	}
	usable := func(groups []tlsname.Group) tlsname.Group {
		for _, g := range v.Policy.Groups {
			if slices.Contains(groups, g) && (v.version >= tlsname.TLS13 || !g.PostQuantum()) {
				return g
			}
		}
		return 0
	}
	if v.version >= tlsname.TLS13 {
		if g := usable(keyShares); g != 0 {
			return g
		}
	}
	return usable(o.Groups)
}
