// Package prelude recognizes what a client may send before its ClientHello: a PROXY
// header, a request for a tunnel (HTTP CONNECT, SOCKS), or a dialog in plain text that
// ends with a request for TLS, such as STARTTLS. It decides by the bytes of the client
// alone.
package prelude

import (
	"bytes"
	"net/netip"
)

// maxLen is the length of the longest prelude that is recognized, in bytes.
const maxLen = 8 << 10

// A Prelude is what precedes a ClientHello.
type Prelude struct {
	// Name is the protocol and, of a dialog, the request: "PROXY v1", "HTTP CONNECT",
	// "SOCKS5", "SMTP STARTTLS".
	Name string
	// Client and Server are the ends of the connection that a PROXY header is about. They
	// are invalid if it has none (UNKNOWN and LOCAL: a check by the proxy itself).
	Client, Server netip.AddrPort
	// Target is the host and port that a tunnel is asked for.
	Target string
}

// Proxy reports whether the prelude is a PROXY header.
func (p Prelude) Proxy() bool { return p.Name == proxyV1 || p.Name == proxyV2 }

// Tunnel reports whether the prelude is a request for a tunnel.
func (p Prelude) Tunnel() bool { return p.Name == connect || p.Name == socks4 || p.Name == socks5 }

// Next returns the prelude at the start of b, and its length. The length is 0 if there is
// none, or if more bytes are needed to decide.
func Next(b []byte) (p Prelude, n int, more bool) {
	for _, parse := range []func([]byte) (Prelude, int, bool){proxy, tunnel, socks, binaryRequest, xmpp, dialog} {
		if p, n, more = parse(b); n > 0 || more {
			return p, n, more && len(b) < maxLen
		}
	}
	return Prelude{}, 0, false
}

// begins reports whether b begins with what, or is the start of it.
func begins(b []byte, what string) bool {
	n := min(len(b), len(what))
	return string(b[:n]) == what[:n]
}

const (
	connect   = "HTTP CONNECT"
	maxTarget = 512 // more than any host name and port
)

// tunnel parses a CONNECT request, RFC 9110, Section 9.3.6.
func tunnel(b []byte) (Prelude, int, bool) {
	const method = "CONNECT "
	if !begins(b, method) {
		return Prelude{}, 0, false
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return Prelude{}, 0, true
	}
	target, _, _ := bytes.Cut(b[len(method):], []byte(" "))
	return Prelude{Name: connect, Target: string(target[:min(len(target), maxTarget)])}, end + 4, false
}
