package secpolicy

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tlswatch/pkg/tlsname"
)

func lookup(t *testing.T, name string) *Policy {
	t.Helper()
	p, err := Lookup(Prefix + name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func suite(t *testing.T, name string) tlsname.Suite {
	t.Helper()
	s, err := tlsname.ParseSuite(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func offer(t *testing.T, version tlsname.Version, suites ...string) Offer {
	t.Helper()
	o := Offer{Versions: []tlsname.Version{version}}
	for _, name := range suites {
		o.Suites = append(o.Suites, suite(t, name))
	}
	return o
}

func TestLookup(t *testing.T) {
	if len(Builtin().Policies()) != 46 {
		t.Errorf("%d policies, want 46", len(Builtin().Policies()))
	}
	for _, p := range Builtin().Policies() {
		if q, err := Lookup(p.Name); err != nil || q.Name != p.Name {
			t.Errorf("Lookup(%q) = %v, %v", p.Name, q, err)
		}
	}
	for _, name := range []string{"", "ELBSecurityPolicy-TLS13-1-2-2021-0", "ELBSecurityPolicy-TLS13-1-4-2031-01", "tls13", "elbsecuritypolicy-2016-08"} {
		p, err := Lookup(name)
		unknown, ok := errors.AsType[*unknownError](err)
		if p != nil || !ok || unknown.Name != name || unknown.Mentioned || !strings.Contains(err.Error(), "refresh with `tlswatch policy update`") {
			t.Errorf("Lookup(%q) = %v, %v", name, p, err)
		}
	}
	_, err := Lookup("ELBSecurityPolicy-TLS-1-1-Res-2017-01")
	if unknown, ok := errors.AsType[*unknownError](err); !ok || !unknown.Mentioned {
		t.Errorf("a name that AWS source code has: %v", err)
	}
}

// TestDerived compares what With derives from names and suites with the data.
func TestDerived(t *testing.T) {
	for _, p := range Builtin().Policies() {
		d := Description{Name: p.Name, Protocols: names(p.Protocols), Ciphers: names(p.Ciphers)}
		q, err := d.policy()
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if q.PostQuantum != p.PostQuantum || q.FIPS != p.FIPS || q.ForwardSecrecy != p.ForwardSecrecy {
			t.Errorf("%s: derived %v %v %v, want %v %v %v", p.Name, q.PostQuantum, q.FIPS, q.ForwardSecrecy, p.PostQuantum, p.FIPS, p.ForwardSecrecy)
		}
		if !slices.Equal(q.Protocols, p.Protocols) || !slices.Equal(q.Ciphers, p.Ciphers) || len(q.Unrecognized) > 0 {
			t.Errorf("%s: names do not parse back to the values", p.Name)
		}
		if !slices.IsSorted(p.Protocols) {
			t.Errorf("%s: protocols are not sorted", p.Name)
		}
	}
}

// TestAcceptsAll compares the verdict on every pair of protocol and suite with
// the source data of the tables.
func TestAcceptsAll(t *testing.T) {
	source := readSource(t)
	suites := []string{"ECDHE-RSA-CHACHA20-POLY1305", "DHE-RSA-AES128-SHA", "RC4-SHA"} // in no policy
	for _, p := range source.Policies {
		suites = append(suites, without(p.Ciphers, suites)...)
	}
	sha1 := []string{"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA"}
	versions := map[string]tlsname.Version{"TLSv1": tlsname.TLS10, "TLSv1.1": tlsname.TLS11, "TLSv1.2": tlsname.TLS12, "TLSv1.3": tlsname.TLS13}
	accepted := 0
	for i, p := range Builtin().Policies() {
		for protocol, version := range versions {
			for _, name := range suites {
				possible := strings.HasPrefix(name, "TLS_") == (protocol == "TLSv1.3") && (protocol >= "TLSv1.2" || slices.Contains(sha1, name))
				hasProtocol := slices.Contains(source.Policies[i].Protocols, protocol)
				hasCipher := slices.Contains(source.Policies[i].Ciphers, name)
				v := p.Accepts(offer(t, version, name))
				if want := possible && hasProtocol && hasCipher; v.Accepted != want || v.Accepted != (v.Code == Accepted) || hasProtocol != (v.version == version) || v.Accepted != (v.Suite != 0) {
					t.Errorf("%s, %s, %s: %+v, want %t", p.Name, protocol, name, v, want)
				}
				var code Code
				switch {
				case !hasProtocol:
					code = ProtocolNotInPolicy
				case hasCipher && possible:
					code = Accepted
					accepted++
				case hasCipher:
					code = CipherNotInProtocol
				default:
					code = CipherNotInPolicy
				}
				if v.Code != code {
					t.Errorf("%s, %s, %s: %s, want %s", p.Name, protocol, name, v.Code, code)
				}
				if lacks, _, _ := strings.Cut(strings.Fields(v.Reason)[1], ";"); !hasProtocol && (lacks != protocol || !strings.HasPrefix(v.Reason, "lacks ")) {
					t.Errorf("%s, %s, %s: %q does not say that the protocol is missing", p.Name, protocol, name, v.Reason)
				}
				if hasProtocol && !v.Accepted && !strings.Contains(v.Reason, "cipher "+name) {
					t.Errorf("%s, %s, %s: %q does not say which cipher is missing", p.Name, protocol, name, v.Reason)
				}
			}
		}
	}
	if accepted < 500 {
		t.Errorf("only %d pairs accepted", accepted)
	}
}

func TestAccepts(t *testing.T) {
	both := []tlsname.Version{tlsname.TLS12, tlsname.TLS13}
	gcm, cbc, aes, tls13 := suite(t, "ECDHE-RSA-AES128-GCM-SHA256"), suite(t, "ECDHE-RSA-AES256-SHA"), suite(t, "AES256-GCM-SHA384"), suite(t, "TLS_AES_128_GCM_SHA256")
	ecdsa := suite(t, "ECDHE-ECDSA-AES128-GCM-SHA256")
	for name, test := range map[string]struct {
		policy  string
		offer   Offer
		code    Code
		version tlsname.Version
		suite   tlsname.Suite
		reason  string // a part of it
	}{
		"article": {"TLS13-1-2-2021-06", Offer{Versions: both[:1], Suites: []tlsname.Suite{cbc, 0x00ff}}, CipherNotInPolicy, 0, 0,
			"lacks ciphers ECDHE-RSA-AES256-SHA (TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA) and TLS_EMPTY_RENEGOTIATION_INFO_SCSV"},
		"server's order":                       {"2016-08", Offer{Versions: both, Suites: []tlsname.Suite{aes, cbc, gcm}}, Accepted, tlsname.TLS12, gcm, "negotiates TLSv1.2 with ECDHE-RSA-AES128-GCM-SHA256"},
		"highest version":                      {"TLS13-1-2-2021-06", Offer{Versions: both, Suites: []tlsname.Suite{gcm, tls13}}, Accepted, tlsname.TLS13, tls13, ""},
		"no suite for it":                      {"TLS13-1-2-2021-06", Offer{Versions: both, Suites: []tlsname.Suite{gcm}}, CipherNotInProtocol, 0, 0, "but not for TLSv1.3, the highest protocol in common"},
		"grease":                               {"TLS13-1-2-2021-06", Offer{Versions: append([]tlsname.Version{0x3a3a}, both...), Suites: []tlsname.Suite{0x0a0a, tls13}}, Accepted, tlsname.TLS13, tls13, ""},
		"RSA certificate":                      {"TLS13-1-2-2021-06", Offer{Versions: both[:1], Suites: []tlsname.Suite{ecdsa, gcm}, Certificates: RSA}, Accepted, tlsname.TLS12, gcm, ""},
		"no certificate":                       {"TLS13-1-2-2021-06", Offer{Versions: both[:1], Suites: []tlsname.Suite{ecdsa}, Certificates: RSA}, CertificateDoesNotFit, 0, 0, "only with a different certificate than the listener's (RSA)"},
		"two certificates":                     {"TLS13-1-2-2021-06", Offer{Versions: both[:1], Suites: []tlsname.Suite{gcm, ecdsa}, Certificates: RSA | ECDSA}, Accepted, tlsname.TLS12, ecdsa, ""},
		"TLS 1.3 needs no kind of certificate": {"TLS13-1-3-2021-06", Offer{Versions: both, Suites: []tlsname.Suite{tls13}, Certificates: ECDSA}, Accepted, tlsname.TLS13, tls13, ""},
		"neither":                              {"TLS13-1-3-2021-06", Offer{Versions: both[:1], Suites: []tlsname.Suite{gcm}}, ProtocolNotInPolicy, 0, 0, "lacks TLSv1.2 and cipher ECDHE-RSA-AES128-GCM-SHA256 (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)"},
		"no suite for it, nor for others":      {"TLS13-1-2-2021-06", Offer{Versions: both, Suites: []tlsname.Suite{cbc, gcm}}, CipherNotInProtocol, 0, 0, "has cipher ECDHE-RSA-AES128-GCM-SHA256 (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), but not"},
		"nothing":                              {"2016-08", Offer{}, ProtocolNotInPolicy, 0, 0, "the client offers no protocol"},
		"fallback":                             {"TLS13-1-2-2021-06", Offer{Versions: both[:1], Suites: []tlsname.Suite{gcm}, Fallback: true}, InappropriateFallback, 0, 0, "has TLSv1.3, but the client has fallen back to TLSv1.2"},
		"fallback to what the policy has":      {"2016-08", Offer{Versions: both[:1], Suites: []tlsname.Suite{gcm}, Fallback: true}, Accepted, tlsname.TLS12, gcm, ""},
		"fallback signal with TLS 1.3":         {"TLS13-1-2-2021-06", Offer{Versions: both, Suites: []tlsname.Suite{tls13}, Fallback: true}, Accepted, tlsname.TLS13, tls13, ""},
		"no suite":                             {"2016-08", Offer{Versions: both[:1]}, CipherNotInPolicy, 0, 0, "has TLSv1.2, but the client offers no cipher"},
	} {
		t.Run(name, func(t *testing.T) {
			v := lookup(t, test.policy).Accepts(test.offer)
			if v.Code != test.code || v.Accepted && v.version != test.version || v.Suite != test.suite || !strings.Contains(v.Reason, test.reason) {
				t.Errorf("got %+v", v)
			}
		})
	}
}

// TestHints: the first suite without a hint is negotiated, and hints never refuse.
func TestHints(t *testing.T) {
	const (
		x25519, p256, p384, mlkem  = tlsname.Group(0x001d), tlsname.Group(0x0017), tlsname.Group(0x0018), tlsname.Group(0x11ec)
		pkcs1, ecdsa256, pss, sha1 = tlsname.SignatureScheme(0x0401), tlsname.SignatureScheme(0x0403), tlsname.SignatureScheme(0x0804), tlsname.SignatureScheme(0x0201)
	)
	type groups = []tlsname.Group
	type schemes = []tlsname.SignatureScheme
	for name, test := range map[string]struct {
		policy  string
		version tlsname.Version
		suites  string
		groups  groups
		schemes schemes
		kinds   KeyKinds
		suite   string
		hints   string // parts of them
	}{
		"none":                               {"TLS13-1-2-2021-06", tlsname.TLS12, "ECDHE-ECDSA-AES256-GCM-SHA384", groups{x25519, p256}, schemes{ecdsa256}, 0, "ECDHE-ECDSA-AES256-GCM-SHA384", ""},
		"strict policy":                      {"TLS13-1-2-RFC9151-FIPS-2023-07", tlsname.TLS12, "ECDHE-ECDSA-AES256-GCM-SHA384", groups{x25519, p256}, schemes{ecdsa256}, 0, "ECDHE-ECDSA-AES256-GCM-SHA384", "groups that s2n-tls has for this policy (secp384r1)|signature schemes"},
		"TLS 1.3 with PKCS #1 only":          {"TLS13-1-3-2021-06", tlsname.TLS13, "TLS_AES_128_GCM_SHA256", groups{p256}, schemes{pkcs1}, 0, "TLS_AES_128_GCM_SHA256", "RSA or ECDSA certificate (with RSA, TLSv1.3 needs RSA-PSS)"},
		"TLS 1.3 with PSS":                   {"TLS13-1-3-2021-06", tlsname.TLS13, "TLS_AES_128_GCM_SHA256", groups{p256}, schemes{pkcs1, pss}, RSA, "TLS_AES_128_GCM_SHA256", ""},
		"TLS 1.3 with PSS, but ECDSA":        {"TLS13-1-3-2021-06", tlsname.TLS13, "TLS_AES_128_GCM_SHA256", groups{p256}, schemes{pkcs1, pss}, ECDSA, "TLS_AES_128_GCM_SHA256", "an ECDSA certificate"},
		"TLS 1.3 with SHA-1 only":            {"TLS13-1-3-2021-06", tlsname.TLS13, "TLS_AES_128_GCM_SHA256", groups{p256}, schemes{sha1, 0x0203}, 0, "TLS_AES_128_GCM_SHA256", "signature schemes"},
		"TLS 1.2 with PKCS #1 only":          {"TLS13-1-2-2021-06", tlsname.TLS12, "ECDHE-RSA-AES128-GCM-SHA256", groups{p256}, schemes{pkcs1}, RSA, "ECDHE-RSA-AES128-GCM-SHA256", ""},
		"TLS 1.2 with the other kind's":      {"TLS13-1-2-2021-06", tlsname.TLS12, "ECDHE-RSA-AES128-GCM-SHA256", groups{p256}, schemes{ecdsa256}, 0, "ECDHE-RSA-AES128-GCM-SHA256", "an RSA certificate"},
		"post-quantum group alone, TLS 1.2":  {"TLS13-1-2-PQ-2025-09", tlsname.TLS12, "ECDHE-RSA-AES128-GCM-SHA256", groups{mlkem}, nil, 0, "ECDHE-RSA-AES128-GCM-SHA256", "(x25519, secp256r1, secp384r1 and secp521r1)|post-quantum group"},
		"post-quantum group too, TLS 1.2":    {"TLS13-1-2-PQ-2025-09", tlsname.TLS12, "ECDHE-RSA-AES128-GCM-SHA256", groups{mlkem, p256}, nil, 0, "ECDHE-RSA-AES128-GCM-SHA256", "post-quantum group"},
		"the same, policy without the group": {"TLS13-1-2-2021-06", tlsname.TLS12, "ECDHE-RSA-AES128-GCM-SHA256", groups{mlkem, p256}, nil, 0, "ECDHE-RSA-AES128-GCM-SHA256", ""},
		"post-quantum group alone, TLS 1.3":  {"TLS13-1-2-PQ-2025-09", tlsname.TLS13, "TLS_AES_128_GCM_SHA256", groups{mlkem}, nil, 0, "TLS_AES_128_GCM_SHA256", ""},
		"ECDSA certificate without P-256":    {"TLS13-1-2-2021-06", tlsname.TLS12, "ECDHE-ECDSA-AES128-GCM-SHA256", groups{x25519, p384}, nil, 0, "ECDHE-ECDSA-AES128-GCM-SHA256", "does not list secp256r1"},
		"the same, with an RSA suite":        {"TLS13-1-2-2021-06", tlsname.TLS12, "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256", groups{x25519, p384}, nil, 0, "ECDHE-RSA-AES128-GCM-SHA256", ""},
		"P-256 is not needed in TLS 1.3":     {"TLS13-1-2-2021-06", tlsname.TLS13, "TLS_AES_128_GCM_SHA256", groups{x25519}, nil, ECDSA, "TLS_AES_128_GCM_SHA256", ""},
		"static RSA where no group fits":     {"2016-08", tlsname.TLS12, "ECDHE-RSA-AES128-GCM-SHA256 AES128-GCM-SHA256", groups{x25519}, nil, 0, "AES128-GCM-SHA256", ""},
		"nor static RSA":                     {"2016-08", tlsname.TLS12, "ECDHE-RSA-AES128-GCM-SHA256", groups{x25519}, nil, 0, "ECDHE-RSA-AES128-GCM-SHA256", "(secp256r1 and secp384r1)"},
	} {
		t.Run(name, func(t *testing.T) {
			o := offer(t, test.version, strings.Fields(test.suites)...)
			o.Groups, o.SignatureSchemes, o.Certificates = test.groups, test.schemes, test.kinds
			v := lookup(t, test.policy).Accepts(o)
			if !v.Accepted || v.Suite != suite(t, test.suite) || test.hints == "" && len(v.Hints) > 0 {
				t.Fatalf("got %+v", v)
			}
			for i, part := range strings.Split(test.hints, "|") {
				if test.hints != "" && (len(v.Hints) != strings.Count(test.hints, "|")+1 || !strings.Contains(v.Hints[i], part)) {
					t.Errorf("hints %q", v.Hints)
				}
			}
		})
	}
}

func TestCaveat(t *testing.T) {
	for name, want := range map[string]string{
		"TLS13-1-2-2021-06":              "",
		"TLS13-1-2-Ext2-PQ-2025-09":      "the order of its cipher suites is not confirmed",
		"TLS13-1-2-Ext1-PQ-2025-09":      "its cipher suites are known from one source only (s2n-tls); the order of its cipher suites is not confirmed",
		"TLS13-1-3-RFC9151-FIPS-2023-07": "its cipher suites are known from one source only (s2n-tls); the order of its cipher suites is not confirmed",
	} {
		if got := lookup(t, name).Caveat(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	d := Compare(lookup(t, "2016-08"), lookup(t, "TLS13-1-2-2021-06"))
	if got := strings.Join(slices.Concat(names(d.ProtocolsRemoved), []string{"|"}, names(d.ProtocolsAdded), []string{"|"}, names(d.CiphersAdded)), " "); got != "TLSv1 TLSv1.1 | TLSv1.3 | TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256" {
		t.Error(got)
	}
	if len(d.CiphersRemoved) != 10 || d.Reordered || d.Same() {
		t.Errorf("%+v", d)
	}
	if d := Compare(lookup(t, "TLS13-1-0-2021-06"), lookup(t, "TLS13-1-2-Ext2-2021-06")); !d.Reordered || len(d.CiphersRemoved)+len(d.CiphersAdded) != 0 {
		t.Errorf("%+v", d)
	}
	if d := Compare(lookup(t, "2016-08"), lookup(t, "2015-05")); !d.Same() {
		t.Errorf("%+v", d)
	}
	if d := Compare(lookup(t, "TLS13-1-2-2021-06"), lookup(t, "TLS13-1-2-PQ-2025-09")); d.Same() || len(d.GroupsAdded) != 3 {
		t.Errorf("%+v", d)
	}
}
