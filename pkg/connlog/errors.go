package connlog

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of malformed lines, found in [ParseError] with errors.Is.
var (
	ErrFieldCount  = errors.New("too few fields")
	ErrQuote       = errors.New("quoted field does not end in a quote and a space")
	ErrEmpty       = errors.New("empty field: two spaces in a row")
	ErrTime        = errors.New("not an ISO 8601 time in UTC")
	ErrAddr        = errors.New("not an IP address")
	ErrPort        = errors.New("not a port number")
	ErrLatency     = errors.New("not a latency in seconds")
	ErrLineTooLong = fmt.Errorf("line longer than %d bytes", MaxLineBytes)
)

// maxErrorText bounds the offending text that a ParseError carries: enough to
// recognise it, too little to flood a log with what a client sent.
const maxErrorText = 64

// A ParseError says where a line departs from the connection-log format. It
// concerns one line only: reading can go on with the next.
type ParseError struct {
	Line  int    // line number in the stream, from 1; 0 for a line parsed on its own
	Field string // AWS's name of the field; "" for the line as a whole
	Text  string // the offending text, at most 64 bytes of it
	Err   error  // one of the kinds above
}

func (e *ParseError) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	fmt.Fprintf(&b, "%v: %q", e.Err, e.Text)
	return b.String()
}

func (e *ParseError) Unwrap() error { return e.Err }

func parseError(field string, text []byte, err error) *ParseError {
	s := string(text[:min(len(text), maxErrorText)])
	if len(text) > maxErrorText {
		s += "..."
	}
	return &ParseError{Field: field, Text: s, Err: err}
}
