package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A call is one request of the function to a service.
type call struct {
	service, operation string
	about              string // for the trace
	conditional        bool   // a conditional write
	apply              func() reply
	unheard            func() // what it means if the answer does not arrive; may be nil
}

type reply struct {
	status int
	header http.Header
	body   []byte
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
	do := func() reply {
		w.mu.Lock()
		defer w.mu.Unlock()
		a := c.apply()
		w.trace("%s %s %s %s -> %d%s", by, c.service, c.operation, c.about, a.status, f)
		return a
	}
	switch f.kind {
	case killBefore, resetBefore, refuse, stallBefore:
		w.note("%s %s %s %s%s", by, c.service, c.operation, c.about, f)
	}
	var a reply
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
		write(rw, failure(service, f), false)
		return
	case late:
		time.Sleep(f.pause)
	}
	a = do()
	if r.Context().Err() != nil && c.unheard != nil { // the caller has given up
		c.unheard()
	}
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
		a = failure(service, f)
	case slow:
		time.Sleep(f.pause)
	case freeze:
		p.freeze(f.pause)
	}
	write(rw, a, f.kind == cut)
}

func (w *world) parse(service string, r *http.Request, path string, body []byte, by string, s sender) (call, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch service {
	case "s3":
		return w.s3(r, path, body)
	case "cloudwatch":
		return w.cloudWatch(r, path, body, by)
	case "sns":
		return w.sns(r, body, by, s)
	}
	return call{}, fmt.Errorf("service %q", service)
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
func write(rw http.ResponseWriter, a reply, cut bool) {
	maps.Copy(rw.Header(), a.header)
	rw.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	if cut && len(a.body) == 0 {
		panic(http.ErrAbortHandler)
	}
	rw.WriteHeader(a.status)
	if cut {
		rw.Write(a.body[:len(a.body)/2])
		http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}
	rw.Write(a.body)
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

// failure is an error as the service writes it, or a proxy before it.
func failure(service string, f fault) reply {
	switch {
	case f.code == "":
		return reply{f.status, http.Header{"Content-Type": {"text/html"}}, []byte("<html><body><h1>" + http.StatusText(f.status) + "</h1></body></html>")}
	case service == "s3":
		return s3Error(f.status, f.code)
	case service == "sns":
		return reply{f.status, http.Header{"Content-Type": {"text/xml"}}, []byte(`<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>` + blame(f.status) +
			"</Type><Code>" + f.code + "</Code><Message>chaos</Message></Error><RequestId>0</RequestId></ErrorResponse>")}
	}
	text := "com.amazonaws.cloudwatch#" + f.code
	body := "a1" + "66" + hex.EncodeToString([]byte("__type")) + "78" + fmt.Sprintf("%02x", len(text)) + hex.EncodeToString([]byte(text)) // {"__type": text}
	packed, err := hex.DecodeString(body)
	if err != nil {
		panic(err)
	}
	return reply{f.status, http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}, "X-Amzn-Query-Error": {f.code + ";" + blame(f.status)}}, packed}
}

// blame says whose fault an error is, as AWS puts it.
func blame(status int) string {
	if status/100 == 4 {
		return "Sender"
	}
	return "Receiver"
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
