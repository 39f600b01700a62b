package report

import (
	"cmp"
	"slices"
	"time"

	"tlswatch/pkg/accesslog"
	"tlswatch/pkg/connlog"

	"tlswatch/internal/table"
	"tlswatch/pkg/incident"
)

// A Result is what a Collector found. Its JSON is stable: new versions only add
// members.
//
// Lists of status, protocols, cipher suites and key exchanges have the most
// frequent first, ties by name. A missing value is "-", as in the log.
// Connections are all attempts, those to listeners without TLS included; failed
// ones have status Failed.
type Result struct {
	Objects        int   `json:"objects"`        // logs read
	SkippedObjects int   `json:"skippedObjects"` // not connection logs
	Bytes          int64 `json:"bytes"`          // of text, after decompression
	Lines          int   `json:"lines"`          // all: malformed and filtered ones too
	MalformedLines int   `json:"malformedLines"`

	First *time.Time `json:"first"` // of the entries; null if there are none
	Last  *time.Time `json:"last"`

	Connections          uint64 `json:"connections"`
	TLSConnections       uint64 `json:"tlsConnections"`
	PlaintextConnections uint64 `json:"plaintextConnections"`
	Failed               uint64 `json:"failed"`

	Ignored *Counts `json:"ignored,omitempty"` // connections of addresses that the user named; in no other count or list

	ByStatus           []StatusCount       `json:"byStatus"`
	ByProtocol         []ProtocolCount     `json:"byProtocol"`
	ByCipher           []CipherCount       `json:"byCipher"`
	ByKeyExchange      []KeyExchangeCount  `json:"byKeyExchange"`
	ByListenerPort     []PortCount         `json:"byListenerPort"`
	ByLoadBalancer     []LoadBalancerCount `json:"byLoadBalancer"`
	ByMinute           []MinuteCount       `json:"byMinute"`
	FailedClients      []ClientCount       `json:"failedClients"`
	FailedNegotiations []Negotiation       `json:"failedNegotiations"`

	// Clients with a successful TLS connection without post-quantum key exchange.
	NonPostQuantumClients []ClassicalClient `json:"nonPostQuantumClients"`

	HandshakeLatency Latency `json:"handshakeLatency"`

	// Numbers of rows if all were listed; lower bounds if a list is approximate.
	TotalFailedClients         int `json:"totalFailedClients"`
	TotalFailedNegotiations    int `json:"totalFailedNegotiations"`
	TotalNonPostQuantumClients int `json:"totalNonPostQuantumClients"`

	LatencyByProtocol  []ProtocolLatency  `json:"latencyByProtocol"`
	SlowestClients     []ClientLatency    `json:"slowestClients"`
	ClientCertificates []Certificate      `json:"clientCertificates"` // that failed or expire soon
	Malformed          []MalformedLine    `json:"malformed"`          // the first ones
	FailedObjects      []FailedObject     `json:"failedObjects"`      // not read to the end
	TotalFailedObjects int                `json:"totalFailedObjects"` // also those not in FailedObjects
	Skipped            []SkippedCount     `json:"skipped"`
	OutsideObjects     int                `json:"outsideObjects"`          // outside the filters for time and load balancer
	Partial            bool               `json:"partial"`                 // interrupted
	Approximate        []Approximation    `json:"approximate"`             // lists beyond MaxKeys
	MinutesPerRow      int64              `json:"minutesPerRow,omitempty"` // of ByMinute, if more than 1
	Policy             string             `json:"policy,omitempty"`        // that Diagnoses are based on
	Diagnoses          []Diagnosis        `json:"diagnoses,omitempty"`     // most failures first
	WhatIf             *WhatIf            `json:"whatIf,omitempty"`
	Captured           *Captured          `json:"captured,omitempty"`
	CapturedOffers     []CapturedOffer    `json:"capturedOffers,omitempty"`
	CapturedOutcomes   *CapturedOutcomes  `json:"capturedOutcomes,omitempty"`
	AccessLogs         *AccessLogs        `json:"accessLogs,omitempty"`
	ClientRequests     []accesslog.Client `json:"clientRequests,omitempty"`
	Anonymized         bool               `json:"anonymized,omitempty"`
	Story              *incident.Story    `json:"story"`
	Comparison         *Comparison        `json:"comparison,omitempty"`

	Heat      *HeatMap       `json:"-"` // with Options.Heat
	Timelines *Timelines     `json:"-"`
	NoStory   string         `json:"-"` // why there is no Story
	Expiring  time.Duration  `json:"-"` // of Options
	Zone      *time.Location `json:"-"` // of the times that people see; nil for UTC. JSON and CSV have UTC
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
		Software string `json:"software,omitempty"` // known programs that negotiate this, as a clause; empty if unknown
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

		// The latest success, and what it negotiated; nil and "" if there is none.
		LastSuccess     *time.Time `json:"lastSuccess,omitempty"`
		LastProtocol    string     `json:"lastProtocol,omitempty"`
		LastCipher      string     `json:"lastCipher,omitempty"`
		LastKeyExchange string     `json:"lastKeyExchange,omitempty"`
	}
	Negotiation struct {
		Client   string `json:"client"`
		Protocol string `json:"protocol"`
		Cipher   string `json:"cipher"`
		Status   string `json:"status"`
		Count    uint64 `json:"count"`

		// With Options.ByListener, and with Diagnose.
		LoadBalancer string `json:"loadBalancer,omitempty"`
		Port         uint16 `json:"port,omitempty"`
		Diagnosis    string `json:"diagnosis,omitempty"` // Cause of one of the Diagnoses
	}
	// A Diagnosis says why negotiations failed.
	Diagnosis struct {
		ID       string `json:"id"`
		Cause    string `json:"cause"`
		Remedy   string `json:"remedy"`
		Failures uint64 `json:"failures"` // that it explains
		Clients  int    `json:"clients"`
	}
	ProtocolLatency struct {
		Protocol string `json:"protocol"`
		Latency
	}
	// ClientLatency counts connections with a latency, in seconds.
	ClientLatency struct {
		Client      string  `json:"client"`
		Connections uint64  `json:"connections"`
		Mean        float64 `json:"mean"`
		Max         float64 `json:"max"`
	}
	Certificate struct {
		Subject  string     `json:"subject"`
		NotAfter *time.Time `json:"notAfter"` // null if not in the log
		Counts
		Status   string   `json:"status,omitempty"` // of the last failure
		Expiring bool     `json:"expiring"`         // expires soon after the last entry (Options.Expiring), or has expired
		Clients  int      `json:"clients"`          // that use it
		Examples []string `json:"examples"`         // of them, most connections first
	}
	// ClassicalClient counts a client's successful TLS connections without
	// post-quantum key exchange.
	ClassicalClient struct {
		Client      string `json:"client"`
		Connections uint64 `json:"connections"`
		Protocol    string `json:"protocol"`    // the newest of these connections
		PostQuantum bool   `json:"postQuantum"` // other connections of the client have it
	}
	// WhatIf says what another policy would do to the connections.
	WhatIf struct {
		From     string    `json:"from"`
		To       string    `json:"to"`
		Outcomes []Outcome `json:"outcomes"`
		Notes    []string  `json:"notes,omitempty"`
	}
	// Outcome counts connections with the same outcome. A client may have
	// connections with several.
	Outcome struct {
		Class       string `json:"class"`
		Name        string `json:"name"` // the name of the class until now, for one more version
		Text        string `json:"-"`    // the name for people
		Connections uint64 `json:"connections"`
		Clients     int    `json:"clients"`
		Bad         bool   `json:"-"`
	}
	// AccessLogs is what was read of access logs. Its lists are in ClientRequests.
	AccessLogs struct {
		Lines     uint64 `json:"lines"`
		Untraced  uint64 `json:"untraced"`  // lines without a connection trace id
		Malformed uint64 `json:"malformed"` // lines of the clients that are not log entries
		LeftOut   int    `json:"leftOut"`   // connections that were not looked for
		Clients   int    `json:"clients"`   // rows of ClientRequests if all were listed
	}
	// MalformedLine is a line that is not a log entry.
	MalformedLine struct {
		Object string `json:"object"`
		Line   int    `json:"line"`
		Error  string `json:"error"`
	}
	// FailedObject is a log that could not be read to the end.
	FailedObject struct {
		Object string `json:"object"`
		Error  string `json:"error"`
	}
	SkippedCount struct {
		Reason string `json:"reason"`
		Count  int    `json:"count"`
	}
	// Approximation marks a list that had more than MaxKeys keys. Its counts are
	// at most Error too low, and keys with lower counts may be missing.
	Approximation struct {
		List  string `json:"list"`
		Error uint64 `json:"error"`
	}
)

// CertificateDays is how many days before its expiry a client certificate is
// listed by default, as many as secpolicy.ExpiryWarning has.
const CertificateDays = 30

// A Source is what the reader of the logs knows about them.
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
	Ignored        *Counts // nil if the user named no addresses to ignore

	TotalFailedObjects int // if FailedObjects does not list all
}

// maxSlowest bounds the slowest clients in a result with all rows: every client
// has a latency, but few are slow.
const maxSlowest = 100

// Result returns what was found, with the top rows of clients, negotiations and
// certificates; 0 means all. All workers must be closed. The Collector cannot be
// used afterwards: it frees its lists one by one, since both together would take
// twice the memory.
func (c *Collector) Result(s Source, top int) *Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients.t.Freeze()
	c.failures.t.Freeze()
	c.certs.t.Freeze()
	r := &Result{
		Objects: s.Objects, OutsideObjects: s.OutsideObjects, Bytes: s.Bytes, Lines: s.Lines,
		MalformedLines: s.MalformedLines, Malformed: s.Malformed, FailedObjects: s.FailedObjects, Skipped: s.Skipped, Partial: s.Partial, Ignored: s.Ignored,
		Connections: c.total.Connections, Failed: c.total.Failed, PlaintextConnections: c.plaintext, TLSConnections: c.total.Connections - c.plaintext,
		TotalFailedObjects: max(s.TotalFailedObjects, len(s.FailedObjects)),
		HandshakeLatency:   c.latency.summary(),
		Anonymized:         len(c.o.AnonymizeKey) > 0,
		Expiring:           cmp.Or(c.o.Expiring, CertificateDays*24*time.Hour),
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
		r.ByCipher = append(r.ByCipher, CipherCount{Protocol: dash(k.protocol), Cipher: dash(k.cipher), Counts: n, Strength: strength(k.cipher)})
	})
	sorted(r, "byKeyExchange", &c.keyExchange, cmp.Compare, func(k string, n Counts) {
		r.ByKeyExchange = append(r.ByKeyExchange, KeyExchangeCount{dash(k), n, postQuantum(k)})
	})
	sorted(r, "byListenerPort", &c.port, cmp.Compare, func(k uint16, n Counts) { r.ByListenerPort = append(r.ByListenerPort, PortCount{k, n}) })
	sorted(r, "byLoadBalancer", &c.balancer, cmp.Compare, func(k string, n Counts) {
		r.ByLoadBalancer = append(r.ByLoadBalancer, LoadBalancerCount{dash(k), n})
	})
	for m := range c.minutes.t.All {
		r.ByMinute = append(r.ByMinute, MinuteCount{minuteTime(m.Key), m.Value})
	}
	slices.SortFunc(r.ByMinute, func(a, b MinuteCount) int { return a.Minute.Compare(b.Minute) })
	if c.minutes.width > 1 {
		r.MinutesPerRow = c.minutes.width
	}
	r.Timelines = c.timelines.result()
	c.timelines = timelines{}
	for name, l := range c.byProtocol {
		r.LatencyByProtocol = append(r.LatencyByProtocol, ProtocolLatency{dash(name), l.summary()})
	}
	slices.SortFunc(r.LatencyByProtocol, func(a, b ProtocolLatency) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Protocol, b.Protocol))
	})
	if c.o.Heat {
		r.Heat = c.heatMap(r)
		c.heat = heat{}
	}
	c.resultCertificates(r, top)
	c.certs, c.certClients = certs{}, table.Table[certClient, failureRow]{}
	c.resultClients(r, top)
	c.resultClassical(r, top)
	c.clients = clients{}
	r.Story = c.story.Story()
	c.resultNegotiations(r, top)
	c.failures = failures{}
	return r
}

// sorted calls yield for each row, the most frequent first.
func sorted[K comparable](r *Result, name string, l *list[K], compare func(a, b K) int, yield func(K, Counts)) {
	order, _ := first(&l.t, 0, func(*listRow) bool { return true }, func(a, b *table.Row[K, listRow]) int {
		return cmp.Or(cmp.Compare(b.Value.Connections, a.Value.Connections), compare(a.Key, b.Key))
	})
	for _, i := range order {
		row := l.t.At(int(i))
		yield(row.Key, row.Value.Counts)
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

// OmitStory removes the story, since a flag leaves out connections that it needs.
func (r *Result) OmitStory(flag string) {
	r.Story, r.NoStory = nil, flag+" leaves out connections that the story of the failures needs."
}

// first returns the numbers of the top rows, in the order of compare, of those
// for which pick returns true, and how many there are in all.
func first[K comparable, V any](t *table.Table[K, V], top int, pick func(*V) bool, compare func(a, b *table.Row[K, V]) int) (order []uint32, all int) {
	sort := func() {
		slices.SortFunc(order, func(a, b uint32) int { return compare(t.At(int(a)), t.At(int(b))) })
		if top > 0 {
			order = order[:min(top, len(order))]
		}
	}
	for i := range t.Len() {
		if !pick(&t.At(i).Value) {
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

// In returns a time in the zone of the times that people see.
func (r *Result) In(t time.Time) time.Time { return t.In(cmp.Or(r.Zone, time.UTC)) }

// Reason returns the reason code of the status.
func (n Negotiation) Reason() string {
	e := connlog.Entry{Status: n.Status}
	return e.Reason()
}
