package metric

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/tlsname"
)

// Options choose what is published about a load balancer, besides the metrics with
// only the dimension LoadBalancer, or none.
type Options struct {
	Breakdowns      Breakdowns
	ClientMinFailed int // minimum failures of a named client
	ClientTop       int // maximum named clients

	// Only, if not nil, restricts the named clients further. See TopClients.
	Only *ClientSet
}

// A ClientSet has the clients that may be named in the minutes of one hour.
type ClientSet struct {
	Names []string
	Hour  time.Time // its start
}

func (c *ClientSet) has(name string, m rollup.Minute) bool {
	return c == nil || slices.Contains(c.Names, name) && m.Time().Truncate(time.Hour).Equal(c.Hour)
}

// Breakdowns are the optional dimension sets.
type Breakdowns struct {
	Port, Protocol, Cipher, KeyExchange, Reason, Client, Latency bool
}

// Stale counts connections that are not published because CloudWatch would reject
// their time stamps.
type Stale struct {
	TooOld uint64 // more than MaxAge
	TooNew uint64 // more than MaxAhead in the future
}

// clockMargin keeps data near CloudWatch's limits out of a request. A retry may send
// it minutes later, and one invalid time stamp fails the whole request.
const clockMargin = 5 * time.Minute

// Data returns the metric data of a load balancer ("app/NAME/ID") in a fixed
// order. Its time stamps are the minutes of the entries.
func Data(s *rollup.Summary, loadBalancer string, now time.Time, o Options) ([]Datum, Stale) {
	b := builder{
		oldest:   now.Add(clockMargin - MaxAge),
		newest:   now.Add(MaxAhead - clockMargin),
		lb:       Dimension{LoadBalancer, Value(loadBalancer)},
		counts:   make(map[series]float64),
		failures: make(map[series]rollup.Counts),
		o:        o,
	}
	b.choose(s)
	s.Cells(b.addCell)
	if o.Breakdowns.Client {
		b.addClients(s)
	}
	data := b.data()
	data = append(data, b.latencies(s)...)
	slices.SortFunc(data, compare)
	return data, b.stale
}

// Value makes a text a valid dimension value: CloudWatch accepts ASCII without control
// characters and with at least one character other than a space.
func Value(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	s = s[:min(len(s), MaxValueLength)]
	if strings.Trim(s, " ") == "" {
		return none
	}
	return s
}

// A series is a metric of one minute with one combination of dimensions. Dimensions
// that it does not have are zero.
type series struct {
	name   string
	minute rollup.Minute
	dims   [3]Dimension
}

type builder struct {
	o              Options
	chosen         [dimensions]map[string]bool // values that are published; nil for all
	oldest, newest time.Time
	lb             Dimension
	counts         map[series]float64       // published as one value
	failures       map[series]rollup.Counts // published as samples of 0 and 1
	stale          Stale
}

func (b *builder) inTime(m rollup.Minute) bool {
	t := m.Time()
	return !t.Before(b.oldest) && !t.After(b.newest)
}

// count adds to a number that is published as one value.
func (b *builder) count(name string, m rollup.Minute, n uint64, dims ...Dimension) {
	k := series{name: name, minute: m}
	copy(k.dims[:], dims)
	b.counts[k] += float64(n)
}

// sample adds connections to FailedNegotiations.
func (b *builder) sample(m rollup.Minute, c rollup.Counts, dims ...Dimension) {
	k := series{name: FailedNegotiations, minute: m}
	copy(k.dims[:], dims)
	sum := b.failures[k]
	sum.Connections += c.Connections
	sum.Failed += c.Failed
	b.failures[k] = sum
}

func (b *builder) addCell(c rollup.Cell, n uint64) bool {
	if !b.inTime(c.Minute) {
		if c.Minute.Time().Before(b.oldest) {
			b.stale.TooOld += n
		} else {
			b.stale.TooNew += n
		}
		return true
	}
	if !c.TLS() {
		b.count(PlaintextConnections, c.Minute, n, b.lb)
		return true
	}
	counts := rollup.Counts{Connections: n}
	if c.Failed() {
		counts.Failed = n
	}
	b.count(Connections, c.Minute, n, b.lb)
	b.sample(c.Minute, counts)
	b.sample(c.Minute, counts, b.lb)
	if b.o.Breakdowns.Port {
		b.sample(c.Minute, counts, b.lb, Dimension{ListenerPort, b.value(byPort, &c)})
	}
	if b.o.Breakdowns.Protocol {
		protocol := Dimension{Protocol, b.value(byProtocol, &c)}
		b.count(Connections, c.Minute, n, b.lb, protocol)
		b.sample(c.Minute, counts, b.lb, protocol)
	}
	if b.o.Breakdowns.Cipher {
		protocol, cipher := b.suite(&c)
		b.count(Connections, c.Minute, n, b.lb, protocol, cipher)
		b.sample(c.Minute, counts, b.lb, protocol, cipher)
	}
	if b.o.Breakdowns.KeyExchange {
		b.count(Connections, c.Minute, n, b.lb, Dimension{KeyExchange, b.value(byKeyExchange, &c)})
	}
	if b.o.Breakdowns.Reason && counts.Failed > 0 {
		b.count(FailedNegotiations, c.Minute, n, b.lb, Dimension{Reason, b.value(byReason, &c)})
	}
	return true
}

// MaxNames is the number of values of each optional dimension except Client that
// the metrics of a log object have: known names of protocols, cipher suites and groups
// first, then those with most connections. The rest is [Other]. A custom metric costs
// money, and a log can contain any name.
const MaxNames = 100

// The dimensions with values from the log. A cipher suite is counted with its
// protocol.
const (
	byPort = iota
	byProtocol
	bySuite
	byKeyExchange
	byReason
	dimensions
)

// valueOf returns the value of a dimension in a cell.
func valueOf(dimension int, c *rollup.Cell) string {
	switch dimension {
	case byPort:
		return strconv.Itoa(int(c.ListenerPort))
	case byProtocol:
		return Value(c.Protocol)
	case bySuite:
		return Value(c.Protocol) + "\n" + Value(c.Cipher)
	case byKeyExchange:
		return Value(c.KeyExchange)
	}
	return Value(strings.TrimPrefix(c.Status, connlog.FailedPrefix))
}

// choose decides which values of each dimension are published.
func (b *builder) choose(s *rollup.Summary) {
	cells := 0
	for range s.Cells {
		cells++
	}
	if cells <= MaxNames {
		return
	}
	var counts [dimensions]map[string]uint64
	for i := range counts {
		counts[i] = make(map[string]uint64)
	}
	for c, n := range s.Cells {
		if !c.TLS() || !b.inTime(c.Minute) {
			continue
		}
		for i := range counts {
			if i != byReason || c.Failed() {
				counts[i][valueOf(i, &c)] += n
			}
		}
	}
	for i, values := range counts {
		if len(values) <= MaxNames {
			continue
		}
		known := make(map[string]int) // 1 for a known name
		for v := range values {
			if isKnown(i, v) {
				known[v] = 1
			}
		}
		sorted := slices.SortedFunc(maps.Keys(values), func(a, b string) int {
			return cmp.Or(cmp.Compare(known[b], known[a]), cmp.Compare(values[b], values[a]), cmp.Compare(a, b))
		})
		b.chosen[i] = make(map[string]bool, MaxNames)
		for _, v := range sorted[:MaxNames] {
			b.chosen[i][v] = true
		}
	}
}

// isKnown reports whether the value of a dimension has only known names, as logs spell
// them. Unlimited spellings and numbers can be parsed, so these do not count.
func isKnown(dimension int, value string) bool {
	switch dimension {
	case byProtocol:
		v, err := tlsname.ParseVersion(value)
		return err == nil && v.Known() && v.String() == value
	case bySuite:
		protocol, cipher, _ := strings.Cut(value, "\n")
		s, err := tlsname.ParseSuite(cipher)
		return err == nil && s.Known() && s.String() == cipher && isKnown(byProtocol, protocol)
	case byKeyExchange:
		g, err := tlsname.ParseGroup(value)
		return err == nil && g.String() == value && !strings.HasPrefix(value, "0x")
	}
	return false
}

// value returns the value of a dimension in a cell as it is published.
func (b *builder) value(dimension int, c *rollup.Cell) string {
	return b.bounded(dimension, valueOf(dimension, c))
}

func (b *builder) bounded(dimension int, v string) string {
	if b.chosen[dimension] != nil && !b.chosen[dimension][v] {
		return Other
	}
	return v
}

// suite returns the dimensions of a cell's protocol and cipher suite, which are
// published together.
func (b *builder) suite(c *rollup.Cell) (protocol, cipher Dimension) {
	if b.value(bySuite, c) == Other {
		return Dimension{Protocol, Other}, Dimension{Cipher, Other}
	}
	return Dimension{Protocol, Value(c.Protocol)}, Dimension{Cipher, Value(c.Cipher)}
}

// names reports whether to name the failing client that is the i-th by its
// failures, from 0.
func (o Options) names(i int, c rollup.ClientCounts) bool {
	return i < o.ClientTop && c.Failed >= uint64(o.ClientMinFailed)
}

// TopClients returns the dimension values of the clients that the options name, most
// failures first.
func TopClients(s *rollup.Summary, o Options) []string {
	if !o.Breakdowns.Client {
		return nil
	}
	var names []string
	for i, c := range s.FailingClients() {
		if !o.names(i, c) {
			break
		}
		names = append(names, Value(c.Client.String()))
	}
	return names
}

// addClients adds the clients with most failures by name. The other failing clients
// are summed, so that the failures of all values of Client are those of the load
// balancer, including those that the summary has only as a number.
func (b *builder) addClients(s *rollup.Summary) {
	failing := make(map[rollup.Client]string) // the name, if it is published
	for i, c := range s.FailingClients() {
		failing[c.Client] = ""
		if b.o.names(i, c) {
			failing[c.Client] = Value(c.Client.String())
		}
	}
	rest := make(map[rollup.Minute]rollup.Counts)
	for k, c := range b.failures {
		if k.dims == [3]Dimension{b.lb} && c.Failed > 0 {
			rest[k.minute] = rollup.Counts{Connections: c.Failed, Failed: c.Failed}
		}
	}
	for at, counts := range s.ClientMinutes {
		name, ok := failing[at.Client]
		if !ok || !b.inTime(at.Minute) {
			continue
		}
		r := rest[at.Minute]
		if name != "" && b.o.Only.has(name, at.Minute) {
			b.sample(at.Minute, counts, b.lb, Dimension{Client, name})
			r.Connections -= counts.Failed
			r.Failed -= counts.Failed
		} else {
			r.Connections += counts.Connections - counts.Failed
		}
		rest[at.Minute] = r
	}
	for minute, counts := range rest {
		if counts.Connections > 0 {
			b.sample(minute, counts, b.lb, Dimension{Client, Other})
		}
	}
}

func (b *builder) data() []Datum {
	data := make([]Datum, 0, len(b.counts)+len(b.failures))
	for k, n := range b.counts {
		data = append(data, k.datum(Count, []float64{n}, []float64{1}))
	}
	for k, c := range b.failures {
		var values, counts []float64
		if ok := c.Connections - c.Failed; ok > 0 {
			values, counts = append(values, 0), append(counts, float64(ok))
		}
		if c.Failed > 0 {
			values, counts = append(values, 1), append(counts, float64(c.Failed))
		}
		data = append(data, k.datum(Count, values, counts))
	}
	return data
}

func (b *builder) latencies(s *rollup.Summary) []Datum {
	distributions := make(map[series]*rollup.Histogram)
	add := func(m rollup.Minute, h *rollup.Histogram, dims ...Dimension) {
		k := series{name: HandshakeLatency, minute: m}
		copy(k.dims[:], dims)
		if distributions[k] == nil {
			distributions[k] = new(rollup.Histogram)
		}
		distributions[k].Merge(h)
	}
	for k, h := range s.Latencies {
		if !b.inTime(k.Minute) {
			continue
		}
		add(k.Minute, h, b.lb)
		if b.o.Breakdowns.Latency {
			add(k.Minute, h, b.lb, Dimension{Protocol, b.bounded(byProtocol, Value(k.Protocol))})
		}
	}
	data := make([]Datum, 0, len(distributions))
	for k, h := range distributions {
		var values, counts []float64
		for value, n := range h.Values() {
			values, counts = append(values, value), append(counts, float64(n))
		}
		data = append(data, k.datum(Seconds, values, counts))
	}
	return data
}

func (k series) datum(unit Unit, values, counts []float64) Datum {
	d := Datum{Name: k.name, Unit: unit, Time: k.minute.Time(), Values: values, Counts: counts}
	for _, dim := range k.dims {
		if dim != (Dimension{}) {
			d.Dimensions = append(d.Dimensions, dim)
		}
	}
	return d
}

func compare(a, b Datum) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name),
		slices.CompareFunc(a.Dimensions, b.Dimensions, func(a, b Dimension) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
		}))
}

// breakdownNames are the names that [ParseBreakdowns] reads.
var breakdownNames = []struct {
	name  string
	field func(*Breakdowns) *bool
}{
	{"port", func(b *Breakdowns) *bool { return &b.Port }},
	{"protocol", func(b *Breakdowns) *bool { return &b.Protocol }},
	{"cipher", func(b *Breakdowns) *bool { return &b.Cipher }},
	{"keyexchange", func(b *Breakdowns) *bool { return &b.KeyExchange }},
	{"reason", func(b *Breakdowns) *bool { return &b.Reason }},
	{"client", func(b *Breakdowns) *bool { return &b.Client }},
	{"latency", func(b *Breakdowns) *bool { return &b.Latency }},
}

// ParseBreakdowns reads a list such as "protocol,cipher", or "all" or "none".
func ParseBreakdowns(list string) (Breakdowns, error) {
	var b Breakdowns
	if list == "none" {
		return b, nil
	}
	known := make(map[string]bool)
	for _, n := range breakdownNames {
		known[n.name] = true
	}
	words := make(map[string]bool)
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); !known[word] && list != "all" {
			return b, fmt.Errorf("no breakdown %q: want all, none, or a list of port, protocol, cipher, keyexchange, reason, client, latency", word)
		}
		words[word] = true
	}
	for _, n := range breakdownNames {
		*n.field(&b) = words["all"] || words[n.name]
	}
	return b, nil
}
