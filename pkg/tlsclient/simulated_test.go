package tlsclient

import (
	"slices"
	"strings"
	"testing"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// These tests compare the package with a simulated listener. It is written from the RFCs and
// AWS's documentation, and shares no code with package secpolicy.

// A listener is a simulated load balancer's.
type listener struct {
	policy      *secpolicy.Policy
	rsa, ecdsa  bool
	ecdsaChosen bool // chooses the certificate before the suite: ECDSA where the client can use it
}

// answer is what the listener negotiates: the highest version that both have, then its
// first suite that the client offers and a certificate fits. Without a common group, it
// takes a suite that needs one only if there is no other.
func (l *listener) answer(c *Client) (v tlsname.Version, s tlsname.Suite, ok bool) {
	for _, mine := range l.policy.Protocols {
		if mine > v && slices.Contains(c.Offer.Versions, mine) {
			v = mine
		}
	}
	noGroup := !slices.ContainsFunc(c.Offer.Groups, func(g tlsname.Group) bool {
		return slices.Contains(l.policy.Groups, g) && (v == tlsname.TLS13 || !strings.Contains(g.String(), "MLKEM"))
	})
	first := func(rsa, ecdsa bool) bool {
		var without tlsname.Suite
		for _, suite := range l.policy.Ciphers {
			if !slices.Contains(c.Offer.Suites, suite) || !slices.Contains(suite.Versions(), v) {
				continue
			}
			switch suite.Authentication() {
			case tlsname.AuthRSA:
				ok = rsa
			case tlsname.AuthECDSA:
				ok = ecdsa
			default:
				ok = rsa || ecdsa
			}
			switch needs := v == tlsname.TLS13 || strings.HasPrefix(suite.String(), "ECDHE"); {
			case ok && needs && noGroup && len(c.Offer.Groups) > 0:
				if without == 0 {
					without = suite
				}
			case ok:
				s = suite
				return true
			}
		}
		s = without
		ok = s != 0
		return ok
	}
	if v != 0 && (l.ecdsaChosen && l.ecdsa && first(false, true) || first(l.rsa, l.ecdsa)) {
		return v, s, true
	}
	return 0, 0, false
}

// listeners calls f with listeners of every policy and certificate.
func listeners(f func(l *listener, kinds secpolicy.KeyKinds)) {
	policies := secpolicy.Builtin().Policies()
	for i := range policies {
		p := &policies[i]
		f(&listener{policy: p, rsa: true}, secpolicy.RSA)
		f(&listener{policy: p, ecdsa: true}, secpolicy.ECDSA)
		f(&listener{policy: p, rsa: true, ecdsa: true}, secpolicy.RSA|secpolicy.ECDSA)
		f(&listener{policy: p, rsa: true, ecdsa: true, ecdsaChosen: true}, secpolicy.RSA|secpolicy.ECDSA)
	}
}

// TestNegotiateSimulated checks what is negotiated with every client.
func TestNegotiateSimulated(t *testing.T) {
	count := make(map[Outcome]int)
	listeners(func(l *listener, kinds secpolicy.KeyKinds) {
		if l.ecdsaChosen {
			return // Negotiate takes one kind at a time
		}
		for i := range clients {
			c := &clients[i]
			v, s, ok := l.answer(c)
			for _, n := range Negotiate(l.policy, c, kinds) {
				count[n.Outcome]++
				switch n.Outcome {
				case Unknown:
					continue
				case Accepted, MayFail:
					if !ok || n.Verdict.Version() != v || n.Verdict.Suite != s {
						t.Errorf("%s, %s, %s: %s, %s with %s; simulated %t, %s with %s", l.policy.Name, kinds, c, n.Outcome, n.Verdict.Version(), n.Verdict.Suite, ok, v, s)
					}
					if g := n.Group; g != 0 && (!slices.Contains(c.Offer.Groups, g) || !slices.Contains(l.policy.Groups, g) || v < tlsname.TLS13 && g.PostQuantum()) {
						t.Errorf("%s, %s: group %s", l.policy.Name, c, g)
					}
				default:
					if ok {
						t.Errorf("%s, %s, %s: refused; simulated %s with %s", l.policy.Name, kinds, c, v, s)
					}
				}
			}
		}
	})
	t.Log(count)
	if count[Accepted] < 1000 || count[Refused] < 1000 || count[MayFail] == 0 {
		t.Errorf("too few outcomes of a kind: %v", count)
	}
}

// TestConsistentSimulated checks that no client is excluded that can be behind a
// sighting: with and without the policy, with and without the kinds of certificate.
func TestConsistentSimulated(t *testing.T) {
	excluded, asked := 0, 0
	type key struct {
		s      Sighting
		policy string
	}
	conclusions := make(map[key]Conclusion)
	listeners(func(l *listener, kinds secpolicy.KeyKinds) {
		for i := range clients {
			c := &clients[i]
			v, s, ok := l.answer(c)
			if !ok {
				continue
			}
			groups := append([]tlsname.Group{0}, c.Offer.Groups[:min(2, len(c.Offer.Groups))]...)
			for n, g := range groups {
				for _, sighting := range []Sighting{
					{v, s, g, l.policy, kinds}, {v, s, g, l.policy, 0}, {v, s, g, nil, 0},
				}[:3-n%2] {
					k := key{sighting, l.policy.Name}
					conclusion, known := conclusions[k]
					if !known {
						conclusion = Consistent(sighting)
						conclusions[k] = conclusion
						asked++
						excluded += len(clients) - len(conclusion.fits)
					}
					if !slices.Contains(conclusion.fits, c) {
						t.Fatalf("%s: excluded from %s, %s, %s at %s with %s", c, v, s, g, l.policy.Name, sighting.Certificates)
					}
					if y := conclusion.noBrowserSince; y != 0 && c.Kind == browser && c.Released >= y {
						t.Fatalf("%s: a browser of %d, but none since %d at %s, %s, %s", c, c.Released, y, l.policy.Name, v, s)
					}
				}
			}
		}
	})
	t.Logf("%d conclusions exclude %d clients each", asked, excluded/asked)
	if asked < 1000 || excluded/asked < len(clients)/3 {
		t.Error("too few conclusions, or they exclude too little")
	}
}

// TestConsistentExact checks that exactly those clients fit that negotiate this, where the
// policy's order is confirmed, the certificate is known, and no hint makes it less
// certain.
func TestConsistentExact(t *testing.T) {
	checked := 0
	listeners(func(l *listener, kinds secpolicy.KeyKinds) {
		if !l.policy.OrderConfirmed || !l.policy.Confirmed() || l.rsa && l.ecdsa {
			return
		}
		type negotiated struct {
			v tlsname.Version
			s tlsname.Suite
		}
		want := make(map[negotiated][]*Client)
		for i := range clients {
			if v, s, ok := l.answer(&clients[i]); ok && negotiate(l.policy, &clients[i], kinds).Outcome == Accepted {
				want[negotiated{v, s}] = append(want[negotiated{v, s}], &clients[i])
			}
		}
		for n, list := range want {
			checked++
			c := Consistent(Sighting{version: n.v, suite: n.s, Policy: l.policy, Certificates: kinds})
			got := slices.DeleteFunc(c.fits, func(c *Client) bool { return negotiate(l.policy, c, kinds).Outcome != Accepted })
			if !slices.Equal(got, list) {
				t.Errorf("%s, %s, %s with %s: %s fit, want %s", l.policy.Name, kinds, n.v, n.s, Names(got), Names(list))
			}
		}
	})
	if checked < 100 {
		t.Errorf("checked only %d", checked)
	}
}
