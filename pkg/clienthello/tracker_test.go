package clienthello

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tlswatch/pkg/clienthello/capture"
	"tlswatch/pkg/clienthello/tlswire"
)

var unexported = cmp.AllowUnexported(Alert{}, tlswire.ClientHello{}, tlswire.Extension{})

// same compares handshakes without their time and number of segments.
func same(t *testing.T, got, want *Handshake) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Handshake{}, "Time", "Segments"), cmpopts.EquateErrors(),
		unexported, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// A large hello is the same however TCP transports it.
func TestSegments(t *testing.T) {
	flights := hybrid()
	want := one(t, ethernetPcap(usual().play(flights, 65000).packets))
	if want.Segments != 1 || want.Fault != nil || want.Outcome.Kind != Negotiated || want.Outcome.Version != 0x0304 ||
		!want.Outcome.Group.PostQuantum() || !want.Time.Equal(start.Add(3*time.Millisecond)) {
		t.Fatalf("in one segment: %+v", want)
	}
	hello := flights[0].data
	if len(hello) < 1500 {
		t.Fatalf("the hello has only %d bytes", len(hello))
	}
	shuffled := func(s *script) *script { // the hello's segments in disorder, with repetitions
		r := rand.New(rand.NewPCG(1, 2))
		var chunks [][]byte
		for c := range slices.Chunk(hello, 100) {
			chunks = append(chunks, c)
		}
		order := append(r.Perm(len(chunks)), r.Perm(len(chunks))...)
		for _, i := range order {
			s.segment(true, ack, s.seq[0]+uint32(100*i), chunks[i])
		}
		s.seq[0] += uint32(len(hello))
		return s
	}
	rest := func(s *script) *script {
		for _, f := range flights[1:] {
			s.send(f.client, f.data, 1448)
		}
		return s
	}
	at := func(s *script, from, to int) { s.segment(true, ack, s.seq[0]+uint32(from), hello[from:to]) }
	done := func(s *script) *script {
		s.seq[0] += uint32(len(hello))
		return rest(s)
	}
	for _, test := range []struct {
		name     string
		packets  *script
		segments int // 0: any
	}{
		{"two segments", usual().play(flights, 1448), 2},
		{"three segments", usual().play(flights, 700), 3},
		{"one byte a segment", usual().play(flights, 1), len(hello)},
		{"out of order", func() *script {
			s := usual().open()
			at(s, 1000, len(hello))
			at(s, 0, 500)
			at(s, 500, 1000)
			return done(s)
		}(), 3},
		{"retransmitted", func() *script {
			s := usual().open()
			at(s, 0, 700)
			at(s, 0, 700)
			at(s, 700, len(hello))
			at(s, 0, 700)
			return done(s)
		}(), 2},
		{"overlapping", func() *script {
			s := usual().open()
			at(s, 0, 700)
			at(s, 300, 1100)
			at(s, 1050, len(hello))
			return done(s)
		}(), 3},
		{"overlapping, out of order", func() *script {
			s := usual().open()
			at(s, 600, len(hello))
			at(s, 400, 900)
			at(s, 400, 1000)
			at(s, 0, 500)
			return done(s)
		}(), 3},
		{"shuffled and repeated", rest(shuffled(usual().open())), 0},
		{"SYN missing", func() *script {
			s := usual().play(flights, 700)
			s.packets = s.packets[1:]
			return s
		}(), 3},
		{"begins with the hello", func() *script {
			s := usual().play(flights, 700)
			s.packets = s.packets[3:]
			return s
		}(), 3},
		{"begins with the hello's second segment", func() *script {
			s := usual().play(flights, 700)
			s.packets = append([]packet{s.packets[4], s.packets[3]}, s.packets[5:]...)
			return s
		}(), 3},
		{"one byte a segment, SYN missing", func() *script {
			s := usual().play(flights, 1)
			s.packets = s.packets[3:]
			return s
		}(), 0},
		{"SYN of the server late", func() *script {
			s := usual().play(flights, 700)
			s.packets = slices.Concat(s.packets[:1], s.packets[2:5], s.packets[1:2], s.packets[5:])
			return s
		}(), 3},
		{"server's packets first", func() *script { // of two interfaces, captured at different speeds
			s := usual().play(flights, 700)
			slices.SortStableFunc(s.packets[3:], func(a, b packet) int { return bytes.Compare(a.ip[12:16], b.ip[12:16]) })
			return s
		}(), 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := one(t, ethernetPcap(test.packets.packets))
			same(t, got, want)
			if test.segments != 0 && got.Segments != test.segments {
				t.Errorf("%d segments, want %d", got.Segments, test.segments)
			}
		})
	}
}

// The hello is the same in any encapsulation.
func TestEncapsulation(t *testing.T) {
	v4 := usual().play(hybrid(), 1448)
	v6 := newScript("[2001:db8::77]:40000", "[2001:db8::10]:443").play(hybrid(), 1428)
	want := map[bool]*Handshake{false: one(t, ethernetPcap(v4.packets)), true: one(t, ethernetPcap(v6.packets))}

	tagged := func(types ...layers.EthernetType) func([]byte) []byte {
		return func(ip []byte) []byte {
			l := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: types[0]}}
			for i := range types {
				next := etherType(ip)
				if i+1 < len(types) {
					next = types[i+1]
				}
				l = append(l, &layers.Dot1Q{VLANIdentifier: uint16(i + 1), Type: next})
			}
			return serialize(append(l, gopacket.Payload(ip))...)
		}
	}
	outer4, outer6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:1::1")
	tunnel := func(outer netip.Addr, port layers.UDPPort, header gopacket.SerializableLayer, inner func([]byte) []byte) func([]byte) []byte {
		return func(ip []byte) []byte {
			payload := serialize(header, gopacket.Payload(inner(ip)))
			return ethernet(ipPacket(outer, outer, layers.IPProtocolUDP, &layers.UDP{SrcPort: 50000, DstPort: port}, payload))
		}
	}
	plain := func(ip []byte) []byte { return ip }
	vxlan := &layers.VXLAN{ValidIDFlag: true, VNI: 7}
	tests := []struct {
		name  string
		link  layers.LinkType
		frame func([]byte) []byte
	}{
		{"Ethernet", layers.LinkTypeEthernet, ethernet},
		{"Ethernet with padding", layers.LinkTypeEthernet, func(ip []byte) []byte { return append(ethernet(ip), make([]byte, 20)...) }},
		{"VLAN", layers.LinkTypeEthernet, tagged(layers.EthernetTypeDot1Q)},
		{"QinQ", layers.LinkTypeEthernet, tagged(layers.EthernetTypeQinQ, layers.EthernetTypeDot1Q)},
		{"two VLANs", layers.LinkTypeEthernet, tagged(layers.EthernetTypeDot1Q, layers.EthernetTypeDot1Q)},
		{"SLL", layers.LinkTypeLinuxSLL, func(ip []byte) []byte {
			return append(binary.BigEndian.AppendUint16([]byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}, uint16(etherType(ip))), ip...)
		}},
		{"SLL2", layers.LinkTypeLinuxSLL2, func(ip []byte) []byte {
			return append(binary.BigEndian.AppendUint16(nil, uint16(etherType(ip))), append([]byte{0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}, ip...)...)
		}},
		{"raw", layers.LinkTypeRaw, plain},
		{"raw of BSD", layers.LinkType(12), plain},
		{"loopback, little endian", layers.LinkTypeNull, func(ip []byte) []byte { return append([]byte{family(ip), 0, 0, 0}, ip...) }},
		{"loopback, big endian", layers.LinkTypeLoop, func(ip []byte) []byte { return append([]byte{0, 0, 0, family(ip)}, ip...) }},
		{"VXLAN", layers.LinkTypeEthernet, tunnel(outer4, 4789, vxlan, ethernet)},
		{"VXLAN inside IPv6", layers.LinkTypeEthernet, tunnel(outer6, 4789, vxlan, ethernet)},
		{"VLAN inside VXLAN", layers.LinkTypeEthernet, tunnel(outer4, 4789, vxlan, tagged(layers.EthernetTypeDot1Q))},
		{"GENEVE with Ethernet", layers.LinkTypeEthernet, tunnel(outer4, 6081, &layers.Geneve{Protocol: layers.EthernetTypeTransparentEthernetBridging}, ethernet)},
		{"GENEVE with options, as Gateway Load Balancers have", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return tunnel(outer4, 6081, &layers.Geneve{Protocol: etherType(ip), Options: []*layers.GeneveOption{
				{Class: 0x108, Type: 1, Length: 12, Data: make([]byte, 8)}, {Class: 0x108, Type: 3, Length: 8, Data: make([]byte, 4)}}}, plain)(ip)
		}},
		{"IP inside IP", layers.LinkTypeEthernet, func(ip []byte) []byte {
			protocol := layers.IPProtocolIPv4
			if ip[0]>>4 == 6 {
				protocol = layers.IPProtocolIPv6
			}
			return ethernet(ipPacket(outer4, outer4, protocol, gopacket.Payload(ip), nil))
		}},
	}
	tests = append(tests, []struct {
		name  string
		link  layers.LinkType
		frame func([]byte) []byte
	}{
		{"QinQ 0x9100", layers.LinkTypeEthernet, tagged(0x9100, layers.EthernetTypeDot1Q)},
		{"QinQ 0x9200 inside SLL", layers.LinkTypeLinuxSLL, func(ip []byte) []byte {
			return append([]byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x92, 0}, append(append([]byte{0, 7}, typed(ip)...), ip...)...)
		}},
		{"SNAP", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return llc(append(append([]byte{0xaa, 0xaa, 3, 0, 0, 0}, typed(ip)...), ip...))
		}},
		{"SNAP inside SLL", layers.LinkTypeLinuxSLL, func(ip []byte) []byte {
			return append([]byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0xaa, 0xaa, 3, 0, 0, 0}, append(typed(ip), ip...)...)
		}},
		{"802.2 with padding", layers.LinkTypeEthernet, func(ip []byte) []byte { return append(llc(append([]byte{6, 6, 3}, ip...)), 0, 0, 0, 0) }},
		{"MPLS", layers.LinkTypeEthernet, framed(0x8847, []byte{0, 1, 0, 64, 0, 2, 1, 64}, plain)},
		{"MPLS with an Ethernet frame", layers.LinkTypeEthernet, framed(0x8847, []byte{0, 1, 1, 64}, ethernet)},
		{"MPLS with a control word", layers.LinkTypeEthernet, framed(0x8848, []byte{0, 1, 1, 64, 0, 0, 0, 9}, ethernet)},
		{"PPPoE", layers.LinkTypeEthernet, func(ip []byte) []byte { return append(framed(0x8864, pppoe(ip, 2), pppOf(false))(ip), 0, 0) }},
		{"PPPoE, compressed protocol", layers.LinkTypeEthernet, func(ip []byte) []byte { return framed(0x8864, pppoe(ip, 1), pppOf(true))(ip) }},
		{"PPP", layers.LinkTypePPP, func(ip []byte) []byte { return append([]byte{0xff, 3}, pppOf(false)(ip)...) }},
		{"Cisco HDLC", layers.LinkTypeC_HDLC, func(ip []byte) []byte { return append(append([]byte{0x0f, 0}, typed(ip)...), ip...) }},
		{"GRE", layers.LinkTypeEthernet, func(ip []byte) []byte { return gre(outer4, 0, uint16(etherType(ip)), nil, ip) }},
		{"GRE inside IPv6, with checksum, key and sequence", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return gre(outer6, 0xb000, uint16(etherType(ip)), make([]byte, 12), ip)
		}},
		{"GRE with routing", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return gre(outer4, 0x4000, uint16(etherType(ip)), []byte{0, 0, 0, 0, 8, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0}, ip)
		}},
		{"GRE of PPTP", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return gre(outer4, 0x3081, 0x880b, append([]byte{0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2}, pppOf(false)(ip)...), nil)
		}},
		{"GRE with an Ethernet frame", layers.LinkTypeEthernet, func(ip []byte) []byte { return gre(outer4, 0, 0x6558, nil, ethernet(ip)) }},
		{"MPLS inside GRE", layers.LinkTypeEthernet, func(ip []byte) []byte { return gre(outer4, 0, 0x8847, []byte{0, 1, 1, 64}, ip) }},
		{"WCCP", layers.LinkTypeEthernet, func(ip []byte) []byte { return gre(outer4, 0, 0x883e, []byte{0, 1, 2, 3}, ip) }},
		{"ERSPAN type I", layers.LinkTypeEthernet, func(ip []byte) []byte { return gre(outer4, 0, 0x88be, nil, ethernet(ip)) }},
		{"ERSPAN type II", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return gre(outer4, 0x1000, 0x88be, append(make([]byte, 4), 0x10, 1, 0, 7, 0, 0, 0, 3), tagged(layers.EthernetTypeDot1Q)(ip))
		}},
		{"ERSPAN type III", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return gre(outer4, 0x1000, 0x22eb, append(make([]byte, 4), 0x20, 1, 0, 7, 1, 2, 3, 4, 0, 0, 0, 0), ethernet(ip))
		}},
		{"ERSPAN type III with IP and a subheader", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return gre(outer4, 0x1000, 0x22eb, append(make([]byte, 4), 0x20, 1, 0, 7, 1, 2, 3, 4, 0, 0, 0x08, 0x01, 0, 0, 0, 0, 0, 0, 0, 0), ip)
		}},
		{"EtherIP", layers.LinkTypeEthernet, func(ip []byte) []byte {
			return ethernet(ipPacket(outer4, outer4, 97, gopacket.Payload(append([]byte{0x30, 0}, ethernet(ip)...)), nil))
		}},
		{"authentication header", layers.LinkTypeEthernet, func(ip []byte) []byte {
			header, at := 20, 9
			if ip[0]>>4 == 6 {
				header, at = 40, 6
			}
			long := slices.Concat(ip[:header], append([]byte{ip[at], 4}, make([]byte, 22)...), ip[header:])
			long[at] = 51
			if header == 20 {
				binary.BigEndian.PutUint16(long[2:], uint16(len(long)))
			} else {
				binary.BigEndian.PutUint16(long[4:], uint16(len(long)-40))
			}
			return ethernet(long)
		}},
	}...)
	for _, test := range tests {
		for v, s := range map[bool]*script{false: v4, true: v6} {
			t.Run(fmt.Sprintf("%s, IPv%d", test.name, 4+2*len(fmt.Sprint(v)[4:])), func(t *testing.T) {
				same(t, one(t, pcapOf(test.link, test.frame, s.packets)), want[v])
			})
		}
	}
	t.Run("IPv4 options", func(t *testing.T) {
		frame := func(ip []byte) []byte {
			long := append(append(slices.Clone(ip[:20]), 1, 1, 1, 0), ip[20:]...)
			long[0]++
			binary.BigEndian.PutUint16(long[2:], uint16(len(long)))
			return ethernet(long)
		}
		same(t, one(t, pcapOf(layers.LinkTypeEthernet, frame, v4.packets)), want[false])
	})
	t.Run("segments that the network card was to cut", func(t *testing.T) {
		frame := func(ip []byte) []byte {
			if ip = slices.Clone(ip); len(ip) < 200 {
				return ethernet(ip)
			}
			if ip[0]>>4 == 4 {
				ip[2], ip[3] = 0, 0
			} else {
				ip[4], ip[5] = 0, 0
			}
			return ethernet(ip)
		}
		same(t, one(t, pcapOf(layers.LinkTypeEthernet, frame, v4.packets)), want[false])
		same(t, one(t, pcapOf(layers.LinkTypeEthernet, frame, v6.packets)), want[true])
	})
	t.Run("IPv6 extension headers", func(t *testing.T) {
		frame := func(ip []byte) []byte {
			next := ip[6]
			extensions := []byte{60, 0, 1, 4, 0, 0, 0, 0, 43, 0, 1, 4, 0, 0, 0, 0, next, 0, 0, 0, 0, 0, 0, 0}
			long := append(append(slices.Clone(ip[:40]), extensions...), ip[40:]...)
			long[6] = 0 // hop-by-hop
			binary.BigEndian.PutUint16(long[4:], uint16(len(long)-40))
			return ethernet(long)
		}
		same(t, one(t, pcapOf(layers.LinkTypeEthernet, frame, v6.packets)), want[true])
	})
	t.Run("IPv4 fragments", func(t *testing.T) {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 0, 2}} {
			all, stats := track(t, Options{}, ethernetPcap(fragmented(v4.packets, order, fragment4)))
			if len(all) != 1 || stats.Fragments != 0 {
				t.Fatalf("%d handshakes, %d fragments left over", len(all), stats.Fragments)
			}
			same(t, all[0], want[false])
		}
	})
	t.Run("IPv6 fragments", func(t *testing.T) {
		same(t, one(t, ethernetPcap(fragmented(v6.packets, []int{1, 0, 2}, fragment6))), want[true])
	})
	t.Run("fragments of a VXLAN packet", func(t *testing.T) {
		var mirrored []packet
		for _, p := range v4.packets {
			frame := tunnel(outer4, 4789, vxlan, ethernet)(p.ip)
			mirrored = append(mirrored, packet{p.at, frame[14:]})
		}
		same(t, one(t, ethernetPcap(fragmented(mirrored, []int{0, 2, 1}, fragment4))), want[false])
	})
	t.Run("a fragment is missing", func(t *testing.T) {
		all, stats := track(t, Options{}, ethernetPcap(fragmented(v4.packets, []int{0, 2}, fragment4)))
		if stats.Fragments == 0 || len(all) != 1 || !all[0].Truncated() {
			t.Errorf("%d fragments left over, %+v", stats.Fragments, all)
		}
	})
}

// framed puts a header between the Ethernet header and what it carries.
func framed(etherType uint16, header []byte, inner func([]byte) []byte) func([]byte) []byte {
	return func(ip []byte) []byte {
		return slices.Concat(mac, mac, binary.BigEndian.AppendUint16(nil, etherType), header, inner(ip))
	}
}

// typed is the EtherType of an IP packet.
func typed(ip []byte) []byte { return binary.BigEndian.AppendUint16(nil, uint16(etherType(ip))) }

// llc is an IEEE 802.3 frame.
func llc(payload []byte) []byte {
	return slices.Concat(mac, mac, binary.BigEndian.AppendUint16(nil, uint16(len(payload))), payload)
}

func pppoe(ip []byte, protocolLen int) []byte {
	return binary.BigEndian.AppendUint16([]byte{0x11, 0, 0, 1}, uint16(len(ip)+protocolLen))
}

func pppOf(compressed bool) func([]byte) []byte {
	return func(ip []byte) []byte {
		protocol := []byte{0, 0x21}
		if ip[0]>>4 == 6 {
			protocol[1] = 0x57
		}
		if compressed {
			protocol = protocol[1:]
		}
		return append(protocol, ip...)
	}
}

// gre puts a packet into a GRE tunnel. fields is all that follows the protocol.
func gre(outer netip.Addr, flags, protocol uint16, fields, inner []byte) []byte {
	header := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, flags), protocol)
	return ethernet(ipPacket(outer, outer, layers.IPProtocolGRE, gopacket.Payload(slices.Concat(header, fields, inner)), nil))
}

// Every packet is looked into or counted by its kind.
func TestSkipped(t *testing.T) {
	p := func(etherType uint16, payload ...byte) packet {
		return packet{start, framed(etherType, payload, func([]byte) []byte { return nil })(nil)}
	}
	at := func(protocol layers.IPProtocol, payload ...byte) packet {
		a := netip.MustParseAddr("192.0.2.1")
		return packet{start, ethernet(ipPacket(a, a, protocol, gopacket.Payload(payload), nil))}
	}
	quic := append([]byte{0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x9e}, make([]byte, 100)...)
	udp := func(payload []byte) packet {
		return at(layers.IPProtocolUDP, append([]byte{0x9c, 0x40, 1, 0xbb, 0, 0, 0, 0}, payload...)...)
	}
	_, stats := track(t, Options{}, pcapOf(layers.LinkTypeEthernet, nil, []packet{
		p(0x0806), p(0x0806), p(0x0806), p(0x88cc), p(0x88cc), p(0x1234, 1), p(46, 0x42, 0x42, 3), p(46, 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0),
		p(0x8864, 0x11, 0, 0, 1, 0, 2, 0xc0, 0x21), at(layers.IPProtocolICMPv4, 8), at(layers.IPProtocolESP, 1), at(layers.IPProtocolGRE, 0, 0, 0x12, 0x34), at(200),
		at(layers.IPProtocolGRE, 0, 0, 0x88, 0x47, 0, 1, 1, 64, 0x10, 0, 0, 0x21),
		udp([]byte("dns")), udp(quic), udp([]byte{0x40, 1, 2, 3}), // the last two are of one flow, with the first
	}))
	var got []string
	for _, c := range stats.Skipped {
		got = append(got, fmt.Sprintf("%d %s", c.Packets, c.Kind))
	}
	want := "3 ARP, 2 LLDP, 1 EtherType 0x1234, 1 STP, 1 CDP, 1 PPP LCP, 1 MPLS channel 0x0021, 1 GRE 0x1234, 1 ICMP, 1 ESP, 1 IP protocol 200, 1 UDP"
	if s := strings.Join(got, ", "); s != want || stats.Malformed != 0 || stats.QUIC != 1 {
		t.Errorf("got  %s\nwant %s\n%+v", s, want, stats)
	}
}

func family(ip []byte) byte {
	if ip[0]>>4 == 4 {
		return 2
	}
	return 30
}

// fragmented splits each packet of more than 100 bytes into three fragments, in the given
// order.
func fragmented(packets []packet, order []int, cut func(ip []byte, id, from, to int, more bool) []byte) []packet {
	var all []packet
	for id, p := range packets {
		header := 20
		if p.ip[0]>>4 == 6 {
			header = 40
		}
		body := len(p.ip) - header
		if body < 100 {
			all = append(all, p)
			continue
		}
		at := []int{0, body / 3 &^ 7, body / 3 * 2 &^ 7, body}
		for _, i := range order {
			all = append(all, packet{p.at, cut(p.ip, id, at[i], at[i+1], i < 2)})
		}
	}
	return all
}

func fragment4(ip []byte, id, from, to int, more bool) []byte {
	f := append(slices.Clone(ip[:20]), ip[20+from:20+to]...)
	binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
	binary.BigEndian.PutUint16(f[4:], uint16(id))
	binary.BigEndian.PutUint16(f[6:], uint16(from/8))
	if more {
		f[6] |= 0x20
	}
	return f
}

func fragment6(ip []byte, id, from, to int, more bool) []byte {
	offset := uint16(from)
	if more {
		offset |= 1
	}
	header := binary.BigEndian.AppendUint16([]byte{ip[6], 0}, offset)
	header = binary.BigEndian.AppendUint32(header, uint32(id))
	f := slices.Concat(ip[:40], header, ip[40+from:40+to])
	f[6] = 44
	binary.BigEndian.PutUint16(f[4:], uint16(len(f)-40))
	return f
}

type closer struct {
	io.Reader
	open *int
}

func (c *closer) Close() error {
	*c.open--
	return nil
}

// pcapngOf writes packets as a pcapng file of two interfaces in turn.
func pcapngOf(t testing.TB, packets []packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.AddInterface(pcapgo.NgInterface{Name: "tun0", LinkType: layers.LinkTypeRaw, SnapLength: 65535})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range packets {
		data, at := ethernet(p.ip), 0
		if i%2 == 1 {
			data, at = p.ip, raw
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(data), Length: len(data), InterfaceIndex: at}, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// All capture formats give the same handshakes.
func TestFormats(t *testing.T) {
	packets := usual().play(hybrid(), 1448).packets
	want := one(t, ethernetPcap(packets))
	micro := func(order binary.ByteOrder, nano bool) []byte {
		magic, unit := uint32(0xa1b2c3d4), int64(1000)
		if nano {
			magic, unit = 0xa1b23c4d, 1
		}
		var b bytes.Buffer
		binary.Write(&b, order, []any{magic, uint16(2), uint16(4), int32(0), uint32(0), uint32(65535), uint32(1)}[0])
		for _, v := range []any{uint16(2), uint16(4), int32(0), uint32(0), uint32(65535), uint32(1)} {
			binary.Write(&b, order, v)
		}
		for _, p := range packets {
			data := ethernet(p.ip)
			for _, v := range []uint32{uint32(p.at.Unix()), uint32(int64(p.at.Nanosecond()) / unit), uint32(len(data)), uint32(len(data))} {
				binary.Write(&b, order, v)
			}
			b.Write(data)
		}
		return b.Bytes()
	}
	ng := pcapngOf(t, packets)
	zipped := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(b)
		w.Close()
		return z.Bytes()
	}
	for name, capture := range map[string][]byte{
		"little endian, microseconds": micro(binary.LittleEndian, false),
		"little endian, nanoseconds":  micro(binary.LittleEndian, true),
		"big endian, microseconds":    micro(binary.BigEndian, false),
		"big endian, nanoseconds":     micro(binary.BigEndian, true),
		"pcapng":                      ng,
		"pcap in gzip":                zipped(micro(binary.BigEndian, false)),
		"pcapng in gzip":              zipped(ng),
	} {
		t.Run(name, func(t *testing.T) {
			got := one(t, capture)
			same(t, got, want)
			if !got.Time.Equal(start.Add(3 * time.Millisecond)) {
				t.Errorf("time %v", got.Time)
			}
		})
	}
	t.Run("odd records", func(t *testing.T) {
		plain := micro(binary.LittleEndian, false)
		record := func(n int) []byte { // the header of the nth record
			at := 24
			for range n {
				at += 16 + int(binary.LittleEndian.Uint32(plain[at+8:]))
			}
			return plain[at:]
		}
		change := func(change func()) []byte {
			before := slices.Clone(plain)
			change()
			odd := slices.Clone(plain)
			copy(plain, before)
			return odd
		}
		for name, test := range map[string]struct {
			capture []byte
			want    Stats
		}{
			"version 2.1": {change(func() { plain[6] = 1 }), Stats{OldRecords: int64(len(packets))}},
			"version 2.3, lengths in the other order": {change(func() {
				plain[6] = 3
				binary.LittleEndian.PutUint32(record(1)[8:], 1000)
			}), Stats{OldRecords: int64(len(packets))}},
			"version 2.5":              {change(func() { plain[6] = 5 }), Stats{}},
			"longer than the original": {change(func() { binary.LittleEndian.PutUint32(record(3)[12:], 60) }), Stats{LongRecords: 1}},
			"empty":                    {slices.Concat(plain[:24], make([]byte, 16), plain[24:]), Stats{EmptyRecords: 1}},
		} {
			t.Run(name, func(t *testing.T) {
				all, stats := track(t, Options{}, test.capture)
				if len(all) != 1 || stats.OldRecords != test.want.OldRecords || stats.LongRecords != test.want.LongRecords || stats.EmptyRecords != test.want.EmptyRecords || stats.Malformed != 0 {
					t.Fatalf("%d handshakes, %+v", len(all), stats)
				}
				same(t, all[0], want)
			})
		}
	})
	t.Run("several files", func(t *testing.T) {
		for cut := range packets {
			same(t, one(t, ethernetPcap(packets[:cut]), ethernetPcap(packets[cut:])), want)
		}
	})
	t.Run("several files that overlap, in any order", func(t *testing.T) {
		var parts [3][]packet // as captured by three hosts
		for i, p := range packets {
			parts[i%3] = append(parts[i%3], p)
		}
		other := newScript("198.51.100.78:40000", "198.51.100.10:443")
		other.at = start.Add(-time.Minute)
		captures := [][]byte{ethernetPcap(parts[2]), zipped(ethernetPcap(parts[0])), []byte("no capture"), ethernetPcap(nil),
			ethernetPcap(parts[1]), micro(binary.LittleEndian, false)[:500], ethernetPcap(other.play(hybrid(), 700).packets)}
		var all []*Handshake
		tracker := NewTracker(Options{}, func(h *Handshake) error {
			all = append(all, h)
			return nil
		})
		var files []Capture
		open := 0
		for i, c := range captures {
			files = append(files, Capture{fmt.Sprintf("file %d", i), func() (io.ReadCloser, error) {
				open++
				return &closer{bytes.NewReader(c), &open}, nil
			}})
		}
		files = append(files, Capture{"file 7", func() (io.ReadCloser, error) { return nil, errors.New("gone") }})
		err := tracker.ReadAll(t.Context(), files)
		for _, want := range []string{"file 2: " + capture.ErrFormat.Error(), "file 5: the capture is cut or damaged after packet 3", "file 7: gone"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %v", want, err)
			}
		}
		if err := tracker.Close(); err != nil {
			t.Fatal(err)
		}
		if len(all) != 2 || open != 0 {
			t.Fatalf("%d handshakes, %d files left open", len(all), open)
		}
		same(t, all[1], want)
	})
	t.Run("refused", func(t *testing.T) {
		for name, test := range map[string]struct {
			input []byte
			want  string
		}{
			"nothing":      {nil, "empty"},
			"a log":        {[]byte("2026-11-25T10:00:00Z 203.0.113.7 40000 443"), capture.ErrFormat.Error()},
			"short":        {[]byte("abc"), capture.ErrFormat.Error()},
			"gzip of text": {zipped([]byte("hello")), capture.ErrFormat.Error()},
			"cut gzip":     {zipped(ng)[:30], "unexpected EOF"},
			"cut pcap":     {micro(binary.LittleEndian, false)[:500], "after packet 3"},
			"Wi-Fi":        {pcapOf(layers.LinkTypeIEEE802_11, ethernet, packets), "link type 105"},
		} {
			tracker := NewTracker(Options{}, func(*Handshake) error { return nil })
			if err := tracker.Read(t.Context(), bytes.NewReader(test.input)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: got %v, want %q", name, err, test.want)
			}
		}
	})
	t.Run("callback fails", func(t *testing.T) {
		full := errors.New("disk full")
		tracker := NewTracker(Options{}, func(*Handshake) error { return full })
		if err := tracker.Read(t.Context(), bytes.NewReader(ng)); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	})
}
