package rollup

import (
	"cmp"
	"slices"
)

// Cells iterates over the cells and their numbers of entries, in no particular
// order.
func (s *Summary) Cells(yield func(Cell, uint64) bool) {
	for i := range s.cells.rows {
		if r := &s.cells.rows[i]; !yield(r.key, r.value.entries) {
			return
		}
	}
}

// Latencies iterates over the distributions of handshake latencies by minute and
// protocol, in no particular order.
func (s *Summary) Latencies(yield func(LatencyKey, *Histogram) bool) {
	for i := range s.latencies.rows {
		if r := &s.latencies.rows[i]; !yield(r.key, &r.value) {
			return
		}
	}
}

// A ClientMinute is a client in one minute.
type ClientMinute struct {
	Client Client
	Minute Minute
}

// ClientMinutes iterates over the clients of each minute, in no particular order.
// Clients beyond MaxClients are only in OtherClients.
func (s *Summary) ClientMinutes(yield func(ClientMinute, Counts) bool) {
	for r := range s.clients.all {
		if !yield(ClientMinute{s.client(r.key.addr), Minute(r.key.n)}, r.value.counts()) {
			return
		}
	}
}

// ClientCounts are the TLS connections of one client.
type ClientCounts struct {
	Client Client
	Counts
}

// FailingClients returns the clients with failures, most failures first, ties
// by address. For those beyond MaxClients see TopFailing. The list is shared: do
// not change it.
func (s *Summary) FailingClients() []ClientCounts {
	if s.sortedAt != s.Totals {
		s.sort()
	}
	return s.sortedClients
}

func (s *Summary) failingClients() []ClientCounts {
	failing := make(map[addr]*Counts)
	for r := range s.clients.all {
		if r.value.failed > 0 {
			failing[r.key.addr] = new(Counts)
		}
	}
	for r := range s.clients.all {
		if c := failing[r.key.addr]; c != nil {
			c.add(r.value.counts())
		}
	}
	list := make([]ClientCounts, 0, len(failing))
	for a, c := range failing {
		list = append(list, ClientCounts{s.client(a), *c})
	}
	slices.SortFunc(list, func(a, b ClientCounts) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), a.Client.compare(b.Client))
	})
	return list
}

// A Negotiation counts connections of one client with the same outcome.
type Negotiation struct {
	Client       Client
	ListenerPort uint16
	Protocol     string // "" where nothing was negotiated
	Cipher       string
	Status       string
	Count        uint64 // connections
}

// Failures returns the failed negotiations, most frequent first, ties by the
// fields in their order. Those beyond maxFailures are in OtherFailed only. The
// list is shared: do not change it.
func (s *Summary) Failures() []Negotiation {
	if s.sortedAt != s.Totals {
		s.sort()
	}
	return s.sortedFailures
}

// sort computes FailingClients and Failures. Several packages need them when a log
// object has been read.
func (s *Summary) sort() {
	s.sortedAt = s.Totals
	s.sortedClients = s.failingClients()
	s.sortedFailures = s.negotiations(s.failures)
}

// negotiations returns the rows of a table in the order of Failures.
func (s *Summary) negotiations(t *addrTable[uint64]) []Negotiation {
	list := make([]Negotiation, 0, t.n)
	for r := range t.rows.all {
		k := s.combinations.rows[r.key.n].key
		list = append(list, Negotiation{s.client(r.key.addr), k.port, k.protocol, k.cipher, k.status, r.value})
	}
	slices.SortFunc(list, func(a, b Negotiation) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), a.Client.compare(b.Client), cmp.Compare(a.ListenerPort, b.ListenerPort),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Cipher, b.Cipher), cmp.Compare(a.Status, b.Status))
	})
	return list
}
