// Package tlsname translates between the numbers and names of TLS protocol
// versions, cipher suites, named groups, signature schemes and alerts, in the
// spellings of IANA, OpenSSL, GnuTLS, Go and Elastic Load Balancing's logs and
// policies. It also lists the weaknesses of each suite.
//
// Every type holds the value on the wire. A value without a name prints as its
// number. GREASE values, which clients send to test that servers ignore unknown
// values (RFC 8701), print as GREASE. The tables are generated from the data in
// internal/dev/tlsnamegen. Look-ups do not allocate.
package tlsname

import (
	"fmt"
	"sort"
	"strings"
)

//go:generate go run ../../internal/dev/tlsnamegen -o tables.go

// An unknownError reports an unknown name.
type unknownError struct {
	Kind string // "TLS version", "cipher suite" or "named group"
	Name string
}

func (e *unknownError) Error() string { return fmt.Sprintf("unknown %s %q", e.Kind, e.Name) }

// An index lists names in the order of compare. An element is the row of the
// table, or of the aliases, shifted left by two bits, plus the column of the name
// in the row, or aliasColumn.
const aliasColumn = 3

// alias is a further name of a value in the table.
type alias[T any] struct {
	name  string
	value T
}

// search finds a name among n names, which nameAt returns in the order of
// compare.
func search(name string, n int, nameAt func(int) string) (int, bool) {
	return sort.Find(n, func(i int) int { return compare(name, nameAt(i)) })
}

// compare ignores case and treats an underscore as a hyphen: some programs write
// TLS-RSA-WITH-AES-128-CBC-SHA, and AWS once wrote TLS-AES-128-GCM-SHA256.
func compare(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := fold(a[i]), fold(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

func fold(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z':
		return c - 'a' + 'A'
	case c == '_':
		return '-'
	}
	return c
}

// parseValue parses two bytes in the forms that people and tools use: 0xC02F,
// c02f, C0,2F, 0xC0,0x2F, {0xC0,0x2F}, c0:2f, and 0x2f for 0x002F. Four digits
// alone are hexadecimal.
func parseValue(s string) (uint16, bool) {
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		if s, ok = strings.CutSuffix(inner, "}"); !ok {
			return 0, false
		}
	}
	if i := strings.IndexAny(s, ",: "); i >= 0 {
		high, ok1 := parseHex(s[:i], 1, 2)
		low, ok2 := parseHex(strings.TrimLeft(s[i+1:], " "), 1, 2)
		return high<<8 | low, ok1 && ok2
	}
	return parseHex(s, 4, 4)
}

// parseHex parses 1 to most hexadecimal digits after 0x, or least to most without
// it.
func parseHex(s string, least, most int) (uint16, bool) {
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		s, least = s[2:], 1
	}
	if len(s) < least || len(s) > most {
		return 0, false
	}
	var v uint16
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		v = v<<4 | uint16(c)
	}
	return v, true
}

func hex(v uint16) string { return fmt.Sprintf("0x%04X", v) }

const grease = "GREASE"

// IsGREASE reports whether v is one of the reserved values of RFC 8701, section
// 2: 0x0A0A, 0x1A1A to 0xFAFA.
func IsGREASE(v uint16) bool { return v&0x0F0F == 0x0A0A && v>>8 == v&0xFF }

// greaseName formats a GREASE value so that parseGREASE can read it.
func greaseName(v uint16) string { return grease + "(" + hex(v) + ")" }

// parseGREASE parses the form of greaseName, and GREASE alone as the first
// value.
func parseGREASE(s string) (uint16, bool) {
	if len(s) < len(grease) || compare(s[:len(grease)], grease) != 0 {
		return 0, false
	}
	s = s[len(grease):]
	if s == "" {
		return 0x0A0A, true
	}
	if len(s) < 2 || s[0] != '(' || s[len(s)-1] != ')' {
		return 0, false
	}
	v, ok := parseHex(s[1:len(s)-1], 4, 4)
	return v, ok && IsGREASE(v)
}
