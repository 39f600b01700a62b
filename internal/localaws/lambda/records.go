package lambda

import (
	"encoding/json"
	"fmt"
	"time"
)

// An Error is a failed invocation.
type Error struct {
	Message string

	kind    string          // "Runtime.ExitError", "Sandbox.Timedout", or the function's own
	payload json.RawMessage // the whole document, for example with a stack trace
}

func (e *Error) Error() string { return e.kind + ": " + e.Message }

// newError returns an error that Lambda reports in place of the function, with
// Lambda's document.
func newError(kind, requestID, format string, args ...any) *Error {
	e := &Error{kind: kind, Message: "RequestId: " + requestID + " Error: " + fmt.Sprintf(format, args...)}
	payload, err := json.Marshal(map[string]string{"errorType": e.kind, "errorMessage": e.Message})
	if err != nil {
		panic(err) // strings only: cannot happen
	}
	e.payload = payload
	return e
}

// A Result is the reply to a synchronous invocation.
type Result struct {
	RequestID string
	Payload   []byte // of a success
	Error     *Error // nil after success
}

// An Invocation is one attempt at one event.
type Invocation struct {
	RequestID string // the same over all attempts at an event
	Attempt   int    // from 1
	TraceID   string // of the attempt; an SDK in the function sends it as X-Amzn-Trace-Id
	Started   time.Time
	Duration  time.Duration // without the start of the process
	Error     *Error
	Payload   []byte

	// Exit says how the process ended, if it ended in or after this attempt:
	// "exit status 1", "signal: killed".
	Exit string

	response []byte
	init     time.Duration // start of the process, if this attempt had to start it
}

// A DeadLetter is the record that Lambda sends to an on-failure destination.
//
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
type DeadLetter struct {
	Version         string          `json:"version"`
	Timestamp       string          `json:"timestamp"` // RFC 3339 with milliseconds
	RequestContext  RequestContext  `json:"requestContext"`
	RequestPayload  json.RawMessage `json:"requestPayload"`
	ResponseContext ResponseContext `json:"responseContext"`
	ResponsePayload json.RawMessage `json:"responsePayload"`
}

// RequestContext is the part of a DeadLetter about the event.
type RequestContext struct {
	RequestID              string `json:"requestId"`
	FunctionARN            string `json:"functionArn"`
	Condition              string `json:"condition"` // "RetriesExhausted"
	ApproximateInvokeCount int    `json:"approximateInvokeCount"`
}

// ResponseContext is the part of a DeadLetter about the last attempt.
type ResponseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError"` // "Unhandled"
}

func (f *Function) deadLetter(e *event, last Invocation) DeadLetter {
	return DeadLetter{
		Version:         "1.0",
		Timestamp:       time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		RequestContext:  RequestContext{e.id, f.arn + ":$LATEST", "RetriesExhausted", e.attempt},
		RequestPayload:  e.payload,
		ResponseContext: ResponseContext{200, "$LATEST", "Unhandled"},
		ResponsePayload: last.Error.payload,
	}
}
