package wire

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// A Protocol is how one service reads requests and writes replies. Its
// functions may read the body if they put it back, as [PeekBody] does.
type Protocol struct {
	Service   string                                             // as in "service:Operation"
	Operation func(*http.Request) string                         // "Unknown" if the service has no such operation
	Apply     func(http.ResponseWriter, *http.Request)           // does the work and replies
	Refuse    func(http.ResponseWriter, *http.Request, *Refusal) // writes an error in the service's shape

	// Accesses lists the permissions that a request needs; nil checks none.
	Accesses func(r *http.Request, operation string) []Access
}

// An Endpoint serves one service. It counts each request, authorizes it, and
// injects a fault or passes it to the service.
type Endpoint struct {
	protocol Protocol
	calls    *Calls
	server   *Server

	mu        sync.Mutex
	faults    FaultFunc
	authorize AuthorizeFunc // nil allows everything
}

// NewEndpoint returns an endpoint that counts in calls. It listens after
// [Endpoint.Start].
func NewEndpoint(p Protocol, calls *Calls) *Endpoint {
	return &Endpoint{protocol: p, calls: calls}
}

// Start listens on a port of 127.0.0.1 until Close.
func (e *Endpoint) Start() error {
	server, err := Serve(e)
	if err != nil {
		return fmt.Errorf("start %s: %w", e.protocol.Service, err)
	}
	e.server = server
	return nil
}

// URL is the base URL of a started endpoint, without a path.
func (e *Endpoint) URL() string { return "http://" + e.server.Addr() }

// Close ends all connections and waits for requests in progress. It does nothing
// to an endpoint that was not started.
func (e *Endpoint) Close() error {
	if e.server == nil {
		return nil
	}
	return e.server.Close()
}

// SetFaults replaces the function that injects faults; nil for none.
func (e *Endpoint) SetFaults(f FaultFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = f
}

// ServeHTTP answers one API request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := e.protocol.Operation(r)
	operation := e.protocol.Service + ":" + name
	n := e.calls.add(operation)
	if !e.allows(r, name) {
		e.refuse(w, r, NewRefusal(http.StatusForbidden, "AccessDenied", "Access Denied"))
		return
	}

	e.mu.Lock()
	decide := e.faults
	e.mu.Unlock()
	var f Fault
	if decide != nil {
		f = decide(operation, n)
	}
	e.answer(w, r, f)
}

// PeekBody reads the body, at most max bytes of it, and puts it back for the
// next reader.
func PeekBody(r *http.Request, max int64) []byte {
	body, _ := io.ReadAll(io.LimitReader(r.Body, max))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	return body
}
