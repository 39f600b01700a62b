package secpolicy

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// A simClient offers anything that WhatIf's assumptions allow.
type simClient struct {
	versions []tlsname.Version
	suites   []tlsname.Suite
	groups   []tlsname.Group
	schemes  []tlsname.SignatureScheme
}

// A simListener negotiates as a load balancer does.
type simListener struct {
	certificates KeyKinds
	curve        tlsname.Group // the ECDSA certificate's curve
	ecdsaFirst   bool          // prefers an ECDSA certificate to its order of suites
	needsSHA1    bool          // TLS 1.0 and 1.1 only work with a policy that has SHA-1 signatures
}

// allSchemes are the schemes of clients that accept classical certificates.
var allSchemes = []tlsname.SignatureScheme{
	0x0201, 0x0203, 0x0301, 0x0303, 0x0401, 0x0403, 0x0501, 0x0503, 0x0601, 0x0603,
	0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b,
}

func isRSA(s tlsname.SignatureScheme) bool { return s&0xff == 1 || s>>8 == 8 }

// negotiate returns what client and listener agree on.
func (l simListener) negotiate(p *Policy, c simClient) (v tlsname.Version, s tlsname.Suite, g tlsname.Group, ok bool) {
	for _, version := range p.Protocols {
		if slices.Contains(c.versions, version) {
			v = version
		}
	}
	group := func() (tlsname.Group, bool) {
		for _, g := range p.Groups {
			if slices.Contains(c.groups, g) && (v == tlsname.TLS13 || !g.PostQuantum()) {
				return g, true
			}
		}
		return 0, false
	}
	signs := func(kind KeyKinds) bool {
		if kind == ECDSA && l.certificates&ECDSA == 0 || kind == RSA && l.certificates&RSA == 0 ||
			kind == ECDSA && !slices.Contains(c.groups, l.curve) {
			return false
		}
		if v < tlsname.TLS12 {
			return !l.needsSHA1 || slices.Contains(p.SignatureSchemes, rsaSHA1)
		}
		for _, scheme := range p.SignatureSchemes {
			if !slices.Contains(c.schemes, scheme) || isRSA(scheme) != (kind == RSA) {
				continue
			}
			pss := scheme >= 0x0804 && scheme <= 0x0806
			if kind == ECDSA && scheme&0xff == 3 && (v < tlsname.TLS13 || scheme>>8 >= 4) || kind == RSA && (pss || v < tlsname.TLS13 && scheme>>8 < 8) {
				return true
			}
		}
		return false
	}
	works := func(s tlsname.Suite) bool {
		if !slices.Contains(c.suites, s) || !s.UsableIn(v) {
			return false
		}
		kind := authentication(s)
		if !ephemeral(s) {
			return l.certificates&RSA != 0
		}
		if _, ok := group(); !ok {
			return false
		}
		return kind == 0 && (signs(RSA) || signs(ECDSA)) || kind != 0 && signs(kind)
	}
	order := slices.Clone(p.Ciphers)
	if l.ecdsaFirst {
		slices.SortStableFunc(order, func(a, b tlsname.Suite) int {
			return compareBool(authentication(a) == RSA, authentication(b) == RSA)
		})
	}
	for _, s := range order {
		if works(s) {
			if ephemeral(s) {
				g, _ = group()
			}
			return v, s, g, true
		}
	}
	return v, 0, 0, false
}

// some returns each element of list with the given probability.
func some[T any](r *rand.Rand, list []T, chance float64) []T {
	var part []T
	for _, v := range list {
		if r.Float64() < chance {
			part = append(part, v)
		}
	}
	return part
}

func newSimClient(r *rand.Rand) simClient {
	versions := []tlsname.Version{tlsname.TLS10, tlsname.TLS11, tlsname.TLS12, tlsname.TLS13}
	lowest := r.IntN(4)
	c := simClient{versions: versions[lowest : lowest+1+r.IntN(4-lowest)]}
	highest := c.versions[len(c.versions)-1]
	chance := r.Float64()
	for _, suites := range [][]tlsname.Suite{
		lookupAny("TLS-1-0-2015-04").Ciphers,
		{0x1301, 0x1302, 0x1303, 0x1304, 0xcca8, 0xcca9, 0x0039, 0x0005, 0x00ff, 0x1a1a}, // some are in no policy
	} {
		c.suites = append(c.suites, some(r, suites, chance)...)
	}
	switch r.IntN(4) {
	case 0: // an old client
		c.suites = slices.DeleteFunc(c.suites, func(s tlsname.Suite) bool { return !s.UsableIn(tlsname.TLS11) })
	case 1: // with one kind of key exchange and a few others
		ecdhe := r.IntN(2) == 0
		c.suites = slices.DeleteFunc(c.suites, func(s tlsname.Suite) bool { return ephemeral(s) == ecdhe && r.IntN(8) > 0 })
	}
	r.Shuffle(len(c.suites), func(i, j int) { c.suites[i], c.suites[j] = c.suites[j], c.suites[i] })
	c.groups = some(r, []tlsname.Group{0x11ec, 0x11eb, 0x11ed, 0x001d, 0x0017, 0x0018, 0x0019}, r.Float64())
	c.schemes = some(r, allSchemes, r.Float64())
	own := slices.ContainsFunc(c.suites, func(s tlsname.Suite) bool { return s.UsableIn(tlsname.TLS12) && !s.UsableIn(tlsname.TLS11) })
	switch {
	case highest == tlsname.TLS13: // RFC 8446 section 9.1
		c.groups = append(c.groups, secp256r1)
		c.schemes = append(c.schemes, rsaSHA256, ecdsaSHA256, pssSHA256)
		if !common(c.suites, []tlsname.Suite{aes128GCM, aes256GCM}) {
			c.suites = append(c.suites, []tlsname.Suite{aes128GCM, aes256GCM}[r.IntN(2)])
		}
	case own || r.IntN(2) == 0:
		c.schemes = append(c.schemes, rsaSHA256, ecdsaSHA256)
	default:
		c.schemes = append(c.schemes, rsaSHA1, ecdsaSHA1)
	}
	return c
}

func lookupAny(name string) *Policy {
	p, err := Lookup(Prefix + name)
	if err != nil {
		panic(err)
	}
	return p
}

// actual returns a policy as AWS may really have it: what is not confirmed varies.
func actual(r *rand.Rand, p *Policy) *Policy {
	q := *p
	q.Ciphers = slices.Clone(p.Ciphers)
	if p.Unordered != nil && r.IntN(2) == 0 {
		i, j := p.Position(p.Unordered[0]), p.Position(p.Unordered[1])
		q.Ciphers[i], q.Ciphers[j] = q.Ciphers[j], q.Ciphers[i]
	}
	if !p.OrderConfirmed {
		r.Shuffle(len(q.Ciphers), func(i, j int) { q.Ciphers[i], q.Ciphers[j] = q.Ciphers[j], q.Ciphers[i] })
	}
	return &q
}

// simulate connects a random client to a random listener with one policy, lets
// WhatIf assess the resulting log entry, and compares the answer with the result
// under another policy. If lie is set, the question has a wrong current policy.
func simulate(r *rand.Rand, lie bool) (class Class, failure string) {
	policies := Builtin().Policies()
	from, to := &policies[r.IntN(len(policies))], &policies[r.IntN(len(policies))]
	c := newSimClient(r)
	l := simListener{
		certificates: KeyKinds(1 + r.IntN(3)), curve: []tlsname.Group{0x0017, 0x0018}[r.IntN(2)],
		ecdsaFirst: r.IntN(2) == 0, needsSHA1: r.IntN(2) == 0,
	}
	realFrom, realTo := actual(r, from), actual(r, to)
	v, s, g, ok := l.negotiate(realFrom, c)
	o := Observation{Client: "192.0.2.1", Status: connlog.StatusSuccess}
	gaveUp := ok && r.IntN(6) == 0 // for example, it does not trust the listener's certificate
	if ok {
		o.Protocol, o.Cipher = v.String(), s.String()
		if g != 0 && r.IntN(2) == 0 {
			o.KeyExchange = g.String()
		}
	} else {
		if v == 0 {
			v = c.versions[len(c.versions)-1]
		}
		o.Protocol = v.String()
		if i := slices.IndexFunc(c.suites, func(s tlsname.Suite) bool { return s.UsableIn(v) }); i >= 0 {
			o.Cipher = c.suites[i].String()
		}
	}
	if !ok || gaveUp {
		o.Status = "Failed:UnmappedConnectionError"
	}
	q := Question{To: to}
	if r.IntN(4) > 0 {
		q.From = func(Listener) *Policy { return from }
	}
	if r.IntN(2) == 0 {
		q.Certificates = l.certificates
	}
	if lie {
		q.From = func(Listener) *Policy { return &policies[r.IntN(len(policies))] }
	}
	f := q.WhatIf(maps.All(map[Observation]uint64{o: 1}))
	for i, n := range f.Connections {
		if n > 0 {
			class = Class(i)
		}
	}
	_, _, _, connects := l.negotiate(realTo, c)
	connects = connects && !gaveUp
	wrong := map[Class]bool{KeepsWorking: !connects, Breaks: connects, StillFails: connects}[class]
	switch {
	case class != Fixed || connects:
	case gaveUp:
		wrong = true
	default:
		// A failed connection shows nothing about groups and signatures.
		_, _, _, wrong = l.negotiate(realTo, simClient{c.versions, c.suites, append(slices.Clone(c.groups), secp256r1, l.curve), allSchemes})
		wrong = !wrong
	}
	if wrong {
		failure = fmt.Sprintf("class %d under %s, connects: %t\nfrom %s (known: %t)\nobserved %+v\nclient %v\nlistener %+v\n%+v", class, to.Name, connects, from.Name, q.From != nil, o, c, l, f)
	}
	return class, failure
}

// TestWhatIfSound checks that certain answers are right, for any offer of a
// client and any choice of the listener.
func TestWhatIfSound(t *testing.T) {
	const rounds = 60_000
	r := rand.New(rand.NewPCG(20_261_125, 1))
	var counts [classes]int
	for range rounds {
		class, failure := simulate(r, false)
		if failure != "" {
			t.Fatal(failure)
		}
		counts[class]++
	}
	t.Log(counts)
	for class, n := range counts {
		if n < rounds/200 {
			t.Errorf("class %d occurred %d times in %d", class, n, rounds)
		}
	}
}

// FuzzWhatIfSound checks TestWhatIfSound's property with other seeds.
func FuzzWhatIfSound(f *testing.F) {
	f.Add(uint64(0))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if _, failure := simulate(rand.New(rand.NewPCG(seed, 2)), false); failure != "" {
			t.Fatal(failure)
		}
	})
}

// TestWhatIfSoundPlanted checks that TestWhatIfSound's property can fail.
func TestWhatIfSoundPlanted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	wrong := make(map[Class]int)
	for range 20_000 {
		if class, failure := simulate(r, true); failure != "" {
			wrong[class]++
		}
	}
	if wrong[Breaks] == 0 || wrong[StillFails] == 0 {
		t.Errorf("a wrong current policy was never noticed: %v", wrong)
	}
}

// TestWhatIf compares answers with the reasons that people read.
func TestWhatIf(t *testing.T) {
	const (
		old     = "2016-08"
		current = "TLS13-1-2-2021-06"
		ext2    = "TLS13-1-2-Ext2-2021-06"
		res     = "TLS13-1-2-Res-PQ-2025-09"
		fs      = "FS-1-2-Res-2019-08"
	)
	success := func(protocol, cipher, group string) Observation {
		return Observation{Protocol: protocol, Cipher: cipher, KeyExchange: group, Status: connlog.StatusSuccess}
	}
	failed := func(protocol, cipher string) Observation {
		return Observation{Protocol: protocol, Cipher: cipher, Status: "Failed:UnmappedConnectionError"}
	}
	var golden strings.Builder
	for _, test := range []struct {
		name     string
		from, to string // from is "" if unknown
		o        Observation
		want     Class
	}{
		{"TLS 1.3 stays", current, res, success("TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519"), KeepsWorking},
		{"TLS 1.0 goes", old, "TLS-1-2-Ext-2018-06", success("TLSv1", "ECDHE-RSA-AES256-SHA", "secp256r1"), Breaks},
		{"TLS 1.0 goes, even with TLS 1.3 added: nobody has that without TLS 1.2", old, current, success("TLSv1", "ECDHE-RSA-AES256-SHA", "secp256r1"), Breaks},
		{"TLS 1.0 goes, current policy not known", "", current, success("TLSv1", "ECDHE-RSA-AES256-SHA", "secp256r1"), Unknown},
		{"TLS 1.3 for all", old, "TLS13-1-3-2021-06", success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1"), Unknown},
		{"TLS 1.3 for all who would have it", ext2, "TLS13-1-3-2021-06", success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "x25519"), Breaks},
		{"the first suite stays", ext2, current, success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1"), KeepsWorking},
		{"the suite goes, a later one may do", "TLS13-1-2-Ext1-2021-06", "TLS13-1-2-Res-2021-06", success("TLSv1.2", "ECDHE-RSA-AES128-SHA256", "secp256r1"), Unknown},
		{"the suite goes, and better ones the client has not", ext2, current, success("TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"), Breaks},
		{"static RSA goes", ext2, current, success("TLSv1.2", "AES128-SHA", ""), Breaks},
		{"static RSA goes, TLS 1.3 comes", old, current, success("TLSv1.2", "AES128-SHA", ""), Unknown},
		{"static RSA goes, the order is not confirmed", "TLS13-1-2-Ext2-PQ-2025-09", current, success("TLSv1.2", "AES128-SHA", ""), Unknown},
		{"an RSA suite goes, ECDSA before it", ext2, fs, success("TLSv1.2", "ECDHE-RSA-AES128-SHA", "secp256r1"), Unknown},
		{"an ECDSA suite goes, RSA before it proves nothing", ext2, "TLS13-1-2-Res-2021-06", success("TLSv1.2", "ECDHE-ECDSA-AES256-SHA", "secp256r1"), Unknown},
		{"known from one source", ext2, "TLS13-1-2-Ext1-PQ-2025-09", success("TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"), Unknown},
		{"the group goes", current, "TLS13-1-2-FIPS-2023-04", success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "x25519"), Unknown},
		{"the group is not in the log", current, "TLS13-1-2-FIPS-2023-04", success("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", ""), Unknown},
		{"SHA-1 signatures go", ext2, "TLS13-1-2-Ext2-FIPS-2023-04", success("TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"), Unknown},
		{"not what the current policy has", current, res, success("TLSv1.2", "AES128-SHA", ""), Unknown},
		{"article, loosened", current, ext2, failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), Fixed},
		{"article, loosened otherwise", current, "TLS13-1-2-Ext1-2021-06", failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), Unknown},
		{"article, tightened", current, "TLS13-1-2-Res-2021-06", failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), StillFails},
		{"no such certificate is known", current, ext2, failed("TLSv1.2", "ECDHE-ECDSA-AES256-SHA"), Unknown},
		{"failed for another reason", current, ext2, failed("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"), Unknown},
		{"failed under a policy that is not known", "", ext2, failed("TLSv1.2", "ECDHE-RSA-AES256-SHA"), Unknown},
		{"in no policy for its version, and that not known", "", "TLS13-1-3-2021-06", failed("TLSv1.3", "TLS_AES_128_CCM_SHA256"), Unknown},
		{"negotiated what sources differ about", "TLS13-1-2-Ext1-PQ-2025-09", current, success("TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1"), Unknown},
		{"nothing in the log", current, ext2, failed("", ""), Unknown},
		{"client certificate", current, ext2, Observation{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256", Status: "Failed:ClientCertExpired"}, StillFails},
		{"client certificate and policy", current, ext2, Observation{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256", Status: "Failed:ClientCertIncompatible"}, Unknown},
		{"unreadable", current, ext2, success("TLSv1.2", "ROT13", ""), Unknown},
		{"no status", current, ext2, Observation{Protocol: "TLSv1.2", Cipher: "AES128-SHA"}, Unknown},
	} {
		q := Question{To: lookup(t, test.to)}
		if test.from != "" {
			q.From = func(Listener) *Policy { return lookup(t, test.from) }
		}
		a, _ := q.assess(test.o, RSA)
		if a.Class != test.want || (a.Reason == "") != (a.Class == KeepsWorking || a.Class == Fixed) {
			t.Errorf("%s: %+v, want %d", test.name, a, test.want)
		}
		fmt.Fprintf(&golden, "%s\n  %s %s under %s, to %s: %s\n  %s\n\n", test.name, test.o.Protocol, test.o.Cipher, cmp.Or(test.from, "?"), test.to,
			a.Class, cmp.Or(a.Reason, "-"))
	}
	compareGolden(t, "testdata/whatif.txt", golden.String())
}

func TestForecast(t *testing.T) {
	one, two := Listener{"app/a/1", 443}, Listener{"app/a/1", 8443}
	observations := map[Observation]uint64{
		{"a", one, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "Success"}:      10,
		{"a", one, "TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1", "Success"}:             3,
		{"a", two, "TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1", "Success"}:             2,
		{"b", one, "TLSv1", "ECDHE-RSA-AES256-SHA", "secp256r1", "Success"}:               7, // contradicts the current policy
		{"c", one, "TLSv1.2", "ECDHE-RSA-AES256-SHA", "secp256r1", "Success"}:             9,
		{"d", one, "TLSv1.2", "AES256-GCM-SHA384", "", "Failed:UnmappedConnectionError"}:  4,
		{"d", two, "TLSv1.2", "DHE-RSA-AES256-SHA", "", "Failed:UnmappedConnectionError"}: 5,
		{"d", two, "TLSv1.2", "DHE-RSA-AES128-SHA", "", "Failed:UnmappedConnectionError"}: 6,
		{"e", Listener{"app/a/1", 80}, "", "", "", ""}:                                    100,
	}
	q := Question{From: func(Listener) *Policy { return lookup(t, "TLS13-1-2-Ext2-2021-06") }, To: lookup(t, "TLS13-1-2-2021-06")}
	f := q.WhatIf(maps.All(observations))
	if want := [classes]uint64{KeepsWorking: 10, Breaks: 14, Unknown: 7 + 4, StillFails: 11}; f.Connections != want {
		t.Errorf("connections %v, want %v", f.Connections, want)
	}
	if want := [classes]int{KeepsWorking: 1, Breaks: 2, Unknown: 2, StillFails: 1}; f.Clients != want {
		t.Errorf("clients %v, want %v", f.Clients, want)
	}
	if f.Plaintext != 100 || f.Contradicting != 7 || len(f.Undecided) != 2 || f.Undecided[0].Connections != 7 {
		t.Errorf("%+v", f)
	}
	if len(f.Breaking) != 2 || f.Breaking[0].Client != "c" || f.Breaking[0].Connections != 9 || f.Breaking[1].Client != "a" || f.Breaking[1].Connections != 5 {
		t.Errorf("breaking %+v", f.Breaking)
	}
}
