package report

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"

	"tlswatch/pkg/tlsname"
)

// client is how the Result names an address: itself, its block or a hash.
func (c *Collector) client(a addr) string {
	if a == (addr{}) {
		return "-"
	}
	ip := a.ip()
	bits := orAll(c.o.IPv6Prefix, 128)
	if ip.Is4() {
		bits = orAll(c.o.IPv4Prefix, 32)
	}
	p := netip.PrefixFrom(ip, bits)
	name := ip.String()
	if !p.IsSingleIP() {
		name = p.String()
	}
	return c.pseudonym("client", name)
}

// pseudonym replaces a name by a hash if there is an AnonymizeKey.
func (c *Collector) pseudonym(kind, name string) string {
	if len(c.o.AnonymizeKey) == 0 {
		return name
	}
	h := hmac.New(sha256.New, c.o.AnonymizeKey)
	h.Write([]byte(kind + ":" + name))
	return kind + "-" + hex.EncodeToString(h.Sum(nil)[:6])
}

// dash replaces a missing value as the log does.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// strength rates a cipher suite, "" if it is unknown.
func strength(cipher string) string {
	s, err := tlsname.ParseSuite(cipher)
	if err != nil || s.Strength() == tlsname.Unrated {
		return ""
	}
	return s.Strength().String()
}

func postQuantum(group string) bool {
	g, err := tlsname.ParseGroup(group)
	return err == nil && g.PostQuantum()
}
