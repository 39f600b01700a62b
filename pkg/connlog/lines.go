package connlog

import (
	"bytes"
	"slices"
	"strings"

	"tlswatch/pkg/connlog/internal/jsonline"
)

// maxDelimiter is the longest delimiter that can be set for a log delivery.
// Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_ConfigurationTemplate.html
const maxDelimiter = 5

// lines parses lines of other formats than Parser's.
type lines struct {
	parser *Parser // for its names and minute

	kind    *kind
	json    bool     // a JSON object on each line
	w3c     bool     // lines with "#" are directives, one of which names the columns
	named   bool     // a header names the columns: lines have exactly these
	columns []column // of a line
	refused *FormatError

	delimiter []byte // between fields; if nil, the next line that agrees with the header decides
	between   []byte // between the names of the header

	builder builder // of the line
	scratch []byte  // of JSON strings
}

// A column is a field of a log by its name.
type column struct {
	name string // as in the log
	set  setter // nil for a field that an Entry does not have
}

// A setter sets a field of an entry to text, which is nil for an absent field.
type setter func(b *builder, text []byte) error

// A kind is a kind of log, whatever its format.
type kind struct {
	name    string
	fields  []string // in the documented order, which is that of lines without a header
	setters map[string]setter
	min     int               // fields of a line without a header
	own     func(string) bool // whether only this kind of log has a field of this name
}

var (
	connectionLog = &kind{
		name:   FormatConnectionLog,
		fields: fieldNames[:],
		min:    minFields,
		setters: map[string]setter{
			"timestamp": (*builder).setTime, // the name on the page on connection logs
			"time":      (*builder).setTime, // the name in log deliveries and for Athena

			"client_ip":                      (*builder).setClient,
			"client_port":                    (*builder).setClientPort,
			"listener_port":                  (*builder).setListenerPort,
			"tls_protocol":                   func(b *builder, text []byte) error { return b.name(&b.e.Protocol, text) },
			"tls_cipher":                     func(b *builder, text []byte) error { return b.name(&b.e.Cipher, text) },
			"tls_handshake_latency":          (*builder).setLatency,
			"leaf_client_cert_subject":       func(b *builder, text []byte) error { b.e.ClientCert.Subject = text; return nil },
			certValidity:                     (*builder).setValidity,
			"leaf_client_cert_serial_number": (*builder).setSerial,
			"tls_verify_status":              func(b *builder, text []byte) error { return b.name(&b.e.Status, text) },
			"conn_trace_id":                  func(b *builder, text []byte) error { b.e.TraceID = text; return nil },
			"tls_keyexchange":                func(b *builder, text []byte) error { return b.name(&b.e.KeyExchange, text) },
			"elb":                            (*builder).setLoadBalancer,
			"ip_address":                     func(b *builder, text []byte) error { return b.name(&b.e.Node, text) },
		},
		own: func(name string) bool {
			switch name {
			case "tls_protocol", "tls_verify_status", "tls_handshake_latency", "listener_port":
				return true
			}
			return strings.HasPrefix(name, "leaf_client_cert_")
		},
	}
	kinds = []*kind{connectionLog, tlsLog}
)

// kindOf returns the kind of log that has fields of these names, or nil.
func kindOf(names []string) *kind {
	for _, k := range kinds {
		if slices.ContainsFunc(names, k.own) {
			return k
		}
	}
	return nil
}

// order returns the columns of a line without a header.
func (k *kind) order() []column {
	list := make([]column, len(k.fields))
	for i, name := range k.fields {
		list[i] = column{name, k.setters[name]}
	}
	return list
}

// form describes how the fields are written.
func (l *lines) form() string {
	switch {
	case l.json:
		return "JSON"
	case l.w3c:
		return "W3C"
	case l.named:
		return "with a header line"
	case string(l.delimiter) == " ":
		return "delimited by spaces"
	case string(l.delimiter) == "\t":
		return "delimited by tabs"
	case string(l.delimiter) == ",":
		return "delimited by commas"
	}
	return "delimited by " + string(l.delimiter)
}

// directive reports whether the line has no entry but is about the other lines, and
// reads it: https://www.w3.org/TR/WD-logfile
func (l *lines) directive(line []byte) bool {
	if !l.w3c || line[0] != '#' {
		return l.named && l.isHeader(line)
	}
	if fields, ok := cutPrefixFold(line, "#fields:"); ok {
		l.header(bytes.TrimSpace(fields))
	}
	return true
}

func cutPrefixFold(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || !strings.EqualFold(string(b[:len(prefix)]), prefix) {
		return nil, false
	}
	return b[len(prefix):], true
}

// isHeader reports whether the line repeats the header, as in concatenated files.
func (l *lines) isHeader(line []byte) bool {
	names := nameList(line)
	return len(names) == len(l.columns) && slices.EqualFunc(names, l.columns, func(s string, c column) bool { return strings.EqualFold(s, c.name) })
}

// isName reports whether r is a character of field names rather than of delimiters.
func isName(r rune) bool {
	return isAlphanumeric(r) || r == '_' || r == '-' || r == ':' || r == '(' || r == ')'
}

// nameList returns the field names of a header in lower case. It returns none if the
// line has anything but names and delimiters.
func nameList(line []byte) []string {
	if len(line) > 4096 || bytes.IndexFunc(line, func(r rune) bool { return !isName(r) && !strings.ContainsRune(" \t,;|\"", r) }) >= 0 {
		return nil
	}
	return strings.Fields(strings.ToLower(strings.Map(func(r rune) rune {
		if isName(r) {
			return r
		}
		return ' '
	}, string(line))))
}

// certValidity is a field that both forms of connection logs have.
const certValidity = "leaf_client_cert_validity"

// header sets the columns from a header.
func (l *lines) header(line []byte) {
	names := nameList(line)
	l.kind = kindOf(names)
	if l.kind == nil {
		l.refused = foreign(names, notFields)
		return
	}
	l.named = true
	l.columns = l.columns[:0]
	for _, name := range names {
		l.columns = append(l.columns, column{name, l.kind.setters[name]})
	}
	l.delimiter, l.between = nil, []byte(" ")
	if n := bytes.IndexFunc(line, func(r rune) bool { return !isName(r) && r != '"' }); n > 0 {
		rest := line[n:]
		if end := bytes.IndexFunc(rest, func(r rune) bool { return isName(r) || r == '"' }); end > 0 && end <= maxDelimiter {
			l.between = bytes.Clone(rest[:end])
		}
	}
}

// parse parses a line into e, which it overwrites.
func (l *lines) parse(line []byte, e *Entry) *ParseError {
	*e = Entry{}
	if l.kind == nil {
		return parseError("", line, errNoHeader)
	}
	b := &l.builder // a field, because calling setters would allocate it
	*b = builder{p: l.parser, e: e}
	var err *ParseError
	if l.json {
		err = l.parseObject(line, b)
	} else {
		err = l.parseFields(line, b)
	}
	switch {
	case err != nil:
		return err
	case l.kind == tlsLog:
		b.finishTLS()
	}
	if !b.hasTime {
		return parseError("time", line, errMissing)
	}
	return nil
}

// parseObject reads the members of a JSON object.
func (l *lines) parseObject(line []byte, b *builder) *ParseError {
	o := jsonline.New(line, l.scratch)
	for o.Next() {
		set := l.kind.setters[string(o.Name)]
		if set == nil {
			if set = l.kind.setters[strings.ToLower(string(o.Name))]; set == nil {
				continue
			}
		}
		if o.Nested {
			return parseError(string(o.Name), o.Value, errJSON)
		}
		if err := b.set(set, o.Value); err != nil {
			return parseError(string(o.Name), o.Value, err)
		}
	}
	l.scratch = o.Scratch()
	if o.Invalid() {
		return parseError("", line, errJSON)
	}
	return nil
}

// parseFields reads delimited fields.
func (l *lines) parseFields(line []byte, b *builder) *ParseError {
	delimiter := l.delimiter
	if delimiter == nil {
		delimiter = l.tryDelimiters(line)
	}
	rest, n, more := line, 0, true
	// Only connection logs have unencoded text that a client chooses.
	check, quotes := l.kind == connectionLog, 0
	for more {
		var text []byte
		var ok bool
		field := rest
		text, rest, more, ok = cutField(rest, delimiter)
		if n++; n > len(l.columns) {
			rest = field // a field that AWS added later
			if check && bytes.Contains(rest, notBefore) {
				return parseError("", line, errQuote)
			}
			break
		}
		c := &l.columns[n-1]
		if check {
			quotes += expectedQuotes(c, field[:len(field)-len(rest)], text)
		}
		switch {
		case !ok && c.set != nil:
			return parseError(c.name, field, errQuote)
		case more && field[0] == ' ' && string(delimiter) == " ":
			return parseError(c.name, field, errEmpty)
		case c.set == nil:
			continue
		case check && bytes.HasPrefix(text, notBefore) && c.name != certValidity: // see hasValidity
			return parseError(c.name, text, errQuote)
		}
		if err := b.set(c.set, text); err != nil {
			return parseError(c.name, text, err)
		}
	}
	switch {
	case l.named && n != len(l.columns):
		return parseError("", line, errFieldNumber)
	case check && bytes.Count(line[:len(line)-len(rest)], quote) != quotes: // see hasValidity
		return parseError("", line, errQuote)
	case n < l.kind.min && !l.named:
		return parseError("", line, errFieldCount)
	}
	return nil
}

// expectedQuotes returns how many quotes a field with this text may have. A field
// of an unknown column may have any number.
func expectedQuotes(c *column, field, text []byte) int {
	switch {
	case c.set == nil:
		return bytes.Count(field, quote)
	case len(field) > 0 && field[0] == '"':
		return 2 + bytes.Count(text, quote)
	}
	return 0
}

// tryDelimiters finds the delimiter that splits the line into the right number of
// fields, and remembers it.
func (l *lines) tryDelimiters(line []byte) []byte {
	for _, d := range [][]byte{[]byte("\t"), l.between, []byte(","), []byte(" "), []byte(";"), []byte("|")} {
		if countFields(line, d) == len(l.columns) {
			l.delimiter = d
			return d
		}
	}
	return l.between
}

func countFields(line, delimiter []byte) (n int) {
	for more := true; more; n++ {
		_, line, more, _ = cutField(line, delimiter)
	}
	return n
}

// cutField cuts off the first field. A field that begins with a quote ends at a
// quote before a delimiter or the end of the line; a backslash escapes the character
// after it. The text has no enclosing quotes, and keeps its escapes. A quote without
// an end is not ok.
func cutField(line, delimiter []byte) (text, rest []byte, more, ok bool) {
	if len(line) > 0 && line[0] == '"' {
		for i := 1; i < len(line); i++ {
			switch {
			case line[i] == '\\':
				i++
			case line[i] != '"':
			case i+1 == len(line):
				return line[1:i], nil, false, true
			case bytes.HasPrefix(line[i+1:], delimiter):
				return line[1:i], line[i+1+len(delimiter):], true, true
			}
		}
		text, rest, more = bytes.Cut(line, delimiter)
		return text, rest, more, false
	}
	if len(delimiter) == 1 {
		if i := bytes.IndexByte(line, delimiter[0]); i >= 0 {
			return line[:i], line[i+1:], true, true
		}
		return line, nil, false, true
	}
	text, rest, more = bytes.Cut(line, delimiter)
	return text, rest, more, true
}
