package capture

import "encoding/binary"

// GRE flags and the EtherTypes of what Cisco mirrors over GRE.
const (
	greChecksum = 0x8000 // RFC 2784
	greRouting  = 0x4000 // RFC 1701
	greKey      = 0x2000 // RFC 2890
	greSequence = 0x1000
	greAck      = 0x0080 // RFC 2637, of version 1
	greVersion  = 0x0007

	typeERSPAN  = 0x88be // types I and II
	typeERSPAN3 = 0x22eb
	typeWCCP    = 0x883e // redirected to a web cache
)

// gre reads a GRE header: RFC 2784 with the extensions of RFC 2890 and the routing of
// RFC 1701, or version 1, RFC 2637.
func (d *Decoder) gre(b []byte) {
	if !d.inner(b, 4) {
		return
	}
	flags, protocol := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	n := 4
	for _, field := range []uint16{greChecksum | greRouting, greKey, greSequence} {
		if flags&field != 0 {
			n += 4
		}
	}
	switch flags & greVersion {
	case 0:
	case 1:
		if flags&greAck != 0 {
			n += 4
		}
		if flags&greSequence == 0 {
			return // only an acknowledgement
		}
	default:
		d.skip(greProtocol, protocol)
		return
	}
	if len(b) < n {
		d.Malformed++
		return
	}
	b = b[n:]
	for more := flags&greRouting != 0 && flags&greVersion == 0; more; {
		if !d.inner(b, 4) || len(b) < 4+int(b[3]) {
			d.Malformed++
			return
		}
		more = b[3] != 0
		b = b[4+int(b[3]):]
	}
	switch protocol {
	case typeERSPAN:
		d.erspan(flags&greSequence != 0, b)
	case typeERSPAN3:
		d.erspan3(b)
	case typeWCCP:
		if len(b) > 4 && b[0]>>4 != 4 {
			b = b[4:] // the redirect header of version 2
		}
		d.ip(b)
	case typeIPv4, typeIPv6, typeMPLS, typeMPLS2, typePPP, typeEthernet:
		d.etherType(protocol, b)
	default:
		d.skip(greProtocol, protocol)
	}
}

// erspan reads a frame of ERSPAN type II, which has a GRE sequence number and a header, or
// of type I, which has neither (draft-foschiano-erspan, Sections 4.1 and 4.2).
func (d *Decoder) erspan(typeII bool, b []byte) {
	if typeII {
		if !d.inner(b, 8) {
			return
		}
		b = b[8:]
	}
	d.ethernet(b)
}

// erspan3 reads a frame of ERSPAN type III, draft-foschiano-erspan, Section 4.3.
func (d *Decoder) erspan3(b []byte) {
	const frameEthernet, frameIP = 0, 2
	if !d.inner(b, 12) {
		return
	}
	last := binary.BigEndian.Uint16(b[10:])
	b = b[12:]
	if last&1 != 0 { // an optional subheader follows
		if !d.inner(b, 8) {
			return
		}
		b = b[8:]
	}
	switch frame := last >> 10 & 0x1f; frame {
	case frameEthernet:
		d.ethernet(b)
	case frameIP:
		d.ip(b)
	default:
		d.skip(erspanFrame, frame)
	}
}

const (
	portVXLAN      = 4789 // RFC 7348
	portVXLANLinux = 8472 // used by Linux before the number was assigned
	portGENEVE     = 6081 // RFC 8926
)

// tunnel reads a datagram to the port of a tunnel. It returns false if it is none.
func (d *Decoder) tunnel(port uint16, b []byte) bool {
	switch {
	case (port == portVXLAN || port == portVXLANLinux) && len(b) >= 8 && b[0]&0x08 != 0: // RFC 7348, Section 5
		d.via |= viaVXLAN
		d.ethernet(b[8:])
	case port == portGENEVE && len(b) >= 8 && b[0]>>6 == 0: // RFC 8926, Section 3.4
		d.via |= viaGENEVE
		options := int(b[0]&0x3f) * 4
		if !d.inner(b, 8+options) {
			return true
		}
		d.etherType(binary.BigEndian.Uint16(b[2:]), b[8+options:])
	default:
		return false
	}
	return true
}
