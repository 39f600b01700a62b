package report

import (
	"math"
	"slices"

	"tlswatch/internal/table"
)

// MaxKeys is how many distinct keys of a list are counted exactly. With more,
// rare keys are evicted and counted anew when they return: counts are too low by
// at most the list's error.
//
// The error is the largest count that was evicted, as in the Space-Saving
// algorithm (Metwally, Agrawal and El Abbadi, 2005). Here half a table is
// evicted at a time, so that the cost of an update does not depend on the number
// of keys.
const MaxKeys = 100_000

// A list counts by a key with few values, unless an attacker makes them up.
type list[K comparable] struct {
	t      table.Table[K, listRow]
	size   func(K) int // bytes in a key
	names  *int        // bytes in the keys of all lists
	missed uint64      // at most so many connections of any key that is not in the list
}

type listRow struct {
	Counts
	missed uint64
}

// maxNames bounds the bytes in the keys of all lists.
const maxNames = 12 << 20

func newList[K comparable](names *int, hash func(K) uint64, size func(K) int) list[K] {
	return list[K]{t: table.New[K, listRow](hash), names: names, size: size}
}

func (l *list[K]) add(k K, n Counts) {
	v, fresh := l.t.Get(k)
	if fresh {
		*l.names += l.size(k)
		v.missed = l.missed
		if l.t.Len() > MaxKeys || *l.names > maxNames && l.t.Len() > MaxKeys/100 {
			v.Connections = stays
			most := l.t.Evict(func(r *listRow) (uint64, bool) { return r.Connections + r.missed, true }, func(r *table.Row[K, listRow]) { *l.names -= l.size(r.Key) })
			l.missed = max(l.missed, most)
			v, _ = l.t.Get(k)
			v.Connections = 0
		}
	}
	v.add(n)
}

// stays is a weight that keeps a row from being evicted.
const stays = math.MaxUint64 / 2

// clients counts by client. It has room for MaxKeys clients that failed, and for
// as many that did not.
type clients struct {
	t            table.Table[addr, client]
	failing      int    // rows with failures
	missedFailed uint64 // at most so many failures of any client that is not in the table
	missed       uint64 // at most so many connections
}

// A client is the sum of its connections. Latencies are in milliseconds.
type client struct {
	connections, failed uint64
	sum                 uint64 // of latencies
	timed               uint32 // connections with a latency
	longest             uint32
	missed              uint32 // connections, at most
	missedFailed        uint32 // failures, at most
	classical           uint32 // successful connections without post-quantum key exchange
	agreed              agreed // in successful connections
}

func saturated(n uint64) uint32 { return uint32(min(n, math.MaxUint32)) }

func newClients() clients { return clients{t: table.New[addr, client](addr.hash)} }

// add counts the connections of a batch. Rows are far apart in memory, so it
// fetches those of the whole batch before it uses them.
func (c *clients) add(batch []update) {
	var rows [batchSize]uint32
	for i := range batch {
		rows[i] = c.t.Slot(batch[i].hash)
	}
	for i := range batch {
		u := &batch[i]
		if v := c.t.Find(rows[i], u.client, u.hash); v != nil {
			c.count(v, u)
			continue
		}
		v, fresh := c.t.GetHashed(u.client, u.hash)
		if fresh {
			v.missed, v.missedFailed = saturated(c.missed), saturated(c.missedFailed)
			if c.t.Len()-c.failing > MaxKeys {
				v = c.evict(v, u, func(r *client) (uint64, bool) { return r.connections + uint64(r.missed), r.failed == 0 })
			}
		}
		c.count(v, u)
	}
}

// count adds a connection to the row of its client.
func (c *clients) count(v *client, u *update) {
	v.connections++
	if u.kind >= 0 {
		if v.failed++; v.failed == 1 {
			if c.failing++; c.failing > MaxKeys {
				v = c.evict(v, u, func(r *client) (uint64, bool) { return r.failed + uint64(r.missedFailed), r.failed > 0 })
			}
		}
	} else if v.classical < math.MaxUint32 {
		a := agreedOf(u.kind)
		v.classical += a.classical()
		v.agreed |= a
	}
	if u.millis >= 0 && v.timed < math.MaxUint32 {
		v.timed++
		v.sum += uint64(u.millis)
		v.longest = max(v.longest, uint32(u.millis))
	}
}

// evict removes half of the clients for which weigh returns true, but not the
// client of u, whose value is v. It returns the new place of v.
func (c *clients) evict(v *client, u *update, weigh func(*client) (uint64, bool)) *client {
	is := *v
	v.connections, v.failed = stays, min(v.failed, 1)*stays
	c.t.Evict(weigh, func(gone *table.Row[addr, client]) {
		r := &gone.Value
		c.missed = max(c.missed, r.connections+uint64(r.missed))
		if r.failed > 0 {
			c.missedFailed = max(c.missedFailed, r.failed+uint64(r.missedFailed))
			c.failing--
		}
	})
	v, _ = c.t.GetHashed(u.client, u.hash)
	*v = is
	return v
}

// failures counts failed negotiations by client and kind.
type failures struct {
	t      table.Table[clientFailure, failureRow]
	missed uint64
}

type clientFailure struct {
	client addr
	kind   int32 // row of the Collector's kinds
}

type failureRow struct{ n, missed uint64 }

func newFailures() failures {
	return failures{t: table.New[clientFailure, failureRow](func(f clientFailure) uint64 { return table.Mix(f.client.hi, f.client.lo, uint64(f.kind)) })}
}

func (f *failures) add(k clientFailure) { count(&f.t, k, MaxKeys, &f.missed) }

// count counts k in a table of at most keys rows.
func count[K comparable](t *table.Table[K, failureRow], k K, keys int, missed *uint64) {
	v, fresh := t.Get(k)
	if fresh {
		v.missed = *missed
		if t.Len() > keys {
			v.n = stays
			least := t.Evict(func(r *failureRow) (uint64, bool) { return r.n + r.missed, true }, func(*table.Row[K, failureRow]) {})
			*missed = max(*missed, least)
			v, _ = t.Get(k)
			v.n = 0
		}
	}
	v.n++
}

// heat counts failures by client and time: by the minute as long as there is
// room, then by wider steps, but not so wide that a heat map loses columns.
type heat struct {
	width    int64 // minutes
	t        table.Table[heatKey, failureRow]
	missed   uint64
	from, to int64 // minutes
}

type heatKey struct {
	client addr
	minute int64 // the first of a step
}

const maxHeat = 32_768 // clients and times

func newHeat(width int64) heat {
	return heat{width: width, t: table.New[heatKey, failureRow](func(k heatKey) uint64 { return table.Mix(k.client.hi, k.client.lo, uint64(k.minute)) })}
}

func (h *heat) add(a addr, minute int64) {
	if h.t.Len() == 0 {
		h.from, h.to = minute, minute
	}
	h.from, h.to = min(h.from, minute), max(h.to, minute)
	for h.t.Len() >= maxHeat && h.width < widths[len(widths)-1] {
		next := widths[slices.Index(widths, h.width)+1]
		if (h.to-h.from)/next < heatColumns/2 {
			break
		}
		wider := newHeat(next)
		wider.missed, wider.from, wider.to = h.missed, h.from, h.to
		for r := range h.t.All {
			v, _ := wider.t.Get(heatKey{r.Key.client, floor(r.Key.minute, next)})
			v.n += r.Value.n
			v.missed += r.Value.missed
		}
		*h = wider
	}
	count(&h.t, heatKey{a, floor(minute, h.width)}, maxHeat, &h.missed)
}

// A certClient is a client certificate, by the hash in certs, with a client that
// uses it.
type certClient struct {
	cert   uint64
	client addr
}

func (c certClient) slot() uint64 { return table.Mix(c.client.hi, c.client.lo, c.cert) }

// certs counts by client certificate: its subject and NotAfter.
type certs struct {
	t      table.Table[uint64, cert] // by hash
	bytes  int                       // of subjects
	missed uint64
}

type cert struct {
	subject  string
	notAfter int64
	Counts
	kind   int32 // of the last failure: row of the Collector's kinds
	missed uint32
}

const (
	maxSubject  = 256      // bytes; longer ones are shortened
	maxSubjects = 10 << 20 // bytes in all
)

func newCerts() certs {
	return certs{t: table.New[uint64, cert](func(h uint64) uint64 { return h })}
}

func (c *certs) add(u *certUpdate, subject []byte) {
	v, fresh := c.t.Get(u.hash)
	if fresh {
		*v = cert{subject: string(subject), notAfter: u.notAfter, missed: saturated(c.missed)}
		if c.bytes += len(subject); c.t.Len() > MaxKeys || c.bytes > maxSubjects {
			v.Connections = stays
			most := c.t.Evict(func(r *cert) (uint64, bool) { return r.Connections + uint64(r.missed), true }, func(r *table.Row[uint64, cert]) { c.bytes -= len(r.Value.subject) })
			c.missed = max(c.missed, most)
			v, _ = c.t.Get(u.hash)
			v.Connections = 0
		}
	}
	v.Connections++
	if u.kind >= 0 {
		v.Failed++
		v.kind = u.kind
	}
}

// minutes counts by time: by the minute up to MaxKeys minutes, then by wider
// steps.
type minutes struct {
	width int64 // minutes
	t     table.Table[int64, Counts]
}

// widths are the widths of a step, each a divisor of the next.
var widths = []int64{1, 5, 15, 60, 6 * 60, 24 * 60, 7 * 24 * 60, 28 * 24 * 60, 364 * 24 * 60, 3640 * 24 * 60}

func newMinutes(width int64) minutes {
	return minutes{width, table.New[int64, Counts](func(m int64) uint64 { return table.Mix(uint64(m), 0, 0) })}
}

func (m *minutes) add(c minuteCounts) {
	n, fresh := m.t.Get(floor(c.minute, m.width))
	n.add(c.Counts)
	for fresh && m.t.Len() > MaxKeys && m.width < widths[len(widths)-1] {
		wider := newMinutes(widths[slices.Index(widths, m.width)+1])
		for r := range m.t.All {
			n, _ := wider.t.Get(floor(r.Key, wider.width))
			n.add(r.Value)
		}
		*m = wider
	}
}

// floor returns the largest multiple of unit that is at most n.
func floor(n, unit int64) int64 {
	f := n - n%unit
	if f > n {
		f -= unit
	}
	return f
}
