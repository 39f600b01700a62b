// Package export takes log entries out of what other programs put around them: JSON
// arrays and objects without separators, the output of 'aws logs', CSV, and lines that
// begin with the time and stream of a log event.
package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// A Form is what is around the entries.
type Form struct {
	reader func(io.Reader) io.Reader
}

// Detect returns the form of a text by its beginning, which has at least the first line
// that is not blank. It returns false if each line is an entry.
func Detect(text []byte) (Form, bool) {
	text = bytes.TrimLeft(text, " \t\r\n")
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimRight(line, " \t\r")
	switch {
	case len(line) == 0:
		return Form{}, false
	case line[0] == '[':
		return Form{newJSON}, true
	case line[0] == '{':
		return Form{newJSON}, isNested(line)
	case line[0] == '"' && json.Valid(line):
		return Form{newJSON}, isEntry(line)
	}
	if comma := separator(line); comma != 0 {
		return Form{func(r io.Reader) io.Reader { return newCSV(r, comma) }}, true
	}
	if words := prefix(line); words > 0 {
		return Form{func(r io.Reader) io.Reader { return newPrefixed(r, words) }}, true
	}
	return Form{}, false
}

// isNested reports whether a line that begins like a JSON object is not one entry: it
// has several objects, a part of one, or one with entries in it.
func isNested(line []byte) bool {
	d := json.NewDecoder(bytes.NewReader(line))
	var object map[string]json.RawMessage
	switch err := d.Decode(&object); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		// Where a program breaks the line. A line that was cut off ends elsewhere.
		return strings.IndexByte("{[,", line[len(line)-1]) >= 0
	case err != nil:
		return false
	case d.More():
		return true
	}
	for name, value := range object {
		isText := name == message || name == atMessage
		if isText && isEntry(value) || !isText && holdsEntries(name) {
			return true
		}
	}
	return false
}

// isEntry reports whether the value of a message, which other programs' logs have too,
// looks like an entry.
func isEntry(value json.RawMessage) bool {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return true // an object
	}
	word, _, _ := strings.Cut(text, " ")
	return isTime([]byte(word)) || word == "tls" || strings.HasPrefix(word, "{")
}

// holdsEntries reports whether the value of a member is an entry or a list of entries.
//
//   - events: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
//   - results: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetQueryResults.html
//   - logEvents: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
//   - Records: CloudTrail's files, which the caller refuses by name
func holdsEntries(name string) bool {
	switch name {
	case "events", "results", "logEvents", "Records", message, atMessage:
		return true
	}
	return false
}

// Members and columns that have the text of a log event.
const (
	message   = "message"
	atMessage = "@message"
)

// isTime reports whether a word looks like the time of a log event.
func isTime(word []byte) bool {
	const form = "2006-01-02T15:04:05"
	return len(word) >= len(form) && word[4] == '-' && word[7] == '-' && word[10] == 'T' && word[13] == ':' && word[16] == ':'
}

// prefix returns how many words, the time and perhaps the stream of a log event, are
// before the entry on a line.
func prefix(line []byte) int {
	first, rest, _ := bytes.Cut(line, []byte(" "))
	if !isTime(first) {
		return 0
	}
	for words := 1; words <= 2; words++ {
		word, after, _ := bytes.Cut(rest, []byte(" "))
		if isTime(word) || len(word) > 0 && word[0] == '{' || string(word) == "tls" {
			return words
		}
		rest = after
	}
	return 0
}

// maxValue is the size in bytes of the longest JSON value, CSV record or line that is
// read. An entry is shorter than 64 KiB.
const maxValue = 1 << 20

var errTooLong = errors.New("a value is longer than 1 MiB")

// A bounded reader fails when a value takes more than maxValue bytes, and knows the
// lines.
type bounded struct {
	r      io.Reader
	read   int64   // bytes so far
	until  int64   // bytes that may be read
	feeds  []int64 // offsets of line feeds that no call of line has passed
	passed int     // line feeds before these
}

func newBounded(r io.Reader) *bounded { return &bounded{r: r, until: maxValue} }

func (b *bounded) Read(p []byte) (int, error) {
	if b.read >= b.until {
		return 0, errTooLong
	}
	n, err := b.r.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			b.feeds = append(b.feeds, b.read+int64(i))
		}
	}
	b.read += int64(n)
	return n, err
}

// next allows the next value, which begins at the offset or later.
func (b *bounded) next(offset int64) { b.until = offset + maxValue }

// line returns how many line feeds are before the offset, which never decreases.
func (b *bounded) line(offset int64) int {
	n := 0
	for n < len(b.feeds) && b.feeds[n] < offset {
		n++
	}
	b.feeds = b.feeds[n:]
	b.passed += n
	return b.passed
}

// An output collects lines until they are read.
type output struct {
	bytes.Buffer
	lines int // written
	err   error
}

// entry writes an entry that begins behind a number of line feeds.
func (o *output) entry(line int, text []byte) {
	o.skipTo(line)
	o.Write(bytes.TrimRight(text, "\r\n"))
	o.WriteByte('\n')
	o.lines++
}

// skipTo writes blank lines, so that the next line is the one behind a number of line
// feeds.
func (o *output) skipTo(line int) {
	for ; o.lines < line; o.lines++ {
		o.WriteByte('\n')
	}
}

// read reads what next has written, and calls next for more.
func (o *output) read(p []byte, next func() error) (int, error) {
	for o.Len() == 0 {
		if o.err != nil {
			return 0, o.err
		}
		o.err = next()
	}
	return o.Buffer.Read(p)
}
