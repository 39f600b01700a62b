package secpolicy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tlswatch/pkg/tlsname"
)

func TestRecommend(t *testing.T) {
	both := []tlsname.Version{tlsname.TLS12, tlsname.TLS13}
	modern := Offer{Versions: both, Suites: []tlsname.Suite{0x1301, 0xc02f}}
	article, old := offer(t, tlsname.TLS12, "ECDHE-RSA-AES256-SHA"), offer(t, tlsname.TLS10, "AES128-SHA")
	tripleDES, rc4 := offer(t, tlsname.TLS10, "DES-CBC3-SHA"), offer(t, tlsname.TLS12, "RC4-SHA")
	used := func(line string) Offer {
		f := append(strings.Fields(line), "")
		o, ok := ParseOffer(f[0], f[1], f[2])
		if !ok {
			t.Fatal(line)
		}
		return o
	}
	tls13, gcm := used("TLSv1.3 TLS_AES_128_GCM_SHA256 x25519"), used("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1")
	for name, test := range map[string]struct {
		current string
		kept    []Offer
		clients []Offer
		more    func(*Needs)
		want    string // the first, "" for none
		refused string
	}{
		"nobody":                {want: "TLS13-1-3-PQ-2025-09"},
		"modern":                {clients: []Offer{modern}, want: "TLS13-1-3-PQ-2025-09"},
		"FIPS":                  {clients: []Offer{modern}, more: func(n *Needs) { n.OnlyFIPS = true }, want: "TLS13-1-3-FIPS-2023-04"},
		"article":               {clients: []Offer{article, modern}, more: func(n *Needs) { n.MinVersion = tlsname.TLS12 }, want: "TLS13-1-2-Ext2-PQ-2025-09"},
		"article alone":         {clients: []Offer{article}, want: "TLS13-1-2-Ext2-PQ-2025-09"},
		"forward secrecy":       {clients: []Offer{article}, more: func(n *Needs) { n.ForwardSecrecy, n.NoFIPS = true, true }, want: "FS-1-2-2019-08"},
		"old":                   {clients: []Offer{old}, want: "TLS13-1-0-PQ-2025-09"},
		"impossible":            {clients: []Offer{old}, more: func(n *Needs) { n.ForwardSecrecy = true }},
		"3DES":                  {clients: []Offer{tripleDES}},
		"3DES, legacy":          {clients: []Offer{tripleDES}, more: func(n *Needs) { n.Legacy = true }, want: "TLS-1-0-2015-04"},
		"as many as possible":   {clients: []Offer{tripleDES, old, rc4, modern}, want: "TLS13-1-0-PQ-2025-09", refused: "[0 2]"},
		"change, article":       {current: "TLS13-1-2-2021-06", clients: []Offer{article}, want: "TLS13-1-2-Ext2-2021-06"},
		"change, restricted":    {current: "TLS13-1-2-Res-PQ-2025-09", clients: []Offer{offer(t, tlsname.TLS12, "ECDHE-RSA-AES256-SHA384")}, want: "TLS13-1-2-PQ-2025-09"},
		"change, old":           {current: "TLS13-1-2-2021-06", clients: []Offer{offer(t, tlsname.TLS10, "ECDHE-RSA-AES256-SHA")}, want: "TLS13-1-0-2021-06"},
		"change, FIPS stays":    {current: "TLS13-1-2-FIPS-2023-04", clients: []Offer{article}, want: "TLS13-1-2-Ext0-FIPS-2023-04"},
		"change to TLS 1.3":     {current: "2016-08", clients: []Offer{offer(t, tlsname.TLS13, "TLS_AES_128_GCM_SHA256")}, want: "TLS13-1-0-2021-06"},
		"change, no need":       {current: "TLS13-1-2-Ext2-2021-06", clients: []Offer{article}, want: "TLS13-1-2-Ext2-2021-06"},
		"change, in none":       {current: "2016-08", clients: []Offer{rc4}},
		"keeps TLS 1.3":         {kept: []Offer{tls13, gcm}, clients: []Offer{used("TLSv1 ECDHE-RSA-AES128-SHA secp256r1")}, want: "TLS13-1-0-2021-06"},
		"brings no TLS 1.3":     {kept: []Offer{gcm}, clients: []Offer{used("TLSv1 ECDHE-RSA-AES128-SHA secp256r1")}, want: "FS-2018-06"},
		"keeps post-quantum":    {kept: []Offer{tls13, used("TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768")}, clients: []Offer{used("TLSv1.2 AES128-GCM-SHA256")}, want: "TLS13-1-2-Ext1-PQ-2025-09"},
		"x25519 with TLS 1.2":   {kept: []Offer{gcm}, clients: []Offer{used("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 x25519")}, want: "TLS13-1-2-Res-2021-06"},
		"x25519, FIPS":          {current: "TLS13-1-2-Res-FIPS-2023-04", kept: []Offer{gcm}, clients: []Offer{used("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 x25519")}},
		"without TLS 1.3":       {current: "TLS13-1-2-2021-06", kept: []Offer{gcm}, clients: []Offer{article}, more: func(n *Needs) { n.NoTLS13 = true }, want: "FS-1-2-2019-08"},
		"the heavier":           {kept: []Offer{gcm}, clients: []Offer{used("TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp521r1"), used("TLSv1.2 ECDHE-RSA-AES128-SHA256 secp256r1"), used("TLSv1.2 ECDHE-RSA-AES256-SHA384 secp384r1")}, more: func(n *Needs) { n.NoTLS13, n.Clients[0].Weight = true, 3 }, want: "FS-1-2-Res-2020-10", refused: "[1 2]"},
		"no group of the hello": {clients: []Offer{{Versions: both, Suites: []tlsname.Suite{0x1301}, Groups: []tlsname.Group{0x001e}}}},
		"static RSA, no group":  {clients: []Offer{{Versions: both[:1], Suites: []tlsname.Suite{0xc02f, 0x009c}, Groups: []tlsname.Group{0x001e}}}, want: "TLS13-1-2-Ext1-2021-06"},
		"fallback":              {current: "TLS-1-2-2017-01", clients: []Offer{{Versions: both[:1], Suites: []tlsname.Suite{0xc02f}, Fallback: true}}, want: "TLS-1-2-2017-01"},
	} {
		t.Run(name, func(t *testing.T) {
			n := Needs{Kept: test.kept}
			if test.current != "" {
				n.Current = lookup(t, test.current)
			}
			for _, o := range test.clients {
				n.Clients = append(n.Clients, Client{[]Offer{o}, 1})
			}
			if test.more != nil {
				test.more(&n)
			}
			list := Builtin().Recommend(n)
			switch {
			case len(list) == 0:
				if test.want != "" {
					t.Errorf("none, want %s", test.want)
				}
			case list[0].Policy.Name != Prefix+test.want || list[0].Refused != nil && fmt.Sprint(list[0].Refused) != test.refused || list[0].Refused == nil && test.refused != "":
				t.Errorf("%s without %v, want %s without %s", list[0].Policy.Name, list[0].Refused, test.want, test.refused)
			}
		})
	}
}

// A server is a policy in the data that the tables are generated from. Its code
// follows the RFCs, and shares nothing with the package.
type server struct {
	name                      string
	protocols, suites, groups []string
	fips, confirmed, obsolete bool
}

func servers(t *testing.T) []server {
	var list []server
	for _, p := range readSource(t).Policies {
		list = append(list, server{p.Name, p.Protocols, p.Ciphers, slices.Concat(p.KeyExchangeGroups.HybridPQ, p.KeyExchangeGroups.Classical),
			p.FIPS, p.CipherSetStatus == "confirmed", p.Status == "legacy"})
	}
	return list
}

// A program is a client's software.
type program struct{ protocols, suites, groups []string }

// A line is what a log has on a successful connection.
type line struct{ protocol, suite, group string }

var protocolNames = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// shake negotiates the highest protocol of both, then the first suite of the
// server, and the first group for it, that the client has. It returns the protocol if
// that fails.
func (s *server) shake(c program) (line, bool) {
	for _, protocol := range slices.Backward(protocolNames) {
		if !slices.Contains(s.protocols, protocol) || !slices.Contains(c.protocols, protocol) {
			continue
		}
		for _, suite := range s.suites {
			is13, old := strings.HasPrefix(suite, "TLS_"), strings.HasSuffix(suite, "-SHA")
			if !slices.Contains(c.suites, suite) || is13 != (protocol == "TLSv1.3") || !old && protocol < "TLSv1.2" {
				continue
			}
			if !is13 && !strings.HasPrefix(suite, "ECDHE-") {
				return line{protocol, suite, ""}, true
			}
			for _, group := range s.groups {
				if slices.Contains(c.groups, group) && (is13 || !strings.Contains(group, "MLKEM")) {
					return line{protocol, suite, group}, true
				}
			}
		}
		return line{protocol: protocol}, false
	}
	return line{}, false
}

func (s *server) has(l line) bool {
	return slices.Contains(s.protocols, l.protocol) && slices.Contains(s.suites, l.suite) && (l.group == "" || slices.Contains(s.groups, l.group))
}

func (l line) offer(t *testing.T) Offer {
	o, ok := ParseOffer(l.protocol, l.suite, l.group)
	if !ok {
		t.Fatal(l)
	}
	return o
}

// weak is a number with a bit for each weakness, the most serious highest.
func (s *server) weak() int {
	bits := 0
	set := func(bit int, found bool) {
		if found {
			bits |= 1 << bit
		}
	}
	suite := func(f func(string) bool) bool { return slices.ContainsFunc(s.suites, f) }
	set(6, slices.Contains(s.protocols, "TLSv1"))
	set(5, slices.Contains(s.protocols, "TLSv1.1"))
	set(4, slices.Contains(s.suites, "DES-CBC3-SHA"))
	set(3, suite(func(s string) bool { return !strings.HasPrefix(s, "ECDHE-") && !strings.HasPrefix(s, "TLS_") }))
	set(2, suite(func(s string) bool { return strings.HasSuffix(s, "-SHA") }))
	set(1, suite(func(s string) bool { return !strings.HasPrefix(s, "TLS_") && !strings.Contains(s, "GCM") }))
	set(0, slices.Contains(s.protocols, "TLSv1.2"))
	return bits
}

// allows is everything that the policy allows.
func (s *server) allows() []string { return slices.Concat(s.protocols, s.suites, s.groups) }

// A change is a random change of a listener's policy, with random clients.
type change struct {
	before, after *server
	works, hit    []program
	kept, lost    []line // by program
	weights       []uint64
	known         bool // the policy after it
	no13          bool // the change brought TLS 1.3
}

func randomChange(r *rand.Rand, all []server, suites []string) change {
	part := func(list []string, share float64) (part []string) {
		for _, v := range list {
			if r.Float64() < share {
				part = append(part, v)
			}
		}
		return part
	}
	c := change{before: &all[r.IntN(len(all))], after: &all[r.IntN(len(all))], known: r.IntN(2) == 0}
	for c.before.fips != c.after.fips {
		c.after = &all[r.IntN(len(all))]
	}
	c.no13 = !slices.Contains(c.before.protocols, "TLSv1.3") && slices.Contains(c.after.protocols, "TLSv1.3")
	for range 2 + r.IntN(9) {
		lowest := r.IntN(4)
		p := program{
			protocols: protocolNames[lowest : lowest+1+r.IntN(4-lowest)],
			suites:    part(suites, []float64{0.1, 0.3, 0.9}[r.IntN(3)]),
			groups:    part([]string{"X25519MLKEM768", "x25519", "secp256r1", "secp384r1", "secp521r1"}, 0.5),
		}
		was, worked := c.before.shake(p)
		now, works := c.after.shake(p)
		switch {
		case works && c.no13 && now.protocol == "TLSv1.3" && worked:
			c.works, c.kept = append(c.works, p), append(c.kept, was)
		case works && !(c.no13 && now.protocol == "TLSv1.3"):
			c.works, c.kept = append(c.works, p), append(c.kept, now)
		case worked && !works:
			c.hit, c.lost, c.weights = append(c.hit, p), append(c.lost, was), append(c.weights, uint64(1+r.IntN(9)))
		}
	}
	return c
}

func (c *change) needs(t *testing.T) Needs {
	n := Needs{Kept: []Offer{}, NoTLS13: c.no13}
	if c.known {
		n.Current, _ = Lookup(c.after.name)
	}
	for _, l := range c.kept {
		n.Kept = append(n.Kept, l.offer(t))
	}
	for i, l := range c.lost {
		n.Clients = append(n.Clients, Client{[]Offer{l.offer(t)}, c.weights[i]})
	}
	return n
}

// good reports whether the policy keeps what works, as far as the log shows, and the
// weight of the hit clients that it accepts.
func (c *change) good(s *server) (weight uint64, ok bool) {
	lacks := func(protocol string) bool {
		return slices.Contains(c.after.protocols, protocol) && !slices.Contains(s.protocols, protocol)
	}
	if s.obsolete || c.no13 && slices.Contains(s.protocols, "TLSv1.3") ||
		c.known && (s.fips != c.after.fips || lacks("TLSv1.2") || !c.no13 && lacks("TLSv1.3")) {
		return 0, false
	}
	for _, l := range c.kept {
		if !s.has(l) {
			return 0, false
		}
	}
	for i, l := range c.lost {
		if s.has(l) {
			weight += c.weights[i]
		}
	}
	return weight, weight > 0
}

// brings reports whether the listener may have TLS 1.3 for the first time.
func (c *change) brings(s *server) bool {
	uses := func(l line) bool { return l.protocol == "TLSv1.3" }
	had := slices.ContainsFunc(c.kept, uses) || slices.ContainsFunc(c.lost, uses)
	if c.known {
		had = slices.Contains(c.after.protocols, "TLSv1.3")
	}
	return slices.Contains(s.protocols, "TLSv1.3") && !had
}

// TestRecommendSimulated changes the policies of listeners at random, with random
// clients. The recommended policy lets in everybody who works and the hit clients that
// it says it accepts. No other accepts more of them, or as many and newly allows less.
func TestRecommendSimulated(t *testing.T) {
	all := servers(t)
	var suites []string
	for _, s := range all {
		suites = append(suites, without(s.suites, suites)...)
	}
	const runs = 4000
	set := &Set{policies: slices.Clone(Builtin().policies)}
	hit, recommended, allHit, toTLS13, always, best := 0, 0, 0, 0, 0, 0
	for seed := range uint64(runs) {
		c := randomChange(rand.New(rand.NewPCG(seed, 1)), all, suites)
		if len(c.hit) == 0 {
			continue
		}
		hit++
		rand.New(rand.NewPCG(seed, 2)).Shuffle(len(all), func(i, j int) { set.policies[i], set.policies[j] = set.policies[j], set.policies[i] })
		list := set.Recommend(c.needs(t))
		var p *server
		if len(list) > 0 {
			p = &all[slices.IndexFunc(all, func(s server) bool { return s.name == list[0].Policy.Name })]
			recommended++
		}
		if p != nil && list[0].Refused == nil {
			allHit++
		}
		if p == nil {
			for i := range all {
				if _, ok := c.good(&all[i]); ok {
					t.Errorf("seed %d: none, but %s is good", seed, all[i].name)
				}
			}
			continue
		}
		weight, ok := c.good(p)
		if !ok || weight != list[0].Weight {
			t.Errorf("seed %d: %s loses clients, or accepts %d, not %d", seed, p.name, weight, list[0].Weight)
		}
		if slices.Contains(p.protocols, "TLSv1.3") && !slices.Contains(c.after.protocols, "TLSv1.3") {
			toTLS13++ // the log does not show who fails there
		} else {
			for i, program := range c.works {
				if _, ok := p.shake(program); !ok {
					t.Errorf("seed %d: %s refuses client %d, which works", seed, p.name, i)
				}
			}
			for i, program := range c.hit {
				if _, ok := p.shake(program); !ok && !slices.Contains(list[0].Refused, i) {
					t.Errorf("seed %d: %s refuses client %d, which was hit", seed, p.name, i)
				}
			}
		}
		var base []string
		known := 0
		if c.known {
			base, known = c.after.allows(), c.after.weak()
		}
		smallest := true
		for i := range all {
			q := &all[i]
			other, ok := c.good(q)
			if q.name == "ELBSecurityPolicy-TLS13-1-0-2021-06" && ok && other == weight {
				always++
			}
			if !ok || q.fips != p.fips {
				continue
			}
			newP, newQ := without(p.allows(), base), without(q.allows(), base)
			less := len(newQ) < len(newP) && len(without(newQ, newP)) == 0
			switch {
			case other > weight:
				t.Errorf("seed %d: %s accepts more than %s", seed, q.name, p.name)
			case other < weight:
			case c.brings(p) != c.brings(q):
				if c.brings(p) {
					t.Errorf("seed %d: %s does not bring TLS 1.3, %s does", seed, q.name, p.name)
				}
			case q.weak()&^known < p.weak()&^known:
				t.Errorf("seed %d: %s allows less serious weaknesses than %s", seed, q.name, p.name)
			case less && (q.confirmed || !p.confirmed):
				t.Errorf("seed %d: %s allows less than %s", seed, q.name, p.name)
			}
			smallest = smallest && !(less && other == weight)
		}
		if smallest {
			best++
		}
	}
	t.Logf("of %d changes that hit clients, %d have a policy, %d one for all clients, %d one that brings TLS 1.3; none newly allows a part of it in %d; TLS13-1-0-2021-06 would do for %d",
		hit, recommended, allHit, toTLS13, best, always)
	if recommended < hit/2 || always > recommended*9/10 {
		t.Error("the changes are too easy, or too hard")
	}
}
