package connlog

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// Most lines look much alike: times of 27 characters within the minute of the
// line before, few combinations of names, no client certificate. What is here
// reads them eight bytes at a time, and leaves everything that looks different,
// and every error, to the parser of fields.

const (
	ones   = 0x0101010101010101
	highs  = 0x8080808080808080
	spaces = ' ' * ones
	zeros  = '0' * ones

	noCertificate = `"-" - - `
	successful    = StatusSuccess + " "
	tracePrefix   = "TID_"
	traceLen      = len(tracePrefix + "f5320c2c9b3b0f2eb5f2f4e5a5b5c5d5")
)

func load(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// textAsWord is text of eight bytes as load returns it.
func textAsWord(text string) (w uint64) {
	for i := range 8 {
		w |= uint64(text[i]) << (8 * i)
	}
	return w
}

var noCertificateWord, successfulWord = textAsWord(noCertificate), textAsWord(successful)

// space returns the number of bytes before the first space in w, and 8 if there
// is none.
func space(w uint64) int {
	w ^= spaces
	return bits.TrailingZeros64((w-ones)&^w&highs) / 8
}

// where returns a bit for each byte of w that is c, that of the first one
// lowest.
func where(w uint64, c byte) uint {
	const low7 = ^uint64(highs)
	w ^= uint64(c) * ones
	w = ^(w&low7 + low7 | w | low7)
	return uint(w >> 7 * 0x0102040810204080 >> 56)
}

// number returns the value of the first n bytes of w, 1 to 7, as decimal
// digits.
func number(w uint64, n int) (value uint64, ok bool) {
	w = w<<(64-8*n) | zeros>>(8*n)
	ok = (w+0x46*ones|(w-zeros))&highs == 0
	w = w & (0x0f * ones) * (1 + 10<<8) >> 8
	w = w & 0x00ff00ff00ff00ff * (1 + 100<<16) >> 16
	return w & 0x0000ffff0000ffff * (1 + 10000<<32) >> 32, ok
}

// A shape is what the fields listener_port, tls_protocol and tls_cipher say.
type shape struct {
	port             uint16
	protocol, cipher string

	text string // of the fields and the space that follows
}

// An origin is what the fields tls_keyexchange, elb and ip_address say.
type origin struct {
	keyExchange, loadBalancer, node string
}

// usualStart reads the first seven fields, if they are as usual.
func (p *Parser) usualStart(c *cursor, e *Entry) bool {
	const timeLen = len("2006-01-02T15:04:05.000000Z ")
	b := c.line
	if len(b) < timeLen+16 {
		return false
	}
	if !p.minute.set || load(b) != load(p.minute.text[:]) || load(b[8:]) != load(p.minute.text[8:]) {
		return false
	}
	w := load(b[19:])
	sec, ok1 := number(uint64(b[17])|uint64(b[18])<<8, 2)
	micros, ok2 := number(w>>8, 6)
	if !ok1 || !ok2 || sec > 59 || b[16] != ':' || w&0xff != '.' || w>>56 != 'Z' || b[27] != ' ' {
		return false
	}
	at := time.Unix(p.minute.unix+int64(sec), int64(micros)*1000).UTC()
	b = b[timeLen:]

	client, n, ok := usualIPv4(b)
	if !ok {
		if n = fieldLen(b, 40); n < 2 { // an absent one is not usual
			return false
		}
		if client, ok = parseAddr(b[:n]); !ok {
			return false
		}
	}
	b = b[n+1:]

	if len(b) < 8 {
		return false
	}
	w = load(b)
	if n = space(w); n == 0 || n > 5 {
		return false
	}
	port, ok := number(w, n)
	if !ok || port > 65535 {
		return false
	}
	b = b[n+1:]

	s, n := p.usualShape(b)
	if s == nil {
		return false
	}
	b = b[n+1:]

	if len(b) < 8 {
		return false
	}
	var latency time.Duration
	w = load(b)
	n = space(w)
	none := n == 1 && b[0] == '-'
	switch {
	case none:
	case n == 5 && b[1] == '.': // 0.012
		ms, ok := number(w&0xff|w>>16<<8, 4)
		if !ok {
			return false
		}
		latency = time.Duration(ms) * time.Millisecond
	case n == 0 || n == 8:
		return false
	default:
		if latency, ok = parseSeconds(b[:n]); !ok {
			return false
		}
	}
	c.rest, c.n = b[n+1:], 7

	e.Time = at
	e.Client = client
	e.ClientPort = uint16(port)
	e.ListenerPort = s.port
	e.Protocol = s.protocol
	e.Cipher = s.cipher
	e.HandshakeLatency = latency
	e.HasLatency = !none
	return true
}

// starts reports whether the next fields are those of the word.
func (c *cursor) starts(word uint64) bool {
	return !c.ended && len(c.rest) >= 8 && load(c.rest) == word
}

// A guess is the shape of a line whose next 24 bytes had some hash.
type guess struct {
	text string // with the space that follows
	*shape
}

// usualShape reads three fields, of n bytes, that a space follows.
func (p *Parser) usualShape(b []byte) (s *shape, n int) {
	if len(b) < 24 {
		return nil, 0
	}
	g := &p.guesses[(load(b)^load(b[12:])^load(b[16:])*ones)*0x9e3779b97f4a7c15>>54]
	if n := len(g.text); 0 < n && n <= len(b) && string(b[:n]) == g.text {
		return g.shape, n - 1
	}
	for range 3 {
		m := fieldLen(b[n:], maxNameLen)
		if m == 0 {
			return nil, 0
		}
		n += m + 1
	}
	n--
	if s = p.shapes.get(b[:n], p, (*Parser).readShape); s != nil {
		*g = guess{s.text, s}
	}
	return s, n
}

// usualTrace reads conn_trace_id, if it is as usual.
func usualTrace(c *cursor) []byte {
	b := c.rest
	if c.ended || len(b) < traceLen || string(b[:len(tracePrefix)]) != tracePrefix {
		return nil
	}
	for i := len(tracePrefix); i < traceLen; i += 8 {
		if space(load(b[i:])) < 8 {
			return nil
		}
	}
	switch {
	case len(b) == traceLen:
		c.rest, c.ended = nil, true
	case b[traceLen] == ' ':
		c.rest = b[traceLen+1:]
	default:
		return nil
	}
	c.n++
	return b[:traceLen]
}

// fieldLen returns the number of bytes before the first space, and 0 if there
// is none among the first most bytes, about.
func fieldLen(b []byte, most int) int {
	for n := 0; n < most && len(b)-n >= 8; n += 8 {
		if m := space(load(b[n:])); m < 8 {
			return n + m
		}
	}
	return 0
}

// leastOctet is the least number with so many digits.
var leastOctet = [4]uint32{1: 0, 2: 10, 3: 100}

// usualIPv4 reads an IPv4 address that a space follows, and the n bytes that it
// has. There are 16 bytes or more.
func usualIPv4(b []byte) (a netip.Addr, n int, ok bool) {
	low, high := load(b), load(b[8:])
	n = bits.TrailingZeros(where(low, ' ') | where(high, ' ')<<8 | 1<<16)
	dots := (where(low, '.') | where(high, '.')<<8) & (1<<n - 1)
	if n == 16 || bits.OnesCount(dots) != 3 {
		return a, 0, false
	}
	dots |= 1 << n
	var octets [4]byte
	var bad uint32
	from := 0
	for i := range octets {
		to := bits.TrailingZeros(dots)
		dots &= dots - 1
		digits := to - from
		if digits < 1 || digits > 3 {
			return a, 0, false
		}
		// The digits, as numbers, at the high end.
		empty := (32 - 8*digits) & 31
		w := binary.LittleEndian.Uint32(b[from:])<<empty - 0x30303030<<empty
		value := w>>24 + w>>16&0xff*10 + w>>8&0xff*100
		bad |= (w|(w+0x76767676))&0x80808080 | value&^0xff
		if value < leastOctet[digits] {
			return a, 0, false // a leading zero
		}
		octets[i] = byte(value)
		from = to + 1
	}
	if bad != 0 {
		return a, 0, false
	}
	return netip.AddrFrom4(octets), n, true
}

// readShape reads a text of three fields.
func (p *Parser) readShape(text []byte) (s shape, ok bool) {
	c := cursor{line: text, rest: text}
	if s.port, ok = parsePort(c.next()); !ok {
		return s, false
	}
	s.protocol = p.names.intern(c.next())
	s.cipher = p.names.intern(c.next())
	s.text = string(text) + " "
	return s, c.n == 3 && c.ended && c.err == nil
}

// readOrigin reads the fields behind conn_trace_id.
func (p *Parser) readOrigin(text []byte) (o origin, ok bool) {
	c := cursor{line: text, rest: text}
	o.keyExchange = p.names.intern(c.next())
	o.loadBalancer = p.names.intern(c.next())
	o.node = p.names.intern(c.next())
	return o, c.err == nil
}

// Bounds of a memo. A log has a few dozen texts of each kind.
const (
	maxMemo    = 256
	maxMemoLen = 2 * maxNameLen
	memoSlots  = 1024 // a power of two, at least twice maxMemo
)

// A memo remembers what texts mean, as far as its bounds allow.
type memo[V any] struct {
	slots [memoSlots]struct {
		text  string
		value V
	}
	n int
}

// get returns the meaning of text, which read finds if it is new, or nil if
// there is none, or no room to remember it.
func (m *memo[V]) get(text []byte, p *Parser, read func(*Parser, []byte) (V, bool)) *V {
	if len(text) == 0 || len(text) > maxMemoLen {
		return nil
	}
	for i := hashName(text); ; i++ {
		slot := &m.slots[i%memoSlots]
		if slot.text == string(text) {
			return &slot.value
		}
		if slot.text != "" {
			continue
		}
		if m.n >= maxMemo {
			return nil
		}
		value, ok := read(p, text)
		if !ok {
			return nil
		}
		slot.text, slot.value = string(text), value
		m.n++
		return &slot.value
	}
}
