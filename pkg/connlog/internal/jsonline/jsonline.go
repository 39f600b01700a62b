// Package jsonline reads JSON objects (RFC 8259), one on a line, member by
// member. Strings without escapes are not copied, and nothing is allocated.
package jsonline

import (
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"

	"tlswatch/pkg/connlog/internal/scan"
)

// An Object walks over the members of a JSON object that fills a line.
type Object struct {
	Name   []byte // of the current member
	Value  []byte // its text if it is a string, nil if it is null, otherwise the JSON of the value
	Nested bool   // the value is an object or an array

	rest    []byte // what follows the current member
	scratch []byte // texts of strings with escapes
	begun   bool
	ended   bool
	invalid bool
}

// New returns the object in line. It writes to scratch, which may be nil. The
// texts of members are valid as long as line and scratch are.
func New(line, scratch []byte) Object { return Object{rest: line, scratch: scratch[:0]} }

// Scratch returns the buffer given to New, which may have grown.
func (o *Object) Scratch() []byte { return o.scratch }

// Invalid reports whether the line is not a JSON object, which is certain only
// after Next has returned false.
func (o *Object) Invalid() bool { return o.invalid }

// Next reads a member and reports whether there was one.
func (o *Object) Next() bool {
	if o.ended || o.invalid {
		return false
	}
	o.space()
	opening := byte(',')
	if !o.begun {
		opening = '{'
	}
	switch {
	case o.begun && o.take('}'):
		return o.end()
	case !o.take(opening):
		return o.fail()
	}
	o.space()
	if !o.begun {
		o.begun = true
		if o.take('}') {
			return o.end()
		}
	}
	var ok bool
	if o.Name, ok = o.text(); !ok {
		return o.fail()
	}
	o.space()
	if !o.take(':') {
		return o.fail()
	}
	o.space()
	if !o.read() {
		return o.fail()
	}
	return true
}

func (o *Object) fail() bool {
	o.invalid = true
	return false
}

// end allows only space behind the object.
func (o *Object) end() bool {
	o.space()
	if len(o.rest) > 0 {
		return o.fail()
	}
	o.ended = true
	return false
}

func (o *Object) space() {
	for len(o.rest) > 0 && (o.rest[0] == ' ' || o.rest[0] == '\t' || o.rest[0] == '\r' || o.rest[0] == '\n') {
		o.rest = o.rest[1:]
	}
}

func (o *Object) take(c byte) bool {
	if len(o.rest) == 0 || o.rest[0] != c {
		return false
	}
	o.rest = o.rest[1:]
	return true
}

// read reads any value.
func (o *Object) read() (ok bool) {
	o.Nested = false
	if len(o.rest) == 0 {
		return false
	}
	switch o.rest[0] {
	case '"':
		o.Value, ok = o.text()
		return ok
	case '{', '[':
		o.Nested = true
		n := nested(o.rest)
		o.Value, o.rest = o.rest[:n], o.rest[n:]
		return json.Valid(o.Value)
	}
	n := 0
	for n < len(o.rest) && o.rest[n] != ',' && o.rest[n] != '}' && o.rest[n] > ' ' {
		n++
	}
	o.Value, o.rest = o.rest[:n], o.rest[n:]
	if string(o.Value) == "null" {
		o.Value = nil
		return true
	}
	return plainNumber(o.Value) || json.Valid(o.Value)
}

// plainNumber reports whether b is a number without sign and exponent, as in
// logs. Package json checks all other values.
func plainNumber(b []byte) bool {
	if len(b) == 0 || b[0] == '0' && len(b) > 1 && b[1] != '.' {
		return false
	}
	point := 0
	for i, c := range b {
		if c == '.' && point == 0 && i > 0 {
			point = i
		} else if c < '0' || c > '9' {
			return false
		}
	}
	return point == 0 || point < len(b)-1
}

// nested returns the length of an object or array by its brackets alone.
func nested(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	return len(b)
}

// text reads a string.
func (o *Object) text() ([]byte, bool) {
	if !o.take('"') {
		return nil, false
	}
	for i, c := range o.rest {
		switch {
		case c == '"':
			text := o.rest[:i]
			o.rest = o.rest[i+1:]
			return text, true
		case c == '\\':
			return o.escaped(i)
		case c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// escapes are the characters after a backslash, and what they stand for.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escaped reads a string whose first escape is at n.
func (o *Object) escaped(n int) ([]byte, bool) {
	start := len(o.scratch)
	for {
		o.scratch = append(o.scratch, o.rest[:n]...)
		o.rest = o.rest[n:]
		switch {
		case len(o.rest) == 0 || o.rest[0] < ' ':
			return nil, false
		case o.rest[0] == '"':
			o.rest = o.rest[1:]
			return o.scratch[start:len(o.scratch):len(o.scratch)], true
		case len(o.rest) > 1 && o.rest[1] == 'u':
			r, ok := o.unicode()
			if !ok {
				return nil, false
			}
			o.scratch = utf8.AppendRune(o.scratch, r)
		case len(o.rest) > 1 && escapes[o.rest[1]] != 0:
			o.scratch = append(o.scratch, escapes[o.rest[1]])
			o.rest = o.rest[2:]
		default:
			return nil, false
		}
		for n = 0; n < len(o.rest) && o.rest[n] != '"' && o.rest[n] != '\\' && o.rest[n] >= ' '; n++ {
		}
	}
}

// unicode reads "\u20ac", and both halves of a surrogate pair. Half of a pair is
// read as U+FFFD.
func (o *Object) unicode() (rune, bool) {
	first, ok := hex4(o.rest)
	if !ok {
		return 0, false
	}
	o.rest = o.rest[6:]
	if !utf16.IsSurrogate(first) {
		return first, true
	}
	if second, ok := hex4(o.rest); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			o.rest = o.rest[6:]
			return r, true
		}
	}
	return utf8.RuneError, true
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		d, ok := scan.HexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}
