package connlog

import (
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// An object walks over the members of a JSON object that fills a line. It needs
// no memory for strings without escapes.
type object struct {
	rest    []byte // what follows the last member
	scratch []byte // texts of strings with escapes
	begun   bool
	ended   bool
	broken  bool // there is no further member, and no end

	name    []byte
	value   []byte // text of a string, or the source of any other value; nil for null
	complex bool   // the value is an object or an array
}

// next reads a member and reports whether there was one. The texts are valid as
// long as line and scratch are.
func (o *object) next() bool {
	if o.ended || o.broken {
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
	if o.name, ok = o.text(); !ok {
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

func (o *object) fail() bool {
	o.broken = true
	return false
}

// end allows nothing but space behind the object.
func (o *object) end() bool {
	o.space()
	if len(o.rest) > 0 {
		return o.fail()
	}
	o.ended = true
	return false
}

func (o *object) space() {
	for len(o.rest) > 0 && (o.rest[0] == ' ' || o.rest[0] == '\t' || o.rest[0] == '\r' || o.rest[0] == '\n') {
		o.rest = o.rest[1:]
	}
}

func (o *object) take(c byte) bool {
	if len(o.rest) == 0 || o.rest[0] != c {
		return false
	}
	o.rest = o.rest[1:]
	return true
}

// read reads any value.
func (o *object) read() (ok bool) {
	o.complex = false
	if len(o.rest) == 0 {
		return false
	}
	switch o.rest[0] {
	case '"':
		o.value, ok = o.text()
		return ok
	case '{', '[':
		o.complex = true
		n := nested(o.rest)
		o.value, o.rest = o.rest[:n], o.rest[n:]
		return json.Valid(o.value)
	}
	n := 0
	for n < len(o.rest) && o.rest[n] != ',' && o.rest[n] != '}' && o.rest[n] > ' ' {
		n++
	}
	o.value, o.rest = o.rest[:n], o.rest[n:]
	if string(o.value) == "null" {
		o.value = nil
		return true
	}
	return plainNumber(o.value) || json.Valid(o.value)
}

// plainNumber reports whether b is a number without sign or exponent, which is
// what a log has. Any other value is left to the library.
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

// nested returns the length of an object or array, as far as its brackets tell.
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
func (o *object) text() ([]byte, bool) {
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

// escapes are the characters behind a backslash, and what they stand for.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escaped is text for a string with an escape, the first one at n.
func (o *object) escaped(n int) ([]byte, bool) {
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

// unicode reads "\u20ac", and both halves of a surrogate pair. Half a pair is
// U+FFFD.
func (o *object) unicode() (rune, bool) {
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
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}
