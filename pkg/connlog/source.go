package connlog

import (
	"bytes"
	"io"

	"tlswatch/pkg/inflate"
)

// chunks are parts of the text, as [inflate.Reader.Next] returns them.
type chunks interface {
	Next(keep int) ([]byte, error)
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

// plain are the chunks of text that is not compressed.
type plain struct {
	r   io.Reader
	buf *inflate.Buffer
	n   int
	err error
}

func (p *plain) Next(keep int) ([]byte, error) {
	if len(p.buf)-p.n < len(p.buf)/4 {
		p.n = copy(p.buf[:], p.buf[p.n-keep:p.n])
	}
	from := p.n
	for range 100 {
		if p.err != nil {
			return p.buf[from-keep : from], p.err
		}
		var n int
		n, p.err = p.r.Read(p.buf[p.n:])
		if p.n += n; n > 0 {
			return p.buf[from-keep : p.n], nil
		}
	}
	return p.buf[from-keep : from], io.ErrNoProgress
}

// ahead are chunks that a goroutine decompresses while the last one is used.
type ahead struct {
	ready chan chunk // closed when stopped
	free  chan *inflate.Buffer
	stop  chan struct{}
	last  chunk
}

// A chunk is a result of [inflate.Reader.Next], which was asked to keep some.
type chunk struct {
	text []byte
	kept int
	err  error
	buf  *inflate.Buffer
}

// aheadBuffers is how many buffers go round: one is filled, one is used, and
// one evens out their pace.
const aheadBuffers = 3

// readAhead begins to decompress from gz, which belongs to the goroutine until
// it ends: after an error, which io.EOF is, or close.
func readAhead(gz *inflate.Reader, buffers []inflate.Buffer) *ahead {
	a := &ahead{
		ready: make(chan chunk, aheadBuffers),
		free:  make(chan *inflate.Buffer, aheadBuffers),
		stop:  make(chan struct{}),
	}
	for i := range buffers {
		a.free <- &buffers[i]
	}
	go a.run(gz)
	return a
}

func (a *ahead) run(gz *inflate.Reader) {
	defer close(a.ready)
	keep := 0
	for {
		var c chunk
		select {
		case c.buf = <-a.free:
		case <-a.stop:
			return
		}
		gz.Use(c.buf)
		c.kept = keep
		c.text, c.err = gz.Next(keep)
		// Who uses it will need no more than the line that it does not end.
		keep = min(len(c.text)-1-bytes.LastIndexByte(c.text, '\n'), inflate.MaxKeep)
		a.ready <- c // there is room for every buffer
		if c.err != nil {
			return
		}
	}
}

func (a *ahead) Next(keep int) ([]byte, error) {
	if a.last.err != nil {
		return a.last.text[len(a.last.text)-keep:], a.last.err
	}
	// Its text is in the next chunk as well, as far as it is kept.
	used := a.last.buf
	a.last = <-a.ready
	if used != nil {
		a.free <- used
	}
	return a.last.text[a.last.kept-keep:], a.last.err
}

// close ends the goroutine, and waits for it.
func (a *ahead) close() {
	close(a.stop)
	for range a.ready {
	}
}
