package connlog

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of malformed lines.
var (
	errFieldCount   = errors.New("too few fields")
	errQuote        = errors.New("missing or misplaced quote")
	errEmpty        = errors.New("empty field: two spaces in a row")
	errTime         = errors.New("not an ISO 8601 time in UTC")
	errAddr         = errors.New("not an IP address")
	errPort         = errors.New("not a port number")
	errLatency      = errors.New("not a latency in seconds")
	errLoadBalancer = errors.New("not a load balancer's ID, app/NAME/ID or net/NAME/ID, or its ARN")
	errLineTooLong  = fmt.Errorf("line longer than %d bytes", MaxLineBytes)
	errLineTooShort = errors.New("line too short for an entry")

	// Only in other formats than Parser's.
	errMissing      = errors.New("no such field in the line")
	errFieldNumber  = errors.New("number of fields differs from the header")
	errNoHeader     = errors.New("line before the #Fields directive")
	errTLSAlert     = errors.New("not a TLS alert, from 0 to 255")
	errMilliseconds = errors.New("not a number of milliseconds")
	errEndpoint     = errors.New("not an IP address and a port")
	errJSON         = errors.New("not a JSON object on one line") // RFC 8259
)

// maxErrorText bounds the offending text that a ParseError carries: enough to
// recognize it, too little to flood a log with what a client sent.
const maxErrorText = 64

// A ParseError says what is wrong with a line. Reading can continue with the next
// line.
type ParseError struct {
	Line  int    // line number in the stream, from 1; 0 from Parser.Parse, and see Reader.Read
	Field string // the field's name in the AWS documentation; "" for the whole line
	text  string // the offending text, at most maxErrorText bytes of it
	Err   error  // what is wrong with it
}

func (e *ParseError) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	fmt.Fprintf(&b, "%v: %q", e.Err, e.text)
	return b.String()
}

func (e *ParseError) Unwrap() error { return e.Err }

func parseError(field string, text []byte, err error) *ParseError {
	s := string(text[:min(len(text), maxErrorText)])
	if len(text) > maxErrorText {
		s += "..."
	}
	return &ParseError{Field: field, text: s, Err: err}
}
