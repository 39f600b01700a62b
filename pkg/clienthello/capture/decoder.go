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

const (
	portVXLAN      = 4789 // RFC 7348
	portVXLANLinux = 8472 // used by Linux before the number was assigned
	portGENEVE     = 6081 // RFC 8926

	maxLayers = 32 // headers of a packet, tunnels included
	// MaxFragments bounds the IP fragments that wait for others, in bytes.
	MaxFragments = 16 << 20
)

// A Handler receives the results of a [Decoder].
type Handler interface {
	Segment(*Segment) // valid until it returns
	Datagram(src, dst Endpoint, payload []byte)
}

// A Decoder removes the headers of packets up to TCP or UDP. Nearly all packets are TCP
// over plain IP: it decodes these two headers itself, and others with gopacket.
type Decoder struct {
	Handler   Handler
	Malformed int64 // packets with incomplete headers

	segment Segment // of the current packet
	time    int64

	ethernet layers.Ethernet
	vlan     layers.Dot1Q
	cooked   layers.LinuxSLL
	cooked2  layers.LinuxSLL2
	loopback layers.Loopback
	skipper  layers.IPv6ExtensionSkipper
	udp      layers.UDP
	vxlan    layers.VXLAN
	geneve   layers.Geneve

	defrag4 *ip4defrag.IPv4Defragmenter
	defrag6 *ip6defrag.IPv6Defragmenter
	waiting map[fragmentKey]fragments // what is in them
	held    int                       // bytes in them
	dropped int64                     // fragments given up
}

// firstLayer is the layer that packets of a link type begin with.
func firstLayer(link layers.LinkType) (gopacket.LayerType, bool) {
	switch link {
	case layers.LinkTypeEthernet:
		return layers.LayerTypeEthernet, true
	case layers.LinkTypeLinuxSLL:
		return layers.LayerTypeLinuxSLL, true
	case layers.LinkTypeLinuxSLL2:
		return layers.LayerTypeLinuxSLL2, true
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		return layers.LayerTypeLoopback, true
	case layers.LinkTypeRaw, linkTypeRawBSD, linkTypeRawOpenBSD, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return layerTypeIP, true
	}
	return 0, false
}

// Link types without a name in gopacket: raw IP in files of programs that wrote the
// number of their operating system instead of the format's.
const (
	linkTypeRawBSD     layers.LinkType = 12
	linkTypeRawOpenBSD layers.LinkType = 14
)

// layerTypeIP stands for IPv4 or IPv6; the first bits show which.
const layerTypeIP = gopacket.LayerType(-1)

// Packet decodes a packet. It returns false if the link type is not supported.
func (d *Decoder) Packet(p Packet) bool {
	first, ok := firstLayer(p.Link)
	if ok {
		d.link(first, p.Data, p.Time)
	}
	return ok
}

func (d *Decoder) link(next gopacket.LayerType, data []byte, at time.Time) {
	d.time = at.UnixNano()
	for range maxLayers {
		var layer interface {
			gopacket.DecodingLayer
			gopacket.Layer
		}
		switch next {
		case layers.LayerTypeEthernet:
			layer = &d.ethernet
		case layers.LayerTypeDot1Q:
			layer = &d.vlan
		case layers.LayerTypeLinuxSLL:
			layer = &d.cooked
		case layers.LayerTypeLinuxSLL2:
			layer = &d.cooked2
		case layers.LayerTypeLoopback:
			layer = &d.loopback
		case layers.LayerTypeIPv4, layers.LayerTypeIPv6, layerTypeIP:
			if data, next = d.ip(data); data == nil {
				return
			}
			continue
		case layers.LayerTypeVXLAN:
			layer = &d.vxlan
		case layers.LayerTypeGeneve:
			layer = &d.geneve
		default:
			return // not IP
		}
		if layer.DecodeFromBytes(data, gopacket.NilDecodeFeedback) != nil {
			d.Malformed++
			return
		}
		data, next = layer.LayerPayload(), layer.(gopacket.DecodingLayer).NextLayerType()
	}
	d.Malformed++
}

// ip reads an IP packet. If it is a tunnel, it returns the packet inside.
func (d *Decoder) ip(data []byte) ([]byte, gopacket.LayerType) {
	switch {
	case len(data) >= ipv4HeaderLen && data[0]>>4 == 4:
		return d.ip4(data)
	case len(data) >= ipv6HeaderLen && data[0]>>4 == 6:
		return d.ip6(data)
	}
	d.Malformed++
	return nil, 0
}

const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	tcpHeaderLen  = 20
)

// ip4 reads an IPv4 packet, RFC 791, Section 3.1.
func (d *Decoder) ip4(data []byte) ([]byte, gopacket.LayerType) {
	headerLen := int(data[0]&0xf) * 4
	length := int(binary.BigEndian.Uint16(data[2:]))
	if length == 0 {
		length = len(data) // of segments that the network card would split
	}
	if headerLen < ipv4HeaderLen || length < headerLen || len(data) < headerLen {
		d.Malformed++
		return nil, 0
	}
	if fragment := binary.BigEndian.Uint16(data[6:]); fragment&0x3fff != 0 {
		return d.fragment4(data)
	}
	payload := data[headerLen:min(length, len(data))]
	return d.transport(layers.IPProtocol(data[9]), payload, length-headerLen, data[12:16], data[16:20])
}

// ip6 reads an IPv6 packet with its extension headers, RFC 8200.
func (d *Decoder) ip6(data []byte) ([]byte, gopacket.LayerType) {
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
				return nil, 0
			}
			length -= len(payload) - len(d.skipper.Payload)
			protocol, payload = d.skipper.NextHeader, d.skipper.Payload
		case layers.IPProtocolIPv6Fragment:
			whole := d.fragment6(data[:ipv6HeaderLen], payload, length)
			if whole == nil {
				return nil, 0
			}
			protocol, payload, length = whole.NextHeader, whole.Payload, len(whole.Payload)
		default:
			return d.transport(protocol, payload, length, src, dst)
		}
	}
	d.Malformed++
	return nil, 0
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
func (d *Decoder) fragment4(data []byte) ([]byte, gopacket.LayerType) {
	data = bytes.Clone(data) // they are kept
	ip := new(layers.IPv4)
	if ip.DecodeFromBytes(data, gopacket.NilDecodeFeedback) != nil {
		d.Malformed++
		return nil, 0
	}
	key := fragmentKey{endpoint4(ip.SrcIP, 0), endpoint4(ip.DstIP, 0), uint32(ip.Id), uint8(ip.Protocol)}
	d.hold(key, len(data))
	whole, err := d.defrag4.DefragIPv4WithTimestamp(ip, time.Unix(0, d.time))
	switch {
	case err != nil: // it contradicts the others: all are dropped
		d.dropped += d.waiting[key].count
		d.release(key)
		return nil, 0
	case whole == nil:
		return nil, 0
	}
	d.release(key)
	return d.transport(whole.Protocol, whole.Payload, len(whole.Payload), whole.SrcIP, whole.DstIP)
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

// transport reads the payload of an IP packet, of which data may be only the start.
func (d *Decoder) transport(protocol layers.IPProtocol, data []byte, length int, src, dst []byte) ([]byte, gopacket.LayerType) {
	switch protocol {
	case layers.IPProtocolTCP:
		d.tcp(data, length, src, dst)
	case layers.IPProtocolUDP:
		if d.udp.DecodeFromBytes(data, gopacket.NilDecodeFeedback) != nil {
			d.Malformed++
			return nil, 0
		}
		switch d.udp.DstPort {
		case portVXLAN, portVXLANLinux:
			return d.udp.Payload, layers.LayerTypeVXLAN
		case portGENEVE:
			return d.udp.Payload, layers.LayerTypeGeneve
		}
		d.Handler.Datagram(endpointOf(src, uint16(d.udp.SrcPort)), endpointOf(dst, uint16(d.udp.DstPort)), d.udp.Payload)
	case layers.IPProtocolIPv4, layers.IPProtocolIPv6:
		return data, layerTypeIP
	}
	return nil, 0
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
		Flags: data[13],
	}
	if headerLen < len(data) {
		d.segment.Data = data[headerLen:]
	}
	d.segment.Missing = length - headerLen - len(d.segment.Data)
	d.Handler.Segment(&d.segment)
}
