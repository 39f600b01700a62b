package widget

import (
	"strings"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/secpolicy"
)

// Judge says why the failures of a group happened at a listener with policy p,
// nil if that is not known, and suggests a policy that accepts what the clients
// presented: the one nearest to p, or else the strictest.
func Judge(policies *secpolicy.Set, g alert.Group, p *secpolicy.Policy) Judgement {
	first := policies.DiagnoseAttempt(g.Attempt(), p)
	j := Judgement{Cause: first.Cause, Remedy: strings.TrimSpace(first.Remedy + " " + first.Advice)}
	switch first.ID {
	case secpolicy.ProtocolRefused, secpolicy.CipherRefused, secpolicy.PolicyUnknown:
	default:
		return j // another policy would not help
	}
	offer, ok := g.Attempt().Offer()
	if !ok || p != nil && first.Change == nil {
		return j
	}
	if first.Change != nil {
		j.Policy, j.GivesUp = first.Change.B.Name, "is the smallest change that accepts this"
		return j
	}
	// Beside policies with FIPS a load balancer can have no others, so those
	// are left to operators who have them.
	if list := policies.Suggest([]secpolicy.Offer{offer}, secpolicy.Constraints{Confirmed: true, NoFIPS: true}); len(list) > 0 {
		j.Policy = list[0].Policy.Name
		var weaker []string
		for _, w := range list[0].GivesUp {
			weaker = append(weaker, w.Text())
		}
		j.GivesUp = "is the strictest that accepts this, and gives up nothing"
		if len(weaker) > 0 {
			j.GivesUp = "is the strictest that accepts this; it " + strings.Join(weaker, ", ")
		}
	}
	return j
}
