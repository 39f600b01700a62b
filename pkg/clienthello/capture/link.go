package capture

import (
	"encoding/binary"

	"github.com/gopacket/gopacket/layers"
)

// Link types without a name in gopacket: raw IP in files of programs that wrote the
// number of their operating system instead of the format's.
const (
	linkTypeRawBSD     layers.LinkType = 12
	linkTypeRawOpenBSD layers.LinkType = 14
)

// firstLayer decodes the first header of packets of a link type, or is nil.
func firstLayer(link layers.LinkType) func(*Decoder, []byte) {
	switch link {
	case layers.LinkTypeEthernet:
		return (*Decoder).ethernet
	case layers.LinkTypeLinuxSLL:
		return (*Decoder).cooked
	case layers.LinkTypeLinuxSLL2:
		return (*Decoder).cooked2
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		return (*Decoder).loopback
	case layers.LinkTypeRaw, linkTypeRawBSD, linkTypeRawOpenBSD, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return (*Decoder).ip
	case layers.LinkTypePPP, layers.LinkTypePPP_HDLC:
		return (*Decoder).ppp
	case layers.LinkTypePPPEthernet:
		return (*Decoder).pppoe
	case layers.LinkTypeC_HDLC:
		return (*Decoder).ciscoHDLC
	}
	return nil
}

// inner reports whether a packet may have one more header, of at least n bytes.
func (d *Decoder) inner(b []byte, n int) bool {
	if d.depth++; d.depth > maxLayers || len(b) < n {
		d.Malformed++
		return false
	}
	return true
}

// ethernet reads an Ethernet frame.
func (d *Decoder) ethernet(b []byte) {
	if d.inner(b, 14) {
		d.etherType(binary.BigEndian.Uint16(b[12:]), b[14:])
	}
}

// cooked reads the header of Linux cooked captures (LINKTYPE_LINUX_SLL).
func (d *Decoder) cooked(b []byte) {
	if d.inner(b, 16) {
		d.cookedType(binary.BigEndian.Uint16(b[14:]), b[16:])
	}
}

// cooked2 reads the header of LINKTYPE_LINUX_SLL2.
func (d *Decoder) cooked2(b []byte) {
	if d.inner(b, 20) {
		d.cookedType(binary.BigEndian.Uint16(b), b[20:])
	}
}

func (d *Decoder) cookedType(t uint16, b []byte) {
	const frame8022 = 4
	if t == frame8022 {
		d.llc(b)
		return
	}
	d.etherType(t, b)
}

// loopback reads the header of BSD loopback interfaces: the number of the protocol
// family, in the byte order of the host or of the network.
func (d *Decoder) loopback(b []byte) {
	if !d.inner(b, 4) {
		return
	}
	family := binary.BigEndian.Uint32(b)
	if family > 0xffff {
		family = binary.LittleEndian.Uint32(b)
	}
	switch family {
	case 2, 10, 23, 24, 28, 30: // AF_INET, and AF_INET6 of several systems
		d.ip(b[4:])
	default:
		d.skip(addressFamily, uint16(family))
	}
}

// ciscoHDLC reads the header of Cisco's HDLC: address, control, EtherType.
func (d *Decoder) ciscoHDLC(b []byte) {
	if d.inner(b, 4) {
		d.etherType(binary.BigEndian.Uint16(b[2:]), b[4:])
	}
}

// EtherTypes, of IEEE's registry.
const (
	typeIPv4        = 0x0800
	typeIPv6        = 0x86dd
	typeVLAN        = 0x8100 // IEEE 802.1Q
	typeServiceVLAN = 0x88a8 // IEEE 802.1ad
	typeOldVLAN     = 0x9100 // of QinQ before 802.1ad; also 0x9200 and 0x9300
	typeOldVLAN2    = 0x9200
	typeOldVLAN3    = 0x9300
	typeMPLS        = 0x8847
	typeMPLS2       = 0x8848
	typePPPoE       = 0x8864 // its session stage
	typePPP         = 0x880b
	typeEthernet    = 0x6558 // bridged over another protocol
	maxLLC          = 1500   // smaller numbers are the length of an IEEE 802.3 frame
)

// etherType reads what follows an EtherType.
func (d *Decoder) etherType(t uint16, b []byte) {
	for t == typeVLAN || t == typeServiceVLAN || t == typeOldVLAN || t == typeOldVLAN2 || t == typeOldVLAN3 {
		if !d.inner(b, 4) {
			return
		}
		t, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch t {
	case typeIPv4, typeIPv6:
		d.ip(b)
	case typeMPLS, typeMPLS2:
		d.mpls(b)
	case typePPPoE:
		d.pppoe(b)
	case typePPP:
		d.ppp(b)
	case typeEthernet:
		d.ethernet(b)
	default:
		if t <= maxLLC {
			d.llc(b[:min(int(t), len(b))])
			return
		}
		d.skip(etherType, t)
	}
}

// llc reads a header of IEEE 802.2, with the EtherType of the SNAP extension.
func (d *Decoder) llc(b []byte) {
	const snap, ip, unnumbered = 0xaa, 0x06, 3
	switch {
	case !d.inner(b, 3):
	case b[0] == snap && b[1] == snap && b[2] == unnumbered && len(b) >= 8:
		// The organization is 0 or, of frames bridged by IEEE 802.1H, 0xf8.
		if organization := uint32(b[3])<<16 | uint32(b[4])<<8 | uint32(b[5]); organization == 0 || organization == 0xf8 {
			d.etherType(binary.BigEndian.Uint16(b[6:]), b[8:])
			return
		}
		d.skip(snapProtocol, binary.BigEndian.Uint16(b[6:]))
	case b[0] == ip && b[1] == ip && b[2] == unnumbered:
		d.ip(b[3:])
	default:
		d.skip(serviceAccessPoint, uint16(b[0]))
	}
}

// mpls reads a stack of labels, RFC 3032. What follows has no type: it is IP by its first
// bits, or an Ethernet frame, with a control word (RFC 4448, Section 4.6) or without.
func (d *Decoder) mpls(b []byte) {
	d.via |= viaMPLS
	for last := false; !last; b = b[4:] {
		if !d.inner(b, 4) {
			return
		}
		last = b[2]&1 != 0
	}
	if !d.inner(b, 4) {
		return
	}
	switch first := b[0] >> 4; {
	case first == 4, first == 6:
		d.ip(b)
	case first == 1: // RFC 4385, Section 5
		d.skip(mplsChannel, binary.BigEndian.Uint16(b[2:]))
	case first == 0 && carriesIP(b[4:]):
		d.ethernet(b[4:])
	default:
		d.ethernet(b)
	}
}

// carriesIP reports whether b looks like an Ethernet frame with an IP packet.
func carriesIP(b []byte) bool {
	if len(b) < 14 {
		return false
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case typeIPv4, typeIPv6, typeVLAN, typeServiceVLAN:
		return true
	}
	return false
}

// pppoe reads a header of PPP over Ethernet, RFC 2516, Section 4.
func (d *Decoder) pppoe(b []byte) {
	d.via |= viaPPPoE
	if !d.inner(b, 6) {
		return
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	b = b[6:]
	d.ppp(b[:min(length, len(b))])
}

// Protocols of PPP, of IANA's registry.
const (
	pppIPv4 = 0x0021
	pppIPv6 = 0x0057
	pppMPLS = 0x0281
)

// ppp reads a header of PPP, RFC 1661, Section 2, with the framing of RFC 1662 or without.
func (d *Decoder) ppp(b []byte) {
	if !d.inner(b, 2) {
		return
	}
	if b[0] == 0xff && b[1] == 3 {
		if b = b[2:]; !d.inner(b, 2) {
			return
		}
	}
	protocol, n := binary.BigEndian.Uint16(b), 2
	if b[0]&1 != 0 { // compressed to one byte, RFC 1661, Section 6.5
		protocol, n = uint16(b[0]), 1
	}
	b = b[n:]
	switch protocol {
	case pppIPv4, pppIPv6:
		d.ip(b)
	case pppMPLS:
		d.mpls(b)
	default:
		d.skip(pppProtocol, protocol)
	}
}
