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

// A server decides what a policy accepts, by the data that the tables are generated
// from and RFCs, in code of its own.
type server struct {
	name                  string
	protocols, suites     []string
	groups                []string
	fips, postQuantum     bool
	confirmed, deprecated bool
}

func servers(t *testing.T) map[string]server {
	all := make(map[string]server)
	for _, p := range readSource(t).Policies {
		all[p.Name] = server{p.Name, p.Protocols, p.Ciphers, slices.Concat(p.KeyExchangeGroups.HybridPQ, p.KeyExchangeGroups.Classical),
			p.FIPS, p.PostQuantum, p.CipherSetStatus == "confirmed", p.Status == "legacy"}
	}
	return all
}

// A program is a client's software: ranges of what it offers.
type program struct{ protocols, suites, groups []string }

var protocolNames = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

func usable(suite, protocol string) bool {
	is13, sha1 := strings.HasPrefix(suite, "TLS_"), strings.HasSuffix(suite, "-SHA")
	return is13 == (protocol == "TLSv1.3") && (sha1 || protocol >= "TLSv1.2")
}

// shake negotiates as a load balancer does: the highest protocol of both, then the
// first suite and group of the server's that the client has.
func (s server) shake(c program) (line [3]string, ok bool) {
	for _, protocol := range slices.Backward(protocolNames) {
		if !slices.Contains(s.protocols, protocol) || !slices.Contains(c.protocols, protocol) {
			continue
		}
		for _, suite := range s.suites {
			if !slices.Contains(c.suites, suite) || !usable(suite, protocol) {
				continue
			}
			if protocol != "TLSv1.3" && !strings.HasPrefix(suite, "ECDHE-") {
				return [3]string{protocol, suite}, true
			}
			for _, group := range s.groups {
				if slices.Contains(c.groups, group) && (protocol == "TLSv1.3" || !strings.Contains(group, "MLKEM")) {
					return [3]string{protocol, suite, group}, true
				}
			}
		}
		return [3]string{protocol}, false
	}
	return [3]string{}, false
}

// subset returns a random part of a list.
func subset(r *rand.Rand, list []string, share float64) (part []string) {
	for _, v := range list {
		if r.Float64() < share {
			part = append(part, v)
		}
	}
	return part
}

func randomProgram(r *rand.Rand, suites []string) program {
	lowest := r.IntN(4)
	c := program{
		protocols: protocolNames[lowest : lowest+1+r.IntN(4-lowest)],
		suites:    subset(r, suites, []float64{0.1, 0.3, 0.9}[r.IntN(3)]),
		groups:    subset(r, []string{"x25519", "secp256r1", "secp384r1", "secp521r1"}, 0.5),
	}
	if r.IntN(3) == 0 {
		c.groups = append([]string{"X25519MLKEM768"}, c.groups...)
	}
	return c
}

// TestRecommendSimulated: a listener's policy changes from one to another at
// random, with random clients. The recommended policy must let in all clients that
// it says it accepts, and all that work now; no policy that does so too may allow
// less.
func TestRecommendSimulated(t *testing.T) {
	all := servers(t)
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range all {
			if !yield(name) {
				return
			}
		}
	})
	var suites []string
	for _, s := range all {
		suites = append(suites, without(s.suites, suites)...)
	}
	slices.Sort(suites)
	const runs = 3000
	recommended, complete := 0, 0
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 1))
		before, after := all[names[r.IntN(len(names))]], all[names[r.IntN(len(names))]]
		if r.IntN(4) > 0 { // usually a related policy
			for after.fips != before.fips {
				after = all[names[r.IntN(len(names))]]
			}
		}
		n := Needs{Kept: []Offer{}}
		if r.IntN(2) == 0 {
			n.Current, _ = Lookup(after.name)
		}
		var works, hit []program
		for range 1 + r.IntN(8) {
			c := randomProgram(r, suites)
			line, ok := before.shake(c)
			now, still := after.shake(c)
			switch o, known := ParseOffer(line[0], line[1], line[2]); {
			case still:
				kept, _ := ParseOffer(now[0], now[1], now[2])
				works, n.Kept = append(works, c), append(n.Kept, kept)
			case ok && known:
				hit, n.Clients = append(hit, c), append(n.Clients, Client{[]Offer{o}, uint64(1 + r.IntN(9))})
			}
		}
		list := Builtin().Recommend(n)
		// Brings TLS 1.3, or so much higher a protocol, that a client negotiates
		// something else: the log does not show with what it fails then.
		fits := func(s server) (weight uint64, ok bool) {
			for i, c := range works {
				if line, ok := s.shake(c); !ok && line[0] == n.Kept[i].Versions[0].String() {
					return 0, false
				}
				if line := n.Kept[i]; !slices.Contains(s.protocols, line.Versions[0].String()) || !slices.Contains(s.suites, line.Suites[0].String()) {
					return 0, false
				}
			}
			return weight, true
		}
		if len(list) == 0 || len(hit) == 0 {
			continue
		}
		recommended++
		best := list[0]
		s := all[best.Policy.Name]
		if _, ok := fits(s); !ok || s.deprecated || n.Current != nil && s.fips != after.fips {
			t.Errorf("seed %d: %s loses clients", seed, s.name)
		}
		for i, c := range hit {
			if slices.Contains(best.Refused, i) {
				continue
			}
			if line, ok := s.shake(c); !ok && line[0] <= n.Clients[i].Offers[0].Versions[0].String() {
				t.Errorf("seed %d: %s refuses client %d", seed, s.name, i)
			}
		}
		if best.Refused == nil {
			complete++
		}
	}
	t.Logf("%d of %d runs with a recommendation, %d for all clients", recommended, runs, complete)
}
