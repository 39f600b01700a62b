package clienthello

import (
	"encoding/binary"

	"tlswatch/pkg/tlsname"
)

// Record content types, RFC 8446, Section 5.1.
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplicationData  = 23
)

const (
	recordHeaderLen    = 5
	handshakeHeaderLen = 4

	// maxRecord is the longest payload of TLS 1.2 records, RFC 5246, Section
	// 6.2.3; those of TLS 1.3 are shorter.
	maxRecord = 1<<14 + 2048

	// maxHello is more than a ClientHello whose fields all have their maximum length.
	maxHello = 140_000
)

// recordEvents receives the contents of the records of one direction.
type recordEvents interface {
	// record is called for the header of each record.
	record(contentType uint8, version tlsname.Version, length int)
	// alert is called for an alert that is not encrypted.
	alert(level, description uint8)
	// message is called for a handshake message that is not encrypted, with the
	// useful part of it that was captured. The bytes may be kept.
	message(m handshakeMessage)
	// begin is called for the first byte of a handshake message.
	begin(msgType uint8)
}

type handshakeMessage struct {
	msgType uint8
	length  int    // of the body, as announced
	bytes   []byte // with the header, for useful types; may be incomplete
}

// A recordReader follows the record layer of one direction, and the handshake layer
// above it. It is given the bytes in order, in pieces of any size; hole stands for
// bytes that the capture lacks.
type recordReader struct {
	header    [recordHeaderLen]byte
	headerLen int
	left      int // remaining bytes of the record

	// sealed means that handshake messages and alerts are encrypted.
	sealed bool
	// lost means that the start of the next record is unknown.
	lost bool
	// broken means that the bytes are not TLS records.
	broken bool

	small [2]byte // of an alert
	seen  int     // bytes of the record so far

	message handshakeReader
}

func (r *recordReader) contentType() uint8 { return r.header[0] }

func (r *recordReader) recordLen() int { return int(binary.BigEndian.Uint16(r.header[3:])) }

// isRecordHeader reports whether b begins like a record header.
func isRecordHeader(b []byte) bool {
	return len(b) >= recordHeaderLen && recordChangeCipherSpec <= b[0] && b[0] <= recordApplicationData && b[1] == 3 && b[2] <= 4 &&
		int(binary.BigEndian.Uint16(b[3:])) <= maxRecord
}

// segment means that b is the start of a TCP segment. A reader that has lost the
// records looks for one there, because many segments begin with a record.
func (r *recordReader) segment(b []byte) {
	if r.lost && isRecordHeader(b) {
		r.lost, r.headerLen, r.left = false, 0, 0
	}
}

func (r *recordReader) read(b []byte, on recordEvents) {
	for len(b) > 0 && !r.lost && !r.broken {
		if r.left == 0 {
			n := copy(r.header[r.headerLen:], b)
			r.headerLen += n
			b = b[n:]
			if r.headerLen < recordHeaderLen {
				return
			}
			r.headerLen = 0
			if !isRecordHeader(r.header[:]) {
				r.broken = true
				return
			}
			r.left, r.seen = r.recordLen(), 0
			on.record(r.contentType(), tlsname.Version(binary.BigEndian.Uint16(r.header[1:])), r.left)
			continue
		}
		payload := b[:min(len(b), r.left)]
		b = b[len(payload):]
		r.payload(payload, on)
		r.left -= len(payload)
		r.seen += len(payload)
	}
}

func (r *recordReader) payload(b []byte, on recordEvents) {
	if r.sealed {
		return
	}
	switch r.contentType() {
	case recordAlert:
		if r.recordLen() != len(r.small) {
			return // encrypted
		}
		copy(r.small[r.seen:], b)
		if r.seen+len(b) == len(r.small) {
			on.alert(r.small[0], r.small[1])
		}
	case recordHandshake:
		r.message.read(b, on)
	}
}

// hole skips n bytes that the capture lacks.
func (r *recordReader) hole(n int, on recordEvents) {
	if r.lost || r.broken {
		return
	}
	if r.left == 0 || n > r.left {
		r.message.hole(n, on)
		r.message.lost = true
		r.lost = true
		return
	}
	if r.contentType() == recordHandshake && !r.sealed {
		r.message.hole(n, on)
	}
	r.left -= n
	r.seen += n
}

// end means that no bytes follow. It reports a message that has begun.
func (r *recordReader) end(on recordEvents) {
	if r.message.begun() {
		r.message.hole(1, on)
	}
}

// A handshakeReader splits the handshake layer into messages. A record may have
// several messages, and a message several records.
type handshakeReader struct {
	header    [handshakeHeaderLen]byte
	headerLen int
	left      int    // remaining bytes of the message
	want      int    // useful bytes of the message, header included
	buffer    []byte // those read so far
	lost      bool   // the start of the next message is unknown
}

// begun reports whether there is a message that was not reported yet.
func (h *handshakeReader) begun() bool { return h.headerLen > 0 || len(h.buffer) > 0 }

// useful returns how many bytes of a message are read.
func useful(msgType uint8, length int) int {
	switch msgType {
	case typeClientHello, typeServerHello:
		return handshakeHeaderLen + length
	case typeServerKeyExchange:
		return min(handshakeHeaderLen+length, serverKeyExchangeLen)
	}
	return handshakeHeaderLen
}

func (h *handshakeReader) read(b []byte, on recordEvents) {
	for len(b) > 0 && !h.lost {
		if h.left == 0 {
			if h.headerLen == 0 {
				on.begin(b[0])
			}
			n := copy(h.header[h.headerLen:], b)
			h.headerLen += n
			b = b[n:]
			if h.headerLen < handshakeHeaderLen {
				return
			}
			h.left = int(h.header[1])<<16 | int(h.header[2])<<8 | int(h.header[3])
			h.want = useful(h.header[0], h.left)
			if h.want > maxHello {
				h.want = handshakeHeaderLen // too long for any hello
			}
			h.headerLen = 0
			h.buffer = append(h.buffer, h.header[:]...)
			if h.want == handshakeHeaderLen {
				h.deliver(on)
			}
			continue
		}
		n := min(len(b), h.left)
		if missing := h.want - len(h.buffer); len(h.buffer) > 0 && missing > 0 {
			h.buffer = append(h.buffer, b[:min(n, missing)]...)
			if len(h.buffer) == h.want {
				h.deliver(on)
			}
		}
		h.left -= n
		b = b[n:]
	}
}

func (h *handshakeReader) deliver(on recordEvents) {
	length := int(h.header[1])<<16 | int(h.header[2])<<8 | int(h.header[3])
	on.message(handshakeMessage{h.header[0], length, h.buffer})
	h.buffer = nil
}

func (h *handshakeReader) hole(n int, on recordEvents) {
	if h.lost {
		return
	}
	if h.headerLen > 0 {
		clear(h.header[h.headerLen:])
		h.buffer = append(h.buffer[:0], h.header[:h.headerLen]...)
		h.headerLen = 0
		h.lost = true
	}
	if len(h.buffer) > 0 {
		h.deliver(on)
	}
	if n > h.left {
		h.lost = true
		return
	}
	h.left -= n
}
