// Package capture reads packet captures (pcap, pcapng, either compressed with gzip)
// and removes the headers of their packets: link layer, tunnels (VLAN, MPLS, PPPoE, GRE,
// ERSPAN, VXLAN, GENEVE) and IP with its fragments. The results are TCP segments and UDP
// datagrams. Packets of other kinds are counted by kind.
package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket/layers"
	"github.com/klauspost/compress/gzip"
)

// ErrFormat means that the input is in no known format.
var ErrFormat = errors.New("not a packet capture: want pcap or pcapng, plain or compressed with gzip")

// maxPacket is the length of the longest packet that Wireshark and tcpdump write. The
// buffer of a file has room for it and its headers.
const (
	maxPacket  = 256 << 10
	readBuffer = maxPacket + 4096
)

// A Packet is a packet of a capture.
type Packet struct {
	Data []byte // valid until the next packet is read
	Time int64  // Unix nanoseconds; 0 in Simple Packet Blocks of pcapng, which have none
	Link layers.LinkType
	Old  bool // from a pcap file of a version before 2.4
	Long bool // its record has more bytes than it says the packet had
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
		return (&pcapng{b: b}).next, nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if m := order.Uint32(magic); m == magicMicroseconds || m == magicNanoseconds {
			return openPcap(b, order)
		}
	}
	return nil, ErrFormat
}

// peek returns the next n bytes of b, without reading them. The error is
// io.ErrUnexpectedEOF if there are fewer, or io.EOF if there are none.
func peek(b *bufio.Reader, n int) ([]byte, error) {
	data, err := b.Peek(n)
	if err == io.EOF && len(data) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return data, err
}

// unexpected is the error for the end of a file in the middle of a record.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
