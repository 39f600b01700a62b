package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonReader reads entries that are JSON objects, or the messages of log events, from
// JSON of any form. Only one entry is in memory at a time.
type jsonReader struct {
	output
	in    *bounded
	d     *json.Decoder
	stack []frame
}

// A frame is an array or object that has begun.
type frame struct {
	array   bool
	entries bool   // it is an entry, or holds entries
	began   int    // line feeds before it
	holder  bool   // an object with other entries in it
	named   bool   // the name of a member was read, and its value comes next
	key     string // of that member
	members []byte // of an object, as JSON; in an array, of a row of a query's results
	text    string // of the member or row message
	hasText bool

	field, value string // members of an element of a row
	isField      bool
}

func newJSON(r io.Reader) io.Reader {
	in := newBounded(r)
	d := json.NewDecoder(in)
	d.UseNumber()
	return &jsonReader{in: in, d: d}
}

func (j *jsonReader) Read(p []byte) (int, error) { return j.read(p, j.next) }

// next reads a token.
func (j *jsonReader) next() error {
	j.in.next(j.d.InputOffset())
	t, err := j.d.Token()
	if err != nil && err != io.EOF {
		j.skipTo(j.in.line(j.d.InputOffset()))
	}
	switch {
	case err == io.EOF && len(j.stack) > 0 || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("JSON ends within a value")
	case err == io.EOF:
		return err
	case err != nil:
		return fmt.Errorf("JSON: %w", err)
	}
	line := j.in.line(j.d.InputOffset())
	switch t := t.(type) {
	case json.Delim:
		switch t {
		case '[', '{':
			j.open(t == '[', line)
		default:
			j.close()
		}
	default:
		if top := j.top(); top != nil && !top.array && !top.named {
			top.key, top.named = t.(string), true // the decoder takes no other name
			return nil
		}
		j.scalar(t, line)
	}
	return nil
}

func (j *jsonReader) top() *frame {
	if len(j.stack) == 0 {
		return nil
	}
	return &j.stack[len(j.stack)-1]
}

// open begins an array or object.
func (j *jsonReader) open(array bool, line int) {
	f := frame{array: array, began: line, entries: true}
	if top := j.top(); top != nil {
		f.entries = top.entries && (top.array || holdsEntries(top.key))
		if f.entries && !top.array {
			top.holder = true
		}
		top.named = false
	}
	j.stack = append(j.stack, f)
}

// close ends an array or object, and writes the entry that it is.
func (j *jsonReader) close() {
	f := *j.top()
	j.stack = j.stack[:len(j.stack)-1]
	switch {
	case !f.entries:
	case f.hasText:
		j.entry(f.began, []byte(f.text))
	case f.array && len(f.members) > 0, !f.array && !f.holder && !f.isField:
		j.entry(f.began, append(append([]byte{'{'}, f.members...), '}'))
	case f.isField:
		if top := j.top(); top != nil {
			top.member(f.field, f.value)
			if f.field == atMessage {
				top.text, top.hasText = f.value, true
			}
		}
	}
}

// scalar reads a value that is neither array nor object.
func (j *jsonReader) scalar(value json.Token, line int) {
	top := j.top()
	text, isString := value.(string)
	switch {
	case top == nil || top.array:
		if top == nil || top.entries { // not an entry, unless it is the text of one
			if !isString {
				text = fmt.Sprint(value)
			}
			j.entry(line, []byte(text))
		}
		return
	case isString && (top.key == message || top.key == atMessage):
		top.text, top.hasText = text, true
	case isString && top.key == "field" && j.inRow():
		top.field, top.isField = text, true
	case isString && top.key == "value":
		top.value = text
	}
	top.member(top.key, value)
	top.named = false
}

// inRow reports whether the current object is in an array of an array, as the columns of
// a query's results are.
func (j *jsonReader) inRow() bool {
	n := len(j.stack)
	return n > 2 && j.stack[n-2].array && j.stack[n-3].array
}

// member adds a member to an object that may be an entry.
func (f *frame) member(name string, value json.Token) {
	if !f.entries || len(f.members) > maxValue {
		return
	}
	if len(f.members) > 0 {
		f.members = append(f.members, ',')
	}
	n, _ := json.Marshal(name) // of a string
	v, err := json.Marshal(value)
	if err != nil {
		v = []byte("null") // no token is like that
	}
	f.members = append(append(append(f.members, n...), ':'), v...)
}
