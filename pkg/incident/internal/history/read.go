package history

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
	"time"
)

// A Record is what a History collected, in an order that depends on nothing but the
// content.
type Record struct {
	First, Last time.Time // of the entries
	Step        time.Duration
	Start       time.Time // of the first step
	Listeners   []Listener
	Sample      float64 // the share of clients that are kept
	Certs       float64 // the share of certificates that are kept
	Overflow    bool    // too many kinds of entries: nothing else is set
}

// A Listener is a port of a load balancer.
type Listener struct {
	LoadBalancer string
	Port         uint16
	Kinds        []Series
	Failing      []Client         // by address; those that failed
	Active       [maxSteps]uint32 // clients that succeeded in each step
	Certs        []Cert           // by subject and serial number
}

// A Series counts the entries of a kind over time.
type Series struct {
	Names
	Outcome Outcome
	Cells   []Cell // by time, each at least a minute wide
}

// A Client is what one client did at a listener. Sets of steps have the first step in
// the lowest bit.
type Client struct {
	Addr        netip.Addr
	Successes   uint64
	FirstWorked time.Time
	LastWorked  time.Time
	Last        *Names // of the latest success, nil if there is none
	Worked      uint64 // steps with successes
	Ways        []Way
}

// A Way is how a client fails.
type Way struct {
	*Names
	Cert        uint64 // Cert.ID, 0 for none
	N           uint64
	First, Last time.Time
	Steps       uint64
}

// A Cert is a client certificate.
type Cert struct {
	ID              uint64
	Serial, Subject string
	NotAfter        time.Time // zero if unknown
	Worked          Cell      // its successes
}

// Time converts microseconds since 1970.
func Time(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// Record returns what was collected. All workers must be closed. The History is empty
// afterwards, since both together would take twice the memory.
func (h *History) Record() *Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.overflow:
		return &Record{Overflow: true}
	case h.entries == 0:
		return &Record{Sample: 1, Certs: 1}
	}
	width := step << h.shift
	base := stepOf(h.first, h.shift)
	r := &Record{
		First: Time(h.first), Last: Time(h.last), Step: time.Duration(width) * time.Microsecond, Start: Time(base * width),
		Listeners: make([]Listener, len(h.listeners)),
		Sample:    1 / float64(uint64(1)<<h.sample), Certs: 1 / float64(uint64(1)<<h.certSample),
	}
	for l, i := range h.listeners {
		r.Listeners[i].LoadBalancer, r.Listeners[i].Port = l.loadBalancer, l.port
	}
	h.readKinds(r)
	h.readClients(r, int(base&(maxSteps-1)))
	for c := range h.certs.All {
		v := &c.Value
		cert := Cert{ID: c.Key.hash, Serial: v.serial, Subject: v.subject, Worked: v.worked}
		if v.notAfter != 0 {
			cert.NotAfter = Time(v.notAfter)
		}
		l := &r.Listeners[c.Key.listener]
		l.Certs = append(l.Certs, cert)
	}
	for i := range r.Listeners {
		l := &r.Listeners[i]
		slices.SortFunc(l.Certs, func(a, b Cert) int {
			return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.ID, b.ID))
		})
		slices.SortFunc(l.Failing, func(a, b Client) int { return a.Addr.Compare(b.Addr) })
		slices.SortFunc(l.Kinds, func(a, b Series) int { return a.Names.compare(&b.Names) })
	}
	h.drop()
	slices.SortFunc(r.Listeners, func(a, b Listener) int {
		return cmp.Or(cmp.Compare(a.LoadBalancer, b.LoadBalancer), cmp.Compare(a.Port, b.Port))
	})
	return r
}

func (n *Names) compare(m *Names) int {
	return cmp.Or(cmp.Compare(n.Protocol, m.Protocol), cmp.Compare(n.Cipher, m.Cipher), cmp.Compare(n.KeyExchange, m.KeyExchange), cmp.Compare(n.Status, m.Status))
}

func (h *History) readKinds(r *Record) {
	cells := make([][]Cell, h.kinds.Len()+1)
	for c := range h.series.All {
		cells[c.Key.kind] = append(cells[c.Key.kind], c.Value)
	}
	for k := range h.kinds.All {
		list := cells[k.Value.number]
		slices.SortFunc(list, func(a, b Cell) int { return cmp.Compare(a.First, b.First) })
		l := &r.Listeners[k.Value.listener]
		l.Kinds = append(l.Kinds, Series{Names: k.Key, Outcome: k.Value.outcome, Cells: list})
	}
}

func (h *History) readClients(r *Record, base int) {
	ways := make([]Way, 0, len(h.ways))
	failing := make([]int, len(r.Listeners))
	for row := range h.clients.All {
		if row.Value.failures > 0 {
			failing[row.Key.listener]++
		}
	}
	for i, n := range failing {
		r.Listeners[i].Failing = make([]Client, 0, n)
	}
	name := func(kind uint32) *Names { return &h.kinds.At(int(kind) - 1).Key }
	for row := range h.clients.All {
		v := &row.Value
		l := &r.Listeners[row.Key.listener]
		worked := bits.RotateLeft64(v.worked, -base)
		if v.successes > 0 {
			for set := worked; set != 0; set &= set - 1 {
				l.Active[bits.TrailingZeros64(set)]++
			}
		}
		if v.failures == 0 {
			continue
		}
		c := Client{Addr: row.Key.addr(), Successes: uint64(v.successes), Worked: worked}
		if v.successes > 0 {
			c.FirstWorked, c.LastWorked, c.Last = Time(v.firstSuccess), Time(v.lastSuccess), name(v.lastKind)
		}
		first := len(ways)
		for i := v.ways; i != 0; i = h.ways[i-1].next {
			w := &h.ways[i-1]
			ways = append(ways, Way{name(w.kind), w.cert, uint64(w.n), Time(w.first), Time(w.last), bits.RotateLeft64(w.steps, -base)})
		}
		c.Ways = ways[first:len(ways):len(ways)]
		slices.SortFunc(c.Ways, func(a, b Way) int {
			return cmp.Or(cmp.Compare(b.N, a.N), a.Names.compare(b.Names), cmp.Compare(a.Cert, b.Cert))
		})
		l.Failing = append(l.Failing, c)
	}
}

// LatestSuccesses calls yield for each client of a listener that succeeded.
func (h *History) LatestSuccesses(yield func(netip.Addr, time.Time, *Names) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.clients.All {
		if v := &r.Value; v.successes > 0 && !yield(r.Key.addr(), Time(v.lastSuccess), &h.kinds.At(int(v.lastKind)-1).Key) {
			return
		}
	}
}
