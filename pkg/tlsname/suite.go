package tlsname

import "strings"

// A Suite is a cipher suite, with its value on the wire (RFC 8446, appendix B.4).
type Suite uint16

// suiteRow is a suite's row in the table. A missing name is "".
type suiteRow struct {
	suite                 Suite
	iana, openssl, gnutls string
	keyExchange, auth     uint8 // indexes of keyExchanges and authentications
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

// row returns the row of s in the table, noSuite if there is none.
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

// Suites returns the known suites and signalling values, sorted by value, without
// GREASE.
func Suites() []Suite {
	list := make([]Suite, len(suites))
	for i := range suites {
		list[i] = suites[i].suite
	}
	return list
}

// ParseSuite parses any name of a cipher suite (IANA, OpenSSL, GnuTLS, Go, Java
// or historic), with hyphens or underscores, in any case, or its number: 0xC02F,
// c02f, C0,2F, {0xC0,0x2F}. The number of an unknown suite is no error.
func ParseSuite(s string) (Suite, error) {
	name := strings.TrimSpace(s)
	if suite, ok := suiteByName(name); ok {
		return suite, nil
	}
	// Java still names the oldest suites SSL_.
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

// String returns the name that connection logs and security policies use: the
// OpenSSL name, which is the IANA name for TLS 1.3. Without one it is the IANA
// name, or the number.
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

// Hex returns the number, such as 0xC02F.
func (s Suite) Hex() string { return hex(uint16(s)) }

// IANA returns the name in the registry "TLS Cipher Suites" or in a draft, GREASE
// for a GREASE value, "" if there is none.
func (s Suite) IANA() string {
	if s.IsGREASE() {
		return grease
	}
	return s.row().iana
}

// OpenSSL returns the name in OpenSSL, or in the last version that supported the
// suite, "" if there is none.
func (s Suite) OpenSSL() string { return s.row().openssl }

// GnuTLS returns the name in GnuTLS, "" if there is none.
func (s Suite) GnuTLS() string { return s.row().gnutls }

// Go returns the name of the constant in crypto/tls, "" if there is none.
func (s Suite) Go() string {
	if row := s.row(); row.flags&inGo != 0 {
		return row.iana
	}
	return ""
}

// Known reports whether s is a known suite or signalling value. A GREASE value is
// not.
func (s Suite) Known() bool { return s.row() != &noSuite }

// IsGREASE reports whether s is one of the reserved values of RFC 8701.
func (s Suite) IsGREASE() bool { return IsGREASE(uint16(s)) }

// IsSignalling reports whether s is not a suite but a signal from the client:
// that it supports secure renegotiation (RFC 5746) or that it has fallen back to
// a lower version (RFC 7507).
func (s Suite) IsSignalling() bool { return s.row().flags&signalling != 0 }

// UsableIn reports whether s can be negotiated in version v.
func (s Suite) UsableIn(v Version) bool {
	row := s.row()
	return row.max != 0 && row.min <= v && v <= row.max
}

// Versions returns the versions that s can be negotiated in, oldest first, none
// for an unknown suite.
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

// Values of Authentication for suites that use a server certificate.
const (
	AuthAny   = "any" // TLS 1.3: a certificate of either kind
	AuthRSA   = "RSA"
	AuthECDSA = "ECDSA"
)

// Authentication returns how the server authenticates, normally the kind of key
// in its certificate: AuthRSA, AuthECDSA, AuthAny, DSS, PSK, SRP, NONE (anonymous)
// or a rarer one. It is "" for an unknown suite.
func (s Suite) Authentication() string { return authentications[s.row().auth] }

// KeyExchange returns the key exchange method: ECDHE, DHE, RSA, ECDH, DH, PSK,
// any (TLS 1.3, where the named group decides) or a rarer one. It is "" for an
// unknown suite.
func (s Suite) KeyExchange() string { return keyExchanges[s.row().keyExchange] }

// Encryption returns the cipher and its mode, such as AES_128_GCM or
// CHACHA20_POLY1305. It is "" for an unknown suite.
func (s Suite) Encryption() string { return encryptions[s.row().encryption] }

// KeyBits returns the effective length of the encryption key in bits.
func (s Suite) KeyBits() int { return int(s.row().bits) }

// MAC returns the algorithm that protects integrity: SHA, SHA256, SHA384, MD5, a
// rarer one, or AEAD where the encryption does it. It is "" for an unknown suite.
func (s Suite) MAC() string { return macs[s.row().mac] }

// AEAD reports whether the encryption also protects integrity (RFC 5116).
func (s Suite) AEAD() bool { return s.row().flags&aead != 0 }

// ForwardSecrecy reports whether recorded connections stay secret if the
// server's private key leaks later.
func (s Suite) ForwardSecrecy() bool { return s.row().flags&forwardSecrecy != 0 }
