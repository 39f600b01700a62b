package tlsname

import "strings"

// A Version is a protocol version, with its value on the wire (RFC 8446, section
// 4.1.2). A later known version is greater.
type Version uint16

// Protocol versions.
const (
	SSL20 Version = 0x0002
	SSL30 Version = 0x0300
	TLS10 Version = 0x0301
	TLS11 Version = 0x0302
	TLS12 Version = 0x0303
	TLS13 Version = 0x0304
)

// String returns the name that connection logs and security policies use, such
// as TLSv1.2. They call TLS 1.0 TLSv1.
func (v Version) String() string {
	switch v {
	case SSL20:
		return "SSLv2"
	case SSL30:
		return "SSLv3"
	case TLS10:
		return "TLSv1"
	case TLS11:
		return "TLSv1.1"
	case TLS12:
		return "TLSv1.2"
	case TLS13:
		return "TLSv1.3"
	}
	if IsGREASE(uint16(v)) {
		return greaseName(uint16(v))
	}
	return v.Hex()
}

// Hex returns the number, such as 0x0303.
func (v Version) Hex() string { return hex(uint16(v)) }

// Known reports whether v is a version of SSL or TLS.
func (v Version) Known() bool { return v == SSL20 || SSL30 <= v && v <= TLS13 }

// ParseVersion parses the forms that logs, policies, programs and people use:
// TLSv1.2, tlsv12 (Network Load Balancers), TLS 1.2, tls1_2, VersionTLS12, 1.2,
// 0x0303, 03,03. The number of an unknown version is no error.
func ParseVersion(s string) (Version, error) {
	trimmed := strings.TrimSpace(s)
	var buf [8]byte // longer than any name without the dropped characters
	name := buf[:0]
	for _, c := range []byte(cutPrefixFold(trimmed, "version")) {
		switch {
		case c == '.' || c == '_' || c == '-' || c == ' ' || c|0x20 == 'v':
			continue
		case len(name) == cap(name):
			return parseVersionNumber(s, trimmed)
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		name = append(name, c)
	}
	switch string(name) {
	case "ssl2", "ssl20":
		return SSL20, nil
	case "ssl3", "ssl30":
		return SSL30, nil
	case "tls1", "tls10":
		return TLS10, nil
	case "tls11":
		return TLS11, nil
	case "tls12":
		return TLS12, nil
	case "tls13":
		return TLS13, nil
	}
	switch trimmed {
	case "1.0":
		return TLS10, nil
	case "1.1":
		return TLS11, nil
	case "1.2":
		return TLS12, nil
	case "1.3":
		return TLS13, nil
	}
	return parseVersionNumber(s, trimmed)
}

func parseVersionNumber(s, trimmed string) (Version, error) {
	if v, ok := parseGREASE(trimmed); ok {
		return Version(v), nil
	}
	if v, ok := parseValue(trimmed); ok {
		return Version(v), nil
	}
	return 0, &unknownError{"TLS version", s}
}

func cutPrefixFold(s, prefix string) string {
	if len(s) >= len(prefix) && compare(s[:len(prefix)], prefix) == 0 {
		return s[len(prefix):]
	}
	return s
}
