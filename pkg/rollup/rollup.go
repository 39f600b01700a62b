// Package rollup adds up the entries of connection logs in a [Summary]: counts per
// minute and combination of TLS parameters, handshake latencies, clients and
// failures. The order of the entries does not matter.
//
// A Summary's memory is bounded whatever the log contains: about 30 MB with all
// tables full, a third of that for real logs. What exceeds a bound is counted in a
// row named [Other], so that sums stay exact.
package rollup

import (
	"cmp"
	"math"
	"net/netip"
	"strings"
	"time"

	"tlswatch/pkg/connlog"
)

// Bounds of a Summary. Real objects stay far below them.
const (
	maxMinutes   = 20_480  // more than the two weeks that CloudWatch accepts; others count as minute 0
	MaxCells     = 16_384  // combinations of minute, port, protocol, cipher, key exchange and status
	maxLatencies = 1024    // combinations of minute and protocol
	MaxClients   = 100_000 // combinations of minute and client, and as many again of clients that fail
	maxFailures  = 100_000 // combinations of client, port, protocol, cipher and status

	maxName = 128 // bytes of a name from the log; longer ones count as Other
)

// Other stands for the names that exceed a bound.
const Other = "other"

// Options of a Summary.
type Options struct {
	// IPv6Prefix is the prefix length that identifies an IPv6 client: one household
	// or host usually has a /64. 0 means 128.
	IPv6Prefix int

	// Watch, if not nil, selects the successful connections to count by client too,
	// by their names in the log; see Watched. Its result must depend on the arguments
	// only.
	Watch func(protocol, cipher string) bool

	// CertificateHorizon is the time before the end of a client certificate in which
	// it is counted; see Certificates. 0 means no certificates.
	CertificateHorizon time.Duration
}

// A Summary is the sum of entries. Use [New] to make one.
type Summary struct {
	Lines        uint64    // entries and malformed lines
	Malformed    uint64    // lines that are not entries
	first, Last  time.Time // of all entries; zero if there are none
	FirstFailed  time.Time // of the failed negotiations; zero if there are none
	LastFailed   time.Time
	Totals       Counts // TLS connections
	Plaintext    uint64 // connections to listeners without TLS
	OtherClients Counts // TLS connections of clients beyond MaxClients
	OtherFailed  uint64 // failures beyond maxFailures

	OtherWatched      uint64 // connections beyond maxWatched
	OtherCertificates uint64 // connections with certificates beyond maxCertificates

	ipv6Prefix   int
	ipv6Mask     addr
	minute       Minute                   // the last one that was admitted
	current      *addrTable[clientCounts] // its clients; nil if there is none
	minutes      map[Minute]*addrTable[clientCounts]
	recent       [1 << recentBits]int32 // rows of cells + 1, see cellOf
	cells        table[Cell, cellValue]
	latencies    table[LatencyKey, Histogram]
	combinations table[combination, struct{}]
	clients      arena[clientCounts] // by client and minute; each minute has its own table, so that those in use stay in the cache
	failures     *addrTable[uint64]  // by client and row of combinations
	heavy        heavy               // failing clients that exceed these tables

	// The results of FailingClients and Failures when Totals were sortedAt.
	sortedAt       Counts
	sortedClients  []ClientCounts
	sortedFailures []Negotiation

	watch        func(protocol, cipher string) bool
	horizon      time.Duration
	watched      *addrTable[uint64] // by client and row of combinations
	certificates table[certificateKey, Certificate]
}

// Counts of TLS connections, and how many of them failed in the negotiation.
type Counts struct {
	Connections uint64
	Failed      uint64
}

// clientCounts are the Counts of a client in a minute, in half the memory. They
// saturate at more connections than a client can make in a minute.
type clientCounts struct{ connections, failed uint32 }

func (c clientCounts) counts() Counts { return Counts{uint64(c.connections), uint64(c.failed)} }

func (c *clientCounts) add(d Counts) {
	c.connections = uint32(min(uint64(c.connections)+d.Connections, math.MaxUint32))
	c.failed = uint32(min(uint64(c.failed)+d.Failed, math.MaxUint32))
}

func (c *Counts) add(d Counts) {
	c.Connections += d.Connections
	c.Failed += d.Failed
}

// A Minute is the number of minutes since the start of 1970, UTC.
type Minute int64

// Time returns the start of the minute.
func (m Minute) Time() time.Time { return time.Unix(int64(m)*60, 0).UTC() }

// A Cell is a combination of values, whose entries are counted. Names are as in the
// log, "" if absent.
type Cell struct {
	Minute       Minute
	ListenerPort uint16
	Protocol     string
	Cipher       string
	KeyExchange  string
	Status       string
}

// TLS and Failed are like the methods of [connlog.Entry].
func (c *Cell) TLS() bool    { return c.Status != "" || c.Protocol != "" }
func (c *Cell) Failed() bool { return strings.HasPrefix(c.Status, connlog.FailedPrefix) }

// A Client is an IP address, or a block of IPv6 addresses of the length
// Options.IPv6Prefix.
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
		ipv6Prefix:   o.IPv6Prefix,
		ipv6Mask:     maskOf(o.IPv6Prefix),
		minutes:      make(map[Minute]*addrTable[clientCounts]),
		cells:        newTable[Cell, cellValue](MaxCells),
		latencies:    newTable[LatencyKey, Histogram](maxLatencies),
		combinations: newTable[combination, struct{}](MaxCells),
		failures:     newAddrTable(new(arena[uint64])),

		watch:        o.Watch,
		horizon:      o.CertificateHorizon,
		watched:      newAddrTable(new(arena[uint64])),
		certificates: newTable[certificateKey, Certificate](maxCertificates),
	}
}

// AddMalformed counts a line that is not an entry.
func (s *Summary) AddMalformed() {
	s.Lines++
	s.Malformed++
}

// Add counts an entry. It keeps no memory of the reader.
func (s *Summary) Add(e *connlog.Entry) {
	s.Lines++
	if e.Time.After(s.Last) || s.first.IsZero() || e.Time.Before(s.first) {
		s.first, s.Last = span(s.first, s.Last, e.Time, e.Time)
	}
	minute := s.admit(minuteOf(e.Time))

	cell := s.cellOf(minute, e)
	cell.value.entries++
	if !e.TLS() {
		s.Plaintext++
		return
	}
	one := Counts{Connections: 1}
	client := addrOf(e.Client, s.ipv6Mask)
	if e.Failed() {
		one.Failed = 1
		s.FirstFailed, s.LastFailed = span(s.FirstFailed, s.LastFailed, e.Time, e.Time)
		s.addFailure(client, s.combinationOf(cell))
	}
	s.Totals.add(one)
	s.addClient(addrKey{client, int64(minute)}, one)
	if e.HasLatency {
		s.latencyOf(cell).add(e.HandshakeLatency)
	}
	if cell.value.watched {
		s.addWatched(client, s.combinationOf(cell))
	}
	if s.horizon > 0 && len(e.ClientCert.Validity) > 0 {
		s.addCertificate(e)
	}
}

// span extends the time from first to last. Both are zero if there is none yet.
func span(first, last, from, until time.Time) (time.Time, time.Time) {
	switch {
	case from.IsZero():
		return first, last
	case first.IsZero():
		return from, until
	}
	if from.Before(first) {
		first = from
	}
	if last.Before(until) {
		last = until
	}
	return first, last
}

// minuteOf rounds down, even before 1970.
func minuteOf(t time.Time) Minute {
	seconds := t.Unix()
	m := seconds / 60
	if seconds%60 < 0 {
		m--
	}
	return Minute(m)
}

// admit returns the minute that counts the entries of minute m: m itself, within the
// bound.
func (s *Summary) admit(m Minute) Minute {
	if m == s.minute && s.current != nil {
		return m
	}
	t := s.minutes[m]
	if t == nil && len(s.minutes) >= maxMinutes { // a hostile log
		m = 0
		t = s.minutes[m]
	}
	if t == nil {
		t = newAddrTable(&s.clients)
		s.minutes[m] = t
	}
	s.minute, s.current = m, t
	return m
}

// A cellValue is the count of a Cell, with the indices of the other rows that count
// its entries.
type cellValue struct {
	entries     uint64
	latency     int32 // row of latencies + 1; 0 if there is none yet
	combination int32 // row of combinations + 1; 0 if there is none yet
	watched     bool  // its entries are counted by client too
}

// recentBits is the size of the direct-mapped cache in front of the cells. At any time
// a log has few combinations, and comparing one is faster than hashing it.
const recentBits = 10

// cellOf returns the row that counts an entry, whose minute was admitted. It compares
// field by field, because building a Cell takes longer.
func (s *Summary) cellOf(minute Minute, e *connlog.Entry) *row[Cell, cellValue] {
	recent := &s.recent[(e.Hint()>>(64-recentBits)+uint64(minute))%uint64(len(s.recent))]
	if i := *recent - 1; i >= 0 {
		r := &s.cells.rows[i]
		if k := &r.key; k.Minute == minute && k.ListenerPort == e.ListenerPort && k.Protocol == e.Protocol && k.Cipher == e.Cipher &&
			k.KeyExchange == e.KeyExchange && k.Status == e.Status {
			return r
		}
	}
	i := s.cell(Cell{minute, e.ListenerPort, e.Protocol, e.Cipher, e.KeyExchange, e.Status})
	*recent = int32(i + 1)
	return &s.cells.rows[i]
}

// cell returns the index of the row that counts c, whose minute was admitted.
func (s *Summary) cell(c Cell) int {
	i, ok := s.cells.find(c)
	if !ok {
		i = s.newCell(c)
		row := &s.cells.rows[i]
		row.value.watched = s.watches(&row.key)
	}
	return i
}

// newCell adds a row for c, within the bounds: each minute may have at most five rows
// beyond MaxCells, one for each kind of status and one without TLS.
func (s *Summary) newCell(c Cell) int {
	if s.cells.full() {
		sum := Cell{Minute: c.Minute, Status: boundedStatus(c.Status, 0)}
		if c.TLS() {
			sum.Protocol, sum.Cipher, sum.KeyExchange = Other, Other, Other
		}
		return s.cells.insert(sum)
	}
	c.Protocol = bounded(c.Protocol)
	c.Cipher = bounded(c.Cipher)
	c.KeyExchange = bounded(c.KeyExchange)
	c.Status = boundedStatus(c.Status, maxName)
	return s.cells.insert(c)
}

// bounded returns the name, or Other if it is too long.
func bounded(name string) string {
	if len(name) > maxName {
		return Other
	}
	return name
}

// boundedStatus returns the status, or Other if it is longer than longest. A success
// remains a success, and a failure a failure.
func boundedStatus(status string, longest int) string {
	switch {
	case status == connlog.StatusSuccess || len(status) <= longest:
		return status
	case strings.HasPrefix(status, connlog.FailedPrefix):
		return connlog.FailedPrefix + Other
	}
	return Other
}

// A LatencyKey identifies the connections of a Histogram.
type LatencyKey struct {
	Minute   Minute
	Protocol string
}

// latencyOf returns the distribution for the entries of a cell.
func (s *Summary) latencyOf(c *row[Cell, cellValue]) *Histogram {
	if c.value.latency == 0 {
		c.value.latency = int32(s.latency(LatencyKey{c.key.Minute, c.key.Protocol}) + 1)
	}
	return &s.latencies.rows[c.value.latency-1].value
}

// latency returns the row of k, within the bounds: each minute may have one row beyond
// maxLatencies.
func (s *Summary) latency(k LatencyKey) int {
	if i, ok := s.latencies.find(k); ok {
		return i
	}
	if s.latencies.full() {
		k.Protocol = Other
	}
	return s.latencies.insert(k)
}

// A combination is a Negotiation without the client and its count.
type combination struct {
	port     uint16
	protocol string
	cipher   string
	status   string
}

// combinationOf returns the row of combinations for the entries of a cell.
func (s *Summary) combinationOf(c *row[Cell, cellValue]) int {
	if c.value.combination == 0 {
		k := combination{c.key.ListenerPort, c.key.Protocol, c.key.Cipher, c.key.Status}
		i, ok := s.combinations.find(k)
		if !ok {
			if s.combinations.full() {
				k = combination{0, Other, Other, boundedStatus(k.status, 0)}
			}
			i = s.combinations.insert(k)
		}
		c.value.combination = int32(i + 1)
	}
	return int(c.value.combination) - 1
}

// client returns the address in the form for callers.
func (s *Summary) client(a addr) Client {
	ip := a.ip()
	switch {
	case a == addr{}: // no address in the log
		return Client{}
	case ip.Is4():
		return Client(netip.PrefixFrom(ip, 32))
	}
	return Client(netip.PrefixFrom(ip, s.ipv6Prefix))
}

// addClient counts connections in the last admitted minute. It reserves room for
// failing clients, which matter most.
func (s *Summary) addClient(k addrKey, c Counts) {
	room := MaxClients
	if c.Failed > 0 {
		room += MaxClients
	}
	if sum := s.current.value(k, room); sum != nil {
		sum.add(c)
	} else {
		s.OtherClients.add(c)
		if c.Failed > 0 {
			s.heavy.add(k.addr)
		}
	}
}

func (s *Summary) addFailure(client addr, combination int) {
	if sum := s.failures.value(addrKey{client, int64(combination)}, maxFailures); sum != nil {
		*sum++
	} else {
		s.OtherFailed++
	}
}
