package tlsname

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParseSuite(t *testing.T) {
	for s, want := range map[string]Suite{
		"ECDHE-RSA-AES256-SHA":                 0xC014,
		"ecdhe-rsa-aes256-sha":                 0xC014,
		"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA":   0xC014,
		"tls-ecdhe-rsa-with-aes-256-cbc-sha":   0xC014, // Mbed TLS
		"TLS_ECDHE_RSA_AES_256_CBC_SHA1":       0xC014, // GnuTLS
		" ECDHE-RSA-AES256-SHA\n":              0xC014,
		"0xc014":                               0xC014,
		"0XC014":                               0xC014,
		"C014":                                 0xC014,
		"c014":                                 0xC014,
		"C0,14":                                0xC014,
		"0xC0,0x14":                            0xC014,
		"0xC0, 0x14":                           0xC014,
		"{0xC0,0x14}":                          0xC014,
		"c0:14":                                0xC014,
		"c0 14":                                0xC014,
		"0x2f":                                 0x002F,
		"0,2f":                                 0x002F,
		"TLS_AES_128_GCM_SHA256":               0x1301,
		"TLS-AES-128-GCM-SHA256":               0x1301, // AWS before 2023
		"TLS13-AES-128-GCM-SHA256":             0x1301,
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": 0xCCA8, // Go
		"ECDHE-RSA-CHACHA20-POLY1305-OLD":      0xCC13,
		"EDH-RSA-DES-CBC3-SHA":                 0x0016,
		"DHE-RSA-DES-CBC3-SHA":                 0x0016,
		"SSL_RSA_WITH_3DES_EDE_CBC_SHA":        0x000A, // Java
		"SSL_DH_anon_WITH_RC4_128_MD5":         0x0018, // Java
		"SSL_RSA_FIPS_WITH_3DES_EDE_CBC_SHA":   0xFEFF, // the later of two values
		"TLS_RSA_ARCFOUR_128_MD5":              0x0004,
		"TLS_EMPTY_RENEGOTIATION_INFO_SCSV":    0x00FF,
		"TLS_FALLBACK_SCSV":                    0x5600,
		"GOST-GOST89MAC":                       0xFF02,
		"GREASE":                               0x0A0A,
		"grease(0xfafa)":                       0xFAFA,
		"0xDADA":                               0xDADA,
		"0x1234":                               0x1234, // unknown
	} {
		if got, err := ParseSuite(s); got != want || err != nil {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "-", "ECDHE", "ECDHE-RSA-AES256-SHA-", "AES", "0x", "0x12345", "12345", "123", "c0,", ",14", "c0,114", "{c0,14", "0xG014",
		"GREASE(0x0A0B)", "GREASE(", "GREASE0x0A0A", "SSL_ECDHE", "SSL_", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,C0",
	} {
		got, err := ParseSuite(s)
		var unknown *unknownError
		if !errors.As(err, &unknown) || unknown.Name != s || got != 0 {
			t.Errorf("%q: got %v, %v, want an error that names it", s, got, err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]Version{
		"TLSv1.2": TLS12, "tlsv12": TLS12, "TLS 1.2": TLS12, "TLS1.2": TLS12, "tls1_2": TLS12, "TLS-1.2": TLS12, "VersionTLS12": TLS12,
		"1.2": TLS12, "0x0303": TLS12, "0303": TLS12, "3,3": TLS12, " TLSv1.2 ": TLS12,
		"TLSv1": TLS10, "TLSv1.0": TLS10, "tlsv10": TLS10, "1.0": TLS10, "TLSv1.1": TLS11, "1.1": TLS11, "TLSv1.3": TLS13, "1.3": TLS13,
		"SSLv3": SSL30, "ssl 3.0": SSL30, "SSLv2": SSL20, "0x0002": SSL20,
		"0x7F1C": 0x7F1C, "0x1A1A": 0x1A1A,
	} {
		if got, err := ParseVersion(s); got != want || err != nil {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-", "TLS", "TLSv1.4", "TLSv1.22", "1", "12", "QUIC", "TLSv1.2.3.4.5.6.7", "DTLSv1.2"} {
		if got, err := ParseVersion(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
	if !(SSL20 < SSL30 && TLS10 < TLS11 && TLS12 < TLS13) {
		t.Error("versions are out of order")
	}
}

func TestParseGroup(t *testing.T) {
	for s, want := range map[string]Group{
		"secp256r1": 23, "SECP256R1": 23, "prime256v1": 23, "P-256": 23, "CurveP256": 23, "0x0017": 23, "x25519": 29, "X25519": 29,
		"X25519MLKEM768": 0x11EC, "SecP256r1MLKEM768": 0x11EB, "SecP384r1MLKEM1024": 0x11ED, "ffdhe2048": 256, "GREASE": 0x0A0A,
		"0x9999": 0x9999,
	} {
		if got, err := ParseGroup(s); got != want || err != nil {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-", "secp", "P256r"} {
		if got, err := ParseGroup(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
	for g, want := range map[Group]bool{23: false, 29: false, 0x11EB: true, 0x11EC: true, 0x11ED: true, 0x0201: true, 0x9999: false, 0x0A0A: false} {
		if got := g.PostQuantum(); got != want {
			t.Errorf("%v: post-quantum %t", g, got)
		}
	}
}

func TestUnknownValues(t *testing.T) {
	s := Suite(0x1234)
	if s.String() != "0x1234" || s.Known() || s.IANA()+s.OpenSSL()+s.GnuTLS()+s.Go() != "" || s.Versions() != nil || s.Strength() != Unrated ||
		s.Authentication() != "" || s.UsableIn(0) || s.Reasons() != nil {
		t.Errorf("unknown suite %v has names or properties", s)
	}
	if got := Suite(0x2A2A); got.String() != "GREASE(0x2A2A)" || got.IANA() != "GREASE" || got.Known() || !got.IsGREASE() {
		t.Errorf("GREASE: %v, %s", got, got.IANA())
	}
	for _, s := range []Suite{0x2A1A, 0x2B2B, 0x0A0B} {
		if s.IsGREASE() {
			t.Errorf("%v is called GREASE", s.Hex())
		}
	}
	if got := Version(0x7F1C).String() + Group(0x9999).String() + Version(0x0A0A).String(); got != "0x7F1C0x9999GREASE(0x0A0A)" {
		t.Error(got)
	}
	if got := Strength(9).String() + Reason(99).String() + Reason(99).Text(); got != "Strength(9)Reason(99)Reason(99)" {
		t.Error(got)
	}
}

// TestTables checks the generated tables for the properties that the code
// relies on.
func TestTables(t *testing.T) {
	if !slices.IsSortedFunc(suites[:], func(a, b suiteRow) int { return int(a.suite) - int(b.suite) }) {
		t.Error("suites are out of order")
	}
	for name, index := range map[string]struct {
		n  int
		at func(int) string
	}{"suites": {len(suiteIndex), indexedSuiteName}, "groups": {len(groupIndex), indexedGroupName}} {
		for i := 1; i < index.n; i++ {
			if a, b := index.at(i-1), index.at(i); compare(a, b) >= 0 {
				t.Errorf("index of %s: %q is not before %q", name, a, b)
			}
		}
	}
	for _, s := range Suites() {
		if strong := s.Strength() == Strong; strong && (len(s.Reasons()) > 0 || !s.AEAD() || !s.ForwardSecrecy()) {
			t.Errorf("%v is strong, with reasons %v", s, s.Reasons())
		}
		if s.Strength() == Weak && len(s.Reasons()) == 0 {
			t.Errorf("%v is weak without a reason", s)
		}
		if s.ForwardSecrecy() == s.HasReason(NoForwardSecrecy) && !s.IsSignalling() {
			t.Errorf("%v: forward secrecy %t and reasons %v", s, s.ForwardSecrecy(), s.Reasons())
		}
		if s.IsSignalling() != (s.Versions() == nil) || s.IsSignalling() != (s.Strength() == Unrated) {
			t.Errorf("%v: signalling %t, versions %v, %v", s, s.IsSignalling(), s.Versions(), s.Strength())
		}
		if s.Authentication() == AuthAny != s.UsableIn(TLS13) {
			t.Errorf("%v: authentication %s, versions %v", s, s.Authentication(), s.Versions())
		}
	}
}

// TestNamesRoundTrip parses every name of every value.
func TestNamesRoundTrip(t *testing.T) {
	names := 0
	for _, s := range Suites() {
		for _, name := range []string{s.String(), s.Hex(), s.IANA(), s.OpenSSL(), s.GnuTLS(), s.Go()} {
			if name == "" || name == "SSL_RSA_FIPS_WITH_3DES_EDE_CBC_SHA" || name == "SSL_RSA_FIPS_WITH_DES_CBC_SHA" { // two values each
				continue
			}
			names++
			for _, spelt := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "_", "-")} {
				if got, err := ParseSuite(spelt); got != s || err != nil {
					t.Errorf("%q of %v: got %v, %v", spelt, s.Hex(), got, err)
				}
			}
		}
	}
	if names < 1000 {
		t.Errorf("only %d names", names)
	}
	for i := range groups {
		g := groups[i].group
		for _, name := range []string{g.String(), hex(uint16(g)), strings.ToUpper(g.String())} {
			if got, err := ParseGroup(name); got != g || err != nil {
				t.Errorf("%q of %v: got %v, %v", name, hex(uint16(g)), got, err)
			}
		}
	}
}

func TestAllValuesRoundTrip(t *testing.T) {
	for i := range 1 << 16 {
		s, g, v := Suite(i), Group(i), Version(i)
		s2, err1 := ParseSuite(s.String())
		g2, err2 := ParseGroup(g.String())
		v2, err3 := ParseVersion(v.String())
		if s2 != s && s != 0xFFE0 && s != 0xFFE1 || g2 != g || v2 != v || errors.Join(err1, err2, err3) != nil {
			t.Fatalf("%#04x: got %v %v %v, %v %v %v", i, s2, g2, v2, err1, err2, err3)
		}
	}
}

func TestAllocations(t *testing.T) {
	var s Suite
	for _, name := range []string{"ECDHE-RSA-AES256-SHA", "TLS_AES_128_GCM_SHA256", "0xC014", "SSL_RSA_WITH_RC4_128_MD5"} {
		if n := testing.AllocsPerRun(100, func() { s, _ = ParseSuite(name) }); n != 0 {
			t.Errorf("ParseSuite(%s) allocates %v times", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { ParseVersion("TLSv1.2"); ParseGroup("secp256r1"); _ = s.String() }); n != 0 {
		t.Errorf("versions, groups and names allocate %v times", n)
	}
}

func TestGo(t *testing.T) {
	if got := Suite(tls.TLS_FALLBACK_SCSV).Go(); got != "TLS_FALLBACK_SCSV" {
		t.Errorf("TLS_FALLBACK_SCSV is called %q", got)
	}
	for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		s := Suite(c.ID)
		if got, err := ParseSuite(c.Name); got != s || err != nil {
			t.Errorf("%s is %v, %v", c.Name, got, err)
		}
		if s.Go() != c.Name {
			t.Errorf("%s is called %q", c.Name, s.Go())
		}
		if weak := s.Strength() < Strong; c.Insecure && !weak {
			t.Errorf("%s: insecure in Go, %v here", c.Name, s.Strength())
		}
		for _, v := range []Version{TLS10, TLS11, TLS12, TLS13} {
			if got, want := s.UsableIn(v), slices.Contains(c.SupportedVersions, uint16(v)); got != want {
				t.Errorf("%s in %v: %t, in Go %t", c.Name, v, got, want)
			}
		}
	}
	for _, g := range []tls.CurveID{
		tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519, tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
	} {
		if got, err := ParseGroup(g.String()); got != Group(g) || err != nil {
			t.Errorf("%v is %v, %v", g, got, err)
		}
	}
}

// TestOpenSSL compares every column of `openssl ciphers`.
func TestOpenSSL(t *testing.T) {
	out, err := exec.Command("openssl", "ciphers", "-V", "-stdname", "ALL:@SECLEVEL=0").Output()
	if err != nil {
		t.Skipf("SKIPPED: openssl does not list its suites with standard names (%v): no name was compared with it", err)
	}
	row := regexp.MustCompile(`(?m)^\s*0x(..),0x(..) - (\S+)\s+- (\S+)\s+(\S+)\s+Kx=(\S+)\s+Au=(\S+)\s+Enc=(\w+)(?:/\w+)?(?:\((\d+)\))?\s+Mac=(\S+)\s*$`)
	rows := row.FindAllStringSubmatch(string(out), -1)
	if len(rows) < 50 || len(rows) != strings.Count(string(out), "\n") {
		t.Fatalf("parsed %d rows of\n%s", len(rows), out)
	}
	for _, r := range rows {
		s, err := ParseSuite(r[1] + "," + r[2])
		if err != nil || !s.Known() {
			t.Errorf("%s: unknown, %v", r[0], err)
			continue
		}
		kx, mac := s.KeyExchange(), s.MAC()
		if kx = strings.ReplaceAll(kx, "_", ""); kx == "DHE" || kx == "ECDHE" {
			kx = strings.TrimSuffix(kx, "E")
		}
		if s == 0xC102 || kx == "GOST" { // engines add these
			continue
		}
		if s.HasReason(Export) {
			kx += fmt.Sprintf("(%d)", s.KeyBits())
		}
		auth := strings.NewReplacer("NONE", "None").Replace(s.Authentication())
		enc, bits := s.Encryption(), fmt.Sprint(s.KeyBits())
		for _, spelling := range [][2]string{
			{"AES_128_GCM", "AESGCM"}, {"AES_256_GCM", "AESGCM"}, {"AES_128_CCM_8", "AESCCM8"}, {"AES_256_CCM_8", "AESCCM8"},
			{"AES_128_CCM", "AESCCM"}, {"AES_256_CCM", "AESCCM"}, {"AES_128_CBC", "AES"}, {"AES_256_CBC", "AES"},
			{"ARIA_128_GCM", "ARIAGCM"}, {"ARIA_256_GCM", "ARIAGCM"}, {"CAMELLIA_128_CBC", "Camellia"}, {"CAMELLIA_256_CBC", "Camellia"},
			{"CHACHA20_POLY1305", "CHACHA20"}, {"3DES_EDE_CBC", "3DES"}, {"SEED_CBC", "SEED"}, {"IDEA_CBC", "IDEA"}, {"RC4_128", "RC4"}, {"NULL", "None"},
		} {
			if enc == spelling[0] {
				enc = spelling[1]
			}
		}
		if enc == "3DES" {
			bits = "168" // the length of the key, not its effective length
		}
		if enc == "None" {
			bits = ""
		}
		if mac == "SHA" {
			mac = "SHA1"
		}
		version := s.Versions()[0].String()
		if version == "TLSv1" && r[5] == "SSLv3" {
			version = "SSLv3" // OpenSSL also allows suites in SSL 3.0 that RFCs define for TLS
		}
		got := []string{s.IANA(), s.OpenSSL(), version, kx, auth, enc, bits, mac}
		if want := r[3:]; !slices.Equal(got, want) {
			t.Errorf("%s:\n got  %q\n want %q", r[4], got, want)
		}
		for _, name := range r[3:5] {
			if got, err := ParseSuite(name); got != s || err != nil {
				t.Errorf("%s is %v, %v", name, got, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "0xC014", "c0,14", "{0xC0,0x14}", "GREASE(0x0A0A)", "SSL_RSA_WITH_RC4_128_MD5",
		"TLSv1.2", "tls1_3", "VersionTLS12", "X25519MLKEM768", "prime256v1", "0x", "{", ",", "-", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		suite, err := ParseSuite(s)
		check(t, suite, err, s, ParseSuite)
		version, err := ParseVersion(s)
		check(t, version, err, s, ParseVersion)
		group, err := ParseGroup(s)
		check(t, group, err, s, ParseGroup)
	})
}

func check[T interface {
	fmt.Stringer
	comparable
}](t *testing.T, got T, err error, s string, parse func(string) (T, error)) {
	var zero T
	if err != nil {
		if unknown, ok := errors.AsType[*unknownError](err); !ok || unknown.Name != s || got != zero {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
		return
	}
	for _, spelt := range []string{got.String(), " " + s, strings.ToUpper(s)} {
		// ToUpper may turn a letter beyond ASCII into one within.
		if again, err := parse(spelt); again != got && !strings.HasPrefix(got.String(), "SSL_RSA_FIPS") || err != nil {
			t.Errorf("%q is %v, but %q is %v, %v", s, got, spelt, again, err)
		}
	}
}

func BenchmarkParseSuite(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseSuite("ECDHE-RSA-AES256-GCM-SHA384"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMap looks the same name up in a map, for comparison.
func BenchmarkMap(b *testing.B) {
	m := map[string]Suite{}
	for _, s := range Suites() {
		m[s.OpenSSL()] = s
	}
	b.ReportAllocs()
	for b.Loop() {
		if m["ECDHE-RSA-AES256-GCM-SHA384"] == 0 {
			b.Fatal()
		}
	}
}
