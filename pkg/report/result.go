package report

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// A Result is what a Collector found. Its JSON is stable: members are added,
// not changed.
//
// Lists of status, protocols, cipher suites and key exchanges have the most
// frequent first, ties by name; a value that the log does not have is "-", as
// it is there. "connections" are attempts of any kind, those to listeners
// without TLS included; "failed" of them are those with status Failed.
type Result struct {
	Objects        int   `json:"objects"`        // logs read
	SkippedObjects int   `json:"skippedObjects"` // passed over: no connection logs
	Bytes          int64 `json:"bytes"`          // of text, after decompression
	Lines          int   `json:"lines"`          // malformed ones included, and those that a filter left out
	MalformedLines int   `json:"malformedLines"`

	First *time.Time `json:"first"` // of the entries; null if there are none
	Last  *time.Time `json:"last"`

	Connections          uint64 `json:"connections"`
	TLSConnections       uint64 `json:"tlsConnections"`
	PlaintextConnections uint64 `json:"plaintextConnections"`
	Failed               uint64 `json:"failed"`

	ByStatus           []StatusCount       `json:"byStatus"`
	ByProtocol         []ProtocolCount     `json:"byProtocol"`
	ByCipher           []CipherCount       `json:"byCipher"`
	ByKeyExchange      []KeyExchangeCount  `json:"byKeyExchange"`
	ByListenerPort     []PortCount         `json:"byListenerPort"`
	ByLoadBalancer     []LoadBalancerCount `json:"byLoadBalancer"`
	ByMinute           []MinuteCount       `json:"byMinute"`
	FailedClients      []ClientCount       `json:"failedClients"`
	FailedNegotiations []Negotiation       `json:"failedNegotiations"`
	HandshakeLatency   Latency             `json:"handshakeLatency"`

	// How many rows there are without a limit. At the least, if the list is
	// approximate.
	TotalFailedClients      int `json:"totalFailedClients"`
	TotalFailedNegotiations int `json:"totalFailedNegotiations"`

	LatencyByProtocol  []ProtocolLatency `json:"latencyByProtocol"`
	SlowestClients     []ClientLatency   `json:"slowestClients"`
	ClientCertificates []Certificate     `json:"clientCertificates"` // that failed, or end within CertificateDays
	Malformed          []MalformedLine   `json:"malformed"`          // the first of them
	FailedObjects      []FailedObject    `json:"failedObjects"`      // not read to their end
	TotalFailedObjects int               `json:"totalFailedObjects"` // those that are not listed too
	Skipped            []SkippedCount    `json:"skipped"`
	OutsideObjects     int               `json:"outsideObjects"`          // of another time or load balancer than asked for
	Partial            bool              `json:"partial"`                 // interrupted
	Approximate        []Approximation   `json:"approximate"`             // lists beyond MaxKeys
	MinutesPerRow      int64             `json:"minutesPerRow,omitempty"` // of ByMinute, if there are too many minutes for one each
	Policy             string            `json:"policy,omitempty"`        // by which diagnoses were made
	Diagnoses          []Diagnosis       `json:"diagnoses,omitempty"`     // most failures first
	WhatIf             *WhatIf           `json:"whatIf,omitempty"`
	Captured           *Captured         `json:"captured,omitempty"`
	CapturedOffers     []CapturedOffer   `json:"capturedOffers,omitempty"`
	Anonymized         bool              `json:"anonymized,omitempty"`

	heat *heatMap
}

// The rows of the lists.
type (
	StatusCount struct {
		Status string `json:"status"`
		Count  uint64 `json:"count"`
	}
	ProtocolCount struct {
		Protocol string `json:"protocol"`
		Counts
	}
	CipherCount struct {
		Protocol string `json:"protocol"`
		Cipher   string `json:"cipher"`
		Counts
		Strength string `json:"strength,omitempty"` // strong, weak or insecure
	}
	KeyExchangeCount struct {
		KeyExchange string `json:"keyExchange"`
		Counts
		PostQuantum bool `json:"postQuantum"`
	}
	PortCount struct {
		Port uint16 `json:"port"`
		Counts
	}
	LoadBalancerCount struct {
		LoadBalancer string `json:"loadBalancer"`
		Counts
	}
	MinuteCount struct {
		Minute time.Time `json:"minute"`
		Counts
	}
	ClientCount struct {
		Client string `json:"client"`
		Counts
	}
	Negotiation struct {
		Client   string `json:"client"`
		Protocol string `json:"protocol"`
		Cipher   string `json:"cipher"`
		Status   string `json:"status"`
		Count    uint64 `json:"count"`

		// If they were asked for.
		LoadBalancer string `json:"loadBalancer,omitempty"`
		Port         uint16 `json:"port,omitempty"`
		Diagnosis    string `json:"diagnosis,omitempty"` // Cause of one of the Diagnoses
	}
	// A Diagnosis says why negotiations failed.
	Diagnosis struct {
		ID       string `json:"id"`
		Cause    string `json:"cause"`
		Remedy   string `json:"remedy"`
		Failures uint64 `json:"failures"` // of which it is true
		Clients  int    `json:"clients"`
	}
	ProtocolLatency struct {
		Protocol string `json:"protocol"`
		Latency
	}
	// ClientLatency is of connections with a latency, in seconds.
	ClientLatency struct {
		Client      string  `json:"client"`
		Connections uint64  `json:"connections"`
		Mean        float64 `json:"mean"`
		Max         float64 `json:"max"`
	}
	Certificate struct {
		Subject  string     `json:"subject"`
		NotAfter *time.Time `json:"notAfter"` // null if the log does not have it
		Counts
		Status   string `json:"status,omitempty"` // of the last failure
		Expiring bool   `json:"expiring"`         // ends within CertificateDays of the last entry, or has ended
	}
	// WhatIf says what another policy would do to the connections.
	WhatIf struct {
		From     string    `json:"from"`
		To       string    `json:"to"`
		Outcomes []Outcome `json:"outcomes"`
		Notes    []string  `json:"notes,omitempty"`
	}
	// Outcome counts connections to which the same would happen. A client may
	// have connections of several.
	Outcome struct {
		Name        string `json:"name"`
		Connections uint64 `json:"connections"`
		Clients     int    `json:"clients"`
		Bad         bool   `json:"-"`
	}
	// MalformedLine is a line that is no log entry.
	MalformedLine struct {
		Object string `json:"object"`
		Line   int    `json:"line"`
		Error  string `json:"error"`
	}
	// FailedObject is a log that could not be read to its end.
	FailedObject struct {
		Object string `json:"object"`
		Error  string `json:"error"`
	}
	SkippedCount struct {
		Reason string `json:"reason"`
		Count  int    `json:"count"`
	}
	// Approximation marks a list that had more keys than MaxKeys. What it
	// counts is at most Error too low, and keys with fewer may be missing.
	Approximation struct {
		List  string `json:"list"`
		Error uint64 `json:"error"`
	}
)

// CertificateDays is how near the end of a client certificate has to be to be
// shown.
const CertificateDays = 30

// A Source is what the reader of the logs knows of them.
type Source struct {
	Objects        int
	OutsideObjects int
	Skipped        []SkippedCount
	Bytes          int64
	Lines          int
	MalformedLines int
	Malformed      []MalformedLine
	FailedObjects  []FailedObject
	Partial        bool

	TotalFailedObjects int // if it is more than are listed
}

// maxSlowest bounds the slowest clients where all rows are asked for: all
// clients have a latency, and few are slow.
const maxSlowest = 100

// Result returns what was found, of clients, negotiations and certificates the
// first top rows; 0 means all. All workers have to be closed. It ends the
// Collector, which forgets what it has as the Result takes shape: both together
// would need twice the memory.
func (c *Collector) Result(s Source, top int) *Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients.t.slots, c.failures.t.slots, c.certs.t.slots = nil, nil, nil // nothing is looked up any more
	r := &Result{
		Objects: s.Objects, OutsideObjects: s.OutsideObjects, Bytes: s.Bytes, Lines: s.Lines,
		MalformedLines: s.MalformedLines, Malformed: s.Malformed, FailedObjects: s.FailedObjects, Skipped: s.Skipped, Partial: s.Partial,
		Connections: c.total.Connections, Failed: c.total.Failed, PlaintextConnections: c.plaintext, TLSConnections: c.total.Connections - c.plaintext,
		TotalFailedObjects: max(s.TotalFailedObjects, len(s.FailedObjects)),
		HandshakeLatency:   c.latency.summary(),
		Anonymized:         len(c.o.AnonymizeKey) > 0,
	}
	for _, k := range s.Skipped {
		r.SkippedObjects += k.Count
	}
	if c.total.Connections > 0 {
		r.First, r.Last = &c.first, &c.last
	}
	if r.Anonymized { // the text of a line names the client
		r.Malformed = slices.Clone(r.Malformed)
		for i := range r.Malformed {
			r.Malformed[i].Error = "left out of an anonymized report"
		}
	}
	sorted(r, "byStatus", &c.status, cmp.Compare, func(k string, n Counts) { r.ByStatus = append(r.ByStatus, StatusCount{dash(k), n.Connections}) })
	sorted(r, "byProtocol", &c.protocol, cmp.Compare, func(k string, n Counts) { r.ByProtocol = append(r.ByProtocol, ProtocolCount{dash(k), n}) })
	sorted(r, "byCipher", &c.cipher, suite.compare, func(k suite, n Counts) {
		r.ByCipher = append(r.ByCipher, CipherCount{dash(k.protocol), dash(k.cipher), n, strength(k.cipher)})
	})
	sorted(r, "byKeyExchange", &c.keyExchange, cmp.Compare, func(k string, n Counts) {
		r.ByKeyExchange = append(r.ByKeyExchange, KeyExchangeCount{dash(k), n, postQuantum(k)})
	})
	sorted(r, "byListenerPort", &c.port, cmp.Compare, func(k uint16, n Counts) { r.ByListenerPort = append(r.ByListenerPort, PortCount{k, n}) })
	sorted(r, "byLoadBalancer", &c.balancer, cmp.Compare, func(k string, n Counts) {
		r.ByLoadBalancer = append(r.ByLoadBalancer, LoadBalancerCount{dash(k), n})
	})
	for m := range c.minutes.t.all {
		r.ByMinute = append(r.ByMinute, MinuteCount{minuteTime(m.key), m.value})
	}
	slices.SortFunc(r.ByMinute, func(a, b MinuteCount) int { return a.Minute.Compare(b.Minute) })
	if c.minutes.width > 1 {
		r.MinutesPerRow = c.minutes.width
	}
	for name, l := range c.byProtocol {
		r.LatencyByProtocol = append(r.LatencyByProtocol, ProtocolLatency{dash(name), l.summary()})
	}
	slices.SortFunc(r.LatencyByProtocol, func(a, b ProtocolLatency) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Protocol, b.Protocol))
	})
	if c.o.Heat {
		r.heat = c.heatMap(r)
		c.heat = heat{}
	}
	c.resultCertificates(r, top)
	c.certs = certs{}
	c.resultClients(r, top)
	c.clients = clients{}
	c.resultNegotiations(r, top)
	c.failures = failures{}
	return r
}

// sorted calls yield for each row, the most frequent first.
func sorted[K comparable](r *Result, name string, l *list[K], compare func(a, b K) int, yield func(K, Counts)) {
	order, _ := first(&l.t, 0, func(*listRow) bool { return true }, func(a, b *row[K, listRow]) int {
		return cmp.Or(cmp.Compare(b.value.Connections, a.value.Connections), compare(a.key, b.key))
	})
	for _, i := range order {
		row := l.t.at(int(i))
		yield(row.key, row.value.Counts)
	}
	r.approximate(name, l.missed)
}

func (s suite) compare(t suite) int {
	return cmp.Or(cmp.Compare(s.protocol, t.protocol), cmp.Compare(s.cipher, t.cipher))
}

func (r *Result) approximate(list string, missed uint64) {
	if missed > 0 {
		r.Approximate = append(r.Approximate, Approximation{list, missed})
	}
}

// first returns the numbers of the first top rows for which pick returns true,
// in the order of compare, and how many there are in all. Only they become
// anything larger than a number.
func first[K comparable, V any](t *table[K, V], top int, pick func(*V) bool, compare func(a, b *row[K, V]) int) (order []uint32, all int) {
	sort := func() {
		slices.SortFunc(order, func(a, b uint32) int { return compare(t.at(int(a)), t.at(int(b))) })
		if top > 0 {
			order = order[:min(top, len(order))]
		}
	}
	for i := range t.n {
		if !pick(&t.at(i).value) {
			continue
		}
		all++
		if order = append(order, uint32(i)); top > 0 && len(order) >= 4*top+1024 {
			sort()
		}
	}
	sort()
	return order, all
}

func (c *Collector) resultClients(r *Result, top int) {
	t := &c.clients.t
	order, all := first(t, top, func(v *client) bool { return v.failed > 0 }, func(a, b *row[addr, client]) int {
		return cmp.Or(cmp.Compare(b.value.failed, a.value.failed), a.key.compare(b.key))
	})
	r.TotalFailedClients = all
	r.FailedClients = make([]ClientCount, 0, len(order))
	for _, i := range order {
		k, v := t.at(int(i)).key, &t.at(int(i)).value
		r.FailedClients = append(r.FailedClients, ClientCount{c.client(k), Counts{v.connections, v.failed}})
	}
	r.approximate("failedClients", c.clients.missedFailed)
	if c.clients.missedFailed == 0 && c.clients.missed > 0 {
		r.approximate("failedClients.connections", c.clients.missed)
	}

	slowest := top
	if slowest == 0 {
		slowest = maxSlowest
	}
	order, _ = first(t, slowest, func(v *client) bool { return v.timed > 0 }, func(a, b *row[addr, client]) int {
		return cmp.Or(cmp.Compare(mean(&b.value), mean(&a.value)), a.key.compare(b.key))
	})
	for _, i := range order {
		k, v := t.at(int(i)).key, &t.at(int(i)).value
		r.SlowestClients = append(r.SlowestClients, ClientLatency{c.client(k), uint64(v.timed), roundTo(mean(v)/1000, 1e6), float64(v.longest) / 1000})
	}
	r.approximate("slowestClients", c.clients.missed)
}

func (c *Collector) resultNegotiations(r *Result, top int) {
	f := &c.failures.t
	shape := func(k clientFailure) *Failure { return &c.shapes.at(int(k.shape)).key }
	order, all := first(f, top, func(*failureRow) bool { return true }, func(a, b *row[clientFailure, failureRow]) int {
		x, y := shape(a.key), shape(b.key)
		return cmp.Or(cmp.Compare(b.value.n, a.value.n), a.key.client.compare(b.key.client),
			cmp.Compare(x.Protocol, y.Protocol), cmp.Compare(x.Cipher, y.Cipher), cmp.Compare(x.Status, y.Status),
			cmp.Compare(x.LoadBalancer, y.LoadBalancer), cmp.Compare(x.Port, y.Port))
	})
	r.TotalFailedNegotiations = all
	r.FailedNegotiations = make([]Negotiation, 0, len(order))
	for _, i := range order {
		row := f.at(int(i))
		k := shape(row.key)
		r.FailedNegotiations = append(r.FailedNegotiations, Negotiation{
			Client: c.client(row.key.client), Protocol: dash(k.Protocol), Cipher: dash(k.Cipher), Status: k.Status, Count: row.value.n,
			LoadBalancer: k.LoadBalancer, Port: k.Port,
		})
	}
	r.approximate("failedNegotiations", c.failures.missed)
	if c.diagnose != nil {
		c.resultDiagnoses(r, order)
	}
}

func mean(v *client) float64 { return float64(v.sum) / float64(v.timed) }

func roundTo(f, unit float64) float64 { return float64(int64(f*unit+0.5)) / unit }

func (c *Collector) resultCertificates(r *Result, top int) {
	soon := c.last.Add(CertificateDays * 24 * time.Hour).Unix()
	t := &c.certs.t
	order, _ := first(t, top, func(v *cert) bool { return v.Failed > 0 || v.notAfter != 0 && v.notAfter <= soon }, func(a, b *row[uint64, cert]) int {
		x, y := &a.value, &b.value
		return cmp.Or(cmp.Compare(y.Failed, x.Failed), cmp.Compare(x.notAfter, y.notAfter), cmp.Compare(x.subject, y.subject))
	})
	r.ClientCertificates = make([]Certificate, 0, len(order))
	for _, i := range order {
		v := &t.at(int(i)).value
		row := Certificate{Subject: c.pseudonym("subject", v.subject), Counts: v.Counts}
		if v.Failed > 0 {
			row.Status = c.shapes.at(int(v.shape)).key.Status
		}
		if v.notAfter != 0 {
			at := time.Unix(v.notAfter, 0).UTC()
			row.NotAfter, row.Expiring = &at, v.notAfter <= soon
		}
		r.ClientCertificates = append(r.ClientCertificates, row)
	}
	r.approximate("clientCertificates", c.certs.missed)
}

// client returns the address, or the block, as the Result has it.
func (c *Collector) client(a addr) string {
	if a == (addr{}) {
		return "-"
	}
	ip := a.ip()
	bits := orAll(c.o.IPv6Prefix, 128)
	if ip.Is4() {
		bits = orAll(c.o.IPv4Prefix, 32)
	}
	p := netip.PrefixFrom(ip, bits)
	name := ip.String()
	if !p.IsSingleIP() {
		name = p.String()
	}
	return c.pseudonym("client", name)
}

// pseudonym replaces a name by a hash, if that is asked for.
func (c *Collector) pseudonym(kind, name string) string {
	if len(c.o.AnonymizeKey) == 0 {
		return name
	}
	h := hmac.New(sha256.New, c.o.AnonymizeKey)
	h.Write([]byte(kind + ":" + name))
	return kind + "-" + hex.EncodeToString(h.Sum(nil)[:6])
}

// dash is how the log shows a missing value.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func minuteTime(m int64) time.Time { return time.Unix(m*60, 0).UTC() }

// strength rates a cipher suite; "" if it is not known.
func strength(cipher string) string {
	s, err := tlsname.ParseSuite(cipher)
	if err != nil || s.Strength() == tlsname.Unrated {
		return ""
	}
	return s.Strength().String()
}

func postQuantum(group string) bool {
	g, err := tlsname.ParseGroup(group)
	return err == nil && g.PostQuantum()
}

// PostQuantumShare is how much of the connections with a known key exchange
// would withstand a quantum computer, from 0 to 1; ok is false if there are none.
func (r *Result) PostQuantumShare() (share float64, ok bool) {
	var all, pq uint64
	for _, k := range r.ByKeyExchange {
		if k.KeyExchange == "-" {
			continue
		}
		all += k.Connections
		if k.PostQuantum {
			pq += k.Connections
		}
	}
	if all == 0 {
		return 0, false
	}
	return float64(pq) / float64(all), true
}

// Diagnose makes Result say why negotiations failed, in words of why, judged by
// a security policy.
func (c *Collector) Diagnose(policy string, why func(Failure) Diagnosis) {
	c.policy, c.diagnose = policy, why
}

// resultDiagnoses fills in the diagnoses of the rows, which stand for the
// failures in that order, and sums up those of all failures.
func (c *Collector) resultDiagnoses(r *Result, order []uint32) {
	r.Policy = c.policy
	number := make(map[[3]string]int) // in r.Diagnoses
	of := make([]int, 0, c.shapes.n)  // the diagnosis of each shape
	for s := range c.shapes.all {
		d := c.diagnose(s.key)
		k := [3]string{d.ID, d.Cause, d.Remedy}
		if _, ok := number[k]; !ok {
			number[k] = len(r.Diagnoses)
			r.Diagnoses = append(r.Diagnoses, d)
		}
		of = append(of, number[k])
	}
	f := &c.failures.t
	for i, n := range order {
		r.FailedNegotiations[i].Diagnosis = r.Diagnoses[of[f.at(int(n)).key.shape]].Cause
	}
	byClient, _ := first(f, 0, func(*failureRow) bool { return true }, func(a, b *row[clientFailure, failureRow]) int {
		return cmp.Or(cmp.Compare(a.key.client.hi, b.key.client.hi), cmp.Compare(a.key.client.lo, b.key.client.lo), cmp.Compare(of[a.key.shape], of[b.key.shape]))
	})
	var last clientFailure // client and diagnosis
	for i, n := range byClient {
		row := f.at(int(n))
		is := clientFailure{row.key.client, int32(of[row.key.shape])}
		d := &r.Diagnoses[is.shape]
		d.Failures += row.value.n
		if i == 0 || is != last {
			d.Clients++
		}
		last = is
	}
	r.Diagnoses = slices.DeleteFunc(r.Diagnoses, func(d Diagnosis) bool { return d.Failures == 0 || d.Cause == "" })
	slices.SortFunc(r.Diagnoses, func(a, b Diagnosis) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Cause, b.Cause))
	})
}

// Reason returns the reason code of the status.
func (n Negotiation) Reason() string {
	e := connlog.Entry{Status: n.Status}
	return e.Reason()
}
