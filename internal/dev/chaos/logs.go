package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"tlswatch/internal/dev/chaos/wire"
)

// A logObject is one connection log of one node of a load balancer. No other
// object of the load balancer has entries of the same minutes: so the metrics of
// a minute say how often its object was published.
type logObject struct {
	lb      string // app/NAME/ID
	end     time.Time
	first   time.Time // its first minute
	wide    bool      // it has data for more than one request
	key     string
	body    []byte // as in the bucket
	etag    string
	entries []entry // as read back from the body, for the reference

	sums      map[string]wire.Sum // the reference's results, by series
	published int                 // how often, as the judge has found
}

const (
	period  = 5 * time.Minute
	account = "123456789012"
	region  = "eu-west-1"
)

func (o *logObject) uri() string { return "s3://" + logBucket + "/" + o.key }

// newLogObject writes the log of a node with so many failures. Its entries are of
// one minute, or, if wide, of all five and of many ports and cipher suites. Then
// there can be one node only.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
func newLogObject(r *rand.Rand, lb string, end time.Time, node, failed int, wide bool) *logObject {
	o := &logObject{lb: lb, wide: wide, end: end, first: end.Add(-period + time.Duration(node)*time.Minute), sums: make(map[string]wire.Sum)}
	o.key = fmt.Sprintf("AWSLogs/%s/elasticloadbalancing/%s/%s/conn_log_%s_elasticloadbalancing_%s_%s_%s_192.0.2.%d_%08x.log.gz",
		account, region, end.Format("2006/01/02"), account, region, strings.ReplaceAll(lb, "/", "."), end.Format("20060102T1504Z"), node+1, r.Uint32())

	statuses := make([]string, 0, failed+40)
	for range failed {
		statuses = append(statuses, []string{"Failed:UnmappedConnectionError", "Failed:UnmappedConnectionError", "Failed:ClientCertExpired"}[r.IntN(3)])
	}
	for range 1 + r.IntN(40) {
		statuses = append(statuses, "Success")
	}
	if wide {
		statuses = append(statuses, slices.Repeat([]string{"Success"}, 5*variety)...)
	}
	for range r.IntN(3) {
		statuses = append(statuses, "-")
	}
	r.Shuffle(len(statuses), func(i, j int) { statuses[i], statuses[j] = statuses[j], statuses[i] })
	fields := []int{12, 13, 15}[r.IntN(3)]
	var text bytes.Buffer
	for i, status := range statuses {
		text.WriteString(o.line(r, status, i, fields) + "\n")
	}
	for line := range strings.Lines(text.String()) {
		o.entries = append(o.entries, parse(line))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(text.Bytes()) // into memory: it does not fail
	z.Close()
	o.body = packed.Bytes()
	o.etag = strings.Trim(wire.ETag(o.body), `"`)
	return o
}

// variety is how many ports and cipher suites wide objects have. Metrics name at
// most 100.
const variety = 95

// line writes the ith entry with the fields of one of the log's generations.
func (o *logObject) line(r *rand.Rand, status string, i, fields int) string {
	at := o.first.Add(time.Duration(r.Int64N(int64(time.Minute))))
	port := []string{"443", "8443"}[r.IntN(2)]
	client := fmt.Sprintf("203.0.113.%d", r.IntN(12))
	protocol, cipher, latency, kex := "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "-", "secp256r1"
	subject := `"-"`
	switch {
	case status == "-":
		client, port, protocol, cipher, kex = "203.0.113.200", "80", "-", "-", "-"
	case status == "Success":
		client = fmt.Sprintf("203.0.113.%d", 100+r.IntN(20))
		latency = fmt.Sprintf("%d.%03d", r.IntN(2), r.IntN(1000))
		if r.IntN(2) == 0 {
			protocol, cipher, kex = "TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519"
		}
		if o.wide {
			at = at.Add(time.Duration(i/variety%5) * time.Minute)
			port, protocol, cipher = fmt.Sprint(1000+i%variety), "TLSv1.2", fmt.Sprintf("CHAOS-%d", i%variety)
		}
	case status == "Failed:ClientCertExpired":
		subject = `"CN=till 4, O=Shop"`
	case r.IntN(2) == 0:
		protocol, cipher, kex = "-", "-", "-"
	default:
		cipher = "AES256-SHA"
	}
	all := []string{
		at.Format("2006-01-02T15:04:05.000000Z"), client, fmt.Sprint(1024 + r.IntN(60000)), port, protocol, cipher, latency, subject, "-", "-",
		status, fmt.Sprintf("TID_%016x%016x", r.Uint64(), r.Uint64()), kex, o.lb, "192.0.2.1",
	}
	return strings.Join(all[:fields], " ")
}

// An entry has the fields of a log line that metrics are about, "none" where the
// log has none.
type entry struct {
	minute                              time.Time
	client, port, protocol, cipher, kex string
	latency                             string
	tls, failed                         bool
	reason                              string
}

// parse reads a line character by character: fields end with spaces that are
// not quoted.
func parse(line string) entry {
	var fields []string
	begin, quoted := 0, false
	line = strings.TrimSuffix(line, "\n") + " "
	for i := range len(line) {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ' ' && !quoted:
			fields = append(fields, strings.Trim(line[begin:i], `"`))
			begin = i + 1
		}
	}
	get := func(i int) string {
		if i >= len(fields) || fields[i] == "-" {
			return "none"
		}
		return fields[i]
	}
	at, err := time.Parse(time.RFC3339, get(0))
	if err != nil {
		panic(err) // of a line that this file wrote
	}
	e := entry{minute: at.Truncate(time.Minute), client: get(1), port: get(3), protocol: get(4), cipher: get(5), latency: get(6), kex: get(12)}
	status := get(10)
	e.tls = status != "none"
	e.reason, e.failed = strings.CutPrefix(status, "Failed:")
	return e
}

// reference counts the entries of the object that a metric of a minute with these
// dimensions, beside the load balancer, is about. A client that is not named
// for itself is in the dimension value "other", which the reference does not
// know.
func (o *logObject) reference(name string, minute time.Time, dims map[string]string) wire.Sum {
	key := series(name, minute, dims)
	if s, ok := o.sums[key]; ok {
		return s
	}
	var s wire.Sum
	for _, e := range o.entries {
		if !e.minute.Equal(minute) || !e.is(dims) {
			continue
		}
		switch {
		case name == "PlaintextConnections" && !e.tls, name == "Connections" && e.tls:
			s.Total++
			s.Samples = 1
		case name == "FailedNegotiations" && dims["Reason"] != "" && e.failed:
			s.Total++
			s.Samples = 1
		case name == "FailedNegotiations" && dims["Reason"] == "" && e.tls:
			s.Samples++
			if e.failed {
				s.Total++
			}
		case name == "HandshakeLatency" && e.latency != "none":
			var seconds float64
			fmt.Sscan(e.latency, &seconds) // a number that this file wrote
			s.Total += seconds
			s.Samples++
		}
	}
	o.sums[key] = s
	return s
}

// series names a metric of a minute with dimensions beside the load balancer.
func series(name string, minute time.Time, dims map[string]string) string {
	return fmt.Sprint(name, minute.Format(" 15:04 "), dims) // maps print in the order of their keys
}

// expected are the series of the object's counts, by name.
func (o *logObject) expected() map[string]wire.Datum {
	all := make(map[string]wire.Datum)
	for _, e := range o.entries {
		add := func(name string, dims map[string]string) {
			all[series(name, e.minute, dims)] = wire.Datum{Name: name, Time: e.minute, Dims: dims}
		}
		if !e.tls {
			add("PlaintextConnections", nil)
			continue
		}
		add("Connections", nil)
		add("Connections", map[string]string{"KeyExchange": e.kex})
		add("FailedNegotiations", nil)
		add("FailedNegotiations", map[string]string{"ListenerPort": e.port})
		add("FailedNegotiations", map[string]string{"Protocol": e.protocol})
		add("FailedNegotiations", map[string]string{"Protocol": e.protocol, "Cipher": e.cipher})
		if e.failed {
			add("FailedNegotiations", map[string]string{"Reason": e.reason})
		}
	}
	return all
}

// is reports whether an entry has these dimension values.
func (e entry) is(dims map[string]string) bool {
	for name, want := range dims {
		got := map[string]string{
			"ListenerPort": e.port, "Protocol": e.protocol, "Cipher": e.cipher, "KeyExchange": e.kex, "Client": e.client, "Reason": e.reason,
		}[name]
		if got != want {
			return false
		}
	}
	return true
}

// failures counts the failed connections of the object that are of one reason,
// or of any if it is "", all or those of its clients by name, and all TLS
// connections.
func (o *logObject) failures(reason string) (failed, connections int, byClient map[string]int) {
	byClient = make(map[string]int)
	for _, e := range o.entries {
		if e.tls {
			connections++
		}
		if e.failed && (reason == "" || e.reason == reason) {
			failed++
			byClient[e.client]++
		}
	}
	return failed, connections, byClient
}
