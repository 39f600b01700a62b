package world

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Log is a log object: what one node of a load balancer writes in five minutes.
type Log struct {
	Key  string // of the object in its bucket, without ".gz"
	Text []byte
}

// A World is what happened for one seed: the logs, in random order, and the truth.
type World struct {
	Logs  []Log
	Truth *Truth
}

// Generate simulates a world of one of Kinds. The same seed gives the same world.
func Generate(kind string, seed uint64) (*World, error) {
	for _, k := range kinds {
		if k.name == kind {
			w := newWorld(kind, seed)
			k.build(w, seed)
			w.run()
			return &World{w.logs(), w.truth(kind, seed)}, nil
		}
	}
	return nil, fmt.Errorf("no kind of incident %q; there are %s", kind, strings.Join(Kinds(), ", "))
}

const period = 5 * time.Minute

type logID struct {
	loadBalancer, node int
	end                time.Time
}

func (w *world) logs() []Log {
	texts := make(map[logID][]byte)
	var order []logID
	for i := range w.events {
		e := &w.events[i]
		id := logID{e.listener.loadBalancer, e.node, w.start.Add(e.at).Truncate(period).Add(period)}
		b, ok := texts[id]
		if !ok {
			order = append(order, id)
		}
		if w.network {
			b = w.appendTLSLog(b, e)
		} else {
			b = w.appendConnection(b, e)
		}
		texts[id] = append(b, '\n')
	}
	w.rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	list := make([]Log, len(order))
	for i, id := range order {
		list[i] = Log{w.key(id), texts[id]}
	}
	return list
}

const account = "123456789012"

func (w *world) key(id logID) string {
	kind, node := "conn_log_", "_"+w.node(id.loadBalancer, id.node)
	if w.network {
		kind, node = "", ""
	}
	return fmt.Sprintf("AWSLogs/%s/elasticloadbalancing/eu-central-1/%s/%s%s_elasticloadbalancing_eu-central-1_%s_%s%s_%s.log",
		account, id.end.Format("2006/01/02"), kind, account, strings.ReplaceAll(w.names[id.loadBalancer], "/", "."),
		id.end.Format("20060102T1504Z"), node, fmt.Sprintf("%08x", w.rand.Uint32()))
}

func (w *world) node(loadBalancer, node int) string {
	return fmt.Sprintf("10.%d.%d.%d", loadBalancer, node/100, 10+node%100)
}

// shown is what the log has about what was negotiated, "-" for nothing.
func (w *world) shown(e *event) (protocol, cipher, group string) {
	protocol, cipher, group = "-", "-", "-"
	a := e.agreed
	if !a.ok() && e.device != nil && e.cause != abort && w.shows != nothing && !e.device.breaksSilently {
		a.version, a.suite = e.device.program.presented()
		if w.shows == version {
			a.suite = 0
		}
	}
	if a.version != 0 {
		protocol = a.version.String()
	}
	if a.suite != 0 {
		cipher = a.suite.String()
	}
	if a.group != 0 {
		group = a.group.String()
	}
	return protocol, cipher, group
}

// appendConnection appends a line of a connection log. Source:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
func (w *world) appendConnection(b []byte, e *event) []byte {
	protocol, cipher, group := w.shown(e)
	b = w.start.Add(e.at).AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(append(b, ' '), e.addr.String()...)
	b = strconv.AppendInt(append(b, ' '), int64(1024+w.rand.IntN(64000)), 10)
	b = strconv.AppendInt(append(b, ' '), int64(e.listener.port), 10)
	latency, status := "-", "Failed:"+e.reason
	if e.reason == "" {
		latency, status = strconv.FormatFloat(0.002+0.03*w.rand.ExpFloat64(), 'f', 3, 64), "Success"
	}
	b = append(b, ' ')
	b = appendWords(b, protocol, cipher, latency)
	if e.device != nil && e.device.certificate != nil && e.ok() {
		c := e.device.certificate
		b = append(append(append(b, ' ', '"'), c.subject...), '"', ' ')
		const form = "2006-01-02T15:04:05Z"
		b = appendWords(b, "NotBefore="+c.notBefore.Format(form)+";NotAfter="+c.notAfter.Format(form), c.serial)
	} else {
		b = append(b, ` "-" - -`...)
	}
	b = append(append(append(b, ' '), status...), " TID_"...)
	b = strconv.AppendUint(b, w.rand.Uint64()|1<<63, 16)
	b = strconv.AppendUint(b, w.rand.Uint64()|1<<63, 16)
	return appendWords(append(b, ' '), group, w.names[e.listener.loadBalancer], w.node(e.listener.loadBalancer, e.node))
}

func appendWords(b []byte, words ...string) []byte {
	for i, s := range words {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, s...)
	}
	return b
}

// appendTLSLog appends a line of a Network Load Balancer's TLS log, which has no reasons and
// no client certificates. Source:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-access-logs.html
func (w *world) appendTLSLog(b []byte, e *event) []byte {
	protocol, cipher, group := w.shown(e)
	if i := slices.Index([]string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}, protocol); i >= 0 {
		protocol = "tlsv1" + strconv.Itoa(i)
	}
	handshake, alert, arn := "-", "-", "-"
	if e.reason == "" {
		handshake = strconv.Itoa(2 + int(30*w.rand.ExpFloat64()))
	}
	if e.alert != 0 {
		alert = strconv.Itoa(int(e.alert))
	}
	if e.ok() {
		arn = e.listener.at(e.at, w.lags[e.node]).arn
	}
	at := w.start.Add(e.at)
	const form = "2006-01-02T15:04:05"
	return fmt.Appendf(b, "tls 2.0 %s %s g3d4b5e8bb8464cd %s:%d %s:%d 5000 %s 98 246 %s %s - %s %s %s - - - - %s",
		at.Add(5*time.Second).Format(form), w.names[e.listener.loadBalancer], e.addr, 1024+w.rand.IntN(64000),
		w.node(e.listener.loadBalancer, e.node), e.listener.port, handshake, alert, arn, cipher, protocol, group, at.Format(form))
}
