package connlog

import (
	"bytes"
	"net/netip"

	"tlswatch/pkg/connlog/internal/scan"
	"tlswatch/pkg/logkey"
)

// Numbers of fields in a line. Parsers have to ignore further fields, says AWS.
const (
	minFields = 11 // the format of November 2023
	maxFields = 15 // the newest documented format
)

// MaxLineBytes is the longest line that a [Reader] parses, without its line end.
// AWS documents no limit. Real lines have 150 to 500 bytes; the longest part is the
// subject of a certificate.
const MaxLineBytes = 64 << 10

// Names of the fields as AWS documents them, in order.
var fieldNames = [maxFields]string{
	"timestamp", "client_ip", "client_port", "listener_port",
	"tls_protocol", "tls_cipher", "tls_handshake_latency",
	"leaf_client_cert_subject", "leaf_client_cert_validity", "leaf_client_cert_serial_number",
	"tls_verify_status", "conn_trace_id", "tls_keyexchange", "elb", "ip_address",
}

// A Parser parses lines. It remembers names and the current minute, so that lines
// similar to earlier ones cost no allocation. The zero value is ready for use. A
// Parser must not be used by several goroutines at once.
type Parser struct {
	names        names
	minute       minuteCache
	status       string // the last one of a failure
	loadBalancer string // the last one that was set by field name
	lbOptional   bool   // see Reader.IgnoreLoadBalancer
	origins      memo[origin]
	guesses      [1 << guessBits][2]guess
}

// Parse parses one line, without its line end, into e, which it overwrites. The
// []byte fields of e point into line. The error is a *[ParseError] without line
// number; e is then undefined.
func (p *Parser) Parse(line []byte, e *Entry) error {
	if err := p.parse(line, 0, e); err != nil {
		return err
	}
	return nil
}

// parse reads the fields in the documented order. If start is not 0, e already has
// the first seven fields, which take start bytes. The concrete error type avoids
// interface conversions when there is no error.
func (p *Parser) parse(line []byte, start int, e *Entry) *ParseError {
	c := cursor{line: line, rest: line}
	if 0 < start && start <= len(line) {
		c.rest, c.n = line[start:], 7
	} else if err := p.parseStart(&c, e); err != nil {
		return err
	}

	e.ClientCert = ClientCert{}
	if text := c.next(); len(text) > 0 {
		e.ClientCert.Subject = text
	}
	e.ClientCert.setValidity(c.next())
	if !c.ended && hasValidity(c.rest) {
		return parseError("", line, errQuote)
	}
	e.ClientCert.setSerial(c.next())
	e.Status = p.names.intern(c.next())
	if c.n < minFields {
		return c.fail(nil, errFieldCount)
	}
	if bytes.Count(line[start:len(line)-len(c.rest)], quote) != c.quotes {
		return parseError("", line, errQuote)
	}
	if e.Failed() && isUsualStatus(e.Status) {
		p.status = e.Status
	}

	e.TraceID, e.ServerName = nil, nil
	if text := c.next(); len(text) > 0 {
		e.TraceID = text
	}
	switch {
	case c.err != nil:
		return c.fail(nil, nil)
	case c.ended:
		e.KeyExchange, e.LoadBalancer, e.Node = "", "", ""
		return nil
	}
	if o := p.origins.get(c.rest, p, (*Parser).usualOrigin); o != nil {
		e.KeyExchange, e.LoadBalancer, e.Node = o.keyExchange, o.loadBalancer, o.node
		return nil
	}
	o, err := p.readOrigin(&c, p.lbOptional)
	if err != nil {
		return err
	}
	e.KeyExchange, e.LoadBalancer, e.Node = o.keyExchange, o.loadBalancer, o.node
	return nil
}

// readOrigin reads the fields after conn_trace_id. It ignores further fields and, if
// lbOptional is set, a load balancer of unknown form.
func (p *Parser) readOrigin(c *cursor, lbOptional bool) (o origin, err *ParseError) {
	all, before := c.rest, c.quotes
	o.keyExchange = p.names.intern(c.next())
	text := c.next()
	id, ok := logkey.LoadBalancerID(text)
	switch {
	case ok:
		o.loadBalancer = p.names.intern(id)
	case len(text) > 0 && !lbOptional:
		return o, parseError("elb", text, errLoadBalancer)
	}
	o.node = p.names.intern(c.next())
	if c.err != nil {
		return o, c.fail(nil, nil)
	}
	if bytes.Count(all[:len(all)-len(c.rest)], quote) != c.quotes-before {
		return o, parseError("", all, errQuote)
	}
	return o, nil
}

// hasValidity reports whether one of the fields in text, which follow the validity
// of the certificate, looks like a validity. A client chooses the subject of its
// certificate. If a quote in the subject ended that field, the fields after it are
// the client's, and the real validity follows them.
func hasValidity(text []byte) bool {
	return bytes.HasPrefix(text, notBefore) || bytes.Contains(text, spaceNotBefore)
}

var spaceNotBefore = []byte(" NotBefore=")

var quote = []byte{'"'}

var isHex = func() (is [256]bool) {
	for c := range is {
		_, is[c] = scan.HexDigit(byte(c))
	}
	return is
}()

// parseStart reads the first seven fields.
func (p *Parser) parseStart(c *cursor, e *Entry) *ParseError {
	text := c.next()
	t, ok := p.minute.parseTime(text)
	if !ok {
		return c.fail(text, errTime)
	}
	e.Time = t

	e.Client = netip.Addr{}
	if text = c.next(); len(text) > 0 {
		if e.Client, ok = scan.Addr(text); !ok {
			return c.fail(text, errAddr)
		}
	}
	text = c.next()
	if e.ClientPort, ok = scan.Port(text); !ok {
		return c.fail(text, errPort)
	}
	from := len(c.rest)
	text = c.next()
	if e.ListenerPort, ok = scan.Port(text); !ok {
		return c.fail(text, errPort)
	}
	e.Protocol = p.names.intern(c.next())
	e.Cipher = p.names.intern(c.next())
	if n := len(c.line); !c.ended {
		p.learn(parameters{e.ListenerPort, e.Protocol, e.Cipher}, c.line, n-from, n-len(c.rest))
	}

	e.HandshakeLatency, e.HasLatency = 0, false
	if text = c.next(); len(text) > 0 {
		if e.HandshakeLatency, ok = scan.Seconds(text); !ok {
			return c.fail(text, errLatency)
		}
		e.HasLatency = true
	}
	return nil
}

// A cursor walks over the fields of a line. It does all bounds checks.
type cursor struct {
	line   []byte
	rest   []byte // what follows the last field read
	n      int    // fields read
	quotes int    // quotes in the quoted ones
	ended  bool   // there is no further field
	err    error  // why the last field is invalid; nothing after it can be read
}

// next returns the next field without enclosing quotes. It returns nil for a field
// that is "-", quoted or not, and for a field that the line lacks.
func (c *cursor) next() []byte {
	if c.ended {
		return nil
	}
	rest := c.rest
	if len(rest) > 0 && rest[0] == '"' {
		return c.quoted()
	}
	c.n++
	// Most fields are short: a plain loop is faster than a call.
	for i := 0; i < len(rest); i++ {
		if rest[i] == ' ' {
			if i == 0 {
				c.ended, c.err = true, errEmpty
				return nil
			}
			c.rest = rest[i+1:]
			if i == 1 && rest[0] == '-' {
				return nil
			}
			return rest[:i]
		}
	}
	c.rest, c.ended = nil, true
	if len(rest) == 0 {
		c.n-- // nothing after the last space: not a field
		return nil
	}
	if len(rest) == 1 && rest[0] == '-' {
		return nil
	}
	return rest
}

// quoted is next for a field that begins with a quote. A backslash escapes the
// character after it; the result keeps the escapes.
func (c *cursor) quoted() []byte {
	c.n++
	for i := 1; i < len(c.rest); i++ {
		switch c.rest[i] {
		case '\\':
			i++
		case '"':
			field := c.rest[1:i]
			c.quotes += 2 + bytes.Count(field, quote)
			switch {
			case i+1 == len(c.rest):
				c.rest, c.ended = nil, true
			case c.rest[i+1] == ' ':
				c.rest = c.rest[i+2:]
			default:
				c.ended, c.err = true, errQuote
				return nil
			}
			if len(field) == 1 && field[0] == '-' {
				return nil
			}
			return field
		}
	}
	c.ended, c.err = true, errQuote
	return nil
}

// fail returns the error for the last field read, or says that the line ended
// early.
func (c *cursor) fail(text []byte, err error) *ParseError {
	switch {
	case c.err != nil:
		return parseError(fieldNames[c.n-1], c.rest, c.err)
	case c.ended:
		return parseError("", c.line, errFieldCount)
	}
	return parseError(fieldNames[c.n-1], text, err)
}

var notBefore, notAfter = []byte("NotBefore="), []byte(";NotAfter=")

// setValidity reads "NotBefore=TIME;NotAfter=TIME". The times come from the client's
// certificate, and a client must not be able to take its connection out of the count:
// invalid times are zero, and text of another form is dropped.
func (c *ClientCert) setValidity(text []byte) {
	b, ok1 := bytes.CutPrefix(text, notBefore)
	first, last, ok2 := bytes.Cut(b, notAfter)
	if !ok1 || !ok2 {
		return
	}
	c.Validity = text
	from, fromOK := scan.Time(first)
	until, untilOK := scan.Time(last)
	if fromOK && untilOK {
		c.NotBefore, c.NotAfter = from, until
	}
}

// setSerial reads a hexadecimal number, perhaps a negative one. It drops any other
// text, for setValidity's reason.
func (c *ClientCert) setSerial(text []byte) {
	digits := bytes.TrimPrefix(text, []byte{'-'})
	for _, d := range digits {
		if !isHex[d] {
			return
		}
	}
	if len(digits) > 0 {
		c.Serial = text
	}
}
