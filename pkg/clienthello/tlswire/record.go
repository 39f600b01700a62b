package tlswire

import (
	"encoding/binary"

	"tlswatch/pkg/tlsname"
)

// Record content types, RFC 8446, Section 5.1.
const (
	RecordChangeCipherSpec = 20
	recordAlert            = 21
	RecordHandshake        = 22
	RecordApplicationData  = 23
)

const (
	RecordHeaderLen    = 5
	HandshakeHeaderLen = 4

	// maxRecord is the longest payload of TLS 1.2 records, RFC 5246, Section
	// 6.2.3; those of TLS 1.3 are shorter.
	maxRecord = 1<<14 + 2048

	// MaxHello is more than a ClientHello whose fields all have their maximum length.
	MaxHello = 140_000
)

// Events receives the contents of the records of one direction.
type Events interface {
	// Record is called for the header of each record.
	Record(contentType uint8, version tlsname.Version, length int)
	// Alert is called for an alert that is not encrypted.
	Alert(level, description uint8)
	// Message is called for a handshake message that is not encrypted, with the
	// useful part of it that was captured. The bytes may be kept.
	Message(m Message)
	// Begin is called for the first byte of a handshake message.
	Begin(msgType uint8)
}

// A Message is a handshake message, RFC 8446, Section 4.
type Message struct {
	Type   uint8
	Length int    // of the body, as announced
	Bytes  []byte // with the header, for useful types; may be incomplete
}

// A Reader follows the record layer of one direction, and the handshake layer
// above it. It is given the bytes in order, in pieces of any size; Hole stands for
// bytes that the capture lacks.
type Reader struct {
	header    [RecordHeaderLen]byte
	headerLen int
	left      int // remaining bytes of the record

	// Sealed means that handshake messages and alerts are encrypted.
	Sealed bool
	// lost means that the start of the next record is unknown.
	lost bool
	// Broken means that the bytes are not TLS records.
	Broken bool

	small [2]byte // of an alert
	seen  int     // bytes of the record so far

	position int

	message handshakeReader
}

func (r *Reader) contentType() uint8 { return r.header[0] }

func (r *Reader) recordLen() int { return int(binary.BigEndian.Uint16(r.header[3:])) }

// IsRecordHeader reports whether b begins like a record header.
func IsRecordHeader(b []byte) bool {
	return len(b) >= RecordHeaderLen && RecordChangeCipherSpec <= b[0] && b[0] <= RecordApplicationData && b[1] == 3 && b[2] <= 4 &&
		int(binary.BigEndian.Uint16(b[3:])) <= maxRecord
}

// MayBeRecord reports whether b may be the start of a record.
func MayBeRecord(b []byte) bool {
	return RecordChangeCipherSpec <= b[0] && b[0] <= RecordApplicationData && (len(b) < 2 || b[1] == 3) && (len(b) < RecordHeaderLen || IsRecordHeader(b))
}

// BeginsWithServerHello reports whether b begins with a record whose first message is a
// ServerHello.
func BeginsWithServerHello(b []byte) bool {
	return len(b) > RecordHeaderLen && IsRecordHeader(b) && b[0] == RecordHandshake && b[RecordHeaderLen] == TypeServerHello
}

// Segment means that b is the start of a TCP segment. A reader that has lost the
// records looks for one there, because many segments begin with a record.
func (r *Reader) Segment(b []byte) {
	if r.lost && IsRecordHeader(b) {
		r.lost, r.headerLen, r.left = false, 0, 0
	}
}

// Read takes the next bytes.
func (r *Reader) Read(b []byte, on Events) {
	for len(b) > 0 && !r.lost && !r.Broken {
		if r.left == 0 {
			n := copy(r.header[r.headerLen:], b)
			r.headerLen += n
			r.position += n
			b = b[n:]
			if r.headerLen < RecordHeaderLen {
				return
			}
			r.headerLen = 0
			if !IsRecordHeader(r.header[:]) {
				r.Broken = true
				return
			}
			r.left, r.seen = r.recordLen(), 0
			on.Record(r.contentType(), tlsname.Version(binary.BigEndian.Uint16(r.header[1:])), r.left)
			continue
		}
		payload := b[:min(len(b), r.left)]
		b = b[len(payload):]
		r.payload(payload, on)
		r.position += len(payload)
		r.left -= len(payload)
		r.seen += len(payload)
	}
}

func (r *Reader) payload(b []byte, on Events) {
	if r.Sealed {
		return
	}
	switch r.contentType() {
	case recordAlert:
		if r.recordLen() != len(r.small) {
			return // encrypted
		}
		copy(r.small[r.seen:], b)
		if r.seen+len(b) == len(r.small) {
			on.Alert(r.small[0], r.small[1])
		}
	case RecordHandshake:
		r.message.read(b, on)
	}
}

// Hole skips n bytes that the capture lacks.
func (r *Reader) Hole(n int, on Events) {
	r.position += n
	if r.lost || r.Broken {
		return
	}
	if r.left == 0 || n > r.left {
		r.message.hole(n, on)
		r.message.lost = true
		r.lost = true
		return
	}
	if r.contentType() == RecordHandshake && !r.Sealed {
		r.message.hole(n, on)
	}
	r.left -= n
	r.seen += n
}

// Lose means that the start of the stream is missing: the reader continues at a segment
// that begins with a record.
func (r *Reader) Lose() { r.lost, r.message.lost = true, true }

// Position returns the number of bytes before the current part of a record.
func (r *Reader) Position() int { return r.position }

// Held returns the bytes that the reader keeps.
func (r *Reader) Held() int { return cap(r.message.buffer) }

// End means that no bytes follow. It reports a message that has begun.
func (r *Reader) End(on Events) {
	if r.message.begun() {
		r.message.hole(1, on)
	}
}

// A handshakeReader splits the handshake layer into messages. A record may have
// several messages, and a message several records.
type handshakeReader struct {
	header    [HandshakeHeaderLen]byte
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
	case TypeClientHello, TypeServerHello:
		return HandshakeHeaderLen + length
	case TypeServerKeyExchange:
		return min(HandshakeHeaderLen+length, serverKeyExchangeLen)
	}
	return HandshakeHeaderLen
}

func (h *handshakeReader) read(b []byte, on Events) {
	for len(b) > 0 && !h.lost {
		if h.left == 0 {
			if h.headerLen == 0 {
				on.Begin(b[0])
			}
			n := copy(h.header[h.headerLen:], b)
			h.headerLen += n
			b = b[n:]
			if h.headerLen < HandshakeHeaderLen {
				return
			}
			h.left = int(h.header[1])<<16 | int(h.header[2])<<8 | int(h.header[3])
			h.want = useful(h.header[0], h.left)
			if h.want > MaxHello {
				h.want = HandshakeHeaderLen // too long for any hello
			}
			h.headerLen = 0
			h.buffer = append(h.buffer, h.header[:]...)
			if h.want == HandshakeHeaderLen {
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

func (h *handshakeReader) deliver(on Events) {
	length := int(h.header[1])<<16 | int(h.header[2])<<8 | int(h.header[3])
	on.Message(Message{h.header[0], length, h.buffer})
	h.buffer = nil
}

func (h *handshakeReader) hole(n int, on Events) {
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
