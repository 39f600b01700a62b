package accesslog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"tlswatch/pkg/inflate"
)

// maxLine is the longest line in bytes. A request line and a user agent have at most
// 16 KB each.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
const maxLine = 64 << 10

// A Tally counts what was read.
type Tally struct {
	Bytes     int64  // of text, after decompression
	Lines     uint64 // that are not blank
	Untraced  uint64 // lines without a trace id: written before May 2024, "-", or too long
	Malformed uint64 // wanted lines that are not log entries
}

func (t *Tally) add(u Tally) {
	t.Bytes += u.Bytes
	t.Lines += u.Lines
	t.Untraced += u.Untraced
	t.Malformed += u.Malformed
}

var errForeign = errors.New("not an access log of an Application Load Balancer")

// Read reads an access log, compressed with gzip or not, and counts the requests of the
// wanted connections. The error is about the stream: cut or corrupt gzip data, an error
// of r, or text that is something else.
func (j *Join) Read(r io.Reader) (Tally, error) {
	s := scanner{j: j}
	err := s.read(r)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tally.add(s.tally)
	return s.tally, err
}

// A scanner reads one log.
type scanner struct {
	j     *Join
	tally Tally
	skip  bool // the rest of a line that is too long
}

func (s *scanner) read(r io.Reader) error {
	peeked := bufio.NewReaderSize(r, 1<<16)
	magic, err := peeked.Peek(2)
	if err != nil && err != io.EOF {
		return err
	}
	var z interface {
		Next(keep int) ([]byte, error)
	} = &plain{r: peeked}
	if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z = inflate.NewReader(peeked)
	}
	var text []byte
	for {
		keep := len(text)
		text, err = z.Next(keep)
		s.tally.Bytes += int64(len(text) - keep)
		for {
			i := bytes.IndexByte(text[keep:], '\n')
			if i < 0 {
				break
			}
			if err := s.line(text[:keep+i]); err != nil {
				return err
			}
			text = text[keep+i+1:]
			keep = 0
		}
		if len(text) > maxLine {
			if err := s.line(text); err != nil {
				return err
			}
			s.skip = true
			text = nil
		}
		switch {
		case err == io.EOF:
			return s.line(text)
		case err != nil:
			return fmt.Errorf("after line %d: %w", s.tally.Lines, err)
		}
	}
}

func (s *scanner) line(line []byte) error {
	if s.skip {
		s.skip = false
		return nil
	}
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) == 0 {
		return nil
	}
	s.tally.Lines++
	if len(line) > maxLine {
		s.tally.Untraced++
		return nil
	}
	if s.tally.Lines == 1 {
		if _, err := parse(line); errors.Is(err, errType) {
			return errForeign
		}
	}
	id := traceID(line)
	if id == nil {
		s.tally.Untraced++
		return nil
	}
	client, ok := s.j.find(id)
	if !ok {
		return nil
	}
	r, err := parse(line)
	switch {
	case err != nil:
		s.tally.Malformed++
	case bytes.Equal(r.traceID, id): // not in the text of another field
		s.j.count(client, &r)
	}
	return nil
}

var idPrefix = []byte(" TID_")

// idLength is the length of the trace ids that are known: 32 hexadecimal digits.
const idLength = len("TID_") + 32

// traceID returns what is most likely the trace id of a line, without parsing the other
// fields, or nil.
func traceID(line []byte) []byte {
	if n := len(line) - idLength; n > 0 && bytes.HasPrefix(line[n-1:], idPrefix) {
		return line[n:] // the last field, until those on URL rewriting
	}
	i := bytes.LastIndex(line, idPrefix)
	if i < 0 {
		return nil
	}
	id := line[i+1:]
	if end := bytes.IndexByte(id, ' '); end >= 0 {
		id = id[:end]
	}
	return id
}

// plain returns the chunks of text that is not compressed.
type plain struct {
	r   io.Reader
	buf []byte
	n   int
}

func (p *plain) Next(keep int) ([]byte, error) {
	if p.buf == nil {
		p.buf = make([]byte, 4*maxLine)
	}
	p.n = copy(p.buf, p.buf[p.n-keep:p.n])
	n, err := p.r.Read(p.buf[p.n:])
	p.n += n
	if n > 0 {
		err = nil // it comes again
	}
	return p.buf[:p.n], err
}
