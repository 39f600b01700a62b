package clienthello

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"

	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsname"
)

func record(contentType uint8, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{contentType, 3, 3}, uint16(len(payload))), payload...)
}

// clientFlights are the flights of one side.
func onlyClient(flights []flight) []byte {
	for _, f := range flights {
		if f.client {
			return f.data
		}
	}
	return nil
}

func TestOutcomes(t *testing.T) {
	hello := onlyClient(hybrid())
	begin := func() *script {
		s := usual().open()
		s.send(true, hello, 1448)
		return s
	}
	serverHello := hybrid()[1].data[:5+int(binary.BigEndian.Uint16(hybrid()[1].data[3:]))]
	refused := trusting()
	refused.MaxVersion, refused.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
	strict := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}
	distrusting := &tls.Config{RootCAs: x509.NewCertPool()}
	distrusting12 := &tls.Config{RootCAs: x509.NewCertPool(), MaxVersion: tls.VersionTLS12}
	mutual := &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	old := &tls.Config{MinVersion: tls.VersionTLS13}
	retrying := trusting()
	retrying.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}

	for _, test := range []struct {
		name    string
		packets *script
		want    Outcome // the group and the like are looked at where given
		note    string
	}{
		{"TLS 1.2", usual().play(classical(), 1448),
			Outcome{Kind: Negotiated, Version: 0x0303, CipherSuite: 0xc02b, Group: 0x001d}, ""},
		{"TLS 1.3", usual().play(hybrid(), 1448),
			Outcome{Kind: Negotiated, Version: 0x0304, CipherSuite: 0x1301, Group: 0x11ec}, "cannot be seen"},
		{"the article's case", usual().play(exchange(t, refused, strict), 1448),
			Outcome{Kind: AlertSent, By: Server, Alert: Alert{2, 40}}, ""},
		{"version refused", usual().play(exchange(t, refused, old), 1448),
			Outcome{Kind: AlertSent, By: Server, Alert: Alert{2, 70}}, ""},
		{"client refuses the certificate, TLS 1.2", usual().play(exchange(t, distrusting12, &tls.Config{}), 1448),
			Outcome{Kind: AlertSent, By: Client, Alert: Alert{2, 42}, Version: 0x0303, CipherSuite: 0xc02b, Group: 0x001d}, ""},
		{"client refuses the certificate, TLS 1.3", usual().play(exchange(t, distrusting, &tls.Config{}), 1448),
			Outcome{Kind: Closed, By: Client, Version: 0x0304, CipherSuite: 0x1301, Group: 0x11ec}, "size of an encrypted alert"},
		{"client certificate asked for, none sent", usual().play(exchange(t, trusting(), mutual), 1448),
			Outcome{Kind: AlertSent, By: Server, Alert: Alert{2, 40}, Version: 0x0303, CipherSuite: 0xc02b, Group: 0x001d, ClientCertificateRequested: true}, "client sent none"},
		{"HelloRetryRequest", usual().play(exchange(t, retrying, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}}), 1448),
			Outcome{Kind: Negotiated, Version: 0x0304, CipherSuite: 0x1301, Group: 0x0018, HelloRetry: 0x0018, HelloRetries: 1}, "cannot be seen"},
		{"close_notify, as in the article", func() *script {
			s := begin()
			s.send(false, record(21, []byte{1, 0}), 100)
			s.end(false, fin)
			s.end(true, fin)
			return s
		}(), Outcome{Kind: AlertSent, By: Server, Alert: Alert{1, 0}}, ""},
		{"alert in two segments", func() *script {
			s := begin()
			s.send(false, record(21, []byte{2, 40}), 6)
			return s
		}(), Outcome{Kind: AlertSent, By: Server, Alert: Alert{2, 40}}, ""},
		{"warning, then FIN", func() *script {
			s := begin()
			s.send(false, record(21, []byte{1, 112}), 100)
			s.end(false, fin)
			s.end(true, fin)
			return s
		}(), Outcome{Kind: Closed, By: Server}, "the server sent the warning unrecognized_name"},
		{"FIN of the server", func() *script {
			s := begin()
			s.end(false, fin)
			s.end(true, fin)
			return s
		}(), Outcome{Kind: Closed, By: Server}, "had not answered"},
		{"FIN of the client, then the server's alert", func() *script {
			s := begin()
			s.end(true, fin)
			s.send(false, record(21, []byte{2, 80}), 100)
			s.end(false, fin)
			return s
		}(), Outcome{Kind: AlertSent, By: Server, Alert: Alert{2, 80}}, ""},
		{"FIN of the server, then the client's alert", func() *script {
			s := begin()
			s.end(false, fin)
			s.send(true, record(21, []byte{2, 50}), 100)
			s.end(true, fin)
			return s
		}(), Outcome{Kind: Closed, By: Server}, "had not answered; the client then sent alert decode_error"},
		{"ServerHello and FIN of the server, then the client's alert", func() *script {
			s := begin()
			s.send(false, serverHello, 1448)
			s.end(false, fin)
			s.send(true, record(21, []byte{2, 50}), 100)
			return s
		}(), Outcome{Kind: Closed, By: Server, Version: 0x0304, CipherSuite: 0x1301, Group: 0x11ec}, "the client then sent alert decode_error"},
		{"RST of the server", func() *script {
			s := begin()
			s.end(false, rst)
			return s
		}(), Outcome{Kind: Reset, By: Server}, "had not answered"},
		{"RST of the client after the ServerHello", func() *script {
			s := begin()
			s.send(false, serverHello, 1448)
			s.end(true, rst)
			return s
		}(), Outcome{Kind: Reset, By: Client, Version: 0x0304, CipherSuite: 0x1301, Group: 0x11ec}, "the reason cannot be seen"},
		{"no answer", func() *script {
			s := begin()
			s.segment(false, ack, s.seq[1], nil)
			s.at = s.at.Add(10 * time.Second)
			s.segment(true, ack, s.seq[0]-1, nil)
			return s
		}(), Outcome{Kind: NoAnswer}, "acknowledged"},
		{"no answer, nobody there", func() *script {
			s := begin()
			s.at = s.at.Add(10 * time.Second)
			s.segment(true, ack, s.seq[0]-uint32(len(hello)), hello[:1448])
			return s
		}(), Outcome{Kind: NoAnswer}, ""},
		{"the capture ended", begin(), Outcome{Kind: CaptureEnded}, ""},
		{"the capture ended after the ServerHello", func() *script {
			s := begin()
			s.send(false, serverHello, 1448)
			return s
		}(), Outcome{Kind: CaptureEnded, Version: 0x0304, CipherSuite: 0x1301, Group: 0x11ec}, "cannot be seen"},
		{"the server speaks HTTP", func() *script {
			s := begin()
			s.send(false, []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 1448)
			s.end(false, fin)
			return s
		}(), Outcome{Kind: NotTLS, By: Server}, "not TLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := one(t, ethernetPcap(test.packets.packets))
			got := h.Outcome
			if note := got.Note; !strings.Contains(note, test.note) || (note != "") != (test.note != "") {
				t.Errorf("note %q, want %q", note, test.note)
			}
			got.Note = ""
			if got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
			if h.Fault != nil || h.Hello == nil {
				t.Errorf("hello %v, %v", h.Hello, h.Fault)
			}
			if client := netip.MustParseAddrPort("198.51.100.77:40000"); h.Client != client || h.Server.Port() != 443 {
				t.Errorf("%v -> %v", h.Client, h.Server)
			}
		})
	}
}

// The second ClientHello follows a ChangeCipherSpec (RFC 8446, Appendix D.4), which must
// not be taken for the start of encryption.
func TestHelloRetryRequest(t *testing.T) {
	c := trusting()
	c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
	flights := exchange(t, c, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}})
	var sent []byte
	for _, f := range flights {
		if f.client {
			sent = append(sent, f.data...)
		}
	}
	first := 5 + int(binary.BigEndian.Uint16(sent[3:]))
	if sent[first] != tlswire.RecordChangeCipherSpec || sent[first+6] != tlswire.RecordHandshake {
		t.Fatalf("the client goes on with % x", sent[first:first+12])
	}
	for _, size := range []int{1448, 50, 1} {
		h := one(t, ethernetPcap(usual().play(flights, size).packets))
		if h.SecondHello == nil || h.Outcome.Kind != Negotiated || h.Outcome.HelloRetry != 0x0018 {
			t.Fatalf("in segments of %d: %+v", size, h)
		}
		equal(t, "key shares of the first", h.Hello.KeyShares, []uint16{0x001d})
		equal(t, "key shares of the second", h.SecondHello.KeyShares, []uint16{0x0018})
	}
}

func TestResumption(t *testing.T) {
	for version, want := range map[uint16]tlsname.Version{tls.VersionTLS12: 0x0303, tls.VersionTLS13: 0x0304} {
		server := &tls.Config{MaxVersion: version}
		server.SetSessionTicketKeys([][32]byte{{1}})
		client := trusting()
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i, resumed := range []bool{false, true} {
			h := one(t, ethernetPcap(usual().play(exchange(t, client, server), 1448).packets))
			if h.Outcome.Resumed != resumed || h.Outcome.Kind != Negotiated || h.Outcome.Version != want {
				t.Errorf("connection %d: %+v", i+1, h.Outcome)
			}
			if version == tls.VersionTLS13 && (h.Hello.PSKIdentities > 0) != resumed {
				t.Errorf("connection %d has %d PSK identities", i+1, h.Hello.PSKIdentities)
			}
		}
	}
}

// A snap length hides the offer, and the fault says so. Nothing is invented.
func TestSnapLength(t *testing.T) {
	for name, flights := range map[string][]flight{"TLS 1.3": hybrid(), "TLS 1.2": classical()} {
		t.Run(name, func(t *testing.T) {
			packets := usual().play(flights, 1448).packets
			whole := one(t, ethernetPcap(packets))
			for length := 60; length < 1600; length += 7 {
				all, stats := track(t, Options{}, snapped(packets, length))
				if len(all) != 1 || stats.Cut == 0 && length < 500 {
					t.Fatalf("length %d: %d handshakes, %+v", length, len(all), stats)
				}
				h := all[0]
				if h.Fault == nil {
					if !cmp.Equal(h.Hello, whole.Hello, unexported) {
						t.Errorf("length %d: the ClientHello is another", length)
					}
					continue
				}
				if !h.Truncated() {
					t.Errorf("length %d: not truncated: %v", length, h.Fault)
				}
				if h.Hello != nil && h.Hello.CipherSuites != nil {
					equal(t, "suites", h.Hello.CipherSuites, whole.Hello.CipherSuites)
				}
				if h.Hello != nil && h.Hello.SupportedVersions != nil {
					equal(t, "versions", h.Hello.SupportedVersions, whole.Hello.SupportedVersions)
				}
				if h.Outcome.Version != 0 && h.Outcome.Version != whole.Outcome.Version || h.Outcome.Kind != Negotiated {
					t.Errorf("length %d: %+v", length, h.Outcome)
				}
			}
			h := one(t, snapped(packets, 96))
			if !h.Truncated() || h.RecordVersion != 0x0301 || h.Hello.LegacyVersion != 0x0303 || h.Hello.CipherSuites != nil {
				t.Errorf("length 96: %+v, %v", h, h.Fault)
			}
		})
	}
}

// Lost packets are reported, and the rest is still read.
func TestLostSegments(t *testing.T) {
	packets := usual().play(classical(), 1448).packets
	lost := func(i int) *Handshake { return one(t, ethernetPcap(slices.Delete(slices.Clone(packets), i, i+1))) }
	h := lost(3) // the ClientHello
	if !h.Truncated() || h.Hello != nil || h.Outcome.Kind != Negotiated || h.Outcome.Version != 0x0303 {
		t.Errorf("without the ClientHello: %+v", h)
	}
	h = lost(4) // the ServerHello
	if h.Fault != nil || h.Outcome.Kind != Negotiated || h.Outcome.Version != 0 || !strings.Contains(h.Outcome.Note, "not in the capture") {
		t.Errorf("without the ServerHello: %+v", h.Outcome)
	}
	segments := usual().play(hybrid(), 700).packets
	for i := 3; i < 6; i++ {
		h := one(t, ethernetPcap(slices.Delete(slices.Clone(segments), i, i+1)))
		if !h.Truncated() || h.Outcome.Kind != Negotiated {
			t.Errorf("without segment %d of the ClientHello: %v, %+v", i-2, h.Fault, h.Outcome)
		}
	}
}

func TestOtherProtocols(t *testing.T) {
	play := func(server string, data []byte) []byte {
		s := newScript("198.51.100.77:40000", server).open()
		s.send(true, data, 3)
		s.end(true, fin)
		s.end(false, fin)
		return ethernetPcap(s.packets)
	}
	http := []byte("GET / HTTP/1.1\r\nHost: alb.example.test\r\n\r\n")
	if h := one(t, play("198.51.100.10:443", http)); h.Protocol != HTTP || h.Outcome.Kind != NotTLS || h.Outcome.By != Client {
		t.Errorf("HTTP: %+v", h)
	}
	if h := one(t, play("198.51.100.10:443", []byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"))); h.Protocol != PROXY {
		t.Errorf("PROXY: %+v", h)
	}
	if all, stats := track(t, Options{}, play("198.51.100.10:80", http)); len(all) != 0 || stats.Plaintext != 1 {
		t.Errorf("HTTP at port 80: %d reported, %+v", len(all), stats)
	}
	if all, _ := track(t, Options{Ports: []uint16{80}}, play("198.51.100.10:80", http)); len(all) != 1 || all[0].Protocol != HTTP {
		t.Error("HTTP at port 80, asked for: not reported")
	}
	if all, stats := track(t, Options{}, play("198.51.100.10:22", []byte("SSH-2.0-OpenSSH_9.2\r\n"))); len(all) != 0 || stats.Other != 1 {
		t.Errorf("SSH: %d reported, %+v", len(all), stats)
	}
	s := usual().open()
	s.send(false, []byte("220 mail.example.test ESMTP\r\n"), 100)
	s.send(true, []byte("EHLO x\r\n"), 100)
	if all, stats := track(t, Options{}, ethernetPcap(s.packets)); len(all) != 0 || stats.Other != 1 {
		t.Errorf("SMTP: %d reported, %+v", len(all), stats)
	}
	if all, stats := track(t, Options{}, ethernetPcap(usual().open().packets)); len(all) != 0 || stats.Empty != 1 {
		t.Errorf("silence: %d reported, %+v", len(all), stats)
	}
}

// sslv2Hello is a CLIENT-HELLO of SSL 2.0 that offers TLS 1.0, with two cipher
// specs of TLS and one of SSL 2.0.
func sslv2Hello() []byte {
	specs := []byte{0, 0, 0x2f, 0, 0, 0x35, 1, 0, 0x80}
	b := []byte{0x80, 0, 1, 3, 1, 0, byte(len(specs)), 0, 0, 0, 16}
	b = append(append(b, specs...), make([]byte, 16)...)
	b[1] = byte(len(b) - 2)
	return b
}

// A ClientHello with an impossible length is the client's fault: the capture lacks
// nothing.
func TestImpossibleLength(t *testing.T) {
	for _, header := range [][]byte{{1, 0, 0, 0}, {1, 0xff, 0xff, 0xff}} {
		s := usual().open()
		s.send(true, record(22, header), 100)
		s.end(false, rst)
		if h := one(t, ethernetPcap(s.packets)); h.Fault == nil || h.Truncated() {
			t.Errorf("% x: fault %v, truncated %v", header, h.Fault, h.Truncated())
		}
	}
}

func TestSSLv2Hello(t *testing.T) {
	for _, size := range []int{100, 7, 1} {
		s := usual().open()
		s.send(true, sslv2Hello(), size)
		s.send(false, record(21, []byte{2, 70}), 100)
		h := one(t, ethernetPcap(s.packets))
		if h.Protocol != SSLv2Hello || h.Fault != nil || h.RecordVersion != tlsname.SSL20 || h.Hello.LegacyVersion != 0x0301 ||
			h.Outcome.Kind != AlertSent || h.Outcome.Alert.String() != "protocol_version" {
			t.Fatalf("%+v", h)
		}
		equal(t, "suites", h.Hello.CipherSuites, []uint16{0x2f, 0x35})
	}
	s := usual().open()
	s.send(true, sslv2Hello(), 100)
	if h := one(t, snapped(s.packets, 70)); h.Protocol != SSLv2Hello || !h.Truncated() || len(h.Hello.CipherSuites) != 1 {
		t.Errorf("cut: %+v, %v", h, h.Fault)
	}
}

func TestDatagrams(t *testing.T) {
	udp := func(port layers.UDPPort, data []byte) packet {
		return packet{start, ipPacket(netip.MustParseAddr("198.51.100.77"), netip.MustParseAddr("198.51.100.10"), layers.IPProtocolUDP,
			&layers.UDP{SrcPort: port, DstPort: 443}, data)}
	}
	quic := append([]byte{0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x9e}, make([]byte, 1180)...)
	quic2 := append([]byte{0xd3, 0x6b, 0x33, 0x43, 0xcf, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0}, make([]byte, 1180)...)
	dtls := append([]byte{22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50, 1}, make([]byte, 60)...)
	dns := append([]byte{0xab, 0xcd, 1, 0, 0, 1}, make([]byte, 20)...)
	all, stats := track(t, Options{}, ethernetPcap([]packet{udp(1, quic), udp(1, quic), udp(2, quic2), udp(3, dtls), udp(4, dns)}))
	if len(all) != 0 || stats.QUIC != 2 || stats.DTLS != 1 {
		t.Errorf("%d reported, %+v", len(all), stats)
	}
}
