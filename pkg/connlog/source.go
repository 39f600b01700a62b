package connlog

import (
	"bytes"
	"io"
	"slices"

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

// ahead are chunks that a goroutine decompresses while others are used. They
// change hands several at a time: to wake a goroutine costs as much as to
// decompress a tenth of a chunk.
type ahead struct {
	ready chan *batch // closed when stopped
	free  chan *batch
	stop  chan struct{}
	now   *batch // in use; nil before the first
	last  chunk
}

// A batch is a sequence of chunks.
type batch struct {
	buffers []inflate.Buffer
	chunks  []chunk
	used    int
}

// A chunk is a result of [inflate.Reader.Next], which was asked to keep some.
type chunk struct {
	text []byte
	kept int
	err  error
}

const (
	batches   = 3 // one is filled, one is used, and one evens out their pace
	batchSize = 2 // chunks
)

// readAhead begins to decompress from gz, which belongs to the goroutine until
// it ends: after an error, which io.EOF is, or close.
func readAhead(gz *inflate.Reader, buffers []inflate.Buffer) *ahead {
	a := &ahead{
		ready: make(chan *batch, batches),
		free:  make(chan *batch, batches),
		stop:  make(chan struct{}),
	}
	for buffers := range slices.Chunk(buffers, batchSize) {
		a.free <- &batch{buffers: buffers, chunks: make([]chunk, 0, batchSize)}
	}
	go a.run(gz)
	return a
}

func (a *ahead) run(gz *inflate.Reader) {
	defer close(a.ready)
	keep := 0
	for {
		var b *batch
		select {
		case b = <-a.free:
		case <-a.stop:
			return
		}
		b.chunks, b.used = b.chunks[:0], 0
		var c chunk
		for more := true; more && len(b.chunks) < batchSize; {
			gz.Use(&b.buffers[len(b.chunks)])
			c.kept = keep
			c.text, c.err = gz.Next(keep)
			b.chunks = append(b.chunks, c)
			// What is short was all that had come, and more may take a while.
			more = c.err == nil && len(c.text)-keep >= inflate.MaxKeep/2
			// Who uses it will need no more than the line that it does not end.
			keep = min(len(c.text)-1-bytes.LastIndexByte(c.text, '\n'), inflate.MaxKeep)
		}
		a.ready <- b // there is room for every batch
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
	if a.now == nil || a.now.used == len(a.now.chunks) {
		done := a.now
		a.now = <-a.ready
		if done != nil {
			a.free <- done
		}
	}
	a.last = a.now.chunks[a.now.used]
	a.now.used++
	return a.last.text[a.last.kept-keep:], a.last.err
}

// close ends the goroutine, and waits for it.
func (a *ahead) close() {
	close(a.stop)
	for range a.ready {
	}
}
