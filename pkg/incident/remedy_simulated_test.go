package incident

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A program is a client's software in a simulation, which shares the data of package
// secpolicy and none of its code.
type program struct {
	highest tlsname.Version
	suites  []string
	groups  []string
	pss     bool // verifies RSA-PSS signatures, as TLS 1.3 needs
}

// shake negotiates as RFC 8446 and RFC 5246 say, by the server's preference. It returns
// what it has when it fails.
func (c *program) shake(p *secpolicy.Policy) (Negotiated, bool) {
	for _, version := range slices.Backward(p.Protocols) {
		if version > c.highest {
			continue
		}
		n := Negotiated{Protocol: version.String()}
		if version == tlsname.TLS13 && !c.pss {
			return n, false
		}
		for _, s := range p.Ciphers {
			suite := s.String()
			is13, old := strings.HasPrefix(suite, "TLS_"), strings.HasSuffix(suite, "-SHA")
			if !slices.Contains(c.suites, suite) || is13 != (version == tlsname.TLS13) || !old && version < tlsname.TLS12 {
				continue
			}
			if !is13 && !strings.HasPrefix(suite, "ECDHE-") {
				n.Cipher = suite
				return n, true
			}
			for _, group := range p.Groups {
				if slices.Contains(c.groups, group.String()) && (is13 || !strings.Contains(group.String(), "MLKEM")) {
					n.Cipher, n.KeyExchange = suite, group.String()
					return n, true
				}
			}
		}
		return n, false
	}
	return Negotiated{}, false
}

func randomProgram(r *rand.Rand) program {
	c := program{highest: []tlsname.Version{tlsname.TLS10, tlsname.TLS11, tlsname.TLS12, tlsname.TLS12, tlsname.TLS13, tlsname.TLS13}[r.IntN(6)], pss: r.IntN(4) > 0}
	add := func(share float64, to *[]string, names ...string) {
		for _, name := range names {
			if r.Float64() < share {
				*to = append(*to, name)
			}
		}
	}
	add(0.5, &c.suites, "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "AES128-SHA", "AES256-SHA")
	if c.highest >= tlsname.TLS12 {
		add(0.5, &c.suites, "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA384", "AES128-GCM-SHA256", "AES256-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384")
	}
	add(0.6, &c.groups, "secp256r1", "secp384r1")
	if c.highest >= tlsname.TLS13 { // nearly all have x25519, and modern suites for TLS 1.2
		c.suites = append(c.suites, "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384")
		c.groups = append(c.groups, "x25519", "secp256r1")
		add(0.3, &c.groups, "X25519MLKEM768")
	}
	return c
}

// TestRemediesSimulated changes a listener's policy at random. The recommended policy
// accepts all clients that it is said to accept, and all that work; undoing the change
// does so by itself.
func TestRemediesSimulated(t *testing.T) {
	list := secpolicy.Builtin().Policies()
	recommended, without13, claims, to13 := 0, 0, 0, 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 7))
		before, after := &list[r.IntN(len(list))], &list[r.IntN(len(list))]
		for before.FIPS != after.FIPS {
			after = &list[r.IntN(len(list))]
		}
		p := listenerPolicies{Known: secpolicy.Builtin()}
		if r.IntN(2) == 0 {
			p.InForce = after
		}
		in := Incident{Causes: []Cause{{Kind: PolicyChange, Certainty: Likely}}}
		uses := make(map[Negotiated]*usage)
		count := func(n Negotiated) *usage {
			if uses[n] == nil {
				uses[n] = &usage{Negotiated: n}
			}
			return uses[n]
		}
		var works, hit []program
		for range 2 + r.IntN(8) {
			c := randomProgram(r)
			was, worked := c.shake(before)
			now, ok := c.shake(after)
			connections := uint64(10 + r.IntN(1000))
			if worked {
				count(was).Before += connections
			}
			switch {
			case ok:
				count(now).Since += connections
				works = append(works, c)
			case worked:
				failing := cohort(was.text(), "", "UnmappedConnectionError", connections)
				if r.IntN(2) == 0 {
					failing.Now.Protocol = now.Protocol
				}
				in.Cohorts, hit = append(in.Cohorts, failing), append(hit, c)
				in.WorkedBefore.Failures += connections
			}
		}
		for _, u := range uses {
			p.Uses = append(p.Uses, *u)
		}
		slices.SortFunc(p.Uses, func(a, b usage) int { return strings.Compare(a.text(), b.text()) })
		for _, remedy := range remedies(&in, p) {
			if remedy.Action != SetPolicy {
				continue
			}
			recommended++
			best, err := secpolicy.Lookup(remedy.Policy)
			if err != nil {
				t.Fatal(err)
			}
			has13, had13 := slices.Contains(best.Protocols, tlsname.TLS13), slices.Contains(after.Protocols, tlsname.TLS13)
			if p.InForce != nil && best.FIPS != after.FIPS {
				t.Errorf("seed %d: %s to %s: %s changes FIPS", seed, before.Name, after.Name, best.Name)
			}
			if !has13 && had13 {
				without13++
			}
			if has13 && !had13 || len(works) == 0 { // the log does not show who fails at TLS 1.3
				to13++
				continue
			}
			for _, c := range works {
				if _, ok := c.shake(best); !ok && (has13 || c.worked(before)) {
					t.Errorf("seed %d: %s to %s: %s refuses %+v, which works", seed, before.Name, after.Name, best.Name, c)
				}
			}
			for i, c := range hit {
				if slices.Contains(remedy.Not, i) {
					continue
				}
				claims++
				if _, ok := c.shake(best); !ok {
					t.Errorf("seed %d: %s to %s: %s refuses %+v", seed, before.Name, after.Name, best.Name, c)
				}
			}
		}
	}
	t.Logf("%d policies recommended, %d without the TLS 1.3 that came with the change, %d with TLS 1.3 for the first time; %d cohorts accepted", recommended, without13, to13, claims)
	if recommended < 300 || without13 < 50 {
		t.Error("too few recommendations")
	}
}

func (c *program) worked(p *secpolicy.Policy) bool {
	_, ok := c.shake(p)
	return ok
}
