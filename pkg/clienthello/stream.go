package clienthello

import "slices"

// A stream puts the TCP segments of one direction in order.
type stream struct {
	begun   bool   // next is known
	next    uint32 // sequence number of the first byte not yet read
	pending []segment
	held    int  // cost of pending, in bytes
	fin     bool // a FIN was sent, at sequence number end
	end     uint32
	acked   uint32 // what the other side acknowledged last
	waited  int    // packets of the connection since the other side acknowledged missing bytes
}

// A segment is a TCP segment that arrived out of order.
type segment struct {
	seq     uint32
	data    []byte
	missing int // bytes after data that were sent but not captured
}

func (s segment) end() uint32 { return s.seq + uint32(len(s.data)+s.missing) }

const (
	segmentCost = 64        // of a pending segment, in addition to its data
	maxPending  = 256 << 10 // cost of the pending segments of a stream, in bytes
	maxAhead    = 4 << 20   // how far ahead a segment may be to be kept, in bytes
	maxUnknown  = 16 << 10  // likewise, while the start of the stream is unknown
	maxWait     = 16        // packets for which an acknowledged gap may still be filled
)

// streamEvents receives the bytes of one direction in order.
type streamEvents interface {
	data(b []byte)
	hole(n int)
}

// start sets the sequence number of the first byte.
func (s *stream) start(seq uint32) { s.begun, s.next = true, seq }

// add takes a segment, ignores bytes that it already has, and returns the change of
// held.
func (s *stream) add(g segment, on streamEvents) int {
	before := s.held
	if ahead := int32(g.seq - s.next); !s.begun || ahead > 0 {
		if !s.begun || ahead <= maxAhead {
			s.keep(g)
		}
		return s.held - before
	}
	s.deliver(g, on)
	s.drain(on)
	return s.held - before
}

// deliver reads a segment that begins at next or before.
func (s *stream) deliver(g segment, on streamEvents) {
	old := int(s.next - g.seq)
	if old >= len(g.data)+g.missing {
		return
	}
	if old < len(g.data) {
		b := g.data[old:]
		s.next += uint32(len(b))
		on.data(b)
		old = len(g.data)
	}
	if n := len(g.data) + g.missing - old; n > 0 {
		s.next += uint32(n)
		on.hole(n)
	}
}

func (s *stream) keep(g segment) {
	at, found := slices.BinarySearchFunc(s.pending, g, func(a, b segment) int { return int(int32(a.seq - b.seq)) })
	if found {
		if int32(g.end()-s.pending[at].end()) <= 0 && g.missing >= s.pending[at].missing {
			return
		}
		s.held -= len(s.pending[at].data) + segmentCost
		s.pending = slices.Delete(s.pending, at, at+1)
	}
	g.data = slices.Clone(g.data)
	s.pending = slices.Insert(s.pending, at, g)
	s.held += len(g.data) + segmentCost
}

// drain reads the pending segments that have become next.
func (s *stream) drain(on streamEvents) {
	n := 0
	for n < len(s.pending) && int32(s.pending[n].seq-s.next) <= 0 {
		s.held -= len(s.pending[n].data) + segmentCost
		s.deliver(s.pending[n], on)
		n++
	}
	if n > 0 {
		s.pending = slices.Delete(s.pending, 0, n)
	}
	if len(s.pending) == 0 {
		s.waited = 0
	}
}

// giveUp treats the next gap as missing and continues after it.
func (s *stream) giveUp(on streamEvents) {
	if len(s.pending) == 0 {
		return
	}
	if !s.begun {
		s.start(s.pending[0].seq)
	}
	if n := int32(s.pending[0].seq - s.next); n > 0 {
		s.next += uint32(n)
		on.hole(int(n))
	}
	s.waited = 0
	s.drain(on)
}

// overdue reports whether the gap before the pending segments will not be filled any
// more: too much is pending, or the receiver acknowledged the missing bytes some time
// ago.
func (s *stream) overdue() bool {
	if !s.begun {
		return s.held > maxUnknown
	}
	return len(s.pending) > 0 && (s.held > maxPending || s.waited > maxWait)
}

// startsTLS reports whether the pending bytes begin like a ClientHello.
func (s *stream) startsTLS() bool {
	var head []byte
	for _, g := range s.pending {
		if len(head) >= sniffLen || g.seq != s.pending[0].seq+uint32(len(head)) {
			break
		}
		head = append(head, g.data...)
	}
	protocol, sure := sniff(head)
	return sure && protocol.TLS()
}

// read reports whether everything was read, up to the FIN. A stream without any
// segment is read.
func (s *stream) read() bool {
	if !s.begun {
		return len(s.pending) == 0
	}
	return s.fin && int32(s.next-s.end) >= 0
}
