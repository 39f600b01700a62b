package lambda

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tlswatch/internal/localaws/wire"
)

// maxResponse is the size limit of a function's response, in bytes.
//
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxResponse = 6*1024*1024 + 100

// An environment is one execution environment: a process and its own Runtime
// API. Except for the HTTP handlers, one goroutine at a time uses it.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type environment struct {
	server  *wire.Server
	process *process

	polls    chan chan<- delivery // requests of the runtime for the next event
	poll     chan<- delivery      // the request that waits
	outcomes chan outcome         // of events; room for one
	failures chan *Error          // of its initialization; room for one

	killed bool // by Function.Kill; guarded by Function.mu

	mu      sync.Mutex
	current string // request id of the event that has no outcome yet
}

// A delivery is an event on its way into an environment.
type delivery struct {
	id       string
	trace    string
	payload  []byte
	deadline time.Time
	arn      string
}

// newTraceID returns a value of the header with which AWS services trace requests.
//
// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
func newTraceID() string {
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), wire.RandomHex(12), wire.RandomHex(8))
}

// An outcome is a function's response or error.
type outcome struct {
	response []byte
	err      *Error
}

// startEnvironment starts a process and waits until it asks for its first event.
// If it returns an error with an environment, the caller must close that.
func (f *Function) startEnvironment(requestID string) (*environment, *Error) {
	e := &environment{
		polls:    make(chan chan<- delivery),
		outcomes: make(chan outcome, 1),
		failures: make(chan *Error, 1),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", e.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", e.failure)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", e.initError)
	var err error
	if e.server, err = wire.Serve(mux); err != nil {
		return nil, newError("Sandbox.Failure", requestID, "%v", err)
	}
	if e.process, err = startProcess(f.o.Bootstrap, f.environ(e.server.Addr()), f.output); err != nil {
		e.server.Close()
		return nil, newError("Runtime.InvalidEntrypoint", requestID, "%v", err)
	}
	timeout := time.NewTimer(f.initTimeout)
	defer timeout.Stop()
	select {
	case e.poll = <-e.polls:
		return e, nil
	case err := <-e.failures:
		return e, err
	case <-e.process.exited:
		select {
		case err := <-e.failures:
			return e, err
		default:
			return e, e.exitError(requestID)
		}
	case <-timeout.C:
		return e, timedOut(requestID, f.initTimeout)
	case <-f.closing:
		return e, newError("Sandbox.Closed", requestID, "%v", errClosed)
	}
}

// invoke delivers an event to the runtime and waits until it has responded and
// asked for the next, or has ended. After the deadline it kills the process.
func (e *environment) invoke(d delivery, limit time.Duration, closing <-chan struct{}) ([]byte, *Error) {
	e.mu.Lock()
	e.current = d.id
	e.mu.Unlock()
	timeout := time.NewTimer(time.Until(d.deadline))
	defer timeout.Stop()

	var result *outcome
	for {
		poll, outcomes := e.poll, (<-chan outcome)(nil)
		if d.payload == nil { // delivered
			poll, outcomes = nil, e.outcomes
		}
		select {
		case poll <- d:
			e.poll, d.payload = nil, nil
		case e.poll = <-e.polls:
			// Before delivery: the runtime gave up its first request. After
			// the outcome: it is ready for the next event. In between: it has
			// lost its event, which ends at the deadline.
			if result == nil && d.payload == nil {
				select {
				case o := <-e.outcomes: // both were ready, and it came first
					result = &o
				default:
				}
			}
			if result != nil {
				return result.response, result.err
			}
		case o := <-outcomes:
			result = &o
		case <-e.process.exited:
			return e.last(result, e.exitError(d.id))
		case <-timeout.C:
			e.process.kill()
			<-e.process.exited
			return e.last(result, timedOut(d.id, limit))
		case <-closing:
			return e.last(result, newError("Sandbox.Closed", d.id, "%v", errClosed))
		}
	}
}

// last returns the outcome of an invocation that ended early: what the runtime
// reported before, or else err.
func (e *environment) last(result *outcome, err *Error) ([]byte, *Error) {
	if result == nil {
		select {
		case o := <-e.outcomes:
			result = &o
		default:
			return nil, err
		}
	}
	return result.response, result.err
}

// close ends the process, with SIGTERM first if there is a grace, and the Runtime
// API.
func (e *environment) close(grace time.Duration) (exit string) {
	exit = e.process.end(grace)
	e.server.Close()
	return exit
}

func (e *environment) exitError(requestID string) *Error {
	if e.process.reason == "exit status 0" {
		return newError("Runtime.ExitError", requestID, "Runtime exited without providing a reason")
	}
	return newError("Runtime.ExitError", requestID, "Runtime exited with error: %s", e.process.reason)
}

func timedOut(requestID string, limit time.Duration) *Error {
	return newError("Sandbox.Timedout", requestID, "Task timed out after %.2f seconds", limit.Seconds())
}

// next replies to a runtime that asks for an event, when there is one.
func (e *environment) next(w http.ResponseWriter, r *http.Request) {
	poll := make(chan delivery)
	select {
	case e.polls <- poll:
	case <-r.Context().Done():
		return
	}
	select {
	case d := <-poll:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", d.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(d.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", d.arn)
		h.Set("Lambda-Runtime-Trace-Id", d.trace)
		w.Write(d.payload)
	case <-r.Context().Done():
	}
}

// response receives a function's response.
func (e *environment) response(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !e.expects(w, id) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	if err != nil {
		return // the process ended; its exit is the outcome
	}
	if len(body) > maxResponse {
		io.Copy(io.Discard, r.Body)
		message := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse)
		e.report(w, id, outcome{err: newError("Function.ResponseSizeTooLarge", id, "%s", message)},
			http.StatusRequestEntityTooLarge, map[string]string{"errorType": "RequestEntityTooLarge", "errorMessage": message})
		return
	}
	o := outcome{response: body}
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		// The function failed after it had begun to respond.
		document, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		if err != nil {
			document = nil
		}
		o = outcome{err: parseError(document, kind)}
	}
	e.report(w, id, o, http.StatusAccepted, map[string]string{"status": "OK"})
}

// failure receives a function's error.
func (e *environment) failure(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !e.expects(w, id) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse))
	if err != nil {
		return
	}
	o := outcome{err: parseError(body, r.Header.Get("Lambda-Runtime-Function-Error-Type"))}
	e.report(w, id, o, http.StatusAccepted, map[string]string{"status": "OK"})
}

// initError receives the error of a runtime that could not start.
func (e *environment) initError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse))
	if err != nil {
		return
	}
	select {
	case e.failures <- parseError(body, r.Header.Get("Lambda-Runtime-Function-Error-Type")):
		reply(w, http.StatusAccepted, map[string]string{"status": "OK"})
	default:
		reply(w, http.StatusForbidden, map[string]string{"errorType": "InvalidStateTransition", "errorMessage": "Transition to InitError is not allowed."})
	}
}

// expects refuses reports about other events than the current one.
func (e *environment) expects(w http.ResponseWriter, id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if id != e.current {
		reply(w, http.StatusBadRequest, map[string]string{"errorType": "InvalidRequestID", "errorMessage": "Invalid request ID"})
		return false
	}
	return true
}

// report records an outcome before it replies to the runtime, so that the outcome
// counts even if the process exits next.
func (e *environment) report(w http.ResponseWriter, id string, o outcome, status int, body map[string]string) {
	e.mu.Lock()
	first := e.current == id
	if first {
		e.current = ""
		e.outcomes <- o // never blocks: there is one outcome per event, and each is received
	}
	e.mu.Unlock()
	if !first {
		e.expects(w, id)
		return
	}
	reply(w, status, body)
}

func reply(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// parseError reads the error document of a runtime. The header names the type if
// the document does not.
func parseError(document []byte, header string) *Error {
	var in struct {
		ErrorType    string `json:"errorType"`
		ErrorMessage string `json:"errorMessage"`
	}
	if err := json.Unmarshal(document, &in); err != nil {
		in.ErrorMessage = string(document)
		quoted, err := json.Marshal(in)
		if err != nil {
			panic(err) // strings only: cannot happen
		}
		document = quoted
	}
	return &Error{
		kind:    cmp.Or(in.ErrorType, header, "Runtime.UnknownReason"),
		Message: in.ErrorMessage,
		payload: document,
	}
}
