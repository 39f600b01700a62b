package clienthello

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tlswatch/pkg/clienthello/capture"
	"tlswatch/pkg/clienthello/prelude"
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsname"
)

// A connection is the state of one TCP connection.
type connection struct {
	key      capture.Flow
	twin     *connection // with the same ends, through other tunnels
	sides    [2]direction
	client   *direction // nil until known
	whole    bool       // its SYN was seen
	now      int64      // time of the last packet, in Unix nanoseconds
	seen     int64      // the tracker's clock at the last packet
	packets  int64      // number of the last packet in the captures
	asked    int64      // the tracker's clock at the ClientHello
	cost     int        // bytes it holds in buffers and ClientHellos
	hellos   int        // of them, in ClientHellos
	finished bool       // its handshake was reported, or there is none
	next     *attempt   // to begin another connection with the same ports
	replaced bool       // another connection with the same ports began before its end
	waited   bool       // at least answerTime passed since the ClientHello

	preludes     []prelude.Prelude
	handshake    *Handshake // nil until the ClientHello begins
	hello        delivery   // of the last ClientHello
	serverOnly   *Handshake // what the server's packets show, before any packet of the client
	entry        *waiting
	server       *tlswire.ServerHello // the final one
	serverLost   bool                 // there was a ServerHello that is not complete in the capture
	retry        tlsname.Group        // of a HelloRetryRequest
	retries      int                  // HelloRetryRequests
	certificate  bool                 // the server asked for a client certificate
	early        *Outcome             // an alert captured before the ClientHello that it answers
	warning      Alert                // the last alert that did not end the connection
	warnedBy     Side
	reaction     *Alert // of the client, after the server had closed the connection
	noCert       bool   // the client answered a request for a certificate with none
	closedBy     *direction
	resetAck     bool        // the RST that ended it has an acknowledgement
	ended        *Outcome    // kind, side and alert, as soon as they are known
	older, newer *connection // in a list of the tracker
}

func newConnection(key capture.Flow, now int64) *connection {
	c := &connection{key: key, now: now}
	c.sides[0].c, c.sides[1].c = c, c
	return c
}

func (c *connection) other(d *direction) *direction {
	if d == &c.sides[0] {
		return &c.sides[1]
	}
	return &c.sides[0]
}

func (c *connection) side(d *direction) Side {
	if d == c.client {
		return Client
	}
	return Server
}

// packet takes a TCP packet from d, and updates cost.
func (c *connection) packet(d *direction, p *capture.Segment) {
	other := c.other(d)
	c.now = p.Time
	d.packets, d.via = d.packets+1, p.Via
	data, seq := p.Data, p.Seq
	if p.Flags&capture.SYN != 0 {
		seq++
		c.syn(d, p, seq)
	}
	if p.Flags&capture.ACK != 0 {
		other.acknowledge(p.Ack)
	}
	if len(data)+p.Missing > 0 {
		if !d.stream.begun {
			c.locate(d, p)
		}
		if c.client == d && !other.stream.begun && p.Flags&capture.ACK != 0 {
			other.begin(p.Ack)
		}
		d.choose(seq)
		d.repeated(seq, len(data)+p.Missing, p.Time)
		d.stream.add(segment{seq, data, p.Missing}, d)
	}
	if p.Flags&capture.FIN != 0 {
		d.stream.fin, d.stream.end = true, seq+uint32(len(data)+p.Missing)
		if c.closedBy == nil {
			c.closedBy = d
		}
	}
	for i := range c.sides {
		s := &c.sides[i].stream
		if s.begun && len(s.pending) > 0 && int32(s.acked-s.pending[0].seq) >= 0 {
			s.waited++
		}
		for s.overdue() && c.guessed() {
			s.giveUp(&c.sides[i])
		}
	}
	c.settle()
	if p.Flags&capture.RST != 0 && c.ended == nil {
		c.reset(d, p)
	}
	c.cost = c.hellos
	for i := range c.sides {
		d := &c.sides[i]
		c.cost += d.stream.held + d.records.Held() + cap(d.head)
	}
}

// syn takes a SYN, which precedes the sequence number first.
func (c *connection) syn(d *direction, p *capture.Segment, first uint32) {
	other := c.other(d)
	answer := p.Flags&capture.ACK != 0
	switch {
	case !d.stream.begun:
		d.begin(first)
	case answer && first != d.first && d.bytes == 0 && !d.acknowledged() && len(d.firsts) < maxFirsts:
		// What the client acknowledges decides.
		if d.firsts == nil {
			d.firsts = []uint32{d.first}
		}
		d.firsts = append(d.firsts, first)
	}
	c.whole = true
	if !answer {
		c.client = d
		return
	}
	c.client = other
	if !other.stream.begun {
		other.begin(p.Ack)
	}
}

// reset takes a RST of d.
func (c *connection) reset(d *direction, p *capture.Segment) {
	c.resetAck = p.Flags&capture.ACK != 0
	c.flush()
	c.adopt()
	c.settle()
	c.endClosed()
	c.end(Outcome{Kind: Reset, By: c.side(d)})
}

// sawWait reports whether the connection's own packets show that answerTime passed since
// the ClientHello. More than idleTime is a step of the clock.
func (c *connection) sawWait() bool {
	if c.handshake == nil {
		return false
	}
	passed := c.now - c.handshake.Time.UnixNano()
	return passed > int64(answerTime) && passed <= int64(idleTime)
}

// unanswered reports whether TCP's handshake did not get to its end.
func (c *connection) unanswered() bool {
	for i := range c.sides {
		if d := &c.sides[i]; d.bytes > 0 || len(d.stream.pending) > 0 || d != c.client && d.stream.acked != 0 {
			return false
		}
	}
	return c.client != nil
}

// locate decides where the bytes of d begin if its SYN is not in the capture: at a
// packet that begins like the first one of a client, at a ServerHello, or at the first
// packet of the server.
func (c *connection) locate(d *direction, p *capture.Segment) {
	switch {
	case c.client == nil:
		protocol, sure := sniff(p.Data)
		switch {
		case sure && protocol != Unknown, prelude.BeginsWithProxy(p.Data):
			c.client = d
		case tlswire.BeginsWithServerHello(p.Data):
			c.client = c.other(d)
		default:
			return
		}
		d.begin(p.Seq)
	case c.client != d:
		d.begin(p.Seq)
	}
}

// end sets how the handshake ended, unless that is known already.
func (c *connection) end(o Outcome) {
	if c.ended == nil {
		c.ended = &o
	}
}

// settle checks whether the packets so far show how the handshake ended.
func (c *connection) settle() {
	switch {
	case c.ended != nil:
	case c.handshake != nil && c.agreed():
		c.end(Outcome{Kind: Negotiated})
	case c.early != nil && c.handshake != nil && (c.handshake.Hello != nil || c.handshake.Fault != nil):
		c.end(*c.early)
	case c.handshake == nil && c.serverOnly != nil:
		// Packets of the client may follow.
	case c.closedBy != nil && c.sides[0].stream.read() && c.sides[1].stream.read():
		c.endClosed()
	}
}

// endClosed sets that a side closed the connection, unless an alert shows more.
func (c *connection) endClosed() {
	switch {
	case c.early != nil && c.handshake != nil:
		c.end(*c.early)
	case c.closedBy != nil:
		c.end(Outcome{Kind: Closed, By: c.side(c.closedBy)})
	}
}

// adopt makes what the server's packets show the handshake, if the capture has no packets
// of the client.
func (c *connection) adopt() {
	if c.handshake == nil && c.serverOnly != nil && c.client.packets == 0 {
		c.handshake = c.serverOnly
	}
}

// finishedLen is the length of the shortest record with a Finished message of TLS 1.3:
// its header, a hash of 32 bytes, the content type and a tag of 16 bytes. alertLen is
// the length of an encrypted alert.
const (
	finishedLen = 4 + 32 + 1 + 16
	alertLen    = 2 + 1 + 16
)

// agreed reports whether both sides continued with what the server chose.
func (c *connection) agreed() bool {
	client, server := c.client, c.other(c.client)
	switch {
	case c.server != nil && c.server.Version >= tlsname.TLS13:
		return client.longest >= finishedLen
	case c.server != nil && client.packets == 0: // a server sends data only after both Finished messages
		return server.changed && server.sent > 0
	case c.server != nil:
		return client.changed && server.changed
	default: // the ServerHello may have been lost
		return server.count > 0 && (c.serverLost || server.missing > 0) && (client.longest > alertLen && server.sent > 0 || client.changed && server.changed && client.sealed > 0)
	}
}

// flush reads the segments after gaps, which will not be filled any more.
func (c *connection) flush() {
	if !c.guessed() {
		return
	}
	for _, d := range []*direction{c.client, c.other(c.client)} {
		for len(d.stream.pending) > 0 {
			d.stream.giveUp(d)
		}
		d.records.End(d)
		if d.sslv2 > 0 {
			d.helloSSLv2()
		}
	}
}

// withoutHello begins a handshake of a client that sent only a PROXY header or asked for a
// tunnel.
func (c *connection) withoutHello() {
	if c.handshake != nil || c.client == nil || len(c.preludes) == 0 || len(c.client.head) > 0 {
		return
	}
	last := c.preludes[len(c.preludes)-1]
	switch {
	case last.Proxy():
		c.begin(PROXY, 0)
	case last.Tunnel():
		c.begin(HTTP, 0)
	default:
		return
	}
	c.ended = &Outcome{Kind: NotTLS, By: Client}
}

// guessed reports whether the client is known, at least by a ClientHello among the
// first segments. A connection without one is over: it began before the capture.
func (c *connection) guessed() bool {
	for i := range c.sides {
		if d := &c.sides[i]; c.client == nil && d.stream.startsTLS() {
			c.client = d
		}
	}
	if c.client == nil {
		c.end(Outcome{})
	}
	return c.client != nil
}

// begun returns the handshake, or what the server's packets show of it, or nil.
func (c *connection) begun() *Handshake {
	if c.handshake != nil {
		return c.handshake
	}
	return c.serverOnly
}

// begin starts the handshake of a ClientHello.
func (c *connection) begin(p Protocol, version tlsname.Version) {
	c.handshake = c.newHandshake(p, version)
}

func (c *connection) newHandshake(p Protocol, version tlsname.Version) *Handshake {
	h := &Handshake{Time: time.Unix(0, c.now).UTC(), Protocol: p, RecordVersion: version}
	h.Client, h.Server = c.endpoints(c.client)
	h.Peer = h.Client
	h.Preludes = slices.Clip(c.preludes)
	for _, p := range h.Preludes {
		if p.Proxy() && p.Client.IsValid() {
			h.Client = p.Client
		}
	}
	return h
}

var (
	errNotCaptured = fmt.Errorf("the ClientHello is not in the capture: %w", tlswire.ErrIncomplete)
	errServerOnly  = error(serverOnly{})
)

// serverOnly is the error for a handshake without packets of the client.
type serverOnly struct{}

func (serverOnly) Error() string        { return "the capture has no packets of the client" }
func (serverOnly) Is(target error) bool { return target == tlswire.ErrIncomplete }

// endpoints returns the address of one end and of the other.
func (c *connection) endpoints(d *direction) (netip.AddrPort, netip.AddrPort) {
	if d == &c.sides[0] {
		return c.key[0].AddrPort(), c.key[1].AddrPort()
	}
	return c.key[1].AddrPort(), c.key[0].AddrPort()
}
