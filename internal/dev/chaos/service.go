package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/dev/chaos/wire"
)

// A call is one request of the function to a service.
type call struct {
	service, operation string
	about              string // for the trace
	conditional        bool   // a conditional write
	apply              func() wire.Reply
	unheard            func() // what it means if the answer does not arrive; may be nil
}

// serve answers a request of the function, unless something happens to it.
func (p *process) serve(rw http.ResponseWriter, r *http.Request, service, path string) {
	w := p.world
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the process was killed
	}
	by, s := p.by()
	c, err := w.parse(service, r, path, body, by, s)
	if err != nil {
		w.violateNow("harness", "%v", err)
		rw.WriteHeader(http.StatusNotImplemented)
		return
	}
	f := w.fate(service, c)
	if c.unheard != nil && f.silences() {
		c.unheard()
	}
	do := func() wire.Reply {
		w.mu.Lock()
		defer w.mu.Unlock()
		a := c.apply()
		w.trace("%s %s %s %s -> %d%s", by, c.service, c.operation, c.about, a.Status, f)
		return a
	}
	switch f.kind {
	case killBefore, resetBefore, refuse, stallBefore:
		w.note("%s %s %s %s%s", by, c.service, c.operation, c.about, f)
	}
	switch f.kind {
	case killBefore:
		p.die(f)
		panic(http.ErrAbortHandler)
	case killLate:
		p.die(f)
		time.Sleep(f.pause)
		do()
		panic(http.ErrAbortHandler)
	case resetBefore:
		reset(rw)
	case stallBefore:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case refuse:
		write(rw, wire.Failure(service, f.status, f.code), false)
		return
	case late:
		time.Sleep(f.pause)
	}
	a := do()
	switch f.kind {
	case killAfter:
		p.die(f)
		panic(http.ErrAbortHandler)
	case killSoon:
		time.AfterFunc(f.pause/4, func() { p.die(f) })
	case resetAfter:
		reset(rw)
	case drop:
		panic(http.ErrAbortHandler)
	case stallAfter:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case replace:
		a = wire.Failure(service, f.status, f.code)
	case slow:
		time.Sleep(f.pause)
	case freeze:
		p.freeze(f.pause)
	}
	if r.Context().Err() != nil && c.unheard != nil { // the caller has given up
		c.unheard()
	}
	write(rw, a, f.kind == cut)
}

// parse reads a request. What a service of the harness does not know is an
// error.
func (w *world) parse(service string, r *http.Request, path string, body []byte, by string, s sender) (call, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch service {
	case "s3":
		q, err := w.store.Request(r, path, body)
		return call{service: service, operation: q.Operation + " " + kindOf(q.Bucket, q.Key), about: w.shortKey(q.Key), conditional: q.Conditional, apply: q.Apply}, err
	case "cloudwatch":
		data, err := wire.MetricData(r, path, body, namespace)
		p := &publication{by: by, data: data}
		var names []string
		for _, o := range w.objects {
			if slices.ContainsFunc(p.data, o.owns) {
				p.objects = append(p.objects, o)
				names = append(names, w.name(o))
			}
		}
		return call{service: service, operation: "PutMetricData", about: strings.Join(names, " "), apply: func() wire.Reply {
			w.publications = append(w.publications, p)
			return wire.MetricDataReply
		}}, err
	case "sns":
		a, err := readAlert(body)
		if err != nil {
			return call{}, err
		}
		a.by, a.sender = by, s
		return call{service: service, operation: "Publish", about: a.String(), unheard: func() { a.unheard = true }, apply: func() wire.Reply {
			w.alerts = append(w.alerts, a)
			return wire.PublishedReply
		}}, nil
	}
	return call{}, fmt.Errorf("service %q", service)
}

// kindOf tells objects in S3 apart by the first names of their keys, so that
// each kind can have faults of its own.
func kindOf(bucket, key string) string {
	if bucket == logBucket {
		return "log"
	}
	parts := strings.SplitN(key, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// die kills the process for a fault.
func (p *process) die(f fault) bool {
	by, s := p.by()
	if !p.kill() {
		return false
	}
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble.kills++
	w.muted[s] = true
	w.trace("%s is dead:%s", by, f)
	return true
}

// write sends an answer, or only the beginning of it.
func write(rw http.ResponseWriter, a wire.Reply, cut bool) {
	maps.Copy(rw.Header(), a.Header)
	rw.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	if cut && len(a.Body) == 0 {
		panic(http.ErrAbortHandler)
	}
	rw.WriteHeader(a.Status)
	if cut {
		rw.Write(a.Body[:len(a.Body)/2])
		http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}
	rw.Write(a.Body)
}

// reset has the caller see "connection reset by peer".
func reset(rw http.ResponseWriter) {
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// split takes the process and the service out of a request's path.
func split(path string) (id int, service, rest string, ok bool) {
	parts := strings.SplitN(path, "/", 5) // "", "p", ID, SERVICE, REST
	if len(parts) < 4 || parts[1] != "p" {
		return 0, "", "", false
	}
	id, err := strconv.Atoi(parts[2])
	if len(parts) == 5 {
		rest = "/" + parts[4]
	}
	return id, parts[3], rest, err == nil
}
