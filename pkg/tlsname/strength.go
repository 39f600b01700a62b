package tlsname

import "fmt"

// A Strength rates the protection of a suite. A stronger one is greater.
type Strength uint8

const (
	Unrated  Strength = iota // unknown suite or signalling value
	Insecure                 // no encryption or breakable encryption, no authentication, RC4, MD5
	Weak                     // has known weaknesses, but is not broken in practice: see Reasons
	Strong                   // ephemeral key exchange and authenticated encryption
)

func (s Strength) String() string {
	switch s {
	case Unrated:
		return "unrated"
	case Insecure:
		return "insecure"
	case Weak:
		return "weak"
	case Strong:
		return "strong"
	}
	return fmt.Sprintf("Strength(%d)", uint8(s))
}

// A Reason is a weakness of a suite.
type Reason uint8

// Reasons, most serious first.
const (
	NullEncryption Reason = iota
	Anonymous
	Export
	RC4
	RC2
	DES
	MD5
	SmallBlock
	NoForwardSecrecy
	CBC
	SHA1MAC
	ShortTag
	NotRegistered
	reasonCount int = iota
)

var reasonTexts = [reasonCount]struct{ id, text string }{
	NullEncryption:   {"null-encryption", "no encryption"},
	Anonymous:        {"anonymous", "neither side is authenticated: open to man-in-the-middle attacks"},
	Export:           {"export", "keys shortened for the export rules of the 1990s (FREAK, Logjam)"},
	RC4:              {"rc4", "RC4 is biased and prohibited in TLS (RFC 7465)"},
	RC2:              {"rc2", "RC2 is obsolete"},
	DES:              {"des", "56-bit DES keys can be found by brute force (RFC 5469)"},
	MD5:              {"md5", "MD5 is broken"},
	SmallBlock:       {"64-bit-block", "64-bit blocks collide in long connections (Sweet32)"},
	NoForwardSecrecy: {"no-forward-secrecy", "anyone who obtains the server's key can decrypt earlier recordings"},
	CBC:              {"cbc", "CBC mode has a history of padding attacks (BEAST, Lucky 13)"},
	SHA1MAC:          {"sha1-mac", "integrity relies on SHA-1, which is being phased out"},
	ShortTag:         {"short-tag", "an 8-byte tag makes forgery easier"},
	NotRegistered:    {"not-iana-registered", "not registered with IANA: a draft or private use"},
}

// String returns the identifier, such as no-forward-secrecy.
func (r Reason) String() string {
	if int(r) < reasonCount {
		return reasonTexts[r].id
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Text returns a clause for people.
func (r Reason) Text() string {
	if int(r) < reasonCount {
		return reasonTexts[r].text
	}
	return r.String()
}

// Strength rates the suite alone: a weak key or group can still weaken a
// connection.
func (s Suite) Strength() Strength { return s.row().strength }

// Reasons returns the weaknesses of s, most serious first. A strong suite has
// none.
func (s Suite) Reasons() []Reason {
	set := s.row().reasons
	var list []Reason
	for r := range Reason(reasonCount) {
		if set&(1<<r) != 0 {
			list = append(list, r)
		}
	}
	return list
}

// HasReason reports whether s has the weakness r.
func (s Suite) HasReason(r Reason) bool { return s.row().reasons&(1<<r) != 0 }
