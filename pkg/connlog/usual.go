package connlog

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"tlswatch/pkg/connlog/internal/scan"
)

// Most lines are of one form, the usual one: a time of 27 characters in the minute
// of the previous line, one of a few combinations of names, and no client
// certificate. The code in this file reads them eight bytes at a time. It leaves
// every other line, and every error, to the parser of fields. It needs not look for
// the end of the line first: none of the fields can contain a line feed.

const (
	ones   = 0x0101010101010101
	highs  = 0x8080808080808080
	spaces = ' ' * ones
	zeros  = '0' * ones

	noCertificate = `"-" - - `
	tracePrefix   = "TID_"
	traceLen      = len(tracePrefix + "f5320c2c9b3b0f2eb5f2f4e5a5b5c5d5")
)

func load(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// textAsWord returns eight bytes of text as load does.
func textAsWord(text string) (w uint64) {
	for i := range 8 {
		w |= uint64(text[i]) << (8 * i)
	}
	return w
}

var noCertificateWord, successWord = textAsWord(noCertificate), textAsWord(StatusSuccess + " ")

const tracePrefixWord = 'T' | 'I'<<8 | 'D'<<16 | '_'<<24

// hasSpace sets the high bit of the first byte of w that is a space, and perhaps of
// later bytes. It is 0 if there is no space.
func hasSpace(w uint64) uint64 {
	w ^= spaces
	return (w - ones) & ^w & highs
}

// hasBlank is not 0 if w contains a space or a control character.
func hasBlank(w uint64) uint64 { return (w - (' '+1)*ones) & ^w & highs }

// space returns the number of bytes before the first space in w, 8 without one.
func space(w uint64) int { return bits.TrailingZeros64(hasSpace(w)) / 8 }

// nonDigits returns a bit for each byte of w without the bit 0x10, which digits and
// some other characters have. The bit of the first byte is the lowest.
func nonDigits(w uint64) uint {
	return uint(^w >> 4 & ones * 0x0102040810204080 >> 56)
}

// number returns the value of eight bytes as decimal digits.
func number(w uint64) (value uint64, ok bool) {
	ok = (w+0x46*ones|(w-zeros))&highs == 0
	w = w & (0x0f * ones) * (1 + 10<<8) >> 8
	w = w & 0x00ff00ff00ff00ff * (1 + 100<<16) >> 16
	return w & 0x0000ffff0000ffff * (1 + 10000<<32) >> 32, ok
}

// firstDigits returns the first n bytes of w, 1 to 7, after zeros.
func firstDigits(w uint64, n int) uint64 {
	n = 8 * n & 63
	return w<<((64-n)&63) | zeros>>n
}

// parameters are the values of listener_port, tls_protocol and tls_cipher.
type parameters struct {
	port             uint16
	protocol, cipher string
}

// An origin is the values of tls_keyexchange, elb and ip_address.
type origin struct {
	keyExchange, loadBalancer, node string
}

// A head is the first bytes of the text and, if the text is shorter, what follows
// it in memory. Steps of eight bytes do not check where the text ends; that is
// checked afterwards.
type head [256 + 7]byte

// at returns the eight bytes from i on, which is at most 255.
func (h *head) at(i int) uint64 { return binary.LittleEndian.Uint64(h[i&255:]) }

// Bounds in bytes. They keep everything that is read of a usual line, up to
// conn_trace_id and the byte after it, within the head.
const (
	minUsual   = len("2006-01-02T15:04:05.000000Z 1.2.3.4 1 1 - - - ")
	maxUsual   = 128 // of the first six fields
	maxSeconds = 16  // of tls_handshake_latency
	maxFailure = 64  // of the status of a failure; the longest documented one has 38

	_ = uint(255 - (maxUsual + maxSeconds + len(noCertificate) + maxFailure + len(" ") + traceLen))

	clientStart = len("2006-01-02T15:04:05.000000Z ")
)

// usual reads the first line of text if it has the usual form, and returns its
// length with the line feed, or 0. start is the length of the first seven fields,
// which may have the usual form when the others do not.
func (p *Parser) usual(text []byte, e *Entry) (start, end int) {
	if len(text) < minUsual || cap(text) < len(head{}) {
		return 0, 0
	}
	h := (*head)(text[:len(head{})])
	if start = p.usualStart(text, h, e); start > 0 {
		end = p.usualEnd(text, h, start, e)
	}
	return start, end
}

// usualStart reads the first seven fields and returns their length, or 0 if they do
// not have the usual form. It runs for every line, and is one function because
// calls would cost as much as its steps.
func (p *Parser) usualStart(text []byte, h *head, e *Entry) int {
	// The time, in the minute of the previous line.
	if !p.minute.set || h.at(0) != load(p.minute.text[:]) || h.at(8) != load(p.minute.text[8:]) {
		return 0
	}
	sec, micros := h.at(16), h.at(20) // ":05.0000", "000000Z "
	if sec&0xff0000ff != ':'|'.'<<24 || micros>>48 != 'Z'|' '<<8 {
		return 0
	}
	at, ok := number(sec>>8&0xffff | micros<<16)
	if !ok || at >= 60_000_000 {
		return 0
	}

	i := clientStart
	client, n, ok := h.ipv4()
	if !ok {
		if n = fieldLen(text[i:], 40); n < 2 { // absent, which is not usual
			return 0
		}
		if client, ok = scan.Addr(text[i : i+n]); !ok {
			return 0
		}
	}
	i += n + 1

	w := h.at(i)
	n = bits.TrailingZeros64(^w&(0x10*ones)) / 8
	port, ok := number(firstDigits(w, n))
	if n == 0 || n > 5 || w>>(8*n&63)&0xff != ' ' || !ok || port > 65535 {
		return 0
	}
	i += n + 1

	g := p.guess(h, i)
	if g == nil {
		return 0
	}
	if i += g.n; i > min(maxUsual, len(text)) {
		return 0
	}

	var latency time.Duration
	w = h.at(i)
	has := w&0xffff != '-'|' '<<8
	switch {
	case !has:
		i += 2
	case w&0x0000ff000000ff00 == '.'<<8|' '<<40: // 0.012
		ms, ok := number(firstDigits(w&0xff|w>>8&0xffffff00, 4))
		if !ok {
			return 0
		}
		latency = time.Duration(ms) * time.Millisecond
		i += 6
	default:
		n := fieldLen(text[i:], maxSeconds)
		if latency, ok = scan.Seconds(text[i : i+n]); !ok {
			return 0
		}
		i += n + 1
	}

	if i > len(text) {
		return 0
	}
	e.Time = time.Unix(p.minute.unix+int64(at/1_000_000), int64(at%1_000_000)*1000).UTC()
	e.Client = client
	e.ClientPort = uint16(port)
	e.ListenerPort, e.Protocol, e.Cipher = g.port, g.protocol, g.cipher
	e.HandshakeLatency, e.HasLatency = latency, has
	return i
}

// Parameters are found by a hash of their first bytes and compared word by word.
const (
	guessBits  = 8 // of the index of a set
	guessWords = 6 // of their text
)

// A guess is the parameters of an earlier line.
type guess struct {
	parameters
	n            int // length of their text with the space after it; 0 for no guess
	words, masks [guessWords]uint64
}

// is reports whether the bytes from i on are those of the guess.
func (g *guess) is(h *head, i int) bool {
	return (h.at(i)^g.words[0])&g.masks[0]|(h.at(i+8)^g.words[1])&g.masks[1]|
		(h.at(i+16)^g.words[2])&g.masks[2]|(h.at(i+24)^g.words[3])&g.masks[3]|
		(h.at(i+32)^g.words[4])&g.masks[4]|(h.at(i+40)^g.words[5])&g.masks[5] == 0 && g.n > 0
}

// guess returns the parameters that begin at i, or nil if they are unknown.
func (p *Parser) guess(h *head, i int) *guess {
	set := &p.guesses[guessSet(h, i)]
	if g := &set[0]; g.is(h, i) {
		return g
	}
	if g := &set[1]; g.is(h, i) {
		return g
	}
	return nil
}

// guessSet hashes those of 32 bytes that belong to the parameters: they end at the
// first space in the last 16 bytes, or with the first word if that does not end in
// a letter.
func guessSet(h *head, i int) uint64 {
	const m = 0x9e3779b97f4a7c15
	w, w1, w2, w3 := h.at(i), h.at(i+8), h.at(i+16), h.at(i+24)
	s2, s3 := hasSpace(w2), hasSpace(w3)
	w2 &= (s2&-s2)>>7 - 1
	w3 &= (s3&-s3)>>7 - 1
	if s2 != 0 {
		w3 = 0
	}
	letter := -(w >> 62 & 1)
	return (w ^ (w1*3+w2*5+w3*7)&letter) * m >> (64 - guessBits)
}

// learn remembers the parameters in line[from:to], which ends with a space. With a
// quote they are not usual: the parser of fields has to count it.
func (p *Parser) learn(s parameters, line []byte, from, to int) {
	if to-from > 8*guessWords || bytes.IndexByte(line[from:to], '"') >= 0 {
		return
	}
	var h head
	copy(h[:], line[from:])
	set := &p.guesses[guessSet(&h, 0)]
	if set[0].is(&h, 0) || set[1].is(&h, 0) {
		return
	}
	g := guess{parameters: s, n: to - from}
	for i := range g.n {
		g.words[i/8] |= uint64(h[i]) << (i % 8 * 8)
		g.masks[i/8] |= 0xff << (i % 8 * 8)
	}
	set[0], set[1] = g, set[0]
}

// usualEnd reads the fields after the first i bytes if they have the usual form, and
// returns the length of the line, or 0.
func (p *Parser) usualEnd(text []byte, h *head, i int, e *Entry) int {
	if h.at(i) != noCertificateWord {
		return 0
	}
	i += len(noCertificate)
	status, n := StatusSuccess, len(StatusSuccess)
	if (h.at(i)^successWord)<<8 != 0 {
		if status, n = p.status, len(p.status); n == 0 || len(text)-i < n || string(text[i:i+n]) != status {
			return 0
		}
	}
	i += n
	separator := h[i&255]
	i++

	var trace []byte
	if separator == ' ' {
		n := i + traceLen
		if n >= len(text) || uint32(h.at(i)) != tracePrefixWord || hasBlank(h.at(i+4))|hasBlank(h.at(i+12))|hasBlank(h.at(i+20))|hasBlank(h.at(i+28)) != 0 {
			return 0
		}
		trace = text[i:n:n]
		separator = h[n&255]
		i = n + 1
	}
	o := &noOrigin
	if separator == ' ' {
		n := bytes.IndexByte(text[i:], '\n')
		if n < 0 {
			return 0
		}
		if o = p.origins.get(text[i:i+n], p, (*Parser).usualOrigin); o == nil {
			return 0
		}
		separator = '\n'
		i += n + 1
	}
	if separator != '\n' || i > len(text) {
		return 0
	}
	e.ClientCert = ClientCert{}
	e.Status = status
	e.TraceID = trace
	e.KeyExchange, e.LoadBalancer, e.Node = o.keyExchange, o.loadBalancer, o.node
	e.ServerName = nil
	return i
}

var noOrigin origin

// fieldLen returns the number of bytes before the first space, or 0 if there is
// none among the first most bytes, rounded up to whole words.
func fieldLen(b []byte, most int) int {
	for n := 0; n < most && len(b)-n >= 8; n += 8 {
		if m := space(load(b[n:])); m < 8 {
			return n + m
		}
	}
	return 0
}

// ipv4 reads client_ip if it is an IPv4 address, and returns its length. It computes
// the four numbers side by side, without a branch for their digits.
func (h *head) ipv4() (a netip.Addr, n int, ok bool) {
	const from = clientStart
	ends := nonDigits(h.at(from)) | nonDigits(h.at(from+8))<<8 | 1<<16
	end1 := bits.TrailingZeros(ends)
	ends &= ends - 1
	end2 := bits.TrailingZeros(ends)
	ends &= ends - 1
	end3 := bits.TrailingZeros(ends)
	ends &= ends - 1
	n = bits.TrailingZeros(ends | 1<<17)
	first := h.octet(from, end1) | h.octet(from+end1+1, end2-end1-1)<<32
	last := h.octet(from+end2+1, end3-end2-1) | h.octet(from+end3+1, n-end3-1)<<32
	const (
		lanes = 1<<32 | 1
		low8  = 0xff * lanes
	)
	if h[from+end1&31] != '.' || h[from+end2&31] != '.' || h[from+end3&31] != '.' || h[from+n&31] != ' ' ||
		(first|(first+0x76*ones)|last|(last+0x76*ones))&highs != 0 {
		return a, 0, false
	}
	first = first>>24&low8 + first>>16&low8*10 + first>>8&low8*100
	last = last>>24&low8 + last>>16&low8*10 + last>>8&low8*100
	// No number may exceed 255 or have a leading zero, that is, more digits than
	// it needs.
	more := (first+246*lanes)>>8&lanes + (first+156*lanes)>>8&lanes + (last+246*lanes)>>8&lanes + (last+156*lanes)>>8&lanes
	if (first|last)&^low8 != 0 || int(more+more>>32)&0xff != n-len("1.2.3.4") {
		return a, 0, false
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(first<<24|first>>32<<16|last<<8&0xff00|last>>32))
	return netip.AddrFrom4(b), n, true
}

// octet returns n digits from i on, 1 to 3, as numbers in the high bytes of 32
// bits.
func (h *head) octet(i, n int) uint64 {
	empty := (32 - 8*n) & 31
	return uint64(uint32(h.at(i))<<empty - 0x30303030<<empty)
}

// isUsualStatus reports whether the bytes of a status are always read as this
// status. A quoted one may contain a space.
func isUsualStatus(status string) bool {
	return len(status) <= maxFailure && strings.IndexByte(status, ' ') < 0 && status[len(status)-1] != '\r'
}

// usualOrigin reads the fields after conn_trace_id. A carriage return at the end may
// belong to the line end, which is not usual. Nor is a load balancer of unknown form:
// whether it matters depends on the log.
func (p *Parser) usualOrigin(text []byte) (origin, bool) {
	if text[len(text)-1] == '\r' || hasValidity(text) {
		return origin{}, false
	}
	o, err := p.readOrigin(&cursor{line: text, rest: text, n: maxFields - 3}, false)
	return o, err == nil
}

// Bounds of a memo. A log has a few dozen texts of each kind.
const (
	maxMemo    = 256
	maxMemoLen = 2 * maxNameLen
	memoSlots  = 1024 // a power of two, at least twice maxMemo
	maxProbes  = 32   // slots to try: crafted texts may all have the same hash
)

// A memo remembers the meanings of texts, within its bounds.
type memo[V any] struct {
	slots [memoSlots]struct {
		text  string
		value V
	}
	n int
}

// get returns the meaning of text, which read finds if it is new. It returns nil if
// there is no meaning, or no room to remember it.
func (m *memo[V]) get(text []byte, p *Parser, read func(*Parser, []byte) (V, bool)) *V {
	if len(text) == 0 || len(text) > maxMemoLen {
		return nil
	}
	for i, probes := hashName(text), 0; probes < maxProbes; i, probes = i+1, probes+1 {
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
	return nil
}
