package clienthello

import (
	"slices"
	"testing"
)

// A turn is what one side sends.
type turn struct {
	client bool
	sent   string
}

// dialogs precede TLS, and how the handshake names them.
var dialogs = []struct {
	name  string
	turns []turn
	want  []string
}{
	{"PROXY", []turn{{true, "PROXY TCP4 192.0.2.1 192.0.2.2 51000 443\r\n"}}, []string{"PROXY v1"}},
	{"SMTP", []turn{{false, "220 mail.example.test ESMTP\r\n"}, {true, "EHLO x\r\n"}, {false, "250-mail.example.test\r\n250 STARTTLS\r\n"},
		{true, "STARTTLS\r\n"}, {false, "220 ready\r\n"}}, []string{"SMTP STARTTLS"}},
	{"PROXY and SMTP", []turn{{true, "PROXY TCP4 192.0.2.1 192.0.2.2 51000 25\r\n"}, {false, "220 mail.example.test ESMTP\r\n"}, {true, "EHLO x\r\n"},
		{true, "STARTTLS\r\n"}, {false, "220 ready\r\n"}}, []string{"PROXY v1", "SMTP STARTTLS"}},
	{"IMAP", []turn{{false, "* OK ready\r\n"}, {true, "a1 STARTTLS\r\n"}, {false, "a1 OK begin\r\n"}}, []string{"IMAP STARTTLS"}},
	{"XMPP", []turn{{true, "<?xml version='1.0'?><stream:stream to='x'>"}, {false, "<stream:features/>"}, {true, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"},
		{false, "<proceed/>"}}, []string{"XMPP STARTTLS"}},
	{"PostgreSQL", []turn{{true, "\x00\x00\x00\x08\x04\xd2\x16\x2f"}, {false, "S"}}, []string{"PostgreSQL SSLRequest"}},
	{"MySQL", []turn{{false, "\x4a\x00\x00\x00\x0a8.0.36\x00 and more"}, {true, "\x20\x00\x00\x01\x85\xae\x7f\x00" + string(make([]byte, 28))}}, []string{"MySQL SSLRequest"}},
	{"CONNECT", []turn{{true, "CONNECT alb.example.test:443 HTTP/1.1\r\n\r\n"}, {false, "HTTP/1.1 200 Connection established\r\n\r\n"}}, []string{"HTTP CONNECT"}},
	{"SOCKS", []turn{{true, "\x05\x01\x00"}, {false, "\x05\x00"}, {true, "\x05\x01\x00\x03\x10alb.example.test\x01\xbb"}, {false, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}}, []string{"SOCKS5"}},
}

// The handshake is the same after any dialog, in segments of any size.
func TestPreludes(t *testing.T) {
	for _, flights := range [][]flight{classical(), hybrid()} {
		want := one(t, ethernetPcap(usual().play(flights, 1448).packets))
		for _, d := range dialogs {
			t.Run(d.name, func(t *testing.T) {
				for _, size := range []int{1448, 100, 7, 1} {
					s := usual().open()
					for _, turn := range d.turns {
						s.send(turn.client, []byte(turn.sent), size)
					}
					for _, f := range flights {
						s.send(f.client, f.data, size)
					}
					h := one(t, ethernetPcap(s.packets))
					var names []string
					for _, p := range h.Preludes {
						names = append(names, p.Name)
					}
					if !slices.Equal(names, d.want) {
						t.Errorf("size %d: %q, want %q", size, names, d.want)
					}
					proxied := h.Preludes[0].Proxy()
					if proxied != (h.Client != h.Peer) || proxied && h.Client.String() != "192.0.2.1:51000" || h.Peer != want.Client {
						t.Errorf("client %v, peer %v", h.Client, h.Peer)
					}
					h.Client, h.Preludes = want.Client, nil
					same(t, h, want)
				}
			})
		}
	}
}

// A request for TLS and the ClientHello may be in one segment, and a dialog may go on
// without TLS.
func TestPreludesAtOnce(t *testing.T) {
	hello := onlyClient(classical())
	s := usual().open()
	s.send(true, append([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 51000 443\r\n"), hello...), 65000)
	s.send(false, record(21, []byte{2, 40}), 100)
	if h := one(t, ethernetPcap(s.packets)); h.Fault != nil || h.Segments != 1 || h.Outcome.Kind != AlertSent || h.Client.String() != "192.0.2.1:51000" {
		t.Errorf("%+v", h)
	}
	for name, turns := range map[string][]turn{
		"SMTP without TLS": {{false, "220 x\r\n"}, {true, "EHLO x\r\n"}, {true, "MAIL FROM:<x>\r\n"}, {true, "QUIT\r\n"}},
		"a long dialog":    {{true, "EHLO x\r\n"}, {true, string(slices.Repeat([]byte("NOOP\r\n"), 5000))}},
	} {
		s := usual().open()
		for _, turn := range turns {
			s.send(turn.client, []byte(turn.sent), 1448)
		}
		s.end(true, fin)
		s.end(false, fin)
		if all, stats := track(t, Options{}, ethernetPcap(s.packets)); len(all) != 0 || stats.Other != 1 {
			t.Errorf("%s: %q, %+v", name, toldAll(all), stats)
		}
	}
	// A proxy that refuses.
	s = usual().open()
	s.send(true, []byte("CONNECT alb.example.test:443 HTTP/1.1\r\n\r\n"), 1448)
	s.send(false, []byte("HTTP/1.1 403 Forbidden\r\n\r\n"), 1448)
	s.end(false, fin)
	s.end(true, fin)
	if h := one(t, ethernetPcap(s.packets)); h.Protocol != HTTP || h.Outcome.Kind != NotTLS || h.Preludes[0].Target != "alb.example.test:443" {
		t.Errorf("%+v", h)
	}
	// A server that speaks first to a client of TLS.
	s = usual().open()
	s.send(false, []byte("220 mail.example.test ESMTP\r\n"), 1448)
	s.send(true, hello, 1448)
	if h := one(t, ethernetPcap(s.packets)); h.Outcome.Kind != NotTLS || h.Outcome.By != Server || h.Hello == nil {
		t.Errorf("%+v", h)
	}
}
