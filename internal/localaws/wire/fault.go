package wire

import (
	"context"
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
	Kind  FaultKind
	Delay time.Duration // passes before anything else happens
	Drip  time.Duration // the reply's body is spread over this time

	refusal *Refusal // the reply, whatever came of the request; see Refuse
	applied bool     // the refusal hides that the request was applied; see Replace
}

// A FaultKind says where a request fails. The zero FaultKind is a normal
// reply, after Delay and over Drip.
type FaultKind int

const (
	// FaultClose: not applied; the connection is closed without a reply, as
	// when a host goes down.
	FaultClose FaultKind = iota + 1
	// FaultReset: not applied; the connection is reset (TCP RST).
	FaultReset
	// FaultReplyLost: applied; then the connection is reset. The client
	// cannot tell this from FaultReset.
	FaultReplyLost
	// FaultReplyCut: applied; the connection is closed after the header and
	// half of the body, or within the header if there is no body.
	FaultReplyCut
)

// Refuse is the fault that replies with an error in the service's own shape,
// for example 503 "SlowDown", 400 "Throttling" or 409
// "ConditionalRequestConflict".
func Refuse(status int, code string) Fault {
	return Fault{refusal: NewRefusal(status, code, "Refused by fault injection: "+code)}
}

// Replace is like Refuse, but the request is applied: an error of the service, or
// of a proxy in front of it, hides the success.
func Replace(status int, code string) Fault {
	f := Refuse(status, code)
	f.applied = true
	return f
}

// Once returns a FaultFunc that injects the fault only into the nth request of
// one operation.
func (f Fault) Once(operation string, n int) FaultFunc {
	return func(op string, i int) Fault {
		if op == operation && i == n {
			return f
		}
		return Fault{}
	}
}

// answer applies the request and replies, unless f prevents it.
func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request, f Fault) {
	if !sleep(r.Context(), f.Delay) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f.refusal != nil:
		if f.applied {
			e.protocol.Apply(NewRecorder(), r)
		}
		e.refuse(w, r, f.refusal)
	case f.Kind == FaultClose, f.Kind == FaultReset:
		hangUp(w, f.Kind == FaultReset, nil)
	case f.Kind == FaultReplyLost:
		e.protocol.Apply(NewRecorder(), r)
		hangUp(w, true, nil)
	case f.Kind == FaultReplyCut:
		rec := NewRecorder()
		e.protocol.Apply(rec, r)
		hangUp(w, false, rec.firstHalf())
	case f.Drip > 0:
		rec := NewRecorder()
		e.protocol.Apply(rec, r)
		rec.drip(w, r.Context(), f.Drip)
	default:
		e.protocol.Apply(w, r)
	}
}

// refuse replies with an error.
func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, refusal *Refusal) {
	io.Copy(io.Discard, r.Body) // or the client may not read the reply
	e.protocol.Refuse(w, r, refusal)
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

// sleep waits for d and reports whether ctx outlived it.
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
