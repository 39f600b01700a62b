package localaws

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// A FaultFunc decides what goes wrong with a request: operation is
// "service:Operation" and n counts such requests on the wire from 1. (Go's
// HTTP transport may by itself repeat a GET whose reused connection died, so
// one lost GET can be two requests.) It is called from many goroutines.
type FaultFunc func(operation string, n int) Fault

// A Fault is one way for a request to go wrong. The zero Fault is none.
type Fault struct {
	Kind FaultKind

	// Status, Code and Message are the refusal of FaultError, for example 503
	// "SlowDown", 400 "Throttling" or 409 "ConditionalRequestConflict".
	Status  int
	Code    string
	Message string // a text is made up if empty

	Delay time.Duration // passes before anything else happens
	Drip  time.Duration // the reply's body is spread over this time
}

// A FaultKind says where on its way a request is hurt.
type FaultKind int

const (
	// FaultNone: answered as usual, after Delay and over Drip.
	FaultNone FaultKind = iota
	// FaultClose: not applied; the connection is closed without a reply, like
	// that of a host going down.
	FaultClose
	// FaultReset: not applied; the connection is reset (TCP RST).
	FaultReset
	// FaultReplyLost: applied; then the connection is reset. The client
	// cannot tell this from FaultReset.
	FaultReplyLost
	// FaultReplyCut: applied; the connection is closed after the header and
	// half of the body, or within the header if there is no body.
	FaultReplyCut
	// FaultError: not applied; the service refuses with Status and Code.
	FaultError
)

// Refuse is the fault that answers with an error of the service's own shape.
func Refuse(status int, code string) Fault {
	return Fault{Kind: FaultError, Status: status, Code: code}
}

// Once turns a fault into a FaultFunc that hits only the nth request of one
// operation.
func (f Fault) Once(operation string, n int) FaultFunc {
	return func(op string, i int) Fault {
		if op == operation && i == n {
			return f
		}
		return Fault{}
	}
}

// answer applies the request and replies, except where f says otherwise.
func (e *endpoint) answer(w http.ResponseWriter, r *http.Request, f Fault) {
	if !sleep(r.Context(), f.Delay) {
		panic(http.ErrAbortHandler)
	}
	switch f.Kind {
	case FaultClose, FaultReset:
		hangUp(w, f.Kind == FaultReset, nil)
	case FaultReplyLost:
		e.apply(newRecorder(), r)
		hangUp(w, true, nil)
	case FaultReplyCut:
		rec := newRecorder()
		e.apply(rec, r)
		hangUp(w, false, rec.firstHalf())
	case FaultError:
		io.Copy(io.Discard, r.Body) // so that the client gets to reading the reply
		message := f.Message
		if message == "" {
			message = "Refused by fault injection: " + f.Code
		}
		e.refuse(w, r, &apiError{f.Status, f.Code, message})
	default:
		if f.Drip == 0 {
			e.apply(w, r)
			return
		}
		rec := newRecorder()
		e.apply(rec, r)
		rec.drip(w, r.Context(), f.Drip)
	}
}

// hangUp writes raw bytes to the connection and ends it, by RST if reset is
// set and by FIN if not. (The kernel turns a FIN into a RST if the request had
// not been read completely.)
func hangUp(w http.ResponseWriter, reset bool, raw []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.Write(raw)
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// firstHalf is the start of the reply as sent on the wire.
func (rec *recorder) firstHalf() []byte {
	h := make(http.Header)
	status := rec.copyHeader(h)
	raw := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for name, values := range h {
		for _, v := range values {
			raw = fmt.Appendf(raw, "%s: %s\r\n", name, v)
		}
	}
	if rec.body.Len() == 0 {
		return raw // without the empty line that ends a header
	}
	raw = append(raw, "\r\n"...)
	return append(raw, rec.body.Bytes()[:rec.body.Len()/2]...)
}

// drip replays the reply with its body in ten parts over the time d.
func (rec *recorder) drip(w http.ResponseWriter, ctx context.Context, d time.Duration) {
	const parts = 10
	w.WriteHeader(rec.copyHeader(w.Header()))
	control := http.NewResponseController(w)
	for i := range parts {
		control.Flush()
		if !sleep(ctx, d/parts) {
			panic(http.ErrAbortHandler)
		}
		body := rec.body.Bytes()
		w.Write(body[i*len(body)/parts : (i+1)*len(body)/parts])
	}
}

// sleep waits for d and reports whether ctx lived as long.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
