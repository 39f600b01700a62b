package clienthello

import "tlswatch/pkg/clienthello/tlswire"

// A delivery is where a ClientHello is in the stream of its client.
type delivery struct {
	at       uint32 // sequence number of its record
	size     int    // bytes, record headers included; 0 if unknown
	records  int    // records before it
	segments int    // TCP segments up to its start; after measure, those that carry it
	answers  int    // bytes that the server had sent before it
	packets  int    // packets of the server before it
	first    bool   // the first segment was sent again, unacknowledged
	again    int    // other segments that were sent again, unacknowledged
	last     int64  // time of the last segment, in Unix nanoseconds
}

// measure computes the size of the ClientHello from its message, of which the capture
// may lack bytes.
func (d *direction) measure(m tlswire.Message) {
	d.c.hello.segments = d.segments - d.c.hello.segments + 1
	if len(m.Bytes) < tlswire.HandshakeHeaderLen || d.length == 0 {
		return
	}
	n := tlswire.HandshakeHeaderLen + m.Length
	records := max(d.count-d.c.hello.records, (n+d.length-1)/d.length)
	d.c.hello.size = n + records*tlswire.RecordHeaderLen
}

// minAgain is the least time until a segment is sent again. Copies of a packet that was
// captured at several interfaces follow sooner.
const minAgain = 1e6

// repeated takes a segment of n bytes, and counts it if it sends bytes of the ClientHello
// again that are not acknowledged.
func (d *direction) repeated(seq uint32, n int, at int64) {
	h, s := &d.c.hello, &d.stream
	if d != d.c.client || d.c.handshake == nil {
		return
	}
	if int32(seq+uint32(n)-s.next) <= 0 && int32(seq-s.acked) >= 0 && at-h.last >= minAgain {
		if int32(seq-h.at) > 0 {
			h.again++
		} else {
			h.first = true
		}
	}
	h.last = at
}

// halfDelivered returns how much of the last ClientHello the server acknowledged, if it
// got only a part and sent nothing.
func (c *connection) halfDelivered(o Outcome) *Delivery {
	client, server := c.client, c.other(c.client)
	h := c.hello
	switch {
	case h.size == 0, client.stream.acked == 0, server.packets == 0, server.bytes > h.answers, c.unseen():
		return nil
	case o.Kind == Reset && o.By == Server:
		if !c.resetAck && int32(client.stream.acked-h.at) <= 0 {
			return nil // the RST may answer all of it
		}
	case o.Kind == Closed && o.By == Server, o.Kind == NoAnswer:
	case (o.Kind == Closed || o.Kind == Reset) && c.waited:
	default:
		return nil
	}
	acknowledged := max(int(int32(client.stream.acked-h.at)), 0)
	if acknowledged >= h.size || acknowledged == 0 && (h.segments < 2 || h.first && server.packets == h.packets) {
		return nil
	}
	return &Delivery{Acknowledged: acknowledged, Sent: h.size, again: h.again}
}
