package tlswire

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tlswatch/pkg/tlsname"
)

// JA3 returns the fingerprint of Salesforce's JA3: the MD5 of version, cipher
// suites, extensions, groups and point formats, in decimal, without GREASE.
func (h *ClientHello) JA3() string {
	sum := md5.Sum([]byte(h.ja3()))
	return hex.EncodeToString(sum[:])
}

func (h *ClientHello) ja3() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(int(h.LegacyVersion)))
	for _, list := range [][]uint16{
		withoutGREASE(h.CipherSuites), h.extensionTypes(), withoutGREASE(h.Groups), widened(h.pointFormats),
	} {
		b.WriteByte(',')
		for i, v := range list {
			if i > 0 {
				b.WriteByte('-')
			}
			b.WriteString(strconv.Itoa(int(v)))
		}
	}
	return b.String()
}

// JA4 returns the JA4 fingerprint of FoxIO's specification for TLS over TCP,
// such as t13d1516h2_8daaf6152771_e5627efa2ab1. Unlike JA3, it does not depend on the
// order of cipher suites and extensions.
func (h *ClientHello) JA4() string {
	suites := withoutGREASE(h.CipherSuites)
	extensions := h.extensionTypes()
	name := "i"
	if h.has(extServerName) {
		name = "d"
	}
	a := fmt.Sprintf("t%s%s%02d%02d%s", h.ja4Version(), name, min(len(suites), 99), min(len(extensions), 99), h.ja4ALPN())

	slices.Sort(suites)
	extensions = slices.DeleteFunc(extensions, func(t uint16) bool {
		return t == uint16(extServerName) || t == uint16(extALPN)
	})
	slices.Sort(extensions)
	c := hexList(extensions)
	if schemes := withoutGREASE(h.SignatureSchemes); len(schemes) > 0 {
		c += "_" + hexList(schemes)
	}
	return a + "_" + ja4Hash(hexList(suites)) + "_" + ja4Hash(c)
}

func (h *ClientHello) ja4Version() string {
	version := uint16(h.LegacyVersion)
	if offered := withoutGREASE(h.SupportedVersions); len(offered) > 0 {
		version = slices.Max(offered)
	}
	switch version {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	}
	return "00"
}

// ja4ALPN is the first and last character of the first protocol, or of its
// hexadecimal form if one of them is not a letter or digit.
func (h *ClientHello) ja4ALPN() string {
	if len(h.ALPN) == 0 {
		return "00"
	}
	protocol := h.ALPN[0]
	first, last := protocol[0], protocol[len(protocol)-1]
	if alphanumeric(first) && alphanumeric(last) {
		return string([]byte{first, last})
	}
	text := hex.EncodeToString([]byte(protocol))
	return text[:1] + text[len(text)-1:]
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// ja4Hash returns the first six bytes of a SHA-256, or zeros for an empty list.
func ja4Hash(list string) string {
	if list == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(list))
	return hex.EncodeToString(sum[:6])
}

func hexList(values []uint16) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%04x", v)
	}
	return b.String()
}

func (h *ClientHello) extensionTypes() []uint16 {
	types := make([]ExtensionType, len(h.Extensions))
	for i, e := range h.Extensions {
		types[i] = e.Type
	}
	return withoutGREASE(types)
}

func withoutGREASE[T tlsname.Version | tlsname.Suite | tlsname.Group | ExtensionType | tlsname.SignatureScheme](values []T) []uint16 {
	var kept []uint16
	for _, v := range values {
		if !tlsname.IsGREASE(uint16(v)) {
			kept = append(kept, uint16(v))
		}
	}
	return kept
}

func widened(values []uint8) []uint16 {
	wide := make([]uint16, len(values))
	for i, v := range values {
		wide[i] = uint16(v)
	}
	return wide
}
