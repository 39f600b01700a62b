package clienthello

import "tlswatch/pkg/clienthello/capture"

// An attempt is a handshake of TCP that does not belong to the connection between the
// same ends: a stale SYN, or the begin of the next connection. What follows decides.
type attempt struct {
	packet capture.Segment // SYN or SYN-ACK, without its data
	sender int
	first  [2]uint32 // sequence number of the first byte of each side
	known  [2]bool
}

// maxApart is how far sequence numbers of one connection may be apart when a packet is
// assigned to one of two connections.
const maxApart = 1 << 16

// handshakePacket takes a packet with the flag SYN from a side of c. It reports whether
// the packet belongs to c; otherwise it may begin another connection.
func (c *connection) handshakePacket(at int, p *capture.Segment) bool {
	d, other := &c.sides[at], &c.sides[1-at]
	first := p.Seq + 1
	if p.Flags&capture.ACK == 0 {
		if !d.stream.begun && !c.finished || d.first == first {
			return true
		}
		c.next = newAttempt(at, p)
		return false
	}
	switch {
	case !other.stream.begun:
		if !d.stream.begun && !c.finished || d.first == first {
			return true
		}
	case p.Ack-other.first <= other.stream.next-other.first: // it answers the client's SYN, and data with it
		return true
	}
	if c.next == nil || c.next.sender == at || c.next.first[1-at] != p.Ack {
		c.next = newAttempt(at, p)
		c.next.first[1-at], c.next.known[1-at] = p.Ack, true
	}
	return false
}

func newAttempt(sender int, p *capture.Segment) *attempt {
	a := &attempt{packet: *p, sender: sender}
	a.packet.Data, a.packet.Missing = nil, len(p.Data)+p.Missing
	a.first[sender], a.known[sender] = p.Seq+1, true
	return a
}

// answers reports whether a packet acknowledges the SYN of the attempt.
func (a *attempt) answers(at int, p *capture.Segment) bool {
	return a != nil && a.sender != at && p.Flags&capture.ACK != 0 && a.packet.Flags&capture.ACK == 0 &&
		p.Ack-a.first[a.sender] <= uint32(a.packet.Missing)
}

// confirmed reports whether a packet shows that the next connection has begun.
func (c *connection) confirmed(at int, p *capture.Segment) bool {
	a := c.next
	switch {
	case a == nil, p.Flags&capture.RST != 0:
		return false
	case p.Flags&capture.SYN != 0:
		return a.answers(at, p)
	case !a.known[at]:
		return false
	}
	old := c.sides[at].stream.next
	if p.Seq == a.first[at] {
		return p.Seq != old
	}
	return p.Seq-a.first[at] < maxApart && p.Seq-old+maxApart > 2*maxApart
}

// halfOpen reports whether a packet is of an earlier connection between the same ends,
// which only the server still has: it acknowledges what that connection sent, and the
// client resets it and sends its SYN again (RFC 9293, Section 3.5.1).
func (c *connection) halfOpen(at int, p *capture.Segment) bool {
	if !c.whole || c.finished || p.Flags&capture.SYN != 0 || len(p.Data)+p.Missing > 0 {
		return false
	}
	s, number := &c.sides[1-at].stream, p.Ack
	switch {
	case p.Flags&capture.RST != 0:
		s, number = &c.sides[at].stream, p.Seq
	case p.Flags&capture.ACK == 0:
		return false
	}
	return s.begun && number-s.next+maxApart > 2*maxApart
}
