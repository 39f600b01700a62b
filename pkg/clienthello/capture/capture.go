// Package capture reads packet captures (pcap, pcapng, either compressed with gzip)
// and removes the headers of their packets: link layer, tunnels (VLAN, VXLAN, GENEVE)
// and IP with its fragments. The results are TCP segments and UDP datagrams.
package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/klauspost/compress/gzip"
)

// ErrFormat means that the input is in no known format.
var ErrFormat = errors.New("not a packet capture: want pcap or pcapng, plain or compressed with gzip")

const readBuffer = 256 << 10

// A Packet is a packet of a capture.
type Packet struct {
	Data []byte    // valid until the next packet is read
	Time time.Time // zero in Simple Packet Blocks of pcapng
	Link layers.LinkType
}

// A Source returns the next packet of a capture. The error is io.EOF after the last.
type Source func() (Packet, error)

// Open returns the packets of a capture in any of the formats.
func Open(r io.Reader) (Source, error) {
	b := bufio.NewReaderSize(r, readBuffer)
	magic, err := b.Peek(4)
	if len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		b = bufio.NewReaderSize(z, readBuffer)
		magic, err = b.Peek(4)
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("gzip: %w", err)
		}
	} else if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case len(magic) == 0:
		return nil, errors.New("empty: not even the header of a packet capture")
	case len(magic) < 4:
		return nil, ErrFormat
	case bytes.Equal(magic, []byte{0x0a, 0x0d, 0x0d, 0x0a}):
		return openPcapng(b)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if m := order.Uint32(magic); m == 0xa1b2c3d4 || m == 0xa1b23c4d {
			return openPcap(b)
		}
	}
	return nil, ErrFormat
}

func openPcap(b *bufio.Reader) (Source, error) {
	r, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("pcap header: %w", err)
	}
	link := r.LinkType()
	if _, ok := firstLayer(link); !ok {
		return nil, fmt.Errorf("link type %d (%v) is not read; Ethernet, Linux cooked, raw IP and loopback are", link, link)
	}
	return func() (Packet, error) {
		data, info, err := r.ZeroCopyReadPacketData()
		return Packet{data, info.Timestamp, link}, err
	}, nil
}

func openPcapng(b *bufio.Reader) (Source, error) {
	r, err := pcapgo.NewNgReader(b, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	if err != nil {
		return nil, fmt.Errorf("pcapng header: %w", err)
	}
	return func() (Packet, error) {
		data, info, err := r.ZeroCopyReadPacketData()
		if err != nil {
			return Packet{}, err
		}
		return Packet{data, info.Timestamp, info.AncillaryData[0].(layers.LinkType)}, nil
	}, nil
}
