package export

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// separator returns what separates the columns of CSV (RFC 4180) if the line is its
// header, or 0. Athena quotes all names; CloudWatch Logs Insights has names with "@".
func separator(line []byte) rune {
	for _, comma := range ",;\t" {
		r := csv.NewReader(bytes.NewReader(line))
		r.Comma = comma
		names, err := r.Read()
		if err != nil || len(names) < 2 || slices.Contains(names, "") {
			continue
		}
		if line[0] == '"' || slices.Contains(names, atMessage) {
			return comma
		}
	}
	return 0
}

// csvReader reads the records of a CSV file as JSON objects, or the messages in them.
type csvReader struct {
	output
	in      *bounded
	csv     *csv.Reader
	names   []string // nil before the header
	message int      // column of the message, -1 if there is none
}

func newCSV(r io.Reader, comma rune) io.Reader {
	in := newBounded(r)
	c := csv.NewReader(bufio.NewReaderSize(in, 4096))
	c.Comma, c.ReuseRecord = comma, true
	return &csvReader{in: in, csv: c}
}

func (c *csvReader) Read(p []byte) (int, error) { return c.read(p, c.next) }

// next reads a record.
func (c *csvReader) next() error {
	c.in.next(c.csv.InputOffset())
	record, err := c.csv.Read()
	bad, isBad := errors.AsType[*csv.ParseError](err)
	switch {
	case isBad: // one invalid entry
		c.entry(bad.StartLine-1, []byte(err.Error()))
		return nil
	case err == io.EOF:
		return err
	case err != nil:
		return fmt.Errorf("CSV: %w", err)
	}
	line, _ := c.csv.FieldPos(0)
	switch {
	case c.names == nil:
		c.names = slices.Clone(record)
		c.message = slices.IndexFunc(c.names, func(name string) bool { return name == atMessage })
	case slices.Equal(record, c.names): // files joined to one
	case c.message >= 0:
		c.entry(line-1, []byte(record[c.message]))
	default:
		var b strings.Builder
		for i, field := range record {
			b.WriteByte("{,"[min(i, 1)])
			n, _ := json.Marshal(c.names[i]) // of a string
			v, _ := json.Marshal(field)
			b.Write(n)
			b.WriteByte(':')
			b.Write(v)
		}
		b.WriteByte('}')
		c.entry(line-1, []byte(b.String()))
	}
	return nil
}

// prefixed reads lines that begin with words that are not of the entry. A line that does
// not begin with a time is a part of the entry before, and stays as it is.
type prefixed struct {
	output
	in    *bufio.Reader
	words int
}

func newPrefixed(r io.Reader, words int) io.Reader {
	return &prefixed{in: bufio.NewReaderSize(r, maxValue), words: words}
}

func (p *prefixed) Read(b []byte) (int, error) { return p.read(b, p.next) }

// next reads a line, or a part of one that is longer than an entry.
func (p *prefixed) next() error {
	line, err := p.in.ReadSlice('\n')
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return err
	}
	rest := line
	for i := range p.words {
		word, after, ok := bytes.Cut(rest, []byte(" "))
		if i == 0 && !isTime(word) || !ok {
			rest = line
			break
		}
		rest = after
	}
	p.Write(rest)
	if err == bufio.ErrBufferFull {
		return nil
	}
	return err
}
