package localaws

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// An apiError is a service's refusal, before it takes the shape of a protocol.
type apiError struct {
	status  int    // HTTP status
	code    string // as SDKs report it: "NoSuchKey", "InvalidParameterValue"
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// blame says whose fault the error is, in the words of the AWS protocols.
func (e *apiError) blame() string {
	if e.status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// An endpoint is what the HTTP stand-ins have in common: it counts a request,
// asks whether it shall fail, and else has it answered.
type endpoint struct {
	service   string
	operation func(*http.Request) string                          // may read the body if it puts it back
	apply     func(http.ResponseWriter, *http.Request)            // does what is asked
	refuse    func(http.ResponseWriter, *http.Request, *apiError) // writes an error in the service's shape
	accesses  func(r *http.Request, operation string) []Access    // what it comes to for IAM; may read the body if it puts it back
	calls     *Calls

	mu        sync.Mutex
	faults    FaultFunc
	authorize AuthorizeFunc // nil allows everything
}

// SetFaults replaces the function that injects faults; nil for none.
func (e *endpoint) SetFaults(f FaultFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = f
}

// ServeHTTP answers one API request.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := e.operation(r)
	operation := e.service + ":" + name
	n := e.calls.add(operation)
	if !e.allows(r, name) {
		e.answer(w, r, Fault{Kind: FaultError, Status: http.StatusForbidden, Code: "AccessDenied", Message: "Access Denied"})
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

// A recorder is a complete reply in memory.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: make(http.Header)} }

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 {
		rec.status = status
	}
}

func (rec *recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	return rec.body.Write(p)
}

// copyHeader sets the reply's header in h, with a Content-Length, and returns
// its status.
func (rec *recorder) copyHeader(h http.Header) (status int) {
	for name, values := range rec.header {
		h[name] = values
	}
	if h.Get("Content-Length") == "" {
		h.Set("Content-Length", strconv.Itoa(rec.body.Len()))
	}
	return cmp.Or(rec.status, http.StatusOK)
}

func (rec *recorder) replay(w http.ResponseWriter) {
	w.WriteHeader(rec.copyHeader(w.Header()))
	w.Write(rec.body.Bytes())
}

// peekBody reads the whole body, at most max bytes of it, and puts it back for
// the next reader.
func peekBody(r *http.Request, max int64) []byte {
	body, _ := io.ReadAll(io.LimitReader(r.Body, max))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	return body
}

// randomHex returns n random bytes in hex.
func randomHex(n int) string {
	p := make([]byte, n)
	rand.Read(p)
	return hex.EncodeToString(p)
}

// newUUID returns a random UUID (RFC 9562 section 5.4), the form of AWS's
// request and message ids.
func newUUID() string {
	var p [16]byte
	rand.Read(p[:])
	p[6] = p[6]&0x0f | 0x40
	p[8] = p[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", p[:4], p[4:6], p[6:8], p[8:10], p[10:])
}
