package connlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

const (
	bufferSize = 4 * MaxLineBytes // decompressed text: several of the longest lines
	sourceSize = 32 << 10         // bytes as stored
)

// A Reader reads the entries of one log object. Gzip is recognised by its
// magic number, not by a name; several gzip members may follow each other.
// Memory does not grow with the input.
type Reader struct {
	parser Parser
	src    source
	plain  *bufio.Reader // over src
	gz     *gzip.Reader  // over plain; made when it is first needed
	buf    []byte
	state
}

// state is what Reset clears.
type state struct {
	in    io.Reader // plain or gz; nil until the first read
	start int       // buf[start:end] is read but not parsed
	end   int
	err   error // from in; sticky, reported once buf is used up
	skip  bool  // the rest of an over-long line is to be skipped
	line  int
	bytes int64

	native  bool         // lines are of the format that Parser parses; otherwise see readOther
	begun   bool         // the first line is read
	other   *lines       // nil as long as the format is not known
	refused *FormatError // the stream is no log that is read
}

// A source is the reader that the caller gave. It remembers its own error,
// which tells a broken transfer from broken data.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// NewReader returns a Reader of the log in r. Nothing is read before the first
// call of Read.
func NewReader(r io.Reader) *Reader {
	z := &Reader{buf: make([]byte, bufferSize)}
	z.plain = bufio.NewReaderSize(&z.src, sourceSize)
	z.src.r = r
	return z
}

// Reset makes z read from r as if it were new, keeping its buffers and names.
func (z *Reader) Reset(r io.Reader) {
	z.src = source{r: r}
	z.plain.Reset(&z.src)
	z.state = state{}
}

// Lines returns the number of lines read so far, malformed ones included.
func (z *Reader) Lines() int { return z.line }

// Bytes returns the number of bytes read so far, after decompression.
func (z *Reader) Bytes() int64 { return z.bytes }

// Read reads the next entry into e. Blank lines are passed over.
//
// It returns a *[ParseError] for a malformed line, after which reading goes on
// with the next line; io.EOF at the clean end of the stream; a *[FormatError] if
// the stream is something else, which its first line tells; and any other
// error, wrapped, if the stream itself is broken: an error of the underlying
// reader, or gzip data that is cut, corrupt or followed by anything else, zeros
// included. An object whose stream is broken has to be read again from its
// start.
func (z *Reader) Read(e *Entry) error {
	for {
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
		if !z.native {
			if pass, err := z.readOther(text, e); !pass {
				return err
			}
			continue
		}
		if len(text) > MaxLineBytes {
			err := parseError("", text, ErrLineTooLong)
			err.Line = z.line
			return err
		}
		if err := z.parser.parse(text, e); err != nil {
			err.Line = z.line
			return err
		}
		return nil
	}
}

// next returns the next line without its line feed. Of a line that is too long
// it returns the start, longer than MaxLineBytes.
func (z *Reader) next() ([]byte, error) {
	from := z.start // where to look for the line feed
	for {
		if i := bytes.IndexByte(z.buf[from:z.end], '\n'); i >= 0 {
			text := z.buf[z.start : from+i]
			z.start, from = from+i+1, from+i+1
			if z.skip {
				z.skip = false
				continue
			}
			z.line++
			return text, nil
		}
		if z.skip {
			z.start = z.end
		}
		if n := z.end - z.start; n > MaxLineBytes+1 { // one more for a carriage return
			text := z.buf[z.start:z.end]
			z.start = z.end
			z.skip = true
			z.line++
			return text, nil
		}
		if z.err != nil {
			text := z.buf[z.start:z.end]
			z.start = z.end
			if len(text) > 0 && z.err == io.EOF { // no line feed at the end
				z.line++
				return text, nil
			}
			return nil, z.streamError(z.err)
		}
		// Keep the partial line, at the front, and read more behind it.
		z.end = copy(z.buf, z.buf[z.start:z.end])
		z.start = 0
		from = z.end
		z.fill()
	}
}

// fill reads once into the free end of the buffer and notes the error, if any.
func (z *Reader) fill() {
	if z.in == nil {
		if z.err = z.open(); z.err != nil {
			return
		}
	}
	n, err := z.in.Read(z.buf[z.end:])
	z.end += n
	z.bytes += int64(n)
	if err == io.EOF && z.in == io.Reader(z.gz) {
		err = z.openMember() // if there is another
	}
	z.err = err
}

// open decides between gzip (RFC 1952, section 2.3.1) and plain text.
func (z *Reader) open() error {
	magic, err := z.plain.Peek(2)
	if err != nil && err != io.EOF {
		return err
	}
	if len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		z.in = z.plain
		return nil
	}
	if z.gz == nil {
		z.gz = new(gzip.Reader)
	}
	z.in = z.gz
	return z.openMember()
}

// openMember begins the next gzip member, or returns io.EOF at the end of the
// source. It does the work of the library's multistream mode, in which a
// member whose header is cut may pass for the end.
func (z *Reader) openMember() error {
	if _, err := z.plain.Peek(1); err != nil {
		return err
	}
	if err := z.gz.Reset(z.plain); err == io.EOF {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	z.gz.Multistream(false)
	return nil
}

// ErrCorrupt is found with errors.Is in the error for gzip data that is cut or
// corrupt. Unless the transfer cut it, reading the object again does not help.
var ErrCorrupt = errors.New("gzip data is cut or corrupt")

// streamError tells broken data from an error of the underlying reader.
func (z *Reader) streamError(err error) error {
	switch {
	case err == io.EOF:
		return err
	case z.refused != nil:
		return z.refused
	case z.src.err != nil:
		return fmt.Errorf("reading after line %d: %w", z.line, z.src.err)
	}
	return fmt.Errorf("%w after line %d: %w", ErrCorrupt, z.line, err)
}
