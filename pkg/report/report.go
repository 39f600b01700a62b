// Package report finds in connection logs when, who, what, how often and why
// negotiations failed. A [Collector] counts entries in one pass, and a [Result]
// is what it found, with its JSON and CSV. Package view shows it to people.
//
// Memory is bounded whatever the logs hold. Lists are exact up to [MaxKeys]
// distinct keys each. Longer ones are marked as approximate, with the largest
// possible error. The package reads neither clock nor files.
package report

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/secpolicy"

	"tlswatch/internal/table"
)

// Options of a Collector.
type Options struct {
	// IPv4Prefix and IPv6Prefix are the lengths of the blocks that count as one
	// client, in bits. 0 means single addresses.
	IPv4Prefix, IPv6Prefix int

	// ByListener counts failed negotiations by load balancer and port too.
	ByListener bool

	// Expiring is how long before its end a client certificate is listed, counted
	// from the last entry. 0 means CertificateDays.
	Expiring time.Duration

	// AllClients lists all clients without post-quantum key exchange in a Result
	// with all rows, not the first ones.
	AllClients bool

	// Heat collects a heat map of the failing clients.
	Heat bool

	// Policy returns the security policy that a listener has now, for the Story; nil if it
	// is unknown. Policies has those that it may name, nil for the built-in ones.
	Policy   func(loadBalancer string, port uint16) *secpolicy.Policy
	Policies *secpolicy.Set

	// AnonymizeKey, if not empty, is the key of the hashes that replace client
	// addresses and certificate subjects in the Result.
	AnonymizeKey []byte
}

// Counts are connection attempts, and those whose negotiation failed.
type Counts struct {
	Connections uint64 `json:"connections"`
	Failed      uint64 `json:"failed"`
}

func (c *Counts) add(d Counts) {
	c.Connections += d.Connections
	c.Failed += d.Failed
}

// FailureRate is the share of connections that failed, from 0 to 1.
func (c Counts) FailureRate() float64 {
	if c.Connections == 0 {
		return 0
	}
	return float64(c.Failed) / float64(c.Connections)
}

// A Collector counts entries. Each goroutine uses its own [Worker].
type Collector struct {
	o              Options
	v4mask, v6mask addr
	seed           maphash.Seed

	mu          sync.Mutex // guards what follows
	first, last time.Time
	total       Counts
	plaintext   uint64
	names       int // bytes in the keys of the lists
	status      list[string]
	protocol    list[string]
	cipher      list[suite]
	keyExchange list[string]
	port        list[uint16]
	balancer    list[string]
	minutes     minutes
	timelines   timelines
	latency     latencies
	byProtocol  map[string]*latencies
	clients     clients
	kinds       table.Table[Failure, int32] // of failures; the value is the row's number
	diagnose    func(Failure) Diagnosis
	policy      string
	failures    failures
	certs       certs
	certClients table.Table[certClient, failureRow]
	missedCerts uint64 // at most so many connections of any key that is not in certClients
	heat        heat
	story       *incident.Collector
}

// suite is a protocol and cipher suite as negotiated.
type suite struct{ protocol, cipher string }

// A Failure is what failed negotiations of one kind have in common, apart from
// the client: names as in the log, "" for none. LoadBalancer and Port are empty
// without Options.ByListener.
type Failure struct {
	Protocol, Cipher, Status string
	LoadBalancer             string
	Port                     uint16
}

const (
	maxName      = 128    // bytes of a name from the log; longer ones are cut
	maxKinds     = 16_384 // of failures
	maxCertUsers = 16_384 // pairs of a client certificate and a client that uses it
	rowSize      = 48     // bytes in a row of a list, apart from its names
	maxProtocols = 8      // with their own latencies
	other        = "other"
)

// New returns an empty Collector.
func New(o Options) *Collector {
	c := &Collector{
		o:           o,
		v4mask:      maskOf(96 + orAll(o.IPv4Prefix, 32)),
		v6mask:      maskOf(orAll(o.IPv6Prefix, 128)),
		seed:        maphash.MakeSeed(),
		minutes:     newMinutes(widths[0]),
		timelines:   newTimelines(widths[0]),
		byProtocol:  make(map[string]*latencies),
		clients:     newClients(),
		failures:    newFailures(),
		certs:       newCerts(),
		certClients: table.New[certClient, failureRow](certClient.slot),
		heat:        newHeat(widths[0]),
	}
	c.story = c.newStory()
	names := func() list[string] {
		return newList(&c.names, c.hashString, func(s string) int { return rowSize + len(s) })
	}
	c.status, c.protocol, c.keyExchange, c.balancer = names(), names(), names(), names()
	c.cipher = newList(&c.names, func(s suite) uint64 { return table.Mix(c.hashString(s.protocol), c.hashString(s.cipher), 0) },
		func(s suite) int { return rowSize + len(s.protocol) + len(s.cipher) })
	c.port = newList(&c.names, func(p uint16) uint64 { return table.Mix(uint64(p), 0, 0) }, func(uint16) int { return rowSize })
	c.kinds = table.New[Failure, int32](func(f Failure) uint64 {
		return table.Mix(c.hashString(f.Protocol)^c.hashString(f.LoadBalancer), c.hashString(f.Cipher), c.hashString(f.Status)^uint64(f.Port))
	})
	return c
}

func (c *Collector) newStory() *incident.Collector {
	o := incident.Options{Policy: c.o.Policy, Policies: c.o.Policies}
	if len(c.o.AnonymizeKey) > 0 {
		o.ClientName = func(a netip.Addr) string { return c.pseudonym("client", a.String()) }
		o.SubjectName = func(subject string) string { return c.pseudonym("subject", subject) }
	}
	return incident.New(o)
}

func (c *Collector) hashString(s string) uint64 { return maphash.String(c.seed, s) }

func orAll(n, all int) int {
	if n <= 0 || n > all {
		return all
	}
	return n
}

// A Worker counts the entries of one goroutine.
type Worker struct {
	c      *Collector
	cells  map[cell]*cellRow
	recent [1 << recentBits]*cellRow

	first, last time.Time
	firstSecond int64 // since 1970, as minute
	minute      int64
	current     map[int32]*minuteCounts // of each load balancer, by its number
	minutes     []minuteCounts
	batch       []update
	names       []byte // subjects of the batch
	certs       []certUpdate
	latencies   map[string]*latencies
	story       *incident.Worker
}

// A cell is a combination of values by which entries are counted.
type cell struct {
	port                                                uint16
	protocol, cipher, keyExchange, status, loadBalancer string
}

type cellRow struct {
	key     cell
	n       uint64
	failed  bool
	tls     bool
	kind    int32 // row of the Collector's kinds; if not failed, agreed.kind
	minute  *minuteCounts
	latency *latencies
	story   incident.EntryKind
}

// An update is one connection of a client.
type update struct {
	client addr
	hash   uint64 // of client
	minute int64
	kind   int32 // as in cellRow
	millis int32 // latency; -1 for none
}

// A certUpdate is one use of a client certificate.
type certUpdate struct {
	client   addr
	hash     uint64
	from, to int32 // the subject in names
	notAfter int64 // seconds since 1970; 0 if unknown
	kind     int32 // as in cellRow
}

type minuteCounts struct {
	balancer int32 // as in timelines
	minute   int64
	Counts
}

const (
	recentBits  = 10
	maxCells    = 2048 // of a Worker, before it hands them to the lists
	batchSize   = 512
	namesSize   = 64 << 10
	minutesSize = 512
	noMinute    = -1 << 40 // before all times
)

// Worker returns a new Worker. It must be closed.
func (c *Collector) Worker() *Worker {
	return &Worker{
		c:      c,
		cells:  make(map[cell]*cellRow),
		minute: noMinute,

		current:     make(map[int32]*minuteCounts),
		firstSecond: math.MaxInt64,
		batch:       make([]update, 0, batchSize),
		latencies:   make(map[string]*latencies),
		story:       c.story.Worker(),
	}
}

// Add counts an entry, and keeps no reference to it.
func (w *Worker) Add(e *connlog.Entry) {
	r := w.cell(e)
	r.n++
	second := e.Time.Unix()
	if second <= w.firstSecond && (w.first.IsZero() || e.Time.Before(w.first)) {
		w.first, w.firstSecond = e.Time, second
	}
	if w.last.Before(e.Time) {
		w.last = e.Time
	}
	if s := second - 60*w.minute; s < 0 || s >= 60 {
		w.minute = floor(second, 60) / 60
	}
	m := r.minute
	if m.minute != w.minute {
		w.endMinute(m)
		m.minute = w.minute
	}
	m.Connections++
	n := len(w.batch)
	w.batch = w.batch[:n+1]
	u := &w.batch[n]
	u.client = addrOf(e.Client, w.c.v4mask, w.c.v6mask)
	u.hash = u.client.hash()
	u.minute = w.minute
	u.kind = r.kind
	u.millis = -1
	if r.failed {
		m.Failed++
	}
	if e.HasLatency {
		u.millis = millisOf(e.HandshakeLatency)
		r.latency.add(e.HandshakeLatency, u.millis)
	}
	if len(e.ClientCert.Subject) > 0 {
		w.addCert(e, r, u.client)
	}
	if len(w.batch) == cap(w.batch) {
		w.flush()
	}
	w.story.AddKind(r.story, e)
}

func (w *Worker) endMinute(m *minuteCounts) {
	if m.Counts == (Counts{}) {
		return
	}
	w.minutes = append(w.minutes, *m)
	m.Counts = Counts{}
	if len(w.minutes) == minutesSize {
		w.flush()
	}
}

// cell returns the row that counts e.
func (w *Worker) cell(e *connlog.Entry) *cellRow {
	recent := &w.recent[e.Hint()>>(64-recentBits)]
	if r := *recent; r != nil && r.key.is(e) {
		return r
	}
	k := cell{e.ListenerPort, clip(e.Protocol), clip(e.Cipher), clip(e.KeyExchange), clip(e.Status), clip(e.LoadBalancer)}
	r, ok := w.cells[k]
	if !ok {
		r = w.newCell(k)
	}
	*recent = r
	return r
}

// is reports whether e belongs to k, whose names were not shortened.
func (k *cell) is(e *connlog.Entry) bool {
	return k.port == e.ListenerPort && k.protocol == e.Protocol && k.cipher == e.Cipher && k.keyExchange == e.KeyExchange && k.status == e.Status && k.loadBalancer == e.LoadBalancer
}

func clip(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "") + "..."
}

func (w *Worker) newCell(k cell) *cellRow {
	if len(w.cells) >= maxCells {
		w.handOn()
	}
	e := connlog.Entry{ListenerPort: k.port, Protocol: k.protocol, Cipher: k.cipher, KeyExchange: k.keyExchange, Status: k.status, LoadBalancer: k.loadBalancer}
	r := &cellRow{key: k, failed: e.Failed(), tls: e.TLS(), kind: agreedIn(&e).kind(), story: w.story.Kind(&e)}
	if r.failed {
		f := Failure{Protocol: k.protocol, Cipher: k.cipher, Status: k.status}
		if w.c.o.ByListener {
			f.LoadBalancer, f.Port = k.loadBalancer, k.port
		}
		r.kind = w.c.kind(f)
	}
	name := k.protocol
	if w.latencies[name] == nil && len(w.latencies) >= maxProtocols {
		name = other
	}
	if w.latencies[name] == nil {
		w.latencies[name] = new(latencies)
	}
	r.latency = w.latencies[name]
	n := w.c.balancerNumber(k.loadBalancer)
	if w.current[n] == nil {
		w.current[n] = &minuteCounts{balancer: n, minute: noMinute}
	}
	r.minute = w.current[n]
	w.cells[k] = r
	return r
}

// kind returns the row of f, or of all others once there are maxKinds.
func (c *Collector) kind(f Failure) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kinds.Len() >= maxKinds {
		f = Failure{Protocol: other, Cipher: other, Status: connlog.FailedPrefix + other}
	}
	n, fresh := c.kinds.Get(f)
	if fresh {
		*n = int32(c.kinds.Len() - 1)
	}
	return *n
}

func (w *Worker) addCert(e *connlog.Entry, r *cellRow, client addr) {
	subject := e.ClientCert.Subject
	u := certUpdate{client: client, kind: r.kind}
	if !e.ClientCert.NotAfter.IsZero() {
		u.notAfter = e.ClientCert.NotAfter.Unix()
	}
	var h maphash.Hash
	h.SetSeed(w.c.seed)
	h.Write(subject)
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(u.notAfter))
	h.Write(b[:])
	u.hash = h.Sum64()
	u.from = int32(len(w.names))
	w.names = append(w.names, subject[:min(len(subject), maxSubject)]...)
	u.to = int32(len(w.names))
	if w.certs = append(w.certs, u); len(w.names) >= namesSize {
		w.flush()
	}
}

// flush adds the batch to the lists.
func (w *Worker) flush() {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients.add(w.batch)
	for i := range w.batch {
		u := &w.batch[i]
		if u.kind >= 0 {
			c.failures.add(clientFailure{u.client, u.kind})
			if c.o.Heat {
				c.heat.add(u.client, u.minute)
			}
		}
	}
	for i := range w.certs {
		u := &w.certs[i]
		c.certs.add(u, w.names[u.from:u.to])
		count(&c.certClients, certClient{u.hash, u.client}, maxCertUsers, &c.missedCerts)
	}
	for _, m := range w.minutes {
		c.minutes.add(m)
		c.timelines.add(m)
	}
	w.batch, w.certs, w.names, w.minutes = w.batch[:0], w.certs[:0], w.names[:0], w.minutes[:0]
}

// handOn adds the cells to the lists.
func (w *Worker) handOn() {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, r := range w.cells {
		n := Counts{Connections: r.n}
		if r.failed {
			n.Failed = r.n
		}
		c.total.add(n)
		if !r.tls {
			c.plaintext += r.n
		}
		c.status.add(k.status, n)
		c.protocol.add(k.protocol, n)
		c.cipher.add(suite{k.protocol, k.cipher}, n)
		c.keyExchange.add(k.keyExchange, n)
		c.port.add(k.port, n)
		c.balancer.add(k.loadBalancer, n)
	}
	clear(w.cells)
	clear(w.recent[:])
}

// Close adds what is left to the lists. The Worker must not be used afterwards.
func (w *Worker) Close() {
	for _, m := range w.current {
		w.endMinute(m)
	}
	w.flush()
	w.handOn()
	w.story.Close()
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !w.first.IsZero() && (c.first.IsZero() || w.first.Before(c.first)) {
		c.first = w.first
	}
	if c.last.Before(w.last) {
		c.last = w.last
	}
	for name, l := range w.latencies {
		if l.count == 0 {
			continue
		}
		c.latency.merge(l)
		if c.byProtocol[name] == nil && len(c.byProtocol) >= maxProtocols {
			name = other
		}
		if c.byProtocol[name] == nil {
			c.byProtocol[name] = new(latencies)
		}
		c.byProtocol[name].merge(l)
	}
	clear(w.latencies)
}
