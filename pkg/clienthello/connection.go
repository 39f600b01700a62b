package clienthello

import (
	"fmt"
	"net/netip"
	"time"

	"tlswatch/pkg/clienthello/capture"
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsname"
)

// A connection is the state of one TCP connection.
type connection struct {
	key      capture.Flow
	sides    [2]direction
	client   *direction // nil until known
	whole    bool       // its SYN was seen
	started  int64      // time of the first packet, in Unix nanoseconds
	now      int64      // time of the last packet
	cost     int        // bytes it holds in buffers and ClientHellos
	hellos   int        // of them, in ClientHellos
	finished bool       // its handshake was reported, or there is none

	handshake    *Handshake // nil until the ClientHello begins
	entry        *waiting
	server       *tlswire.ServerHello // the final one
	serverLost   bool                 // there was a ServerHello that is not complete in the capture
	retry        tlsname.Group        // of a HelloRetryRequest
	asked        bool                 // the server asked for a client certificate
	early        *Outcome             // an alert captured before the ClientHello that it answers
	warning      Alert                // the last alert that did not end the connection
	warnedBy     Side
	reaction     *Alert // of the client, after the server had closed the connection
	noCert       bool   // the client answered a request for a certificate with none
	closedBy     *direction
	ended        *Outcome    // kind, side and alert, as soon as they are known
	older, newer *connection // in a list of the tracker
	open         bool        // in the list of open connections
}

// A direction is what one end of a connection sends. It receives the ordered bytes
// from its stream, and the events of its records.
type direction struct {
	c       *connection
	stream  stream
	records tlswire.Reader
	first   uint32 // initial sequence number plus one

	head     []byte // of a client, until its protocol is known
	sniffed  bool
	sslv2    int             // length of the SSL 2.0 ClientHello at the start of head, or 0
	segments int             // TCP segments up to the end of the ClientHello
	version  tlsname.Version // of the last record
	count    int             // records
	bytes    int             // bytes in order, missing ones included
	missing  int             // those of them that the capture lacks
	changed  bool            // ChangeCipherSpec was sent
	sealed   int             // handshake records after it
	sent     int             // records of application data
	answered int             // encrypted records of a client after the server's first
	longest  int             // length of the longest of these
}

func newConnection(key capture.Flow, now int64) *connection {
	c := &connection{key: key, started: now, now: now}
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
	data, seq := p.Data, p.Seq
	if p.Flags&capture.SYN != 0 {
		seq++
		if !d.stream.begun {
			d.first = seq
			d.stream.start(seq)
		}
		c.whole = true
		if p.Flags&capture.ACK == 0 {
			c.client = d
		} else {
			c.client = other
			if !other.stream.begun {
				other.first = p.Ack
				other.stream.start(p.Ack)
			}
		}
	}
	if p.Flags&capture.ACK != 0 {
		other.stream.acked = p.Ack
	}
	if len(data)+p.Missing > 0 {
		if !d.stream.begun {
			c.locate(d, p)
		}
		if c.client == d && !other.stream.begun && p.Flags&capture.ACK != 0 {
			other.first = p.Ack
			other.stream.start(p.Ack)
		}
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
		c.flush()
		c.settle()
		if c.closedBy != nil {
			c.end(Outcome{Kind: Closed, By: c.side(c.closedBy)})
		}
		c.end(Outcome{Kind: Reset, By: c.side(d)})
	}
	c.cost = c.hellos
	for i := range c.sides {
		d := &c.sides[i]
		c.cost += d.stream.held + d.records.Held() + cap(d.head)
	}
}

// locate decides where the bytes of d begin if its SYN is not in the capture: at a
// packet that begins like the first one of a client, or at the first packet of the
// server.
func (c *connection) locate(d *direction, p *capture.Segment) {
	switch {
	case c.client == nil:
		if protocol, sure := sniff(p.Data); sure && protocol != Unknown {
			c.client = d
			d.stream.start(p.Seq)
		}
	case c.client != d:
		d.stream.start(p.Seq)
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
	if c.ended != nil {
		return
	}
	if c.handshake != nil && c.agreed() {
		c.end(Outcome{Kind: Negotiated})
		return
	}
	if c.handshake != nil && c.early != nil {
		c.end(*c.early)
		return
	}
	if c.closedBy != nil && c.sides[0].stream.read() && c.sides[1].stream.read() {
		c.end(Outcome{Kind: Closed, By: c.side(c.closedBy)})
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

// begin starts the handshake of a ClientHello.
func (c *connection) begin(p Protocol, version tlsname.Version) {
	c.handshake = &Handshake{Time: time.Unix(0, c.now).UTC(), Protocol: p, RecordVersion: version}
	c.handshake.Client, c.handshake.Server = c.endpoints(c.client)
}

var errNotCaptured = fmt.Errorf("the ClientHello is not in the capture: %w", tlswire.ErrIncomplete)

// data takes the next bytes in order.
func (d *direction) data(b []byte) {
	d.bytes += len(b)
	if d.c.ended != nil {
		return
	}
	if d != d.c.client {
		d.records.Segment(b)
		d.records.Read(b, d)
		if d.records.Broken && d.count == 0 {
			d.c.end(Outcome{Kind: NotTLS, By: Server})
		}
		return
	}
	d.segments++
	switch {
	case d.sniffed && d.sslv2 == 0:
		d.records.Segment(b)
		d.records.Read(b, d)
	case d.sniffed:
		d.head = append(d.head, b...)
		d.readSSLv2()
	default:
		d.head = append(d.head, b...)
		d.sniff()
	}
}

// hole skips n bytes that the capture lacks.
func (d *direction) hole(n int) {
	d.bytes += n
	d.missing += n
	if d.c.ended != nil {
		return
	}
	if d == d.c.client && d.sslv2 > 0 {
		d.helloSSLv2()
		d.sslv2 = 0
		d.records.Lose()
		return
	}
	if d == d.c.client && !d.sniffed {
		d.sniffed = true
		if protocol, _ := sniff(d.head); protocol == TLS && len(d.head) > 0 {
			d.Begin(tlswire.TypeClientHello)
			d.c.handshake.Fault = errNotCaptured
		}
		d.head = nil
		d.records.Lose()
		return
	}
	d.records.Hole(n, d)
}

// sniff detects the protocol of the client, once it has sent enough.
func (d *direction) sniff() {
	protocol, sure := sniff(d.head)
	if !sure {
		return
	}
	d.sniffed = true
	head := d.head
	switch protocol {
	case TLS:
		d.head = nil
		d.records.Read(head, d)
	case SSLv2Hello:
		d.c.begin(protocol, tlsname.SSL20)
		d.sslv2, _ = tlswire.SSLv2Length(head)
		d.readSSLv2()
	default:
		d.head = nil
		d.c.begin(protocol, 0)
		d.c.end(Outcome{Kind: NotTLS, By: Client})
	}
}

func (d *direction) readSSLv2() {
	if len(d.head) >= d.sslv2 {
		rest := d.head[d.sslv2:]
		d.helloSSLv2()
		d.sslv2 = 0
		d.records.Read(rest, d)
	}
}

func (d *direction) helloSSLv2() {
	h := d.c.handshake
	h.Hello, h.Fault = tlswire.ParseSSLv2(d.head[:min(len(d.head), d.sslv2)])
	h.Segments = d.segments
	d.head = nil
}

func (d *direction) Record(contentType uint8, version tlsname.Version, length int) {
	c := d.c
	d.count++
	d.version = version
	if c.handshake == nil && c.whole && c.client != nil && c.client.missing > 0 {
		// It is TLS, and the ClientHello was lost.
		c.begin(TLS, 0)
		c.handshake.Fault = errNotCaptured
	}
	switch contentType {
	case tlswire.RecordChangeCipherSpec:
		d.changed = true
		// In TLS 1.3 it has no meaning, and messages follow.
		if c.server != nil && c.server.Version < tlsname.TLS13 {
			d.records.Sealed = true
		}
	case tlswire.RecordHandshake:
		if d.changed {
			d.sealed++
		}
	case tlswire.RecordApplicationData:
		d.sent++
		if d == c.client && c.other(d).count > 0 {
			d.answered++
			d.longest = max(d.longest, length)
		}
	}
}

func (d *direction) Begin(msgType uint8) {
	if d == d.c.client && msgType == tlswire.TypeClientHello && d.c.handshake == nil {
		d.c.begin(TLS, d.version)
	}
}

func (d *direction) Alert(level, description uint8) {
	c := d.c
	a := Alert{level, description}
	switch {
	case level != alertFatal && description != alertCloseNotify:
		c.warning, c.warnedBy = a, c.side(d)
	case c.handshake != nil && d == c.client && c.closedBy == c.other(d) && c.closedBy.stream.read():
		c.reaction = &a
		c.end(Outcome{Kind: Closed, By: Server})
	case c.handshake != nil:
		c.end(Outcome{Kind: AlertSent, By: c.side(d), Alert: a})
	case c.early == nil:
		c.early = &Outcome{Kind: AlertSent, By: c.side(d), Alert: a}
	}
}

func (d *direction) Message(m tlswire.Message) {
	c, h := d.c, d.c.handshake
	if d == c.client {
		switch {
		case h == nil:
		case m.Type == tlswire.TypeClientHello && h.Hello == nil && h.Fault == nil:
			h.Hello, h.Fault = tlswire.ParseClientHello(m.Bytes)
			if tlswire.HandshakeHeaderLen+m.Length > tlswire.MaxHello {
				h.Fault = fmt.Errorf("ClientHello: %d bytes, which no ClientHello has", m.Length)
			}
			h.Hello.Compact()
			h.Segments = d.segments
			c.hellos = h.size()
		case m.Type == tlswire.TypeClientHello && c.retry != 0:
			if hello, err := tlswire.ParseClientHello(m.Bytes); err == nil {
				hello.Compact()
				h.SecondHello = hello
				c.hellos = h.size()
			}
		case m.Type == tlswire.TypeCertificate && m.Length == 3:
			c.noCert = true
		}
		return
	}
	switch m.Type {
	case tlswire.TypeServerHello:
		hello, err := tlswire.ParseServerHello(m.Bytes)
		switch {
		case err != nil:
			c.serverLost = true
		case hello.Retry:
			c.retry = hello.Group
		default:
			c.server = hello
		}
	case tlswire.TypeServerKeyExchange:
		if c.server != nil && c.server.Group == 0 && c.server.CipherSuite.KeyExchange() == "ECDHE" {
			c.server.Group = tlswire.GroupOfServerKeyExchange(m.Bytes)
		}
	case tlswire.TypeCertificateRequest:
		c.asked = true
	}
}

// endpoints returns the address of one end and of the other.
func (c *connection) endpoints(d *direction) (netip.AddrPort, netip.AddrPort) {
	if d == &c.sides[0] {
		return c.key[0].AddrPort(), c.key[1].AddrPort()
	}
	return c.key[1].AddrPort(), c.key[0].AddrPort()
}
