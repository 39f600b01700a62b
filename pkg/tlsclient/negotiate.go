package tlsclient

import (
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// An Outcome says whether a policy accepts a client.
type Outcome string

const (
	Accepted Outcome = "accepted"
	Refused  Outcome = "refused"
	MayFail  Outcome = "may-fail" // protocol and cipher suite match; a group or signature scheme may not
	Unknown  Outcome = "unknown"  // the policy has suites that this version of tlswatch does not know
)

// A Negotiation is what a policy negotiates with a client.
type Negotiation struct {
	Client *Client

	// Certificates are the kinds of certificate that this is true of, 0 for any.
	Certificates secpolicy.KeyKinds

	Outcome Outcome
	Verdict secpolicy.Verdict
	Group   tlsname.Group // a hint from s2n-tls; 0 if unknown or none
}

// Negotiate returns what a policy negotiates with a client if the listener has
// certificates of one kind, and the same for both kinds if they are 0: one Negotiation
// if the kind makes no difference, otherwise two.
func Negotiate(p *secpolicy.Policy, c *Client, certificates secpolicy.KeyKinds) []Negotiation {
	if certificates != 0 {
		return []Negotiation{negotiate(p, c, certificates)}
	}
	withRSA, withECDSA := negotiate(p, c, secpolicy.RSA), negotiate(p, c, secpolicy.ECDSA)
	a, b := withRSA.Verdict, withECDSA.Verdict
	if withRSA.Outcome == withECDSA.Outcome && a.Code == b.Code && a.Suite == b.Suite {
		withRSA.Certificates = 0
		return []Negotiation{withRSA}
	}
	return []Negotiation{withRSA, withECDSA}
}

func negotiate(p *secpolicy.Policy, c *Client, certificates secpolicy.KeyKinds) Negotiation {
	o := c.Offer
	o.Certificates = certificates
	v := p.Accepts(o)
	n := Negotiation{Client: c, Certificates: certificates, Outcome: Refused, Verdict: v, Group: v.Group(o, c.KeyShares)}
	switch {
	case v.Accepted && len(v.Hints) > 0:
		n.Outcome = MayFail
	case v.Accepted:
		n.Outcome = Accepted
	case v.Code == secpolicy.CipherListNotReadable:
		n.Outcome = Unknown
	}
	return n
}

// A Change is what a change of policy does to a client.
type Change struct {
	Client *Client

	// Certificates are the kinds of certificate that this is true of, 0 for any.
	Certificates secpolicy.KeyKinds

	From, To Outcome
}

// Lost reports whether the client is accepted before the change, and refused after it.
func (c Change) Lost() bool { return works(c.From) && c.To == Refused }

// Gained reports whether the client is refused before the change, and accepted after it.
func (c Change) Gained() bool { return c.From == Refused && works(c.To) }

// AtRisk reports whether nothing speaks against the client before the change, and
// something does after it that is no proof.
func (c Change) AtRisk() bool { return c.From == Accepted && (c.To == MayFail || c.To == Unknown) }

func works(o Outcome) bool { return o == Accepted || o == MayFail }

// Changes returns the clients whose outcome differs between two policies.
func Changes(a, b *secpolicy.Policy) []Change {
	var list []Change
	for i := range clients {
		c := &clients[i]
		var changes []Change
		for _, kind := range []secpolicy.KeyKinds{secpolicy.RSA, secpolicy.ECDSA} {
			from, to := negotiate(a, c, kind).Outcome, negotiate(b, c, kind).Outcome
			if from != to {
				changes = append(changes, Change{c, kind, from, to})
			}
		}
		if len(changes) == 2 && changes[0].From == changes[1].From && changes[0].To == changes[1].To {
			changes[0].Certificates = 0
			changes = changes[:1]
		}
		list = append(list, changes...)
	}
	return list
}
