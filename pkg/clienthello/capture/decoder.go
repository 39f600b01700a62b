package capture

import (
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/ip6defrag"
	"github.com/gopacket/gopacket/layers"
)

const (
	maxLayers = 32 // headers of a packet, tunnels included
	// MaxFragments bounds the IP fragments that wait for others, in bytes.
	MaxFragments = 16 << 20
)

// A Handler receives the results of a [Decoder].
type Handler interface {
	Segment(*Segment) // valid until it returns
	// Datagram reports whether it knows what the datagram carries.
	Datagram(src, dst Endpoint, payload []byte) bool
}

// A Decoder removes the headers of packets up to TCP or UDP.
type Decoder struct {
	Handler   Handler
	Malformed int64 // packets with incomplete headers

	segment Segment // of the current packet
	time    int64
	depth   int   // headers of the current packet so far
	via     uint8 // tunnels of it
	skipped map[Kind]int64

	skipper layers.IPv6ExtensionSkipper
	defrag4 *ip4defrag.IPv4Defragmenter
	defrag6 *ip6defrag.IPv6Defragmenter
	waiting map[fragmentKey]fragments // what is in them
	held    int                       // bytes in them
	dropped int64                     // fragments given up
}

// Packet decodes a packet.
func (d *Decoder) Packet(p Packet) {
	d.time, d.depth, d.via = p.Time, 0, 0
	if first := firstLayer(p.Link); first != nil {
		first(d, p.Data)
		return
	}
	d.skip(linkType, uint16(p.Link))
}
