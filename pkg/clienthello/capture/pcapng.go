package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/gopacket/gopacket/layers"
)

// Block types, draft-ietf-opsawg-pcapng, Section 4.
const (
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
	blockSection   = 0x0a0d0d0a

	byteOrderMagic = 0x1a2b3c4d
	maxInterfaces  = 1 << 16 // of a section
)

// pcapng reads the newer format, draft-ietf-opsawg-pcapng.
type pcapng struct {
	b          *bufio.Reader
	order      binary.ByteOrder
	interfaces []networkInterface
	left       int64 // bytes of b that belong to the last block
}

type networkInterface struct {
	link    layers.LinkType
	snapLen uint32  // 0: unlimited
	unit    float64 // of times, in nanoseconds
	whole   int64   // unit, if it is a whole number; otherwise 0
	offset  int64   // to be added to times, in nanoseconds
}

func (f *pcapng) next() (Packet, error) {
	for {
		if err := f.skip(); err != nil {
			return Packet{}, err
		}
		header, err := peek(f.b, 12)
		if err != nil {
			return Packet{}, err
		}
		blockType := uint32(blockSection) // the same in both byte orders
		if f.order != nil {
			blockType = f.order.Uint32(header)
		}
		if blockType == blockSection {
			if err := f.section(header); err != nil {
				return Packet{}, err
			}
		}
		length := f.order.Uint32(header[4:])
		if length < 12 || length%4 != 0 {
			return Packet{}, fmt.Errorf("a block of %d bytes", length)
		}
		f.left = int64(length)
		switch blockType {
		case blockInterface, blockPacket, blockSimple, blockEnhanced:
			body, err := peek(f.b, min(int(length), readBuffer))
			if err != nil {
				return Packet{}, err
			}
			body = body[8:min(int(length)-4, len(body))]
			if blockType == blockInterface {
				if err := f.addInterface(body); err != nil {
					return Packet{}, err
				}
				continue
			}
			return f.packet(blockType, body)
		}
	}
}

// skip reads the rest of a block, however long it is.
func (f *pcapng) skip() error {
	for f.left > 0 {
		n, err := f.b.Discard(int(min(f.left, math.MaxInt32)))
		f.left -= int64(n)
		if err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// section begins a section, which has interfaces and a byte order of its own.
func (f *pcapng) section(header []byte) error {
	switch uint32(byteOrderMagic) {
	case binary.LittleEndian.Uint32(header[8:]):
		f.order = binary.LittleEndian
	case binary.BigEndian.Uint32(header[8:]):
		f.order = binary.BigEndian
	default:
		return errors.New("a section header without a byte order")
	}
	f.interfaces = nil
	return nil
}

// Options of an interface, draft-ietf-opsawg-pcapng, Section 4.2.
const (
	optionEnd        = 0
	optionResolution = 9
	optionOffset     = 14
)

func (f *pcapng) addInterface(body []byte) error {
	if len(body) < 8 || len(f.interfaces) == maxInterfaces {
		return errors.New("an invalid interface")
	}
	i := networkInterface{link: layers.LinkType(f.order.Uint16(body)), snapLen: f.order.Uint32(body[4:])}
	resolution := byte(6)
	for options := body[8:]; len(options) >= 4; {
		code, length := f.order.Uint16(options), int(f.order.Uint16(options[2:]))
		options = options[4:]
		if code == optionEnd || length > len(options) {
			break
		}
		switch {
		case code == optionResolution && length >= 1:
			resolution = options[0]
		case code == optionOffset && length >= 8:
			i.offset = int64(f.order.Uint64(options)) * 1e9
		}
		options = options[min((length+3)&^3, len(options)):]
	}
	base, exponent := 10.0, float64(resolution&0x7f)
	if resolution&0x80 != 0 {
		base = 2
	}
	i.unit = 1e9 * math.Pow(base, -exponent)
	if base == 10 && resolution <= 9 {
		i.whole = int64(math.Round(i.unit))
	}
	f.interfaces = append(f.interfaces, i)
	return nil
}

// time converts a time of the interface to Unix nanoseconds.
func (i *networkInterface) time(high, low uint32) int64 {
	t := uint64(high)<<32 | uint64(low)
	if i.whole > 0 {
		return int64(t)*i.whole + i.offset
	}
	return int64(float64(t)*i.unit) + i.offset
}

var errPacketBlock = errors.New("an invalid packet block")

func (f *pcapng) packet(blockType uint32, body []byte) (Packet, error) {
	headerLen, id := 20, uint32(0)
	switch {
	case blockType == blockSimple:
		headerLen = 4
	case len(body) < headerLen:
		return Packet{}, errPacketBlock
	case blockType == blockPacket:
		id = uint32(f.order.Uint16(body))
	default:
		id = f.order.Uint32(body)
	}
	if len(body) < headerLen || uint64(id) >= uint64(len(f.interfaces)) {
		return Packet{}, errPacketBlock
	}
	from := &f.interfaces[id]
	p := Packet{Link: from.link}
	original := f.order.Uint32(body[headerLen-4:])
	captured := original
	if blockType == blockSimple {
		captured = min(original, uint32(len(body)-headerLen))
		if from.snapLen > 0 {
			captured = min(captured, from.snapLen)
		}
	} else {
		captured = f.order.Uint32(body[headerLen-8:])
		p.Time = from.time(f.order.Uint32(body[4:]), f.order.Uint32(body[8:]))
	}
	if captured > maxPacket {
		return Packet{}, fmt.Errorf("a packet of %d bytes, more than %d", captured, maxPacket)
	}
	if int(captured) > len(body)-headerLen {
		return Packet{}, errPacketBlock
	}
	p.Data, p.Long = body[headerLen:][:captured], captured > original
	return p, nil
}
