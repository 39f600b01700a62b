// Package rollup folds connection-log entries into a [Summary]: counts per
// minute and combination of TLS parameters, handshake latencies, clients and
// failures. Summaries of parts of a log merge into that of the whole, in any
// order.
//
// A Summary's memory is bounded whatever the log holds. Counts of what exceeds
// a bound go to a row named [Other], so that sums stay exact.
package rollup

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/connlog"
)

// Bounds of a Summary. Real objects stay far below them.
const (
	MaxCells     = 16_384  // combinations of minute, port, protocol, cipher, key exchange and status
	MaxLatencies = 1024    // combinations of minute and protocol
	MaxClients   = 100_000 // combinations of minute and client
	MaxFailures  = 100_000 // combinations of client, port, protocol, cipher and status

	maxName = 128 // bytes of a name from the log; longer ones count as Other
)

// Other stands for the names that exceed a bound.
const Other = "other"

// Options of a Summary. Summaries that are to be merged must agree in them.
type Options struct {
	// IPv6Prefix is the number of leading bits by which IPv6 clients are told
	// apart: one household or host usually has a /64. 0 means 128.
	IPv6Prefix int
}

// A Summary is what entries add up to. Use [New] to make one.
type Summary struct {
	Lines        uint64    // entries and malformed lines
	Malformed    uint64    // lines that are no entries
	First, Last  time.Time // of all entries; zero if there are none
	FirstFailed  time.Time // of the failed negotiations; zero if there are none
	LastFailed   time.Time
	Totals       Counts // TLS connections
	Plaintext    uint64 // connections to listeners without TLS
	OtherClients Counts // TLS connections of clients beyond MaxClients
	OtherFailed  uint64 // failures beyond MaxFailures

	ipv6Prefix int
	cells      table[Cell, uint64]
	latencies  table[LatencyKey, Histogram]
	clients    table[clientKey, Counts]
	failures   table[failureKey, uint64]
	recent     [recentSlots]recentCell
}

// Counts of TLS connections, and how many of them failed in the negotiation.
type Counts struct {
	Connections uint64
	Failed      uint64
}

// FailureRate is the share of connections that failed, from 0 to 1.
func (c Counts) FailureRate() float64 {
	if c.Connections == 0 {
		return 0
	}
	return float64(c.Failed) / float64(c.Connections)
}

func (c *Counts) add(d Counts) {
	c.Connections += d.Connections
	c.Failed += d.Failed
}

// A Minute is the number of minutes since 1970 began, UTC.
type Minute int64

// Time returns the start of the minute.
func (m Minute) Time() time.Time { return time.Unix(int64(m)*60, 0).UTC() }

// A Cell is a combination of values of which entries are counted. Names are as
// in the log, "" for an absent one.
type Cell struct {
	Minute       Minute
	ListenerPort uint16
	Protocol     string
	Cipher       string
	KeyExchange  string
	Status       string
}

// TLS and Failed are as the methods of [connlog.Entry].
func (c *Cell) TLS() bool    { return c.Status != "" || c.Protocol != "" }
func (c *Cell) Failed() bool { return strings.HasPrefix(c.Status, connlog.FailedPrefix) }

// A Client is an IP address, or the block of IPv6 addresses that
// Options.IPv6Prefix makes of it.
type Client netip.Prefix

// String returns the address, with the prefix length if it is a block.
func (c Client) String() string {
	p := netip.Prefix(c)
	switch {
	case !p.IsValid():
		return ""
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func (c Client) compare(d Client) int {
	return cmp.Or(netip.Prefix(c).Addr().Compare(netip.Prefix(d).Addr()), cmp.Compare(netip.Prefix(c).Bits(), netip.Prefix(d).Bits()))
}

// New returns an empty Summary.
func New(o Options) *Summary {
	if o.IPv6Prefix <= 0 || o.IPv6Prefix > 128 {
		o.IPv6Prefix = 128
	}
	return &Summary{
		ipv6Prefix: o.IPv6Prefix,
		cells:      newTable[Cell, uint64](MaxCells),
		latencies:  newTable[LatencyKey, Histogram](MaxLatencies),
		clients:    newTable[clientKey, Counts](MaxClients),
		failures:   newTable[failureKey, uint64](MaxFailures),
	}
}

// AddMalformed counts a line that is not an entry.
func (s *Summary) AddMalformed() {
	s.Lines++
	s.Malformed++
}

// Add counts an entry. It keeps nothing that belongs to the reader.
func (s *Summary) Add(e *connlog.Entry) {
	s.Lines++
	minute := Minute(floorDiv(e.Time.Unix(), 60))
	s.First, s.Last = span(s.First, s.Last, e.Time, e.Time)

	*s.cell(Cell{minute, e.ListenerPort, e.Protocol, e.Cipher, e.KeyExchange, e.Status})++
	if !e.TLS() {
		s.Plaintext++
		return
	}
	one := Counts{Connections: 1}
	client := s.clientOf(e.Client)
	if e.Failed() {
		one.Failed = 1
		s.FirstFailed, s.LastFailed = span(s.FirstFailed, s.LastFailed, e.Time, e.Time)
		s.addFailures(failureKey{client, e.ListenerPort, e.Protocol, e.Cipher, e.Status}, 1)
	}
	s.Totals.add(one)
	s.addClient(clientKey{client, minute}, one)
	if e.HasLatency {
		s.latency(LatencyKey{minute, e.Protocol}).Add(e.HandshakeLatency)
	}
}

// Merge adds what t counts. As long as no bound is reached, the result does
// not depend on the order or grouping of merges; beyond, the sums do not.
func (s *Summary) Merge(t *Summary) {
	s.Lines += t.Lines
	s.Malformed += t.Malformed
	s.First, s.Last = span(s.First, s.Last, t.First, t.Last)
	s.FirstFailed, s.LastFailed = span(s.FirstFailed, s.LastFailed, t.FirstFailed, t.LastFailed)
	s.Totals.add(t.Totals)
	s.Plaintext += t.Plaintext
	s.OtherClients.add(t.OtherClients)
	s.OtherFailed += t.OtherFailed
	for _, r := range t.cells.rows {
		*s.cell(r.key) += r.value
	}
	for _, r := range t.latencies.rows {
		s.latency(r.key).Merge(&r.value)
	}
	for _, r := range t.clients.rows {
		s.addClient(r.key, r.value)
	}
	for _, r := range t.failures.rows {
		s.addFailures(r.key, r.value)
	}
}

// span extends the time from first to last, both zero if there is none yet.
func span(first, last, from, until time.Time) (time.Time, time.Time) {
	if from.IsZero() {
		return first, last
	}
	if first.IsZero() || from.Before(first) {
		first = from
	}
	if last.Before(until) {
		last = until
	}
	return first, last
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// recentSlots is the size of the direct-mapped cache in front of the cells: a
// log has few combinations at a time, and comparing one is cheaper than
// hashing it.
const recentSlots = 64

type recentCell struct {
	key   Cell
	count int // index of the row + 1; 0 for an empty slot
}

// cell returns the counter of c.
func (s *Summary) cell(c Cell) *uint64 {
	h := uint(c.Minute) + uint(c.ListenerPort)*3 + nameHash(c.Protocol)*5 + nameHash(c.Cipher)*7 + nameHash(c.KeyExchange)*11 + nameHash(c.Status)*13
	recent := &s.recent[h%recentSlots]
	if recent.count > 0 && recent.key == c {
		return &s.cells.rows[recent.count-1].value
	}
	key := c
	row, ok := s.cells.find(c)
	if !ok {
		row = s.newCell(c)
	}
	*recent = recentCell{s.cells.rows[row].key, row + 1}
	if recent.key != key { // counted as Other: the cache must not claim that name
		recent.count = 0
	}
	return &s.cells.rows[row].value
}

// nameHash is a cheap hint to tell names apart.
func nameHash(s string) uint {
	if s == "" {
		return 0
	}
	return uint(len(s)) + uint(s[len(s)-1]) + uint(s[len(s)/2])
}

// newCell adds a row for c, within the bounds.
func (s *Summary) newCell(c Cell) int {
	longest := maxName
	if s.cells.full() {
		longest = 0
		c.ListenerPort = 0
		if len(s.cells.rows) >= 2*MaxCells { // a hostile log with a minute for every line
			c.Minute = 0
		}
	}
	c.Protocol = bounded(c.Protocol, longest)
	c.Cipher = bounded(c.Cipher, longest)
	c.KeyExchange = bounded(c.KeyExchange, longest)
	c.Status = boundedStatus(c.Status, longest)
	return s.cells.insert(c)
}

// bounded returns the name, or Other if it is longer than longest.
func bounded(name string, longest int) string {
	if len(name) > longest {
		return Other
	}
	return name
}

// boundedStatus is bounded for a status, which stays a success or a failure.
func boundedStatus(status string, longest int) string {
	switch {
	case status == connlog.StatusSuccess || len(status) <= longest:
		return status
	case strings.HasPrefix(status, connlog.FailedPrefix):
		return connlog.FailedPrefix + Other
	}
	return Other
}

// A LatencyKey says to which connections a Histogram applies.
type LatencyKey struct {
	Minute   Minute
	Protocol string
}

func (s *Summary) latency(k LatencyKey) *Histogram {
	row, ok := s.latencies.find(k)
	if !ok {
		if s.latencies.full() || len(k.Protocol) > maxName {
			k.Protocol = Other
			if len(s.latencies.rows) >= 2*MaxLatencies {
				k.Minute = 0
			}
		}
		row = s.latencies.insert(k)
	}
	return &s.latencies.rows[row].value
}

// An addr is an IP address as a map key: IPv4 is mapped into IPv6, as RFC 4291
// section 2.5.5.2 does, and IPv6 is cut to its prefix.
type addr [16]byte

func (s *Summary) clientOf(a netip.Addr) addr {
	if a.Is6() && s.ipv6Prefix < 128 {
		a = netip.PrefixFrom(a, s.ipv6Prefix).Masked().Addr()
	}
	return a.As16()
}

func (s *Summary) client(a addr) Client {
	ip := netip.AddrFrom16(a).Unmap()
	switch {
	case a == addr{}: // the log gives no address
		return Client{}
	case ip.Is4():
		return Client(netip.PrefixFrom(ip, 32))
	}
	return Client(netip.PrefixFrom(ip, s.ipv6Prefix))
}

type clientKey struct {
	client addr
	minute Minute
}

func (s *Summary) addClient(k clientKey, c Counts) {
	row, ok := s.clients.find(k)
	if !ok {
		if s.clients.full() {
			s.OtherClients.add(c)
			return
		}
		row = s.clients.insert(k)
	}
	s.clients.rows[row].value.add(c)
}

type failureKey struct {
	client   addr
	port     uint16
	protocol string
	cipher   string
	status   string
}

func (s *Summary) addFailures(k failureKey, n uint64) {
	row, ok := s.failures.find(k)
	if !ok {
		if s.failures.full() {
			s.OtherFailed += n
			return
		}
		k.protocol = bounded(k.protocol, maxName)
		k.cipher = bounded(k.cipher, maxName)
		k.status = boundedStatus(k.status, maxName)
		row = s.failures.insert(k)
	}
	s.failures.rows[row].value += n
}

// Cells calls yield for each Cell and the number of entries in it, in no
// particular order.
func (s *Summary) Cells(yield func(Cell, uint64) bool) {
	for i := range s.cells.rows {
		if r := &s.cells.rows[i]; !yield(r.key, r.value) {
			return
		}
	}
}

// Latencies calls yield for each minute and protocol with the distribution of
// handshake latencies, in no particular order.
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

// ClientMinutes calls yield for each client and minute, in no particular
// order. Clients beyond MaxClients are in OtherClients only.
func (s *Summary) ClientMinutes(yield func(ClientMinute, Counts) bool) {
	for i := range s.clients.rows {
		if r := &s.clients.rows[i]; !yield(ClientMinute{s.client(r.key.client), r.key.minute}, r.value) {
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
// by address.
func (s *Summary) FailingClients() []ClientCounts {
	failing := make(map[addr]*Counts)
	for _, r := range s.clients.rows {
		if r.value.Failed > 0 {
			failing[r.key.client] = new(Counts)
		}
	}
	for _, r := range s.clients.rows {
		if c := failing[r.key.client]; c != nil {
			c.add(r.value)
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

// A Failure counts failed negotiations that are alike.
type Failure struct {
	Client       Client
	ListenerPort uint16
	Protocol     string // "" where nothing was negotiated
	Cipher       string
	Status       string
	Count        uint64
}

// Failures returns the failed negotiations, most frequent first, ties by the
// fields in their order. Those beyond MaxFailures are in OtherFailed only.
func (s *Summary) Failures() []Failure {
	list := make([]Failure, 0, len(s.failures.rows))
	for _, r := range s.failures.rows {
		k := r.key
		list = append(list, Failure{s.client(k.client), k.port, k.protocol, k.cipher, k.status, r.value})
	}
	slices.SortFunc(list, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), a.Client.compare(b.Client), cmp.Compare(a.ListenerPort, b.ListenerPort),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Cipher, b.Cipher), cmp.Compare(a.Status, b.Status))
	})
	return list
}
