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

// A listener is a port of a load balancer.
type listener struct {
	loadBalancer string
	port         uint16
}

// suggestions returns one policy for each listener at which another policy may help: the
// one that accepts most of the failing clients.
func (t *Tally) suggestions(v View) map[listener]*secpolicy.Policy {
	clients := make(map[listener][]secpolicy.Client)
	keys, _ := top(t.causes, len(t.causes), cause.compare)
	for _, k := range keys {
		d := v.Known.DiagnoseAttempt(k.Attempt, v.Listener(k.port))
		if offer, ok := k.Offer(); ok && mayHelp(d) {
			l := listener{k.loadBalancer, k.port}
			clients[l] = append(clients[l], secpolicy.Client{Offers: []secpolicy.Offer{offer}, Weight: t.causes[k].failed})
		}
	}
	best := make(map[listener]*secpolicy.Policy)
	for l, list := range clients {
		needs := secpolicy.Needs{Current: v.Listener(l.port), Clients: list}
		if needs.Current == nil {
			// A load balancer has either FIPS policies only, or none: NoFIPS leaves FIPS
			// policies to those who have them.
			needs.Confirmed, needs.NoFIPS = true, true
		}
		if recommended := v.Known.Recommend(needs); len(recommended) > 0 {
			best[l] = recommended[0].Policy
		}
	}
	return best
}

// mayHelp reports whether another policy may help.
func mayHelp(d secpolicy.Diagnosis) bool {
	switch d.ID {
	case secpolicy.ProtocolRefused, secpolicy.CipherRefused, secpolicy.PolicyUnknown:
		return true
	}
	return false
}

// explain explains attempts at a listener with policy p, nil if that is unknown. The
// best policy for the listener is nil if there is none.
func explain(policies *secpolicy.Set, a secpolicy.Attempt, p, best *secpolicy.Policy) explanation {
	d := policies.DiagnoseAttempt(a, p)
	e := explanation{Cause: d.Cause, Remedy: d.Remedy}
	offer, ok := a.Offer()
	if !mayHelp(d) || !ok || best == nil || !best.Admits(offer) {
		if d.Change == nil {
			e.Remedy = strings.TrimSpace(d.Remedy + " " + d.Advice)
		}
		return e
	}
	e.Policy = best.Name
	if p != nil {
		change := secpolicy.Compare(p, best)
		e.Remedy += " " + change.Advice()
		e.GivesUp = "is the smallest change that accepts such clients"
		return e
	}
	var weaker []string
	for _, w := range best.Weaknesses() {
		weaker = append(weaker, w.Text())
	}
	e.GivesUp = "is the strictest that accepts such clients, and gives up nothing"
	if len(weaker) > 0 {
		e.GivesUp = "is the strictest that accepts such clients; it " + strings.Join(weaker, ", ")
	}
	return e
}
