package connlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"tlswatch/pkg/connlog/internal/export"
	"tlswatch/pkg/inflate"
)

// A Reader reads the entries of one log object. It recognizes gzip by its magic
// number, not by a name; there may be several gzip members. Memory does not grow
// with the input.
type Reader struct {
	parser    Parser
	limit     int64
	readAhead bool

	src     source
	peeked  *bufio.Reader // over src
	plain   plain
	gz      *inflate.Reader // over peeked; made when it is first needed
	buffers []inflate.Buffer
	state
}

// state is what Reset clears.
type state struct {
	in    chunks // nil until the first read
	base  chunks // in, or what it reads the text from
	wraps int    // how often the text had something around the entries
	begun bool   // the first line was looked at
	text  []byte // read but not parsed
	err   error  // from in; sticky, reported once text is used up
	skip  bool   // the rest of a line that is too long has to be skipped
	line  int
	bytes int64

	native  bool         // lines have the format of Parser; otherwise see readOther
	other   *lines       // nil while the format is unknown
	unknown int          // lines read while the format was unknown
	short   int          // lines shorter than minLine
	refused *FormatError // the stream is not a log that a Reader reads
}

// An Option sets up a Reader.
type Option func(*Reader)

// Limit bounds the bytes of a stream, after decompression. Beyond the limit, reading
// fails with [ErrTooLarge]. 0 means no limit.
func Limit(bytes int64) Option { return func(z *Reader) { z.limit = bytes } }

// ReadAhead lets a goroutine of the Reader decompress ahead while entries are
// used. On an idle core it takes a third off the time that a large object
// needs, for a little more work in all. The goroutine ends when Read has
// returned an error other than a ParseError, or with Reset: one of them has to
// come.
func ReadAhead(z *Reader) { z.readAhead = true }

// NewReader returns a Reader of the log in r. Nothing is read before the first
// call of Read.
func NewReader(r io.Reader, options ...Option) *Reader {
	z := new(Reader)
	for _, o := range options {
		o(z)
	}
	z.peeked = bufio.NewReaderSize(&z.src, 16)
	z.src.r = r
	return z
}

// Reset makes z read from r as if it were new. It keeps the options, buffers and
// names.
func (z *Reader) Reset(r io.Reader) {
	z.close()
	z.src = source{r: r}
	z.peeked.Reset(&z.src)
	z.state = state{}
	z.parser.lbOptional = false
}

// IgnoreLoadBalancer lets the Reader drop a load balancer of unknown form instead of
// the line, until Reset. It is for callers that know the load balancer, for example from
// the object's key.
func (z *Reader) IgnoreLoadBalancer() { z.parser.lbOptional = true }

// close ends the goroutine of ReadAhead.
func (z *Reader) close() {
	if a, ok := z.base.(*ahead); ok {
		a.close()
	}
	z.in, z.base = nil, nil
}

// Lines returns the number of lines read so far, malformed ones included.
func (z *Reader) Lines() int { return z.line }

// Bytes returns the number of bytes read so far, after decompression.
func (z *Reader) Bytes() int64 { return z.bytes }

// Read reads the next entry into e. It skips blank lines.
//
// The error is a *[ParseError] for a malformed line, after which reading can
// continue with the next one; io.EOF at the clean end of the stream; a
// *[FormatError] if the first lines show that the stream is something else; and
// any other error, wrapped, if the stream itself is broken: an error of the
// underlying reader, gzip data that is truncated, corrupt or followed by anything
// but zeros, or more bytes than the Limit. An object whose stream is
// broken has to be read again from its start.
//
// After 1,000 lines that are too short for an entry, the errors for more of them
// have no line number.
func (z *Reader) Read(e *Entry) error {
	start := 0
	if z.native && !z.skip {
		var end int
		if start, end = z.parser.usual(z.text, e); end > 0 {
			z.text = z.text[end:]
			z.line++
			return nil
		}
	}
	for ; ; start = 0 {
		z.skipBlank()
		text, err := z.next()
		if err != nil {
			return err
		}
		if n := len(text); n > 0 && text[n-1] == '\r' {
			text = text[:n-1]
		}
		if len(text) == 0 {
			continue
		}
		if len(text) < minLine && text[0] != '#' { // not a W3C directive
			if z.short++; z.short > maxShort {
				return tooShort
			}
		}
		if !z.native {
			if pass, err := z.readOther(text, e); !pass {
				return err
			}
			continue
		}
		if len(text) > MaxLineBytes {
			err := parseError("", text, errLineTooLong)
			err.Line = z.line
			return err
		}
		if err := z.parser.parse(text, start, e); err != nil {
			err.Line = z.line
			return err
		}
		return nil
	}
}

// Lines that are too short for an entry are parsed like others at first. Beyond
// maxShort of them, each takes a few nanoseconds and gives the same error: an
// object of many gigabytes must not take hours because its lines are tiny.
const (
	minLine  = len("2006-01-02T15:04:05") // every entry has a time
	maxShort = 1000
)

var tooShort = &ParseError{Err: errLineTooShort}

const blankLines = '\n' * ones

var blankLinesCR = textAsWord("\r\n\r\n\r\n\r\n")

// skipBlank skips blank lines, eight bytes at a time.
func (z *Reader) skipBlank() {
	if z.skip {
		return
	}
	text := z.text
	for len(text) > 0 && text[0] <= '\r' {
		switch {
		case len(text) >= 8 && load(text) == blankLines:
			text, z.line = text[8:], z.line+8
		case len(text) >= 8 && load(text) == blankLinesCR:
			text, z.line = text[8:], z.line+4
		case text[0] == '\n':
			text, z.line = text[1:], z.line+1
		case len(text) >= 2 && text[0] == '\r' && text[1] == '\n':
			text, z.line = text[2:], z.line+1
		default:
			z.text = text
			return
		}
	}
	z.text = text
}

// next returns the next line without its line feed. If the line is too long, it
// returns the start, which is longer than MaxLineBytes.
func (z *Reader) next() ([]byte, error) {
	from := 0 // where to look for the line feed
	for {
		if i := bytes.IndexByte(z.text[from:], '\n'); i >= 0 {
			text := z.text[:from+i]
			z.text = z.text[from+i+1:]
			from = 0
			if z.skip {
				z.skip = false
				continue
			}
			z.line++
			return text, nil
		}
		if z.skip {
			z.text = nil
		}
		if len(z.text) > MaxLineBytes+1 { // one more for a carriage return
			text := z.text
			z.text = nil
			z.skip = true
			z.line++
			return text, nil
		}
		if z.err != nil {
			text := z.text
			z.text = nil
			if len(text) > 0 && z.err == io.EOF { // no line feed at the end
				z.line++
				return text, nil
			}
			return nil, z.streamError(z.err)
		}
		from = len(z.text)
		z.fill()
		if !z.begun && z.begin() {
			from = 0
		}
	}
}

// fill reads once, after the partial line, and keeps the error, if any.
func (z *Reader) fill() {
	if z.in == nil {
		if z.in, z.err = z.open(); z.err != nil {
			return
		}
		z.base = z.in
	}
	keep := len(z.text)
	z.text, z.err = z.in.Next(keep)
	z.bytes += int64(len(z.text) - keep)
	if z.limit > 0 && z.bytes > z.limit {
		z.err = fmt.Errorf("%w: %d bytes", ErrTooLarge, z.limit)
	}
}

// open decides between gzip (RFC 1952, section 2.3.1) and plain text.
func (z *Reader) open() (chunks, error) {
	magic, err := z.peeked.Peek(2)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if z.buffers == nil {
		z.buffers = make([]inflate.Buffer, 1)
	}
	if len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		z.plain = plain{r: z.peeked, buf: &z.buffers[0]}
		return &z.plain, nil
	}
	if z.gz == nil {
		z.gz = inflate.NewReader(nil)
		z.gz.Use(&z.buffers[0])
	}
	z.gz.Reset(z.peeked)
	if !z.readAhead {
		return z.gz, nil
	}
	if len(z.buffers) < groups*groupSize {
		z.buffers = make([]inflate.Buffer, groups*groupSize)
	}
	return readAhead(z.gz, z.buffers), nil
}

// ErrTooLarge is found with errors.Is in the error for a stream that exceeds its
// [Limit].
var ErrTooLarge = errors.New("text exceeds the limit")

// ErrCorrupt is found with errors.Is in the error for gzip data, or JSON or CSV around
// the entries, that is truncated or corrupt. Unless the transfer truncated it, reading the object again does not
// help.
var ErrCorrupt = errors.New("gzip data is cut or corrupt")

// A corruptExport is an ErrCorrupt that is not about gzip data.
type corruptExport struct{ error }

func (e *corruptExport) Is(target error) bool { return target == ErrCorrupt }
func (e *corruptExport) Unwrap() error        { return e.error }

// streamError separates broken data from an error of the underlying reader.
func (z *Reader) streamError(err error) error {
	z.close()
	switch {
	case err == io.EOF:
		return err
	case z.refused != nil:
		return z.refused
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("after line %d: %w", z.line, err)
	case errors.As(err, new(*export.Error)):
		return &corruptExport{fmt.Errorf("after line %d: %w", z.line, err)}
	case z.src.err != nil:
		return fmt.Errorf("reading after line %d: %w", z.line, z.src.err)
	}
	return fmt.Errorf("%w after line %d: %w", ErrCorrupt, z.line, err)
}
