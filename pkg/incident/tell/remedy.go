package tell

import (
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/secpolicy"
)

// remedies tells the best remedy. A second one stands there only for when the
// change cannot be undone, or if nothing has to be done.
func (t *teller) remedies(i *incident.Incident) string {
	if len(i.Remedies) == 0 {
		return ""
	}
	first := &i.Remedies[0]
	var second *incident.Remedy
	for n := range i.Remedies {
		r := &i.Remedies[n]
		if first.Action == incident.UndoChange && r.Action == incident.SetPolicy || first.Action == incident.Nothing && r.Action == incident.BlockAddresses {
			second = r
			break
		}
	}
	switch {
	case second == nil:
		return action(i, first) + fixes(first) + "."
	case first.Action == incident.Nothing:
		return action(i, first) + ", or " + action(i, second) + "."
	case fixes(first) == fixes(second):
		return action(i, first) + "; if you cannot, " + action(i, second) + "." + strings.Replace(fixes(first), ", which fixes", " Either fixes", 1) + "."
	}
	less := fixes(second)
	if second.Of == first.Of {
		less, _, _ = strings.Cut(less, " of ")
	}
	return action(i, first) + fixes(first) + "; if you cannot, " + action(i, second) + less + "."
}

// fixes tells how many of the failures a change of the listener fixes.
func fixes(r *incident.Remedy) string {
	if r.Of == 0 || r.Action != incident.UndoChange && r.Action != incident.SetPolicy {
		return ""
	}
	if r.Fixes < r.Of || len(r.Not) > 0 {
		return ", which fixes " + text.Count(r.Fixes) + " of " + text.Plural(r.Of, "failure")
	}
	return ", which fixes all " + text.Plural(r.Of, "failure")
}

// policy is a policy's name as people say it.
func policy(r *incident.Remedy) string {
	return safe(strings.TrimPrefix(r.Policy, secpolicy.Prefix), 40)
}

func action(i *incident.Incident, r *incident.Remedy) string {
	switch r.Action {
	case incident.UndoChange:
		if r.Policy != "" {
			return "set security policy " + policy(r) + " again"
		}
		if kind(i) == incident.PolicyChange {
			return "put the former security policy back"
		}
		return "undo the change of the listener"
	case incident.SetPolicy:
		set := "set " + policy(r)
		if len(r.Allows) > 0 {
			allows := make([]string, len(r.Allows))
			for n, weakness := range r.Allows {
				allows[n] = safe(weakness, 20)
			}
			set += " (weaker: " + strings.Join(allows, ", ") + ")"
		}
		return set
	case incident.CheckCertificate:
		return "check the listener's certificate and chain; put the former one back"
	case incident.CheckTrustStore:
		return "check the trust store and its revocation list"
	case incident.RenewCertificate:
		return "the client's owner must install a new one; nothing to change here"
	case incident.UpdateClients:
		clients, _ := failing(i)
		return "update " + verb(clients, "this client", "these clients")
	case incident.StopRollout:
		if kind(i) == incident.ClientRelease {
			return "ask the owner of these clients to undo the release"
		}
		return "ask the owner of these clients to stop the roll-out"
	case incident.BlockAddresses:
		return "block these addresses"
	case incident.Nothing:
		return "nothing"
	}
	return safe(r.Text, 60)
}
