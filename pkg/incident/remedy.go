package incident

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// listenerPolicies are what is known of the security policies of an incident's listeners.
type listenerPolicies struct {
	Known    *secpolicy.Set
	InForce  *secpolicy.Policy // since the onset, nil if unknown
	Previous *secpolicy.Policy // before the onset, nil if unknown
	Uses     []usage           // all that succeeded on the listeners
}

// A usage is a combination of protocol, cipher suite and key exchange in successful
// connections.
type usage struct {
	Negotiated
	Before, Since uint64 // connections before the onset and since
}

// merge adds what is known of other listeners. Policies that are not the same are
// unknown.
func (p *listenerPolicies) merge(o *listenerPolicies) {
	if p.InForce != o.InForce {
		p.InForce = nil
	}
	if p.Previous != o.Previous {
		p.Previous = nil
	}
	p.Uses = append(p.Uses, o.Uses...)
}

// remedies returns what to do about an incident, the best first. It reads causes,
// populations, cohorts and traits of the incident.
//
// It recommends one policy at most, and none for causes that no policy mends. The
// policy accepts everything that is negotiated since the onset, and of the hit
// cohorts as many failures as possible, by protocol, cipher suite and group. If TLS
// 1.3 appeared with failures of clients that may have it, the policy lacks TLS 1.3 and
// accepts what was negotiated before. [secpolicy.Set.Recommend] says which of several
// such policies is the best.
func remedies(in *Incident, p listenerPolicies) []Remedy {
	a := newAdvice(in, p)
	switch cause := a.cause(); cause.Kind {
	case ListenerCertificate:
		a.all(CheckCertificate, "Check the listener's certificate and its chain. If they were replaced, put the former ones back.")
	case TrustStoreChange:
		a.all(CheckTrustStore, "Check the listener's trust store and its revocation list. If they were changed, undo it.")
	case CertificateExpired:
		a.all(RenewCertificate, "The client must install a new certificate. There is nothing to change on the load balancer.")
	case ClientRelease, ClientRollout:
		a.all(StopRollout, "Ask the owner of these clients to stop or undo the release.")
		if slices.ContainsFunc(in.Causes, func(c Cause) bool { return c.Kind == PolicyChange }) {
			a.change()
		}
	case Scan:
		a.all(Nothing, "Nothing: no client that worked before is hit.")
		a.all(BlockAddresses, "Block the networks with a network ACL. AWS WAF does not see failed handshakes.")
	case Steady: // nobody lost anything, so nothing has to be allowed for them
		a.update()
		a.change()
	default:
		if cause.Kind == PolicyChange && cause.Certainty != Possible && in.End == nil {
			a.undo()
		}
		a.change()
		a.update()
	}
	return a.list
}

// advice collects remedies.
type advice struct {
	listenerPolicies
	in     *Incident
	of     uint64 // failures
	limits secpolicy.Constraints
	list   []Remedy
}

func newAdvice(in *Incident, p listenerPolicies) *advice {
	return &advice{listenerPolicies: p, in: in, of: in.failures()}
}

// cause returns the likeliest cause.
func (a *advice) cause() Cause {
	if len(a.in.Causes) == 0 {
		return Cause{Kind: Unknown}
	}
	return a.in.Causes[0]
}

// mends reports whether a policy can mend the cause.
func mends(c Cause) bool {
	switch c.Kind {
	case PolicyChange, Unknown, Steady, OneClient:
		return true
	}
	return false
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
	list, cohorts := a.recommend()
	if len(list) == 0 || len(cohorts) == 0 {
		return
	}
	best := list[0].Policy
	fixed := a.fixed(list[0], cohorts)
	r := a.cohorts(SetPolicy, func(c *Cohort) bool { return fixed[c] })
	r.Policy = best.Name
	r.Text = fmt.Sprintf("Set %s. It accepts all that works now, and %s of %s.", short(r.Policy), text.Count(r.Fixes), text.Plural(r.Of, "failed connection"))
	if a.InForce != nil {
		change := secpolicy.Compare(a.InForce, best)
		var weaker []string
		for _, w := range change.Weakens() {
			if allowed := w.Allows(); allowed != "" {
				r.Allows = append(r.Allows, allowed)
			}
			weaker = append(weaker, w.Text())
		}
		if len(weaker) > 0 {
			r.Text += " For all clients, it " + strings.Join(weaker, ", ") + "."
		}
	}
	if a.limits.OnlyFIPS {
		r.Text += " The listener seems to have a FIPS policy: no connection uses x25519."
	}
	if !best.Confirmed() {
		r.Text += " Not confirmed: " + best.Caveat() + "."
	}
	a.list = append(a.list, r)
}

// recommend returns policies, the best first, and the numbers of the cohorts that they
// should accept, in the order of [secpolicy.Needs].
func (a *advice) recommend() (list []secpolicy.Recommendation, cohorts []int) {
	a.limits.OnlyFIPS = a.limits.OnlyFIPS || !a.limits.NoFIPS && a.seemsFIPS()
	if a.failsAtTLS13() {
		n, cohorts := a.policyNeeds(true)
		if list := a.Known.Recommend(n); len(list) > 0 && len(cohorts) > 0 {
			return list, cohorts
		}
	}
	n, cohorts := a.policyNeeds(false)
	return a.Known.Recommend(n), cohorts
}

// fixed returns the cohorts that a recommended policy accepts.
func (a *advice) fixed(r secpolicy.Recommendation, cohorts []int) map[*Cohort]bool {
	fixed := make(map[*Cohort]bool)
	for client, i := range cohorts {
		fixed[&a.in.Cohorts[i]] = !slices.Contains(r.Refused, client)
	}
	return fixed
}

// failsAtTLS13 reports whether TLS 1.3 came with failures of clients that get it now,
// or may have it, by what they negotiated before. Some clients cannot verify its
// signatures.
func (a *advice) failsAtTLS13() bool {
	var with13 usage
	for _, u := range a.Uses {
		if u.Protocol == tls13 {
			with13.Before, with13.Since = with13.Before+u.Before, with13.Since+u.Since
		}
	}
	if with13.Before+with13.Since > 0 && !a.appeared(with13) {
		return false
	}
	suspect, failed := uint64(0), uint64(0)
	for _, c := range a.in.Cohorts {
		if c.Before == nil || !secpolicy.MayBePolicy(c.Reason) {
			continue
		}
		failed += c.Failures
		// Clients with TLS 1.3 have a strong suite for TLS 1.2.
		o, ok := c.Before.offer()
		modern := ok && o.Versions[0] == tlsname.TLS12 && o.Suites[0].Strength() == tlsname.Strong
		if modern && (c.Now.Protocol == tls13 || with13.Since > 0) {
			suspect += c.Failures
		}
	}
	return suspect > failed/20 // otherwise it is chance
}

var (
	tls13    = tlsname.TLS13.String()
	x25519   = tlsname.Group(0x001d).String()
	chacha20 = tlsname.Suite(0x1303).String()
)

// appeared reports whether a use came with the onset. The onset is only known as a
// bracket, so a few connections may come before it.
func (a *advice) appeared(u usage) bool {
	const few = 5
	var all usage
	for _, u := range a.Uses {
		all.Before, all.Since = all.Before+u.Before, all.Since+u.Since
	}
	return (u.Before <= few || 10*u.Before <= u.Since) && 10*float64(u.Before)*float64(all.Since) < float64(u.Since)*float64(all.Before)
}

// policyNeeds returns what a policy needs, and the numbers of the cohorts among it.
func (a *advice) policyNeeds(noTLS13 bool) (n secpolicy.Needs, cohorts []int) {
	n = secpolicy.Needs{Current: a.InForce, Kept: []secpolicy.Offer{}, NoTLS13: noTLS13, Constraints: a.limits}
	for _, u := range a.Uses {
		used := u.Since > 0
		if noTLS13 { // those who have it now, and maybe x25519 with it, used something else before
			used = u.Before > 0 && u.Protocol != tls13 && !a.appeared(u)
		}
		if o, ok := u.offer(); ok && used {
			n.Kept = append(n.Kept, o)
		}
	}
	for i := range a.in.Cohorts {
		c := &a.in.Cohorts[i]
		needs := c.needs(noTLS13)
		needs = slices.DeleteFunc(needs, func(n Negotiated) bool { return !a.certified(n) })
		if len(needs) == 0 || !secpolicy.MayBePolicy(c.Reason) || !noTLS13 && !a.hit(c) {
			continue
		}
		client := secpolicy.Client{Weight: c.Failures}
		for _, need := range needs {
			o, _ := need.offer()
			client.Offers = append(client.Offers, o)
		}
		n.Clients, cohorts = append(n.Clients, client), append(cohorts, i)
	}
	return n, cohorts
}

// certified reports whether the listener may have a certificate for a suite. What works,
// or worked, shows which kinds it has; a kind that nothing shows may still be there, but
// no policy is advised for it.
func (a *advice) certified(n Negotiated) bool {
	o, _ := n.offer()
	kind := o.Suites[0].Authentication()
	shown := false
	for _, u := range a.Uses {
		if o, ok := u.offer(); ok && o.Versions[0] < tlsname.TLS13 {
			if o.Suites[0].Authentication() == kind {
				return true
			}
			shown = true
		}
	}
	return !shown || o.Versions[0] == tlsname.TLS13
}

// update is for clients that the listener's policy refuses.
func (a *advice) update() {
	r := a.cohorts(UpdateClients, func(c *Cohort) bool {
		return secpolicy.MayBePolicy(c.Reason) && a.hit(c)
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

// seemsFIPS reports whether the policy in force is unknown, but seems to be a FIPS
// policy. Others prefer x25519, which nearly all clients with TLS 1.3 offer.
func (a *advice) seemsFIPS() bool {
	const enough = 10
	others := uint64(0)
	for _, u := range a.Uses {
		switch {
		case a.InForce != nil || u.Since > 0 && (u.KeyExchange == x25519 || u.Cipher == chacha20):
			return false
		case u.Protocol == tls13 && strings.HasPrefix(u.KeyExchange, "secp"):
			others += u.Since
		}
	}
	return others >= enough
}

// needs returns what a policy must accept so that the cohort works: what it
// negotiated before. What it tries since is less sure, and may be a fallback: it
// counts without a success before, and if several programs share the address.
func (c *Cohort) needs(noTLS13 bool) []Negotiated {
	var list []Negotiated
	if c.Before != nil {
		if _, ok := c.Before.offer(); ok {
			list = append(list, *c.Before)
		}
	}
	if _, ok := c.Now.offer(); ok && (len(list) == 0 || c.Crowd) && !(noTLS13 && c.Now.Protocol == tls13) {
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

// hit reports whether the listener refuses the cohort, and not after an agreement
// that it keeps with others. Clients that fail once or twice, and go on working or are
// one in a hundred, fail by chance.
func (a *advice) hit(c *Cohort) bool {
	chance := c.Failures <= 2*uint64(c.Clients) && (c.Crowd || c.Failures < a.of/100)
	return !chance && slices.ContainsFunc(c.needs(false), a.refuses) && (c.Now.KeyExchange == "" || a.refuses(c.Now))
}

// refuses reports whether the listener refuses since the onset what clients
// negotiated before. Without the policy in force, it does if part of it vanished, or
// nobody succeeds with that part since. A policy that accepts each part accepts all.
func (a *advice) refuses(n Negotiated) bool {
	if a.InForce != nil {
		o, _ := n.offer()
		return !a.InForce.Admits(o)
	}
	return a.vanished(n) || slices.ContainsFunc([]Negotiated{{Protocol: n.Protocol}, {Cipher: n.Cipher}, {KeyExchange: n.KeyExchange}}, func(part Negotiated) bool {
		return !slices.ContainsFunc(a.Uses, func(u usage) bool { return u.Since > 0 && part.partOf(u.Negotiated) })
	})
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
