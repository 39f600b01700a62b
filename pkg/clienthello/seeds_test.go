package clienthello

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tlswatch/pkg/clienthello/tlswire"
)

// A simulation makes a capture of which the truth is known. It shares no code with the
// Tracker, nor with the scripts of other tests: it writes every byte itself.
type simulation struct {
	r           *rand.Rand
	connections []*simulated
	frames      []timedFrame
	steps       bool // the clock is set during the capture
}

type timedFrame struct {
	at   time.Duration
	side int // that sent it
	data []byte
}

// A simulated is a connection, and what a reader should find out about it.
type simulated struct {
	r        *rand.Rand
	at       time.Duration
	ends     [2]netip.AddrPort // client, server
	seq      [2]uint32
	mss      int
	network  func(r *rand.Rand, ip []byte) []byte
	exact    bool // packets are neither repeated nor reordered
	only     int  // the side that was captured, -1 for both
	frames   []timedFrame
	proxy    []byte
	before   []string // what the ends send before TLS, in turns
	offer    offer
	truth    truth
	variants []string
}

// An offer is what a ClientHello has.
type offer struct {
	name                   string
	suites, groups, shares []uint16
}

// A truth is what is known of a connection.
type truth struct {
	client       string // by a PROXY header, if there is one
	offer        string // empty if the capture lacks a part of the ClientHello
	name         string
	outcome      string
	acknowledged int // of a half-delivered ClientHello
	sent         int
	again        bool
}

func (t truth) String() string {
	s := fmt.Sprintf("%s %q %s %s", t.client, t.name, t.offer, t.outcome)
	if t.sent > 0 {
		s += fmt.Sprintf(", acknowledged %d of %d", t.acknowledged, t.sent)
	}
	return s
}

// found is what the Tracker found out about a connection.
func found(h *Handshake) truth {
	o := h.Outcome
	t := truth{client: h.Client.String(), outcome: strings.TrimSpace(fmt.Sprintf("%s %s", o.Kind, o.By))}
	switch {
	case o.Kind == AlertSent:
		t.outcome += " " + o.Alert.String()
	case o.Kind == Negotiated:
		t.outcome += fmt.Sprintf(" %04x %04x %04x", uint16(o.Version), uint16(o.CipherSuite), uint16(o.Group))
	}
	if h.Hello != nil {
		t.name = h.Hello.ServerName
		if h.Fault == nil {
			t.offer = strings.Join([]string{hexes(h.Hello.CipherSuites), hexes(h.Hello.Groups), hexes(h.Hello.KeyShares)}, " ")
		}
	}
	if h.Fault != nil && !errors.Is(h.Fault, tlswire.ErrIncomplete) && !errors.Is(h.Fault, errServerOnly) {
		t.outcome += " invalid"
	}
	if d := o.HalfDelivered; d != nil {
		t.acknowledged, t.sent, t.again = d.Acknowledged, d.Sent, d.LikelyDropped()
	}
	return t
}

// be16 writes numbers of two bytes.
func be16(values ...uint16) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// vector writes bytes after their length in 1, 2 or 3 bytes.
func vector(lengthSize int, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	length := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	return append(length[4-lengthSize:], content...)
}

func tlsRecord(kind byte, version uint16, content []byte) []byte {
	return slices.Concat([]byte{kind}, be16(version), vector(2, content))
}

func extension(number uint16, content ...[]byte) []byte {
	return append(be16(number), vector(2, content...)...)
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

const (
	groupX25519 = 0x001d
	groupHybrid = 0x11ec // X25519MLKEM768
)

// newOffer chooses what a client offers. A large one has a post-quantum key share.
func newOffer(r *rand.Rand, name string, large bool) offer {
	o := offer{name: name, suites: []uint16{0x1301, 0x009c}, groups: []uint16{groupX25519, 0x0017}, shares: []uint16{groupX25519}}
	for _, s := range []uint16{0x1302, 0x1303, 0xc02f, 0xc030, 0xcca8, 0x2a2a} {
		if r.IntN(2) == 0 {
			o.suites = append(o.suites, s)
		}
	}
	r.Shuffle(len(o.suites), func(i, j int) { o.suites[i], o.suites[j] = o.suites[j], o.suites[i] })
	if large {
		o.groups = append([]uint16{groupHybrid}, o.groups...)
		o.shares = []uint16{groupHybrid, groupX25519}
	}
	return o
}

// bytes writes the ClientHello in its record, RFC 8446, Section 4.1.2.
func (o offer) bytes(r *rand.Rand) []byte {
	var shares []byte
	for _, g := range o.shares {
		size := 32
		if g == groupHybrid {
			size = 1216
		}
		shares = append(append(shares, be16(g)...), vector(2, noise(r, size))...)
	}
	extensions := vector(2,
		extension(0, vector(2, []byte{0}, vector(2, []byte(o.name)))),
		extension(10, vector(2, be16(o.groups...))),
		extension(13, vector(2, be16(0x0403, 0x0804, 0x0401))),
		extension(43, vector(1, be16(0x0304, 0x0303))),
		extension(51, vector(2, shares)))
	body := slices.Concat(be16(0x0303), noise(r, 32), vector(1, noise(r, 32)), vector(2, be16(o.suites...)), []byte{1, 0}, extensions)
	return tlsRecord(22, 0x0301, append([]byte{1}, vector(3, body)...))
}

// serverHello writes a ServerHello in its record.
func serverHello(r *rand.Rand, suite uint16, extensions ...[]byte) []byte {
	body := slices.Concat(be16(0x0303), noise(r, 32), vector(1, noise(r, 32)), be16(suite), []byte{0}, vector(2, extensions...))
	return tlsRecord(22, 0x0303, append([]byte{2}, vector(3, body)...))
}

var changeCipherSpec = tlsRecord(20, 0x0303, []byte{1})

// tcpPacket writes an IP packet.
func tcpPacket(from, to netip.AddrPort, flags uint8, seq, acknowledged uint32, data []byte) []byte {
	tcp := be16(from.Port(), to.Port())
	tcp = binary.BigEndian.AppendUint32(tcp, seq)
	tcp = binary.BigEndian.AppendUint32(tcp, acknowledged)
	tcp = append(tcp, 5<<4, flags)
	tcp = slices.Concat(tcp, be16(65535, 0, 0), data)
	return ipOf(6, from.Addr(), to.Addr(), tcp)
}

func ipOf(protocol byte, from, to netip.Addr, content []byte) []byte {
	if from.Is4() {
		return slices.Concat([]byte{0x45, 0}, be16(uint16(20+len(content)), 7, 0), []byte{64, protocol, 0, 0}, from.AsSlice(), to.AsSlice(), content)
	}
	return slices.Concat([]byte{0x60, 0, 0, 0}, be16(uint16(len(content))), []byte{protocol, 64}, from.AsSlice(), to.AsSlice(), content)
}

// typeOf is the EtherType of an IP packet.
func typeOf(ip []byte) uint16 {
	if ip[0]>>4 == 6 {
		return 0x86dd
	}
	return 0x0800
}

func frameOf(kind uint16, content []byte) []byte {
	return slices.Concat([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, be16(kind), content)
}

// tunneled writes a packet between two routers.
func tunneled(protocol byte, content []byte) []byte {
	return frameOf(0x0800, ipOf(protocol, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), content))
}

// networks are ways to carry IP packets.
var networks = map[string]func(r *rand.Rand, ip []byte) []byte{
	"Ethernet": func(_ *rand.Rand, ip []byte) []byte { return frameOf(typeOf(ip), ip) },
	"VLAN":     func(_ *rand.Rand, ip []byte) []byte { return frameOf(0x8100, append(be16(7, typeOf(ip)), ip...)) },
	"Q-in-Q": func(_ *rand.Rand, ip []byte) []byte {
		return frameOf(0x88a8, append(be16(7, 0x8100, 8, typeOf(ip)), ip...))
	},
	"Q-in-Q 0x9100": func(_ *rand.Rand, ip []byte) []byte {
		return frameOf(0x9100, append(be16(7, 0x8100, 8, typeOf(ip)), ip...))
	},
	"SNAP": func(_ *rand.Rand, ip []byte) []byte {
		return frameOf(uint16(8+len(ip)), slices.Concat([]byte{0xaa, 0xaa, 3, 0, 0, 0}, be16(typeOf(ip)), ip))
	},
	"MPLS of two labels": func(_ *rand.Rand, ip []byte) []byte {
		return frameOf(0x8847, append([]byte{0, 1, 0, 64, 0, 2, 1, 64}, ip...))
	},
	"PPPoE in a VLAN": func(_ *rand.Rand, ip []byte) []byte {
		ppp := uint16(0x0021)
		if ip[0]>>4 == 6 {
			ppp = 0x0057
		}
		return frameOf(0x8100, slices.Concat(be16(7, 0x8864), []byte{0x11, 0}, be16(9, uint16(2+len(ip)), ppp), ip))
	},
	"GRE": func(_ *rand.Rand, ip []byte) []byte { return tunneled(47, append(be16(0, typeOf(ip)), ip...)) },
	"GRE with key and sequence number": func(r *rand.Rand, ip []byte) []byte {
		return tunneled(47, slices.Concat(be16(0x3000, typeOf(ip)), noise(r, 8), ip))
	},
	"ERSPAN II": func(r *rand.Rand, ip []byte) []byte {
		return tunneled(47, slices.Concat(be16(0x1000, 0x88be), noise(r, 4), be16(0x1001, 5, 0, 0), frameOf(typeOf(ip), ip)))
	},
	"ERSPAN III": func(r *rand.Rand, ip []byte) []byte {
		return tunneled(47, slices.Concat(be16(0x1000, 0x22eb), noise(r, 4), be16(0x2001, 5), noise(r, 4), be16(0, 0), frameOf(typeOf(ip), ip)))
	},
	"VXLAN": func(_ *rand.Rand, ip []byte) []byte {
		inner := append([]byte{8, 0, 0, 0, 0, 0, 7, 0}, frameOf(typeOf(ip), ip)...)
		return tunneled(17, slices.Concat(be16(50000, 4789, uint16(8+len(inner)), 0), inner))
	},
}

// packet adds a packet, of which the capture may have a copy.
func (c *simulated) packet(side int, flags uint8, seq uint32, data []byte) {
	var acknowledged uint32
	if flags&0x10 != 0 {
		acknowledged = c.seq[1-side]
	}
	c.at += time.Duration(2+c.r.IntN(20)) * time.Millisecond
	if c.only >= 0 && c.only != side {
		return
	}
	f := timedFrame{c.at, side, c.network(c.r, tcpPacket(c.ends[side], c.ends[1-side], flags, seq, acknowledged, data))}
	c.frames = append(c.frames, f)
	if !c.exact && c.r.IntN(15) == 0 {
		c.frames = append(c.frames, timedFrame{f.at + 50*time.Microsecond, side, f.data})
	}
}

// open is the handshake of TCP, sometimes with repeated packets.
func (c *simulated) open() {
	const syn, rst, synAck, ack = 0x02, 0x04, 0x12, 0x10
	c.packet(0, syn, c.seq[0], nil)
	if c.r.IntN(8) == 0 { // the server acknowledges, and the client resets, an earlier connection
		c.variants = append(c.variants, "half-open connection")
		own, old := c.seq[0], c.seq[0]+1<<20+c.r.Uint32N(1<<31)
		c.seq[0] = old
		c.packet(1, ack, c.r.Uint32(), nil)
		c.packet(0, rst, old, nil)
		c.seq[0] = own
		c.packet(0, syn, own, nil)
	}
	if c.r.IntN(8) == 0 {
		c.variants = append(c.variants, "SYN again")
		c.packet(0, syn, c.seq[0], nil)
	}
	c.seq[0]++
	if c.r.IntN(8) == 0 {
		c.variants = append(c.variants, "unlike SYN-ACKs")
		c.packet(1, synAck, c.r.Uint32(), nil)
	}
	c.packet(1, synAck, c.seq[1], nil)
	c.seq[1]++
	c.packet(0, ack, c.seq[0], nil)
	for i, text := range c.before {
		c.send(i%2, []byte(text))
	}
}

// segments cuts data.
func (c *simulated) segments(data []byte) [][]byte {
	return slices.Collect(slices.Chunk(data, c.mss))
}

// send adds data, of which some segments were lost before or behind the capture, or
// overtook each other, and all arrived at last.
func (c *simulated) send(side int, data []byte) {
	type piece struct {
		seq  uint32
		data []byte
	}
	var pieces []piece
	for _, s := range c.segments(data) {
		pieces = append(pieces, piece{c.seq[side], s})
		c.seq[side] += uint32(len(s))
	}
	if !c.exact {
		for i := range len(pieces) - 1 {
			switch c.r.IntN(8) {
			case 0: // reordered, or lost before the capture and sent again
				j := i + 1 + c.r.IntN(len(pieces)-i-1)
				pieces[i], pieces[j] = pieces[j], pieces[i]
			case 1: // lost behind the capture
				pieces = append(pieces, pieces[i])
			}
		}
	}
	for _, p := range pieces {
		c.packet(side, 0x18, p.seq, p.data)
	}
	if c.r.IntN(3) > 0 {
		c.packet(1-side, 0x10, c.seq[1-side], nil)
	}
}

// end closes or resets the connection.
func (c *simulated) end(side int, reset bool) {
	if reset {
		c.packet(side, 0x14, c.seq[side], nil)
		return
	}
	for _, s := range []int{side, 1 - side} {
		c.packet(s, 0x11, c.seq[s], nil)
		c.seq[s]++
	}
	c.packet(side, 0x10, c.seq[side], nil)
}

// prelude returns a PROXY header, and takes the client from it.
func (c *simulated) prelude() []byte {
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{9, 8, 7, byte(c.r.Uint32())}), uint16(1024+c.r.IntN(60000)))
	server := netip.MustParseAddrPort("5.6.7.8:443")
	v6 := c.r.IntN(2) == 0
	if v6 {
		client = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:9::"+strconv.Itoa(1+c.r.IntN(99))), client.Port())
		server = netip.MustParseAddrPort("[2001:db8:5::6]:443")
	}
	c.truth.client = client.String()
	if c.r.IntN(2) == 0 {
		c.variants = append(c.variants, "PROXY v1")
		family := "TCP4"
		if v6 {
			family = "TCP6"
		}
		return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family, client.Addr(), server.Addr(), client.Port(), server.Port())
	}
	c.variants = append(c.variants, "PROXY v2")
	family := byte(0x11)
	if v6 {
		family = 0x21
	}
	more := []byte{4, 0, 3, 1, 2, 3} // PP2_TYPE_NOOP
	return slices.Concat([]byte("\r\n\r\n\x00\r\nQUIT\n\x21"), []byte{family}, vector(2, client.Addr().AsSlice(), server.Addr().AsSlice(), be16(client.Port(), server.Port()), more))
}

// befores are what precedes TLS. The client sends first, which may be nothing.
var befores = map[string][]string{
	"SMTP":       {"", "220 mx.example.com ESMTP\r\n", "EHLO a\r\n", "250-mx.example.com\r\n250 STARTTLS\r\n", "STARTTLS\r\n", "220 ready\r\n"},
	"IMAP":       {"", "* OK ready\r\n", "a1 STARTTLS\r\n", "a1 OK begin\r\n"},
	"PostgreSQL": {"\x00\x00\x00\x08\x04\xd2\x16\x2f", "S"},
	"CONNECT":    {"CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\r\n", "HTTP/1.1 200 Connection established\r\n\r\n"},
	"SOCKS5":     {"\x05\x01\x00", "\x05\x00", "\x05\x01\x00\x01\x05\x06\x07\x08\x01\xbb", "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
}

// stories are how connections go on after the ClientHello.
var stories = map[string]func(*simulated){
	"alert by the server": func(c *simulated) {
		c.send(1, tlsRecord(21, 0x0303, []byte{2, 40}))
		c.end(1, false)
		c.truth.outcome = "alert server handshake_failure"
	},
	"TLS 1.2": func(c *simulated) {
		done := tlsRecord(22, 0x0303, []byte{14, 0, 0, 0})
		certificate := tlsRecord(22, 0x0303, append([]byte{11}, vector(3, vector(3, vector(3, noise(c.r, 900))))...))
		c.send(1, slices.Concat(serverHello(c.r, 0x009c), certificate, done))
		key := tlsRecord(22, 0x0303, append([]byte{16}, vector(3, vector(2, noise(c.r, 256)))...))
		c.send(0, slices.Concat(key, changeCipherSpec, tlsRecord(22, 0x0303, noise(c.r, 40))))
		c.send(1, slices.Concat(changeCipherSpec, tlsRecord(22, 0x0303, noise(c.r, 40))))
		c.send(0, tlsRecord(23, 0x0303, noise(c.r, 100)))
		c.end(0, false)
		c.truth.outcome = "negotiated 0303 009c 0000"
	},
	"TLS 1.3": func(c *simulated) {
		share := extension(51, be16(groupX25519), vector(2, noise(c.r, 32)))
		c.send(1, slices.Concat(serverHello(c.r, 0x1301, extension(43, be16(0x0304)), share), changeCipherSpec, tlsRecord(23, 0x0303, noise(c.r, 2000))))
		c.send(0, slices.Concat(changeCipherSpec, tlsRecord(23, 0x0303, noise(c.r, 53)), tlsRecord(23, 0x0303, noise(c.r, 200))))
		c.send(1, tlsRecord(23, 0x0303, noise(c.r, 300)))
		c.end(0, false)
		c.truth.outcome = "negotiated 0304 1301 001d"
	},
	"closed by the server": func(c *simulated) {
		c.end(1, false)
		c.truth.outcome = "closed server"
	},
	"reset by the server": func(c *simulated) {
		c.end(1, true)
		c.truth.outcome = "reset server"
	},
	"no answer": func(c *simulated) {
		c.packet(1, 0x10, c.seq[1], nil)
		c.truth.outcome = "no_answer"
	},
}

// halfDelivered sends a ClientHello of which the server gets only the first segments.
func (c *simulated) halfDelivered(hello []byte, silent bool) {
	c.exact = true
	all := c.segments(append(slices.Clone(c.proxy), hello...))
	got := 1 + c.r.IntN(len(all)-1)
	captured := c.r.IntN(4) > 0 // the capture is on the client's side of the loss
	acknowledged := 0
	seq := c.seq[0]
	for i, s := range all {
		if i < got {
			c.packet(0, 0x18, seq, s)
			acknowledged += len(s)
			c.seq[0] += uint32(len(s))
			c.packet(1, 0x10, c.seq[1], nil)
		} else if captured {
			c.packet(0, 0x18, seq, s)
		}
		seq += uint32(len(s))
	}
	again := c.r.IntN(3)
	if !captured {
		again = 0
		c.truth.offer = ""
		c.variants = append(c.variants, "lost before the capture")
	}
	for i := range again {
		c.at += time.Duration(200<<i) * time.Millisecond
		c.packet(0, 0x18, c.seq[0], all[got])
	}
	c.truth.acknowledged, c.truth.sent, c.truth.again = acknowledged-len(c.proxy), len(hello), again > 0
	switch n := c.r.IntN(3); {
	case n == 0 && silent:
		c.truth.outcome = "no_answer"
	case n == 1:
		c.end(1, true)
		c.truth.outcome = "reset server"
	default:
		c.packet(1, 0x11, c.seq[1], nil)
		c.truth.outcome = "closed server"
	}
}

// connect simulates connection number i. It may have the ends of the one before, if that
// was closed.
func (s *simulation) connect(i int) {
	r := s.r
	c := &simulated{
		r: r, at: time.Duration(r.IntN(3000)) * time.Millisecond, seq: [2]uint32{r.Uint32(), r.Uint32()},
		mss: 300 + r.IntN(1100), only: -1,
		ends: [2]netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + r.IntN(4))}), uint16(40000+i)), netip.MustParseAddrPort("198.51.100.10:443")},
	}
	if r.IntN(3) == 0 {
		c.ends = [2]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), uint16(40000+i)), netip.MustParseAddrPort("[2001:db8::10]:443")}
	}
	network := pick(r, networks)
	if i > 0 && r.IntN(6) == 0 {
		last := s.connections[i-1]
		if outcome := last.truth.outcome; last.only < 0 && (strings.HasPrefix(outcome, "negotiated") || strings.HasPrefix(outcome, "alert")) {
			c.variants = append(c.variants, "ends used again")
			c.ends, c.at, network = last.ends, last.at+time.Duration(r.IntN(2000))*time.Millisecond, last.variants[0]
		}
	}
	s.connections = append(s.connections, c)
	c.truth.client = c.ends[0].String()
	c.network = networks[network]
	c.variants = append([]string{network}, c.variants...)
	if r.IntN(12) == 0 {
		c.variants = append(c.variants, "HTTP")
		c.open()
		c.send(0, []byte("GET /index.html HTTP/1.1\r\nHost: www.example.com\r\n\r\n"))
		c.send(1, []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
		c.end(1, false)
		c.truth.outcome = "not_tls client"
		return
	}
	half := r.IntN(4) == 0
	c.offer = newOffer(r, fmt.Sprintf("host-%d.example.com", i), half || r.IntN(2) == 0)
	hello := c.offer.bytes(r)
	c.truth.name = c.offer.name
	c.truth.offer = strings.Join([]string{hexes(c.offer.suites), hexes(c.offer.groups), hexes(c.offer.shares)}, " ")
	switch r.IntN(10) {
	case 0, 1:
		c.proxy = c.prelude()
	case 2:
		name := pick(r, befores)
		c.before = befores[name]
		c.variants = append(c.variants, name)
	}
	if half {
		c.variants = append(c.variants, "half-delivered")
		c.open()
		c.halfDelivered(hello, !s.steps)
		return
	}
	story := pick(r, stories)
	for story == "no answer" && s.steps {
		story = pick(r, stories)
	}
	c.variants = append(c.variants, story)
	if r.IntN(10) == 0 && c.proxy == nil && c.before == nil {
		switch story {
		case "alert by the server":
			c.variants = append(c.variants, "only the server's packets")
			c.only, c.truth.name, c.truth.offer = 1, "", ""
		case "TLS 1.3":
			c.variants = append(c.variants, "only the client's packets")
			c.only = 0
		}
	}
	c.open()
	data := append(slices.Clone(c.proxy), hello...)
	if r.IntN(8) == 0 {
		c.variants = append(c.variants, "stale SYN")
		n := r.IntN(len(data))
		c.send(0, data[:n])
		c.packet(0, 0x02, r.Uint32(), nil)
		c.packet(1, 0x10, c.seq[1], nil) // a challenge ACK, RFC 5961, Section 4.2
		data = data[n:]
	}
	c.send(0, data)
	stories[story](c)
	if c.only == 0 {
		c.truth.outcome = "closed client"
	}
}

// pick chooses a key.
func pick[V any](r *rand.Rand, m map[string]V) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[r.IntN(len(keys))]
}

// simulate makes the capture of a seed.
func simulate(seed uint64) *simulation {
	s := &simulation{r: rand.New(rand.NewPCG(seed, 18))}
	s.steps = s.r.IntN(3) == 0
	for i := range 2 + s.r.IntN(8) {
		s.connect(i)
	}
	copies := !s.steps && s.r.IntN(4) == 0 // merged captures of both ends
	for i, c := range s.connections {
		s.frames = append(s.frames, c.frames...)
		if copies && !c.exact && (i+1 == len(s.connections) || s.connections[i+1].ends != c.ends) {
			for _, f := range c.frames {
				f.at += 30 * time.Millisecond
				s.frames = append(s.frames, f)
			}
		}
	}
	slices.SortStableFunc(s.frames, func(a, b timedFrame) int { return int(a.at - b.at) })
	// Another connection shows how long the silence lasted.
	last := &simulated{r: s.r, at: s.frames[len(s.frames)-1].at + 20*time.Second, exact: true, only: -1, mss: 1400,
		ends:    [2]netip.AddrPort{netip.MustParseAddrPort("198.51.100.99:50000"), netip.MustParseAddrPort("198.51.100.10:443")},
		network: networks["Ethernet"], offer: newOffer(s.r, "last.example.com", false)}
	last.open()
	last.send(0, last.offer.bytes(s.r))
	last.truth = truth{client: last.ends[0].String(), name: last.offer.name,
		offer: strings.Join([]string{hexes(last.offer.suites), hexes(last.offer.groups), hexes(last.offer.shares)}, " ")}
	stories["alert by the server"](last)
	s.connections = append(s.connections, last)
	s.frames = append(s.frames, last.frames...)
	if s.steps {
		s.setClock()
	}
	return s
}

// setClock sets the clock up to three times, and gives some packets times of their own. Of
// two interfaces, each may have its clock.
func (s *simulation) setClock() {
	sizes := []time.Duration{time.Second, 130 * time.Second, time.Hour, 300 * 24 * time.Hour}
	leap := func() time.Duration { return time.Duration(1-2*s.r.IntN(2)) * sizes[s.r.IntN(len(sizes))] }
	for range s.r.IntN(4) {
		by := leap()
		for i := s.r.IntN(len(s.frames)); i < len(s.frames); i++ {
			s.frames[i].at += by
		}
	}
	for range s.r.IntN(3) {
		s.frames[s.r.IntN(len(s.frames))].at += leap()
	}
	if s.r.IntN(4) == 0 {
		by := leap()
		for i := range s.frames {
			s.frames[i].at += by * time.Duration(s.frames[i].side)
		}
	}
}

// pcap writes the frames as a file.
func (s *simulation) pcap() []byte {
	b := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}
	for _, f := range s.frames {
		at := 1764000000*time.Second + f.at
		b = binary.LittleEndian.AppendUint32(b, uint32(at/time.Second))
		b = binary.LittleEndian.AppendUint32(b, uint32(at%time.Second/time.Microsecond))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.data)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.data)))
		b = append(b, f.data...)
	}
	return b
}

// differences compares what the Tracker found with the truth.
func (s *simulation) differences(all []*Handshake) []string {
	var list []string
	rest := slices.Clone(all)
	for _, c := range s.connections {
		i := slices.IndexFunc(rest, func(h *Handshake) bool { return h.Peer == c.ends[0] })
		if i < 0 {
			list = append(list, fmt.Sprintf("lost: %s (%s)", c.truth, strings.Join(c.variants, ", ")))
			continue
		}
		got := found(rest[i])
		rest = slices.Delete(rest, i, i+1)
		// A clock that was set hides when a segment was sent again.
		if got.String() != c.truth.String() || got.again && !c.truth.again || c.truth.again && !got.again && !s.steps {
			list = append(list, fmt.Sprintf("got  %s, again %v\nwant %s, again %v (%s)", got, got.again, c.truth, c.truth.again, strings.Join(c.variants, ", ")))
		}
	}
	for _, h := range rest {
		list = append(list, fmt.Sprintf("invented: %s", found(h)))
	}
	return list
}

// Simulated captures are read as they were made. CAPTURE_SEEDS is their number; then
// tshark reads them too, if it is on PATH, and what it misses is counted.
func TestSimulatedCaptures(t *testing.T) {
	seeds, compare := 60, false
	if v := os.Getenv("CAPTURE_SEEDS"); v != "" {
		var err error
		if seeds, err = strconv.Atoi(v); err != nil || seeds < 1 {
			t.Fatalf("CAPTURE_SEEDS=%q is not a number of seeds", v)
		}
		_, err = exec.LookPath("tshark")
		compare = err == nil
	}
	hellos, wrong, missed := 0, 0, 0
	for seed := range uint64(seeds) {
		s := simulate(seed)
		capture := s.pcap()
		all, stats := track(t, Options{InTimeOrder: seed%2 == 0 && !s.steps}, capture)
		if list := s.differences(all); len(list) > 0 {
			wrong += len(list)
			t.Errorf("seed %d, clock set: %v: %+v\n%s", seed, s.steps, stats, strings.Join(list, "\n"))
		}
		if compare {
			found := tshark(t, capture, "-o", "tcp.reassemble_out_of_order:TRUE")
			for _, c := range s.connections {
				if c.truth.offer == "" {
					continue
				}
				hellos++
				if !strings.Contains(found, "\t"+c.offer.name+"\t") {
					missed++
				}
			}
		}
	}
	t.Logf("%d captures: %d differences", seeds, wrong)
	switch {
	case compare:
		t.Logf("tshark missed %d of %d whole ClientHellos", missed, hellos)
	case os.Getenv("CAPTURE_SEEDS") != "":
		t.Log("tshark is not on PATH: ClientHellos were not compared with it")
	}
}

// The simulation notices what is wrong.
func TestSimulationNotices(t *testing.T) {
	s := simulate(1)
	all, _ := track(t, Options{}, s.pcap())
	if list := s.differences(all[1:]); len(list) != 1 || !strings.HasPrefix(list[0], "lost: ") {
		t.Errorf("without a handshake: %q", list)
	}
	if list := s.differences(append(slices.Clone(all), all[0])); len(list) != 1 || !strings.HasPrefix(list[0], "invented: ") {
		t.Errorf("with one twice: %q", list)
	}
	if !bytes.Equal(s.pcap(), simulate(1).pcap()) {
		t.Error("a seed makes two captures")
	}
}
