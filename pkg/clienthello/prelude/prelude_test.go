package prelude

import (
	"net/netip"
	"strings"
	"testing"
)

// samples are what clients of each protocol send before their ClientHello.
var samples = []struct {
	sent string
	want []Prelude
}{
	{"PROXY TCP4 192.0.2.1 192.0.2.2 51000 443\r\n", []Prelude{{Name: "PROXY v1", Client: netip.MustParseAddrPort("192.0.2.1:51000"), Server: netip.MustParseAddrPort("192.0.2.2:443")}}},
	{"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", []Prelude{{Name: "PROXY v1", Client: netip.MustParseAddrPort("[2001:db8::1]:1"), Server: netip.MustParseAddrPort("[2001:db8::2]:2")}}},
	{"PROXY UNKNOWN\r\n", []Prelude{{Name: "PROXY v1"}}},
	{signature2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\xc7\x38\x01\xbb",
		[]Prelude{{Name: "PROXY v2", Client: netip.MustParseAddrPort("192.0.2.1:51000"), Server: netip.MustParseAddrPort("192.0.2.2:443")}}},
	{signature2 + "\x21\x21\x00\x28" + strings.Repeat("\x20", 32) + "\x00\x01\x00\x02\xea\x00\x01\x09",
		[]Prelude{{Name: "PROXY v2", Client: netip.MustParseAddrPort("[2020:2020:2020:2020:2020:2020:2020:2020]:1"), Server: netip.MustParseAddrPort("[2020:2020:2020:2020:2020:2020:2020:2020]:2")}}},
	{signature2 + "\x20\x00\x00\x00", []Prelude{{Name: "PROXY v2"}}},
	{"CONNECT alb.example.test:443 HTTP/1.1\r\nHost: alb.example.test:443\r\n\r\n", []Prelude{{Name: "HTTP CONNECT", Target: "alb.example.test:443"}}},
	{"\x04\x01\x01\xbb\xc0\x00\x02\x01user\x00", []Prelude{{Name: "SOCKS4", Target: "192.0.2.1:443"}}},
	{"\x04\x01\x01\xbb\x00\x00\x00\x01\x00alb.example.test\x00", []Prelude{{Name: "SOCKS4", Target: "alb.example.test:443"}}},
	{"\x05\x01\x00" + "\x05\x01\x00\x03\x10alb.example.test\x01\xbb", []Prelude{{Name: "SOCKS5", Target: "alb.example.test:443"}}},
	{"\x05\x02\x00\x02" + "\x01\x04user\x04pass" + "\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb", []Prelude{{Name: "SOCKS5", Target: "192.0.2.1:443"}}},
	{"\x05\x01\x00" + "\x05\x01\x00\x04" + strings.Repeat("\x20", 16) + "\x01\xbb", []Prelude{{Name: "SOCKS5", Target: "[2020:2020:2020:2020:2020:2020:2020:2020]:443"}}},
	{"EHLO client.example.test\r\nSTARTTLS\r\n", []Prelude{{Name: "SMTP STARTTLS"}}},
	{"LHLO x\r\nNOOP\r\nstarttls\r\n", []Prelude{{Name: "LMTP STARTTLS"}}},
	{"a001 CAPABILITY\r\na002 STARTTLS\r\n", []Prelude{{Name: "IMAP STARTTLS"}}},
	{"A1 STARTTLS\r\n", []Prelude{{Name: "IMAP STARTTLS"}}},
	{"CAPA\r\nSTLS\r\n", []Prelude{{Name: "POP3 STLS"}}},
	{"FEAT\r\nAUTH TLS\r\n", []Prelude{{Name: "FTP AUTH TLS"}}},
	{"AUTH SSL\r\n", []Prelude{{Name: "FTP AUTH TLS"}}},
	{"CAPABILITIES\r\nSTARTTLS\r\n", []Prelude{{Name: "NNTP STARTTLS"}}},
	{"STARTTLS\r\n", []Prelude{{Name: "STARTTLS"}}},
	{"<?xml version='1.0'?><stream:stream to='x'><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", []Prelude{{Name: "XMPP STARTTLS"}}},
	{"<stream:stream to='x'><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'></starttls>", []Prelude{{Name: "XMPP STARTTLS"}}},
	{"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037", []Prelude{{Name: "LDAP StartTLS"}}},
	{"\x30\x84\x00\x00\x00\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037", []Prelude{{Name: "LDAP StartTLS"}}},
	{"\x00\x00\x00\x08\x04\xd2\x16\x2f", []Prelude{{Name: "PostgreSQL SSLRequest"}}},
	{"\x00\x00\x00\x08\x04\xd2\x16\x30\x00\x00\x00\x08\x04\xd2\x16\x2f", []Prelude{{Name: "PostgreSQL SSLRequest"}}},
	{"\x20\x00\x00\x01\x85\xae\x7f\x00" + strings.Repeat("\x00", 28), []Prelude{{Name: "MySQL SSLRequest"}}},
	{"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", []Prelude{{Name: "RDP"}}},
	{"PROXY TCP4 192.0.2.1 192.0.2.2 51000 25\r\nEHLO x\r\nSTARTTLS\r\n",
		[]Prelude{{Name: "PROXY v1", Client: netip.MustParseAddrPort("192.0.2.1:51000"), Server: netip.MustParseAddrPort("192.0.2.2:25")}, {Name: "SMTP STARTTLS"}}},
}

// hello is the start of a ClientHello.
const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

// Each sample is recognized to its last byte, whatever follows, and needs all of it.
func TestNext(t *testing.T) {
	for _, s := range samples {
		rest := s.sent + hello
		for i, want := range s.want {
			for n := range len(rest) - len(hello) {
				if p, length, more := Next([]byte(rest[:n])); n > 0 && length == 0 && !more && i == 0 || length > n {
					t.Errorf("%q: after %d bytes: %+v, %d, %v", s.sent, n, p, length, more)
				}
			}
			p, n, more := Next([]byte(rest))
			if p != want || more || n == 0 {
				t.Fatalf("%q: got %+v, %d, %v, want %+v", s.sent, p, n, more, want)
			}
			rest = rest[n:]
		}
		if rest != hello {
			t.Errorf("%q: %q is left", s.sent, rest)
		}
	}
}

func TestNoPrelude(t *testing.T) {
	for _, sent := range []string{
		hello, "GET / HTTP/1.1\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x80\x2e\x01\x03\x01", "hello world\r\n", "\x00\x01\x02\x03", "GETX\x00\r\n",
		"\x05\x00", "\x05\x01\x77\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb", "\x04\x02\x01\xbb\xc0\x00\x02\x01\x00", "\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
		"\x20\x00\x00\x01\x85\xa6\x7f\x00" + strings.Repeat("\x00", 28), "a001 LOGIN x y\r\n",
		signature2 + "\x11\x11\x00\x0c" + strings.Repeat("x", 12), "EHLO x\r\n\x16\x03\x01",
	} {
		if p, n, more := Next([]byte(sent)); n > 0 || more {
			t.Errorf("%q: %+v, %d, %v", sent, p, n, more)
		}
	}
	if _, n, more := Next([]byte("EHLO x\r\n" + strings.Repeat("NOOP\r\n", maxLen/6))); n > 0 || more {
		t.Errorf("an endless dialog: %d, %v", n, more)
	}
}

// FuzzNext checks that a prelude is within the bytes, and that more bytes after it change
// nothing.
func FuzzNext(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s.sent), len(s.sent)/2)
		f.Add([]byte(s.sent+hello), len(s.sent))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		p, n, more := Next(b)
		if n < 0 || n > len(b) || n > 0 && (p.Name == "" || more) {
			t.Fatalf("%q: %+v, %d, %v", b, p, n, more)
		}
		if len(b) >= maxLen && more {
			t.Error("more bytes than a prelude may have are not enough")
		}
		cut = min(max(cut, 0), len(b))
		if q, m, _ := Next(b[:cut]); m > 0 && (q != p || m != n) {
			t.Errorf("%q: %+v, %d, and of the first %d bytes %+v, %d", b, p, n, cut, q, m)
		}
	})
}
