// Package history keeps what the clients of each listener did over time, in bounded
// memory. It has only counts, earliest and latest times, and sets of time steps, so
// that neither the order of entries nor the way they are divided among workers
// matters.
//
// # Bounds
//
// Time steps double in width as logs cover more time, and start at multiples of
// their width. Beyond maxClients clients, a sample is kept: those whose hash is below
// a limit, which is halved as often as needed. The hash is fixed. So whether a client
// is kept depends on nothing but the set of clients, and what is known about one that
// is kept is complete. A hostile client with very many addresses can choose
// addresses with low hashes, which makes the sample of all others smaller, not wrong.
package history

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"strings"
	"sync"

	"tlswatch/internal/table"
	"tlswatch/pkg/connlog"
)

// Bounds.
const (
	maxClients   = 100_000 // of one listener each
	maxWays      = 65_536  // in which clients fail
	clientWays   = 16      // in which one client fails
	maxKinds     = 16_384
	maxKindBytes = 2 << 20 // in the names of kinds
	maxCerts     = 4096
	maxCells     = 65_536 // kinds and minutes
	maxName      = 128    // bytes of a name; longer ones are cut
	maxSubject   = 256    // bytes
	batchSize    = 512
)

// maxSteps is the largest number of time steps in a set, which has a bit for each.
const maxSteps = 64

const (
	second = int64(1e6) // all times are in microseconds since 1970
	minute = 60 * second
	step   = 5 * minute
)

// Names are what entries of a kind have in common, as in the log.
type Names struct {
	LoadBalancer                          string
	Port                                  uint16
	Protocol, Cipher, KeyExchange, Status string
}

// An Outcome is how a negotiation ended.
type Outcome uint8

const (
	Unknown Outcome = iota // the log does not say
	Success
	Failure
)

// A Kind is the number of Names. The zero Kind is of entries that are not counted.
type Kind struct {
	number   uint32 // from 1
	listener uint16
	outcome  Outcome
}

// A History is what was collected. Each goroutine uses its own [Worker].
type History struct {
	mu          sync.Mutex // guards what follows
	first, last int64
	entries     uint64

	kinds     table.Table[Names, Kind]
	hashes    []uint64 // of kinds, the same in every run
	kindBytes int
	listeners map[listener]uint16
	overflow  bool // too many kinds

	shift   uint // a time step is 1 << shift times step
	clients table.Table[clientKey, client]
	ways    []way
	sample  uint // clients whose hash starts with so many zero bits are kept

	seriesShift uint // a cell is 1 << seriesShift minutes wide
	series      table.Table[cellKey, Cell]

	certs      table.Table[certKey, cert]
	certSample uint
}

type listener struct {
	loadBalancer string
	port         uint16
}

type clientKey struct {
	hi, lo   uint64 // the address; IPv4 is mapped into IPv6, as RFC 4291 section 2.5.5.2 does
	listener uint16
}

func keyOf(a netip.Addr, listener uint16) clientKey {
	if a.Is4() {
		b := a.As4()
		return clientKey{0, 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:])), listener}
	}
	b := a.As16()
	return clientKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), listener}
}

func (k clientKey) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.AddrFrom16(b).Unmap()
}

func (k clientKey) slot() uint64 { return table.Mix(k.hi, k.lo, uint64(k.listener)) }

// A client is what one client did at one listener.
type client struct {
	firstSuccess, lastSuccess int64
	worked                    uint64 // steps with successes
	successes, failures       uint32
	lastKind                  uint32 // of the latest success
	ways                      uint32 // the first, as index in History.ways and 1
}

// A way is how a client fails: failures of one kind, with one certificate.
type way struct {
	kind        uint32
	next        uint32 // as client.ways
	cert        uint64 // 0 for none
	first, last int64
	steps       uint64
	n           uint32
}

type cellKey struct {
	kind   uint32
	minute int32 // divided by the width
}

// A Cell counts the entries of a kind in a span of time.
type Cell struct {
	N           uint64
	First, Last int64
}

func (c *Cell) add(d Cell) {
	if c.N == 0 {
		*c = d
		return
	}
	c.N += d.N
	c.First, c.Last = min(c.First, d.First), max(c.Last, d.Last)
}

type certKey struct {
	hash     uint64
	listener uint16
}

type cert struct {
	serial, subject string
	notAfter        int64 // 0 if unknown
	worked          Cell
}

// New returns an empty History.
func New() *History {
	return &History{
		first: math.MaxInt64, last: math.MinInt64,
		kinds: table.New[Names, Kind](func(n Names) uint64 {
			return table.Mix(hash(n.LoadBalancer)^hash(n.Protocol), hash(n.Cipher)^uint64(n.Port), hash(n.Status)+3*hash(n.KeyExchange))
		}),
		hashes:    []uint64{0},
		listeners: make(map[listener]uint16),
		clients:   table.New[clientKey, client](clientKey.slot),
		series:    newSeries(),
		certs:     table.New[certKey, cert](func(k certKey) uint64 { return table.Mix(k.hash, uint64(k.listener), 0) }),
	}
}

func newSeries() table.Table[cellKey, Cell] {
	return table.New[cellKey, Cell](func(k cellKey) uint64 { return table.Mix(uint64(k.kind), uint64(k.minute), 0) })
}

// Kind returns the kind of entries with the given names.
func (h *History) Kind(n Names) Kind {
	e := connlog.Entry{Protocol: n.Protocol, Status: n.Status}
	if !e.TLS() {
		return Kind{}
	}
	for _, name := range []*string{&n.LoadBalancer, &n.Protocol, &n.Cipher, &n.KeyExchange, &n.Status} {
		if len(*name) > maxName {
			*name = strings.ToValidUTF8((*name)[:maxName], "") + "..."
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.overflow {
		return Kind{}
	}
	k, fresh := h.kinds.Get(n)
	if !fresh {
		return *k
	}
	h.kindBytes += len(n.LoadBalancer) + len(n.Protocol) + len(n.Cipher) + len(n.KeyExchange) + len(n.Status)
	if h.kinds.Len() > maxKinds || h.kindBytes > maxKindBytes {
		h.overflow = true
		h.drop()
		h.kinds = New().kinds
		return Kind{}
	}
	l := listener{n.LoadBalancer, n.Port}
	if _, ok := h.listeners[l]; !ok {
		h.listeners[l] = uint16(len(h.listeners))
	}
	*k = Kind{number: uint32(h.kinds.Len()), listener: h.listeners[l]}
	switch {
	case e.Failed():
		k.outcome = Failure
	case n.Status == connlog.StatusSuccess:
		k.outcome = Success
	}
	h.hashes = append(h.hashes, mix(mix(hash(n.Protocol), hash(n.Cipher)), mix(hash(n.KeyExchange), hash(n.Status))))
	return *k
}

// drop frees what was collected, apart from the kinds.
func (h *History) drop() {
	fresh := New()
	h.clients, h.ways, h.series, h.certs = fresh.clients, nil, fresh.series, fresh.certs
}

// mix hashes two numbers. The result is the same in every run.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	hi, lo = bits.Mul64(hi^lo, 0x94d049bb133111eb)
	return hi ^ lo
}

func hash[S string | []byte](s S) uint64 {
	h := uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		h = mix(h, uint64(s[0])|uint64(s[1])<<8|uint64(s[2])<<16|uint64(s[3])<<24|uint64(s[4])<<32|uint64(s[5])<<40|uint64(s[6])<<48|uint64(s[7])<<56)
	}
	var rest uint64
	for i := range len(s) {
		rest |= uint64(s[i]) << (8 * i)
	}
	return mix(h, rest)
}

func isIn(hash uint64, sample uint) bool { return hash>>(64-sample) == 0 }
