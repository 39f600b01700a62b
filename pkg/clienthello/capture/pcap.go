package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"

	"github.com/gopacket/gopacket/layers"
)

const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d

	pcapHeaderLen       = 24
	pcapRecordHeaderLen = 16
)

// pcap reads the classic format, draft-ietf-opsawg-pcap.
type pcap struct {
	b       *bufio.Reader
	order   binary.ByteOrder
	unit    int64 // of the fraction of a second, in nanoseconds
	swapped bool  // the original length precedes the captured one
	either  bool  // the smaller length is the captured one
	link    layers.LinkType
	read    int // bytes of b that the last packet took
}

func openPcap(b *bufio.Reader, order binary.ByteOrder) (Source, error) {
	header, err := peek(b, pcapHeaderLen)
	if err != nil {
		return nil, fmt.Errorf("pcap header: %w", err)
	}
	f := &pcap{b: b, order: order, unit: 1000, read: pcapHeaderLen, link: layers.LinkType(order.Uint32(header[20:]) & 0xffff)}
	if order.Uint32(header) == magicNanoseconds {
		f.unit = 1
	}
	// The order of the two lengths changed in version 2.3, and some programs that wrote
	// 2.3 or DG/UX's 543.0 kept the old one. Later minor versions do not differ.
	switch major, minor := order.Uint16(header[4:]), order.Uint16(header[6:]); {
	case major < 2:
		return nil, fmt.Errorf("pcap header: version %d.%d is not read; 2.0 and later are", major, minor)
	case major == 2 && minor < 3:
		f.swapped = true
	case major == 2 && minor == 3, major == 543 && minor == 0:
		f.either = true
	}
	if firstLayer(f.link) == nil {
		return nil, fmt.Errorf("link type %d (%v) is not read; Ethernet, Linux cooked, PPP, raw IP and loopback are", f.link, f.link)
	}
	return f.next, nil
}

func (f *pcap) next() (Packet, error) {
	f.b.Discard(f.read) // it was peeked
	f.read = 0
	header, err := peek(f.b, pcapRecordHeaderLen)
	if err != nil {
		return Packet{}, err
	}
	captured, original := f.order.Uint32(header[8:]), f.order.Uint32(header[12:])
	if f.swapped || f.either && captured > original {
		captured, original = original, captured
	}
	p := Packet{
		Time: int64(f.order.Uint32(header))*1e9 + int64(f.order.Uint32(header[4:]))*f.unit,
		Link: f.link,
		Old:  f.swapped || f.either,
		Long: captured > original,
	}
	if captured > maxPacket {
		return Packet{}, fmt.Errorf("a packet of %d bytes, more than %d", captured, maxPacket)
	}
	record, err := peek(f.b, pcapRecordHeaderLen+int(captured))
	if err != nil {
		return Packet{}, err
	}
	f.read = len(record)
	p.Data = record[pcapRecordHeaderLen:]
	return p, nil
}
