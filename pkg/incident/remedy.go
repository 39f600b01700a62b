package incident

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// Policies are what is known of the security policies of an incident's listeners.
type Policies struct {
	Known    *secpolicy.Set
	InForce  *secpolicy.Policy // since the onset, nil if unknown
	Previous *secpolicy.Policy // before the onset, nil if unknown
	Uses     []Use             // all that succeeded on the listeners
}

// A Use is a combination of protocol, cipher suite and key exchange in successful
// connections.
type Use struct {
	Negotiated
	Before, Since uint64 // connections before the onset and since
}

// remedies returns what to do about an incident, the best first. It reads causes,
// populations, cohorts and traits of the incident.
//
// It recommends one policy at most, and none for causes that no policy mends. The
// policy accepts everything that is negotiated since the onset, and of the hit
// cohorts as many failures as possible, by protocol, cipher suite and group. If TLS
// 1.3 appeared with the failures, the policy lacks TLS 1.3 and accepts what was
// negotiated before. [secpolicy.Set.Recommend] says which of several such policies
// is the best.
func remedies(in *Incident, p Policies) []Remedy {
	cause := Cause{Kind: Unknown}
	if len(in.Causes) > 0 {
		cause = in.Causes[0]
	}
	a := advice{in: in, Policies: p, of: in.WorkedBefore.Failures + in.NeverWorked.Failures + in.FailedBefore.Failures}
	switch cause.Kind {
	case ListenerCertificate:
		a.all(CheckCertificate, "Check the listener's certificate and its chain. If they were replaced, put the former ones back.")
	case TrustStoreChange:
		a.all(CheckTrustStore, "Check the listener's trust store and its revocation list. If they were changed, undo it.")
	case CertificateExpired:
		a.all(RenewCertificate, "The client must install a new certificate. There is nothing to change on the load balancer.")
	case ClientRelease, ClientRollout:
		a.all(StopRollout, "Ask the owner of these clients to stop or undo the release.")
	case Scan:
		a.all(Nothing, "Nothing: no client that worked before is hit.")
		a.all(BlockAddresses, "Block the networks with a network ACL. AWS WAF does not see failed handshakes.")
	default:
		if cause.Kind == PolicyChange && cause.Certainty != Possible {
			a.undo()
		}
		a.change()
		a.update()
	}
	return a.list
}

// advice collects remedies.
type advice struct {
	Policies
	in   *Incident
	of   uint64 // failures
	list []Remedy
}

func (a *advice) all(action Action, text string) {
	a.list = append(a.list, Remedy{Action: action, Fixes: a.of, Of: a.of, Text: text})
}

// undo fixes what worked under the former policy.
func (a *advice) undo() {
	r := a.cohorts(UndoChange, func(c *Cohort) bool {
		return secpolicy.MayBePolicy(c.Reason) && (c.WorkedBefore > 0 || slices.ContainsFunc(c.needs(false), a.vanished))
	})
	r.Text = "Undo the change of the security policy"
	if a.Previous != nil {
		r.Policy = a.Previous.Name
		r.Text += ": set " + short(r.Policy) + " again"
	}
	r.Text += "."
	if r.Fixes > 0 {
		a.list = append(a.list, r)
	}
}

// cohorts returns a remedy that fixes some of the cohorts.
func (a *advice) cohorts(action Action, fixed func(*Cohort) bool) Remedy {
	r := Remedy{Action: action, Of: a.of}
	for i := range a.in.Cohorts {
		if c := &a.in.Cohorts[i]; fixed(c) {
			r.Fixes += c.Failures
		} else {
			r.Not = append(r.Not, i)
		}
	}
	return r
}

// change recommends a policy.
func (a *advice) change() {
	appeared := slices.ContainsFunc(a.in.Appeared, func(t Trait) bool { return t.Protocol == tls13 })
	if !appeared || !a.recommend(true) {
		a.recommend(false)
	}
}

var tls13 = tlsname.TLS13.String()

// recommend reports whether there is such a policy.
func (a *advice) recommend(noTLS13 bool) bool {
	n := secpolicy.Needs{Current: a.InForce, Kept: []secpolicy.Offer{}, NoTLS13: noTLS13}
	for _, u := range a.Uses {
		if u.Since == 0 && !noTLS13 || noTLS13 && u.Protocol == tls13 { // such clients used another protocol before
			continue
		}
		if o, ok := u.offer(); ok {
			n.Kept = append(n.Kept, o)
		}
	}
	var cohorts []int // of each client
	for i := range a.in.Cohorts {
		c := &a.in.Cohorts[i]
		needs := c.needs(noTLS13)
		if len(needs) == 0 || !secpolicy.MayBePolicy(c.Reason) || !noTLS13 && !slices.ContainsFunc(needs, a.refuses) {
			continue
		}
		client := secpolicy.Client{Weight: c.Failures}
		for _, need := range needs {
			o, _ := need.offer()
			client.Offers = append(client.Offers, o)
		}
		n.Clients, cohorts = append(n.Clients, client), append(cohorts, i)
	}
	if len(n.Clients) == 0 {
		return false
	}
	list := a.Known.Recommend(n)
	if len(list) == 0 {
		return false
	}
	best := list[0]
	fixed := make(map[*Cohort]bool)
	for client, i := range cohorts {
		fixed[&a.in.Cohorts[i]] = !slices.Contains(best.Refused, client)
	}
	r := a.cohorts(SetPolicy, func(c *Cohort) bool { return fixed[c] })
	r.Policy = best.Policy.Name
	r.Text = fmt.Sprintf("Set %s. It accepts all that works now, and what %s of %s need.", short(r.Policy), text.Count(r.Fixes), text.Plural(r.Of, "failed connection"))
	if a.InForce != nil {
		change := secpolicy.Compare(a.InForce, best.Policy)
		var weaker []string
		for _, w := range change.Weakens() {
			r.Allows, weaker = append(r.Allows, w.String()), append(weaker, w.Text())
		}
		if len(weaker) > 0 {
			r.Text += " For all clients, it " + strings.Join(weaker, ", ") + "."
		}
	}
	if !best.Policy.Confirmed() {
		r.Text += " Not confirmed: " + best.Policy.Caveat() + "."
	}
	a.list = append(a.list, r)
	return true
}

// update is for clients that the listener's policy refuses.
func (a *advice) update() {
	r := a.cohorts(UpdateClients, func(c *Cohort) bool {
		return secpolicy.MayBePolicy(c.Reason) && slices.ContainsFunc(c.needs(false), a.refuses)
	})
	if r.Fixes == 0 {
		return
	}
	var clients []string
	for i := range a.in.Cohorts {
		if c := &a.in.Cohorts[i]; !slices.Contains(r.Not, i) {
			clients = append(clients, fmt.Sprintf("%s with %s", text.Plural(c.Clients, "client"), c.needs(false)[0].text()))
		}
	}
	const most = 3
	if len(clients) > most {
		clients = append(clients[:most], fmt.Sprintf("%d more kinds", len(clients)-most))
	}
	r.Text = "Update the clients: " + strings.Join(clients, ", ") + "."
	a.list = append(a.list, r)
}

// needs returns what a policy must accept so that the cohort works: what it
// negotiated before, and what it tried since, if that is of the same programs. With
// another protocol it may be a fallback, unless several programs share the address.
func (c *Cohort) needs(noTLS13 bool) []Negotiated {
	var list []Negotiated
	if c.Before != nil {
		if _, ok := c.Before.offer(); ok {
			list = append(list, *c.Before)
		}
	}
	if _, ok := c.Now.offer(); ok && (len(list) == 0 || c.Now.Protocol == list[0].Protocol || c.Crowd) && !(noTLS13 && c.Now.Protocol == tls13) {
		list = append(list, c.Now)
	}
	return list
}

// offer returns false if the line proves nothing about the client.
func (n Negotiated) offer() (secpolicy.Offer, bool) {
	return secpolicy.ParseOffer(n.Protocol, n.Cipher, n.KeyExchange)
}

func (n Negotiated) text() string {
	s := n.Protocol + " " + n.Cipher
	if n.KeyExchange != "" {
		s += " " + n.KeyExchange
	}
	return s
}

// refuses reports whether the listener refuses since the onset what clients
// negotiated before. Without the policy in force, it does if part of it vanished, or
// nobody succeeds with it since.
func (a *advice) refuses(n Negotiated) bool {
	if a.InForce != nil {
		o, _ := n.offer()
		return !a.InForce.Admits(o)
	}
	return a.vanished(n) || !slices.ContainsFunc(a.Uses, func(u Use) bool { return u.Since > 0 && n.partOf(u.Negotiated) })
}

func (a *advice) vanished(n Negotiated) bool {
	return slices.ContainsFunc(a.in.Vanished, func(t Trait) bool { return t.partOf(n) })
}

// partOf reports whether whole has all that n has.
func (n Negotiated) partOf(whole Negotiated) bool {
	has := func(part, whole string) bool { return part == "" || part == whole }
	return has(n.Protocol, whole.Protocol) && has(n.Cipher, whole.Cipher) && has(n.KeyExchange, whole.KeyExchange)
}

// short is a policy's name as people say it.
func short(policy string) string { return strings.TrimPrefix(policy, secpolicy.Prefix) }
