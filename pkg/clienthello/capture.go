package clienthello

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/klauspost/compress/gzip"
)

// errNotCapture means that the input is in none of the formats that are read.
var errNotCapture = errors.New("not a packet capture: want pcap or pcapng, plain or compressed with gzip")

const readBuffer = 256 << 10

// Read takes a capture in as far as it is readable. Connections may go on from
// one capture to the next. The end of ctx is looked for between packets.
//
// An error of the callback of [NewTracker] is returned as it is. If the capture
// is cut or damaged, what came before that counts, and the error says after how
// many packets.
func (t *Tracker) Read(ctx context.Context, r io.Reader) error {
	t.stats.Captures++
	packets := t.stats.Packets
	source, err := openCapture(r)
	if err != nil {
		return err
	}
	for t.err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, info, link, err := source()
		if err == io.EOF {
			break
		}
		if err != nil {
			return damaged(t.stats.Packets-packets, err)
		}
		t.packet(link, data, info)
	}
	return t.err
}

func (t *Tracker) packet(link layers.LinkType, data []byte, info gopacket.CaptureInfo) {
	t.stats.Packets++
	t.stats.Bytes += int64(len(data))
	if info.Timestamp.IsZero() { // Simple Packet Blocks of pcapng have none
		info.Timestamp = time.Unix(0, t.now).UTC()
	}
	if t.stats.First.IsZero() || info.Timestamp.Before(t.stats.First) {
		t.stats.First = info.Timestamp
	}
	if info.Timestamp.After(t.stats.Last) {
		t.stats.Last = info.Timestamp
	}
	t.advance(info.Timestamp.UnixNano())
	first, ok := firstLayer(link)
	if !ok {
		t.stats.OtherLinks++
		return
	}
	t.packets.packet(first, data, info.Timestamp)
}

// A packetSource returns the next packet and its link type. The data are valid
// until the next call.
type packetSource func() ([]byte, gopacket.CaptureInfo, layers.LinkType, error)

// openCapture finds out which format the input has.
func openCapture(r io.Reader) (packetSource, error) {
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
		return nil, errNotCapture
	case bytes.Equal(magic, []byte{0x0a, 0x0d, 0x0d, 0x0a}):
		return openPcapng(b)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if m := order.Uint32(magic); m == 0xa1b2c3d4 || m == 0xa1b23c4d {
			return openPcap(b)
		}
	}
	return nil, errNotCapture
}

func openPcap(b *bufio.Reader) (packetSource, error) {
	r, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("pcap header: %w", err)
	}
	link := r.LinkType()
	if _, ok := firstLayer(link); !ok {
		return nil, fmt.Errorf("link type %d (%v) is not read; Ethernet, Linux cooked, raw IP and loopback are", link, link)
	}
	return func() ([]byte, gopacket.CaptureInfo, layers.LinkType, error) {
		data, info, err := r.ZeroCopyReadPacketData()
		return data, info, link, err
	}, nil
}

func openPcapng(b *bufio.Reader) (packetSource, error) {
	r, err := pcapgo.NewNgReader(b, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	if err != nil {
		return nil, fmt.Errorf("pcapng header: %w", err)
	}
	return func() ([]byte, gopacket.CaptureInfo, layers.LinkType, error) {
		data, info, err := r.ZeroCopyReadPacketData()
		if err != nil {
			return nil, info, 0, err
		}
		return data, info, info.AncillaryData[0].(layers.LinkType), nil
	}, nil
}
