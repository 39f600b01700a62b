package clienthello

import (
	"container/heap"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tlswatch/pkg/clienthello/capture"
	"tlswatch/pkg/clienthello/prelude"
)

// Limits of a Tracker. Connections beyond them are ended early, oldest first, and
// counted in Stats.GivenUp.
const (
	maxConnections = 1 << 15  // remembered at a time, finished ones included
	maxHeld        = 16 << 20 // bytes in reassembly buffers, and in ClientHellos of open connections
	maxWaiting     = 16 << 20 // bytes of handshakes that wait for older ones
	idleTime       = 2 * time.Minute
	answerTime     = 5 * time.Second
)

// Options of a [Tracker].
type Options struct {
	// Ports are the ports of servers to look at; all if empty.
	Ports []uint16
	// Clients are the networks of the clients to look at; all if empty.
	Clients []netip.Prefix
	// InTimeOrder reports handshakes in the order of their ClientHellos instead
	// of their ends. A handshake may then wait for an older one.
	InTimeOrder bool
}

// Stats count what a [Tracker] read.
type Stats struct {
	Packets    int64
	Handshakes int64 // reported
	Plaintext  int64 // connections of HTTP or PROXY on ports other than 443 and those of Options
	Other      int64 // connections that are neither TLS nor HTTP
	Empty      int64 // connections on which the client sent nothing
	Unreadable int64 // connections whose first bytes were cut by the snap length or lost
	Midstream  int64 // connections that began before the capture
	GivenUp    int64 // connections ended early to bound memory
	Cut        int64 // TCP packets cut by the snap length
	QUIC       int64 // flows of QUIC, which is not decoded
	DTLS       int64 // flows of DTLS, which is not decoded
	Fragments  int64 // IP fragments without the rest of their packet
	Malformed  int64 // packets with incomplete headers
	OldRecords int64 // packets in pcap files of versions before 2.4

	EmptyRecords int64           // records without any byte of their packet
	LongRecords  int64           // records with more bytes than they say their packet had
	Skipped      []capture.Count // packets that were not looked into, by kind, most first
}

// A Tracker follows the connections of one or more captures. It keeps at most 32,768
// connections, and at most 16 MiB each of segments and ClientHellos of open
// connections, of IP fragments, and of handshakes that wait for older ones.
//
// It is not safe for concurrent use.
type Tracker struct {
	options Options
	each    func(*Handshake) error
	err     error // of each

	connections map[capture.Flow]*connection
	open        connectionList // least recently used first
	closed      connectionList
	held        int
	waiting     waitingHeap
	waitingCost int
	releasing   bool

	packets capture.Decoder
	clock   clock
	stats   Stats
	quic    map[capture.Flow]struct{}
	dtls    map[capture.Flow]struct{}
}

// NewTracker returns a Tracker that calls each for every handshake, when its outcome is
// known. An error of each ends reading and is returned.
func NewTracker(o Options, each func(*Handshake) error) *Tracker {
	t := &Tracker{
		options: o, each: each,
		connections: make(map[capture.Flow]*connection),
		quic:        make(map[capture.Flow]struct{}),
		dtls:        make(map[capture.Flow]struct{}),
	}
	t.packets.Handler = (*handler)(t)
	return t
}

// Stats returns the counts so far. Open connections are not counted before Close.
func (t *Tracker) Stats() Stats {
	s := t.stats
	s.QUIC, s.DTLS = int64(len(t.quic)), int64(len(t.dtls))
	s.Fragments, s.Malformed, s.Skipped = t.packets.Fragments(), t.packets.Malformed, t.packets.Skipped()
	return s
}

// Close ends the connections that are still open.
func (t *Tracker) Close() error {
	for c := t.open.oldest; c != nil; c = t.open.oldest {
		t.finish(c, CaptureEnded)
	}
	return t.err
}

// handler is a Tracker as the handler of decoded packets.
type handler Tracker

func (h *handler) Segment(p *capture.Segment) { (*Tracker)(h).segment(p) }

func (h *handler) Datagram(src, dst capture.Endpoint, payload []byte) bool {
	return (*Tracker)(h).datagram(src, dst, payload)
}

func (t *Tracker) segment(p *capture.Segment) {
	if p.Missing > 0 {
		t.stats.Cut++
	}
	if !t.wanted(p) {
		return
	}
	key, at := capture.FlowOf(p.Src, p.Dst)
	c := t.find(key, at, p.Via)
	switch {
	case c == nil:
		if len(p.Data)+p.Missing == 0 && p.Flags&capture.SYN == 0 {
			return
		}
		c = t.add(key, p)
	case c.confirmed(at, p):
		c = t.succeed(c)
	case p.Flags&capture.SYN != 0 && !c.handshakePacket(at, p):
		if c.finished && len(p.Data) > 0 && p.Flags&capture.ACK == 0 { // TCP Fast Open, RFC 7413
			c.next.packet = *p
			t.succeed(c)
		}
		return
	case c.halfOpen(at, p):
		return
	case p.Flags&capture.RST != 0 && c.next.answers(at, p): // only the attempt is refused
		c.next = nil
		return
	}
	t.take(c, at, p)
}

// take gives a packet to its connection.
func (t *Tracker) take(c *connection, at int, p *capture.Segment) {
	if c.finished {
		return
	}
	if c != t.open.newest {
		t.open.remove(c)
		t.open.add(c)
	}
	c.seen, c.packets = t.clock.now, t.stats.Packets
	begun, before := c.begun(), c.cost
	c.packet(&c.sides[at], p)
	t.held += c.cost - before
	if h := c.begun(); h != nil && h != begun {
		c.asked = t.clock.reading()
		t.wait(c, h)
	}
	if c.ended != nil {
		t.finish(c, c.ended.Kind)
	}
	for t.held > maxHeld && t.open.oldest != nil {
		t.stats.GivenUp++
		t.finish(t.open.oldest, CaptureEnded)
	}
}

// wait makes a handshake wait for older ones, if they are reported in the order of time.
func (t *Tracker) wait(c *connection, h *Handshake) {
	switch {
	case !t.options.InTimeOrder:
	case c.entry == nil:
		c.entry = &waiting{handshake: h, connection: c}
		heap.Push(&t.waiting, c.entry)
	default: // the ClientHello follows the server's answer
		c.entry.handshake = h
		heap.Fix(&t.waiting, c.entry.index)
	}
}

// find returns the connection of a packet, or nil. The packets of each direction of a
// connection come through the same kinds of tunnels, which may differ from those of the
// other direction.
func (t *Tracker) find(key capture.Flow, at int, via uint8) *connection {
	first := t.connections[key]
	if first == nil || first.twin == nil && (first.sides[at].packets == 0 || first.sides[at].via == via) {
		return first
	}
	var free *connection
	for c := first; c != nil; c = c.twin {
		d, other := &c.sides[at], &c.sides[1-at]
		switch {
		case d.packets > 0 && d.via == via:
			return c
		case d.packets == 0 && (free == nil || other.via == via):
			free = c
		}
	}
	return free
}

// add adds a connection that begins with a packet.
func (t *Tracker) add(key capture.Flow, p *capture.Segment) *connection {
	c := newConnection(key, p.Time)
	c.twin = t.connections[key]
	t.connections[key] = c
	t.open.add(c)
	t.bound()
	return c
}

// succeed replaces a connection by the next one with the same ports.
func (t *Tracker) succeed(c *connection) *connection {
	a := c.next
	switch {
	case c.finished:
	case c.unanswered(): // it never was a connection
		t.held -= c.cost
		t.open.remove(c)
		t.closed.add(c)
	default:
		c.replaced = true
		t.finish(c, CaptureEnded)
	}
	t.forget(c)
	next := t.add(c.key, &a.packet)
	t.take(next, a.sender, &a.packet)
	return next
}

// wanted reports whether a packet may belong to a connection that the options select. A
// PROXY header may name another client.
func (t *Tracker) wanted(p *capture.Segment) bool {
	if ports := t.options.Ports; len(ports) > 0 && !slices.Contains(ports, p.Src.Port) && !slices.Contains(ports, p.Dst.Port) {
		return false
	}
	if len(t.options.Clients) == 0 || t.client(p.Src.Addr()) || t.client(p.Dst.Addr()) {
		return true
	}
	key, _ := capture.FlowOf(p.Src, p.Dst)
	return t.connections[key] != nil || prelude.BeginsWithProxy(p.Data)
}

// client reports whether an address is in one of Options.Clients.
func (t *Tracker) client(a netip.Addr) bool {
	return slices.ContainsFunc(t.options.Clients, func(p netip.Prefix) bool { return p.Contains(a) })
}

// advance takes the time of a packet, and ends idle connections.
func (t *Tracker) advance(at int64) { t.expire(t.clock.advance(at, t.stats.Packets, t.open.n)) }

// expire ends idle connections, after a leap of the clock or without.
func (t *Tracker) expire(leap int64) {
	if leap > 0 {
		// What continued since the leap is not idle.
		for c := t.open.newest; c != nil && c.packets >= t.clock.since; c = c.older {
			c.seen = t.clock.now
			if c.asked != 0 {
				c.asked += t.clock.jump
			}
		}
	}
	for c := t.open.oldest; c != nil && t.clock.now-c.seen > int64(idleTime); c = t.open.oldest {
		t.finish(c, CaptureEnded)
	}
}

// bound makes room for a new connection.
func (t *Tracker) bound() {
	for t.open.n+t.closed.n > maxConnections {
		if c := t.closed.oldest; c != nil {
			t.forget(c)
			continue
		}
		t.stats.GivenUp++
		c := t.open.oldest
		t.finish(c, CaptureEnded)
		t.forget(c)
	}
}

func (t *Tracker) forget(c *connection) {
	t.closed.remove(c)
	first := t.connections[c.key]
	switch {
	case first != c:
		for first.twin != c {
			first = first.twin
		}
		first.twin = c.twin
	case c.twin != nil:
		t.connections[c.key] = c.twin
	default:
		delete(t.connections, c.key)
	}
}

// finish reports a connection's handshake, if it had one, and keeps the connection only
// to recognize more of its packets. The kind is used if the packets do not show how the
// handshake ended.
func (t *Tracker) finish(c *connection, kind Kind) {
	if c.ended == nil {
		c.flush()
		c.adopt()
		c.settle()
	}
	c.waited = c.asked != 0 && t.clock.now-c.asked > int64(answerTime) || c.sawWait()
	c.endClosed()
	if c.ended == nil {
		switch {
		case c.handshake != nil && !c.answered() && !c.unseen() && c.waited:
			c.end(Outcome{Kind: NoAnswer})
		default:
			c.end(Outcome{Kind: kind})
		}
	}
	c.withoutHello()
	if h := c.handshake; h != nil && (c.entry == nil || c.entry.handshake != h) {
		t.wait(c, h)
	}
	t.held -= c.cost
	c.finished, c.cost = true, 0
	t.open.remove(c)
	t.closed.add(c)
	t.report(c)
	// Of a finished connection only what recognizes its packets is needed.
	for i := range c.sides {
		d := &c.sides[i]
		*d = direction{first: d.first, packets: d.packets, via: d.via, stream: stream{begun: d.stream.begun, next: d.stream.next}}
	}
	c.handshake, c.serverOnly, c.preludes, c.entry, c.server, c.ended, c.client, c.closedBy = nil, nil, nil, nil, nil, nil, nil, nil
}

func (t *Tracker) report(c *connection) {
	h := c.handshake
	told := false
	switch {
	case h == nil && c.client == nil || h == nil && !c.whole:
		t.stats.Midstream++
	case h == nil && c.client.bytes == 0 && c.other(c.client).bytes > 0:
		t.stats.Other++
	case h == nil && c.client.bytes == 0:
		t.stats.Empty++
	case h == nil && c.client.missing > 0:
		t.stats.Unreadable++
	case h == nil:
		t.stats.Other++
	case h.Protocol == Unknown && !c.whole:
		t.stats.Midstream++
	case h.Protocol == Unknown:
		t.stats.Other++
	case !t.asked(h):
	case !h.Protocol.TLS() && !t.secure(h.Server.Port()):
		t.stats.Plaintext++
	default:
		if h.Protocol.TLS() && h.Hello == nil && h.Fault == nil {
			h.Fault = errNotCaptured
		}
		h.Outcome = c.outcome()
		told = true
	}
	if c.entry == nil {
		if told {
			t.tell(h)
		}
		return
	}
	c.entry.done, c.entry.told = true, told
	c.entry.connection = nil
	c.entry.cost = 1024 + c.entry.handshake.size()
	t.waitingCost += c.entry.cost
	t.release()
}

// release reports the handshakes that wait for no older one.
func (t *Tracker) release() {
	if t.releasing {
		return
	}
	t.releasing = true
	defer func() { t.releasing = false }()
	for len(t.waiting) > 0 {
		first := t.waiting[0]
		if !first.done {
			if t.waitingCost <= maxWaiting {
				return
			}
			t.stats.GivenUp++
			t.finish(first.connection, CaptureEnded)
			continue
		}
		heap.Pop(&t.waiting)
		t.waitingCost -= first.cost
		if first.told {
			t.tell(first.handshake)
		}
	}
}

// asked reports whether the options select a handshake.
func (t *Tracker) asked(h *Handshake) bool {
	return (len(t.options.Ports) == 0 || slices.Contains(t.options.Ports, h.Server.Port())) &&
		(len(t.options.Clients) == 0 || t.client(h.Client.Addr()) || t.client(h.Peer.Addr()))
}

// secure reports whether TLS is expected on a port.
func (t *Tracker) secure(port uint16) bool {
	return port == 443 || slices.Contains(t.options.Ports, port)
}

func (t *Tracker) tell(h *Handshake) {
	t.stats.Handshakes++
	if t.err == nil {
		if err := t.each(h); err != nil {
			t.err = fmt.Errorf("handshake of %v at %s: %w", h.Client, h.Time.Format(time.RFC3339Nano), err)
		}
	}
}
