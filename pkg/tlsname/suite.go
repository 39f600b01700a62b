package tlsname

import "strings"

// A Suite is a cipher suite as it is on the wire (RFC 8446, appendix B.4).
type Suite uint16

// suiteRow is what the tables have of a suite. Names may be missing.
type suiteRow struct {
	suite                 Suite
	iana, openssl, gnutls string
	keyExchange, auth     uint8 // of the tables of these names
	encryption, mac       uint8
	bits                  uint16
	min, max              Version
	strength              Strength
	reasons               uint16 // a bit for each Reason
	flags                 uint8
}

const (
	aead = 1 << iota
	forwardSecrecy
	inGo
	signalling
)

// row returns what is known of s; an empty row if nothing.
func (s Suite) row() *suiteRow {
	low, high := 0, len(suites)
	for low < high {
		if i := (low + high) / 2; suites[i].suite < s {
			low = i + 1
		} else {
			high = i
		}
	}
	if low < len(suites) && suites[low].suite == s {
		return &suites[low]
	}
	return &noSuite
}

var noSuite suiteRow

// Suites returns the known suites, signalling values included, by value.
// GREASE is not among them.
func Suites() []Suite {
	list := make([]Suite, len(suites))
	for i := range suites {
		list[i] = suites[i].suite
	}
	return list
}

// ParseSuite reads a cipher suite by any name of it (IANA, OpenSSL, GnuTLS, Go,
// Java, historic ones), with hyphens or underscores, whatever the case, or by
// its number: 0xC02F, c02f, C0,2F, {0xC0,0x2F}. A number may be of an unknown
// suite.
func ParseSuite(s string) (Suite, error) {
	name := strings.TrimSpace(s)
	if suite, ok := suiteByName(name); ok {
		return suite, nil
	}
	// Java kept the first name of suites that are as old as SSL.
	if old := cutPrefixFold(name, "SSL_"); old != name {
		var buf [64]byte
		if suite, ok := suiteByName(string(append(append(buf[:0], "TLS_"...), old...))); ok {
			return suite, nil
		}
	}
	if v, ok := parseGREASE(name); ok {
		return Suite(v), nil
	}
	if v, ok := parseValue(name); ok {
		return Suite(v), nil
	}
	return 0, &unknownError{"cipher suite", s}
}

func suiteByName(name string) (Suite, bool) {
	i, ok := search(name, len(suiteIndex), indexedSuiteName)
	if !ok {
		return 0, false
	}
	at := suiteIndex[i] >> 2
	if suiteIndex[i]&3 == aliasColumn {
		return suiteAliases[at].value, true
	}
	return suites[at].suite, true
}

func indexedSuiteName(i int) string {
	at := suiteIndex[i] >> 2
	switch suiteIndex[i] & 3 {
	case 0:
		return suites[at].iana
	case 1:
		return suites[at].openssl
	case 2:
		return suites[at].gnutls
	}
	return suiteAliases[at].name
}

// String is the suite as connection logs and security policies have it: by the
// OpenSSL name, which is IANA's for TLS 1.3; else by the IANA name, or by its
// number.
func (s Suite) String() string {
	switch row := s.row(); {
	case row.openssl != "":
		return row.openssl
	case row.iana != "":
		return row.iana
	case s.IsGREASE():
		return greaseName(uint16(s))
	}
	return s.Hex()
}

// Hex is the number, such as 0xC02F.
func (s Suite) Hex() string { return hex(uint16(s)) }

// IANA is the name in the registry "TLS Cipher Suites", or of a draft; it is
// GREASE for what the registry reserves as such, and empty if there is none.
func (s Suite) IANA() string {
	if s.IsGREASE() {
		return grease
	}
	return s.row().iana
}

// OpenSSL is the name that OpenSSL has, or had in a version that knew the
// suite; empty if there is none.
func (s Suite) OpenSSL() string { return s.row().openssl }

// GnuTLS is the name that GnuTLS has, empty if it does not know the suite.
func (s Suite) GnuTLS() string { return s.row().gnutls }

// Go is the name of the constant in crypto/tls, empty if there is none.
func (s Suite) Go() string {
	if row := s.row(); row.flags&inGo != 0 {
		return row.iana
	}
	return ""
}

// Known reports whether the tables have s, as a suite or signalling value.
// GREASE is recognised but not known.
func (s Suite) Known() bool { return s.row() != &noSuite }

// IsGREASE reports whether s is one of the values without meaning of RFC 8701.
func (s Suite) IsGREASE() bool { return IsGREASE(uint16(s)) }

// IsSignalling reports whether s is not a suite but a message of the client in
// place of one: that it knows secure renegotiation (RFC 5746) or that it has
// fallen back to a lower version (RFC 7507).
func (s Suite) IsSignalling() bool { return s.row().flags&signalling != 0 }

// UsableIn reports whether s may be negotiated in version v.
func (s Suite) UsableIn(v Version) bool {
	row := s.row()
	return row.max != 0 && row.min <= v && v <= row.max
}

// Versions are those that s may be negotiated in, oldest first; none if s is no
// known suite.
func (s Suite) Versions() []Version {
	row := s.row()
	if row.max == 0 {
		return nil
	}
	list := make([]Version, 0, row.max-row.min+1)
	for v := row.min; v <= row.max; v++ {
		list = append(list, v)
	}
	return list
}

// Values of Authentication that matter for the certificate of a server.
const (
	AuthAny   = "any" // the certificate may be of either kind: TLS 1.3
	AuthRSA   = "RSA"
	AuthECDSA = "ECDSA"
)

// Authentication says by what the server shows who it is, mostly the kind of
// key that its certificate has: AuthRSA, AuthECDSA, AuthAny, or DSS, PSK, SRP,
// NONE (anonymous) and rarer ones. Empty if s is not a known suite.
func (s Suite) Authentication() string { return authentications[s.row().auth] }

// KeyExchange is the method of key exchange: ECDHE, DHE, RSA, ECDH, DH, PSK,
// any (TLS 1.3, where the named group says it) and rarer ones. Empty if s is no
// known suite.
func (s Suite) KeyExchange() string { return keyExchanges[s.row().keyExchange] }

// Encryption is the cipher with its mode, such as AES_128_GCM or
// CHACHA20_POLY1305. Empty if s is not a known suite.
func (s Suite) Encryption() string { return encryptions[s.row().encryption] }

// KeyBits is the effective length of the encryption key.
func (s Suite) KeyBits() int { return int(s.row().bits) }

// MAC is what protects integrity: SHA, SHA256, SHA384, MD5 and rarer ones, or
// AEAD where the encryption does. Empty if s is not a known suite.
func (s Suite) MAC() string { return macs[s.row().mac] }

// AEAD reports whether encryption and integrity are one (RFC 5116).
func (s Suite) AEAD() bool { return s.row().flags&aead != 0 }

// ForwardSecrecy reports whether connections stay secret when the server's
// private key becomes known later.
func (s Suite) ForwardSecrecy() bool { return s.row().flags&forwardSecrecy != 0 }
