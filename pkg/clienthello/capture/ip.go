package capture

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/ip6defrag"
	"github.com/gopacket/gopacket/layers"
)

// ip reads an IP packet.
func (d *Decoder) ip(data []byte) {
	switch {
	case !d.inner(data, ipv4HeaderLen):
	case data[0]>>4 == 4:
		d.ip4(data)
	case data[0]>>4 == 6 && len(data) >= ipv6HeaderLen:
		d.ip6(data)
	default:
		d.Malformed++
	}
}

const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	tcpHeaderLen  = 20
	udpHeaderLen  = 8
)

// ip4 reads an IPv4 packet, RFC 791, Section 3.1.
func (d *Decoder) ip4(data []byte) {
	headerLen := int(data[0]&0xf) * 4
	length := int(binary.BigEndian.Uint16(data[2:]))
	if length == 0 {
		length = len(data) // of segments that the network card would split
	}
	if headerLen < ipv4HeaderLen || length < headerLen || len(data) < headerLen {
		d.Malformed++
		return
	}
	if fragment := binary.BigEndian.Uint16(data[6:]); fragment&0x3fff != 0 {
		d.fragment4(data)
		return
	}
	payload := data[headerLen:min(length, len(data))]
	d.transport(layers.IPProtocol(data[9]), payload, length-headerLen, data[12:16], data[16:20])
}

// ip6 reads an IPv6 packet with its extension headers, RFC 8200.
func (d *Decoder) ip6(data []byte) {
	length := int(binary.BigEndian.Uint16(data[4:]))
	if length == 0 {
		length = len(data) - ipv6HeaderLen
	}
	src, dst := data[8:24], data[24:40]
	protocol := layers.IPProtocol(data[6])
	payload := data[ipv6HeaderLen:min(ipv6HeaderLen+length, len(data))]
	for range maxLayers {
		switch protocol {
		case layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Destination:
			if d.skipper.DecodeFromBytes(payload, gopacket.NilDecodeFeedback) != nil {
				d.Malformed++
				return
			}
			length -= len(payload) - len(d.skipper.Payload)
			protocol, payload = d.skipper.NextHeader, d.skipper.Payload
		case layers.IPProtocolIPv6Fragment:
			whole := d.fragment6(data[:ipv6HeaderLen], payload, length)
			if whole == nil {
				return
			}
			protocol, payload, length = whole.NextHeader, whole.Payload, len(whole.Payload)
		default:
			d.transport(protocol, payload, length, src, dst)
			return
		}
	}
	d.Malformed++
}

// A fragmentKey identifies the packet of a fragment. protocol is 0 for IPv6.
type fragmentKey struct {
	src, dst Endpoint
	id       uint32
	protocol uint8
}

// fragments of one packet.
type fragments struct {
	count int64
	bytes int
}

// fragment4 returns the packet that a fragment completes.
func (d *Decoder) fragment4(data []byte) {
	data = bytes.Clone(data) // they are kept
	ip := new(layers.IPv4)
	if ip.DecodeFromBytes(data, gopacket.NilDecodeFeedback) != nil {
		d.Malformed++
		return
	}
	key := fragmentKey{endpoint4(ip.SrcIP, 0), endpoint4(ip.DstIP, 0), uint32(ip.Id), uint8(ip.Protocol)}
	d.hold(key, len(data))
	whole, err := d.defrag4.DefragIPv4WithTimestamp(ip, time.Unix(0, d.time))
	switch {
	case err != nil: // it contradicts the others: all are dropped
		d.dropped += d.waiting[key].count
		d.release(key)
		return
	case whole == nil:
		return
	}
	d.release(key)
	d.transport(whole.Protocol, whole.Payload, len(whole.Payload), whole.SrcIP, whole.DstIP)
}

// fragment6 returns the packet that a fragment completes, or nil.
func (d *Decoder) fragment6(header, data []byte, length int) *layers.IPv6 {
	if len(data) < length {
		d.dropped++ // cut, so the packet stays incomplete
		return nil
	}
	header, data = bytes.Clone(header), bytes.Clone(data) // they are kept
	fragment := new(layers.IPv6Fragment)
	if fragment.DecodeFromBytes(data, gopacket.NilDecodeFeedback) != nil {
		d.Malformed++
		return nil
	}
	ip := &layers.IPv6{Version: 6, SrcIP: header[8:24], DstIP: header[24:40]}
	key := fragmentKey{src: endpoint6(ip.SrcIP, 0), dst: endpoint6(ip.DstIP, 0), id: fragment.Identification}
	d.hold(key, len(data))
	whole := d.defrag6.DefragIPv6(ip, fragment)
	if whole != nil {
		d.release(key)
	}
	return whole
}

// hold counts a fragment, and drops all when there are too many.
func (d *Decoder) hold(key fragmentKey, n int) {
	const overhead = 256 // of a fragment, in addition to its bytes
	n += overhead
	if d.waiting == nil || d.held+n > MaxFragments {
		d.dropped = d.Fragments()
		d.held, d.waiting = 0, make(map[fragmentKey]fragments)
		d.defrag4, d.defrag6 = ip4defrag.NewIPv4Defragmenter(), ip6defrag.NewIPv6Defragmenter()
	}
	f := d.waiting[key]
	d.waiting[key] = fragments{f.count + 1, f.bytes + n}
	d.held += n
}

func (d *Decoder) release(key fragmentKey) {
	d.held -= d.waiting[key].bytes
	delete(d.waiting, key)
}

// Held returns the bytes of the fragments that wait for others, with overhead.
func (d *Decoder) Held() int { return d.held }

// Fragments returns the number of fragments whose packets are incomplete.
func (d *Decoder) Fragments() int64 {
	n := d.dropped
	for _, f := range d.waiting {
		n += f.count
	}
	return n
}

// Numbers of IP protocols, of IANA's registry, without a name in gopacket.
const protocolEtherIP layers.IPProtocol = 97

// transport reads the payload of an IP packet, of which data may be only the start.
func (d *Decoder) transport(protocol layers.IPProtocol, data []byte, length int, src, dst []byte) {
	switch protocol {
	case layers.IPProtocolTCP:
		d.tcp(data, length, src, dst)
	case layers.IPProtocolUDP:
		d.udp(data, src, dst)
	case layers.IPProtocolIPv4, layers.IPProtocolIPv6:
		d.via |= viaIP
		d.ip(data)
	case layers.IPProtocolGRE:
		d.via |= viaGRE
		d.gre(data)
	case layers.IPProtocolMPLSInIP:
		d.mpls(data)
	case protocolEtherIP: // RFC 3378
		if d.inner(data, 2) {
			d.ethernet(data[2:])
		}
	case layers.IPProtocolAH: // RFC 4302, Section 2
		if !d.inner(data, 12) {
			return
		}
		headerLen := (int(data[1]) + 2) * 4
		if len(data) < headerLen {
			d.Malformed++
			return
		}
		d.transport(layers.IPProtocol(data[0]), data[headerLen:], length-headerLen, src, dst)
	default:
		d.skip(ipProtocol, uint16(protocol))
	}
}

// udp reads a UDP datagram, RFC 768.
func (d *Decoder) udp(data []byte, src, dst []byte) {
	if len(data) < udpHeaderLen {
		d.Malformed++
		return
	}
	from, to, length := binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:]), int(binary.BigEndian.Uint16(data[4:]))
	payload := data[udpHeaderLen:]
	if length >= udpHeaderLen { // otherwise the network card was to set it
		payload = payload[:min(length-udpHeaderLen, len(payload))]
	}
	if !d.tunnel(to, payload) && !d.Handler.Datagram(endpointOf(src, from), endpointOf(dst, to), payload) {
		d.skip(udpDatagram, 0)
	}
}

// tcp reads a TCP segment, RFC 9293, Section 3.1. Its options do not matter.
func (d *Decoder) tcp(data []byte, length int, src, dst []byte) {
	if len(data) < tcpHeaderLen {
		d.Malformed++
		return
	}
	headerLen := int(data[12]>>4) * 4
	if headerLen < tcpHeaderLen || headerLen > length {
		d.Malformed++
		return
	}
	d.segment = Segment{
		Time: d.time,
		Src:  endpointOf(src, binary.BigEndian.Uint16(data)),
		Dst:  endpointOf(dst, binary.BigEndian.Uint16(data[2:])),
		Seq:  binary.BigEndian.Uint32(data[4:]), Ack: binary.BigEndian.Uint32(data[8:]),
		Flags: data[13], Via: d.via,
	}
	if headerLen < len(data) {
		d.segment.Data = data[headerLen:]
	}
	d.segment.Missing = length - headerLen - len(d.segment.Data)
	d.Handler.Segment(&d.segment)
}
