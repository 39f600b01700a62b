package capture

import (
	"cmp"
	"encoding/binary"
	"net/netip"
)

// A Segment is a TCP segment, with as much of its payload as was captured.
type Segment struct {
	Time     int64 // Unix nanoseconds
	Src, Dst Endpoint
	Seq, Ack uint32
	Flags    uint8
	Data     []byte // valid until the next packet
	Missing  int    // bytes after Data that the capture lacks
	Via      uint8  // the kinds of tunnels that the packet came through, one bit each
}

// Bits of [Segment.Via]. VLAN tags are not among them: a capture of all interfaces has
// packets with and without.
const (
	viaMPLS = 1 << iota
	viaPPPoE
	viaIP
	viaGRE
	viaVXLAN
	viaGENEVE
)

// TCP flags, RFC 9293, Section 3.1.
const (
	FIN = 1 << iota
	SYN
	RST
	_
	ACK
)

// An Endpoint is an IP address and a port.
type Endpoint struct {
	high, low uint64 // of the IPv6 address; IPv4 is mapped
	Port      uint16
}

const mapped = 0xffff_0000_0000 // in front of the IPv4 address in low

func endpoint4(address []byte, port uint16) Endpoint {
	return Endpoint{0, mapped | uint64(binary.BigEndian.Uint32(address)), port}
}

func endpoint6(address []byte, port uint16) Endpoint {
	return Endpoint{binary.BigEndian.Uint64(address), binary.BigEndian.Uint64(address[8:]), port}
}

// Addr returns the IP address.
func (e Endpoint) Addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], e.high)
	binary.BigEndian.PutUint64(b[8:], e.low)
	return netip.AddrFrom16(b).Unmap()
}

// AddrPort returns the address and the port.
func (e Endpoint) AddrPort() netip.AddrPort { return netip.AddrPortFrom(e.Addr(), e.Port) }

// A Flow is the two ends of a connection, the lower one first.
type Flow [2]Endpoint

// FlowOf returns the flow of a packet, and which of its ends sent the packet.
func FlowOf(src, dst Endpoint) (flow Flow, sender int) {
	if order := cmp.Or(cmp.Compare(src.low, dst.low), cmp.Compare(src.high, dst.high), cmp.Compare(src.Port, dst.Port)); order > 0 {
		return Flow{dst, src}, 1
	}
	return Flow{src, dst}, 0
}

func endpointOf(address []byte, port uint16) Endpoint {
	if len(address) == 4 {
		return endpoint4(address, port)
	}
	return endpoint6(address, port)
}
