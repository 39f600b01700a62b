package clienthello

import (
	"fmt"
	"slices"

	"tlswatch/pkg/clienthello/prelude"
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsname"
)

// A direction is what one end of a connection sends. It receives the ordered bytes
// from its stream, and the events of its records.
type direction struct {
	c       *connection
	stream  stream
	records tlswire.Reader
	packets int      // seen
	via     uint8    // the tunnels that its packets come through
	first   uint32   // initial sequence number plus one
	firsts  []uint32 // those of several SYN-ACKs, until one is chosen

	head     []byte // of a client, until its protocol is known
	sniffed  bool
	plain    bool            // the server sent something else before TLS
	sslv2    int             // length of the SSL 2.0 ClientHello at the start of head, or 0
	recordAt uint32          // sequence number of the first record
	segments int             // TCP segments up to the end of the ClientHello
	version  tlsname.Version // of the last record
	length   int             // of the last record
	count    int             // records
	bytes    int             // bytes in order, missing ones included
	missing  int             // those of them that the capture lacks
	changed  bool            // ChangeCipherSpec was sent
	sealed   int             // handshake records after it
	sent     int             // records of application data
	answered int             // encrypted records of a client after the server's first
	longest  int             // length of the longest of these
}

// maxPreludes bounds what may precede a ClientHello.
const maxPreludes = 4

// maxFirsts bounds the SYN-ACKs with unlike sequence numbers that may be chosen.
const maxFirsts = 8

// begin sets the sequence number of the first byte.
func (d *direction) begin(first uint32) {
	d.first = first
	d.stream.start(first)
}

// acknowledged reports whether the other side has acknowledged the current start.
func (d *direction) acknowledged() bool {
	return d.stream.acked != 0 && int32(d.stream.acked-d.first) >= 0 && d.stream.acked-d.first < maxApart
}

// acknowledge takes an acknowledgement by the other side.
func (d *direction) acknowledge(ack uint32) {
	d.choose(ack)
	if s := &d.stream; s.acked == 0 || int32(ack-s.acked) > 0 {
		s.acked = ack
	}
}

// choose decides between several SYN-ACKs, by a sequence number that only one of them can
// have led to.
func (d *direction) choose(seq uint32) {
	i := slices.Index(d.firsts, seq)
	if i < 0 {
		return
	}
	d.begin(seq)
	d.stream.acked, d.firsts = 0, nil
}

// data takes the next bytes in order.
func (d *direction) data(b []byte) {
	d.bytes += len(b)
	if d.c.ended != nil {
		return
	}
	if d != d.c.client {
		d.answer(b)
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

// answer takes the next bytes of the server. Before TLS, it may send something else: its
// part of a dialog that ends with STARTTLS.
func (d *direction) answer(b []byte) {
	if !d.sniffed {
		if !tlswire.MayBeRecord(b) && (d.c.handshake == nil || d.c.preludes != nil) {
			d.plain = true
			return
		}
		d.sniffed = true
	}
	d.records.Segment(b)
	d.records.Read(b, d)
	if d.records.Broken && d.count == 0 {
		d.c.end(Outcome{Kind: NotTLS, By: Server})
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
		d.holeInHead()
		return
	}
	d.sniffed = true
	d.records.Hole(n, d)
}

// holeInHead takes a hole before the protocol of the client is known.
func (d *direction) holeInHead() {
	if _, _, dialog := prelude.Next(d.head); dialog && len(d.head) > 0 {
		d.head = nil // the request for TLS may follow
		return
	}
	d.sniffed = true
	if protocol, _ := sniff(d.head); protocol == TLS && len(d.head) > 0 {
		d.Begin(tlswire.TypeClientHello)
		d.c.handshake.Fault = errNotCaptured
	}
	d.head = nil
	d.records.Lose()
}

// sniff detects the protocol of the client, once it has sent enough.
func (d *direction) sniff() {
	protocol, sure := sniff(d.head)
	for protocol != TLS && len(d.head) > 0 && len(d.c.preludes) < maxPreludes {
		p, n, more := prelude.Next(d.head)
		if more {
			return
		}
		if n == 0 {
			break
		}
		d.c.preludes = append(d.c.preludes, p)
		d.head = slices.Clone(d.head[n:])
		d.segments = min(len(d.head), 1)
		protocol, sure = sniff(d.head)
	}
	if !sure || len(d.head) == 0 {
		return
	}
	c, head := d.c, d.head
	d.sniffed = true
	d.recordAt = d.stream.next - uint32(len(head))
	switch protocol {
	case TLS:
		d.head = nil
		d.records.Read(head, d)
	case SSLv2Hello:
		c.begin(protocol, tlsname.SSL20)
		d.sslv2, _ = tlswire.SSLv2Length(head)
		d.readSSLv2()
	default:
		d.head = nil
		c.begin(protocol, 0)
		c.end(Outcome{Kind: NotTLS, By: Client})
	}
	if server := c.other(d); server.plain && d.c.preludes == nil {
		c.end(Outcome{Kind: NotTLS, By: Server})
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

// Record takes the header of a record.
func (d *direction) Record(contentType uint8, version tlsname.Version, length int) {
	c := d.c
	d.count++
	d.version, d.length = version, length
	switch {
	case c.handshake != nil || c.client == nil:
	case c.whole && c.client.missing > 0:
		// It is TLS, and the ClientHello was lost.
		c.begin(TLS, 0)
		c.handshake.Fault = errNotCaptured
	case c.serverOnly == nil && c.client.packets == 0:
		c.serverOnly = c.newHandshake(TLS, 0)
		c.serverOnly.Fault = errServerOnly
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

// Begin takes the first byte of a handshake message.
func (d *direction) Begin(msgType uint8) {
	if d != d.c.client || msgType != tlswire.TypeClientHello {
		return
	}
	d.c.hello = delivery{at: d.recordAt + uint32(max(d.records.Position()-tlswire.RecordHeaderLen, 0)), records: d.count - 1, segments: d.segments, packets: d.c.other(d).packets}
	if d.c.handshake == nil {
		d.c.begin(TLS, d.version)
	}
	if d.c.preludes != nil || d.c.handshake.Hello != nil {
		d.c.hello.answers = d.c.other(d).bytes
	}
}

// Alert takes an alert that is not encrypted.
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

// Message takes a handshake message that is not encrypted.
func (d *direction) Message(m tlswire.Message) {
	if d == d.c.client {
		d.clientMessage(m)
		return
	}
	c := d.c
	switch m.Type {
	case tlswire.TypeServerHello:
		hello, err := tlswire.ParseServerHello(m.Bytes)
		switch {
		case err != nil:
			c.serverLost = true
		case hello.Retry:
			c.retry = hello.Group
			c.retries++
		default:
			c.server = hello
		}
	case tlswire.TypeServerKeyExchange:
		if c.server != nil && c.server.Group == 0 && c.server.CipherSuite.KeyExchange() == "ECDHE" {
			c.server.Group = tlswire.GroupOfServerKeyExchange(m.Bytes)
		}
	case tlswire.TypeCertificateRequest:
		c.certificate = true
	}
}

func (d *direction) clientMessage(m tlswire.Message) {
	c, h := d.c, d.c.handshake
	if h == nil {
		return
	}
	switch {
	case m.Type == tlswire.TypeClientHello && h.Hello == nil && h.Fault == nil:
		d.measure(m)
		h.Hello, h.Fault = tlswire.ParseClientHello(m.Bytes)
		if tlswire.HandshakeHeaderLen+m.Length > tlswire.MaxHello {
			h.Fault = fmt.Errorf("ClientHello: %d bytes, which no ClientHello has", m.Length)
		}
		h.Hello.Compact()
		h.Segments, h.Size = d.segments, d.c.hello.size
		if len(h.Preludes) > 0 {
			h.Segments = d.c.hello.segments
		}
		c.hellos = h.size()
	case m.Type == tlswire.TypeClientHello && c.retry != 0:
		d.measure(m)
		if hello, err := tlswire.ParseClientHello(m.Bytes); err == nil {
			hello.Compact()
			h.SecondHello = hello
			c.hellos = h.size()
		}
	case m.Type == tlswire.TypeCertificate && m.Length == 3:
		c.noCert = true
	}
}
