package widget

import (
	"strings"

	"tlswatch/pkg/secpolicy"
)

// An explanation says for people why attempts failed.
type explanation struct {
	Cause, Remedy string
	Policy        string // a security policy that would accept the client; "" if none helps
	GivesUp       string // what it gives up
}

// explain explains attempts at a listener with policy p, nil if that is unknown.
// It suggests a policy that accepts what the clients presented: the smallest
// change of p, or else the strictest policy.
func explain(policies *secpolicy.Set, a secpolicy.Attempt, p *secpolicy.Policy) explanation {
	d := policies.DiagnoseAttempt(a, p)
	e := explanation{Cause: d.Cause, Remedy: strings.TrimSpace(d.Remedy + " " + d.Advice)}
	switch d.ID {
	case secpolicy.ProtocolRefused, secpolicy.CipherRefused, secpolicy.PolicyUnknown:
	default:
		return e // another policy would not help
	}
	offer, ok := a.Offer()
	if !ok || p != nil && d.Change == nil {
		return e
	}
	if d.Change != nil {
		e.Policy, e.GivesUp = d.Change.B.Name, "is the smallest change that accepts such clients"
		return e
	}
	// A load balancer has either FIPS policies only, or none: NoFIPS leaves FIPS
	// policies to those who have them.
	if list := policies.Recommend(secpolicy.Needs{Clients: []secpolicy.Client{{Offers: []secpolicy.Offer{offer}}}, Constraints: secpolicy.Constraints{Confirmed: true, NoFIPS: true}}); len(list) > 0 {
		e.Policy = list[0].Policy.Name
		var weaker []string
		for _, w := range list[0].Policy.Weaknesses() {
			weaker = append(weaker, w.Text())
		}
		e.GivesUp = "is the strictest that accepts such clients, and gives up nothing"
		if len(weaker) > 0 {
			e.GivesUp = "is the strictest that accepts such clients; it " + strings.Join(weaker, ", ")
		}
	}
	return e
}
