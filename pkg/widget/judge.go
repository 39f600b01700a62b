package widget

import (
	"strings"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// Judge says why the failures of a group happened at a listener with policy p,
// nil if that is not known, and suggests a policy that accepts what the clients
// presented: the one nearest to p, or else the strictest.
func Judge(policies *secpolicy.Set, g alert.Group, p *secpolicy.Policy) Judgement {
	diagnoses := policies.Diagnose(&connlog.Entry{
		ListenerPort: g.ListenerPort, Protocol: g.Protocol, Cipher: g.Cipher, Status: connlog.FailedPrefix + g.Reason,
	}, p)
	if len(diagnoses) == 0 { // a reason that the log does not have
		e := g.Explain()
		return Judgement{Cause: e.Cause, Remedy: e.Remedy}
	}
	first := diagnoses[0]
	j := Judgement{Cause: first.Cause, Remedy: first.Remedy}
	switch first.ID {
	case secpolicy.ProtocolRefused, secpolicy.CipherRefused, secpolicy.PolicyUnknown:
	default:
		return j // another policy would not help
	}
	offer, ok := offerOf(g)
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

// offerOf is what the clients of a group presented.
func offerOf(g alert.Group) (secpolicy.Offer, bool) {
	version, err := tlsname.ParseVersion(g.Protocol)
	if err != nil {
		return secpolicy.Offer{}, false
	}
	suite, err := tlsname.ParseSuite(g.Cipher)
	if err != nil {
		return secpolicy.Offer{}, false
	}
	return secpolicy.Offer{Versions: []tlsname.Version{version}, Suites: []tlsname.Suite{suite}}, true
}
