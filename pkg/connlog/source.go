package connlog

import (
	"bytes"
	"io"
	"slices"

	"tlswatch/pkg/inflate"
)

// chunks returns parts of the text, as [inflate.Reader.Next] does.
type chunks interface {
	Next(keep int) ([]byte, error)
}

// A source is the caller's reader. It remembers its error, which separates a broken
// transfer from broken data.
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

// plain returns the chunks of text that is not compressed.
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

// ahead returns chunks that a goroutine decompresses in advance. They change hands
// in groups, because waking a goroutine takes as long as decompressing a tenth of a
// chunk.
type ahead struct {
	ready chan *chunkGroup // closed when stopped
	free  chan *chunkGroup
	stop  chan struct{}
	now   *chunkGroup // in use; nil before the first
	last  chunk
}

// A chunkGroup is consecutive chunks.
type chunkGroup struct {
	buffers []inflate.Buffer
	chunks  []chunk
	used    int
}

// A chunk is a result of [inflate.Reader.Next], which was called with kept.
type chunk struct {
	text []byte
	kept int
	err  error
}

const (
	groups    = 3 // one is being filled, one is in use, and one evens out their pace
	groupSize = 2 // chunks
)

// readAhead starts to decompress from gz. The goroutine owns gz until it ends, after
// an error, io.EOF included, or close.
func readAhead(gz *inflate.Reader, buffers []inflate.Buffer) *ahead {
	a := &ahead{
		ready: make(chan *chunkGroup, groups),
		free:  make(chan *chunkGroup, groups),
		stop:  make(chan struct{}),
	}
	for buffers := range slices.Chunk(buffers, groupSize) {
		a.free <- &chunkGroup{buffers: buffers, chunks: make([]chunk, 0, groupSize)}
	}
	go a.run(gz)
	return a
}

func (a *ahead) run(gz *inflate.Reader) {
	defer close(a.ready)
	keep := 0
	for {
		var g *chunkGroup
		select {
		case g = <-a.free:
		case <-a.stop:
			return
		}
		g.chunks, g.used = g.chunks[:0], 0
		var c chunk
		for more := true; more && len(g.chunks) < groupSize; {
			gz.Use(&g.buffers[len(g.chunks)])
			c.kept = keep
			c.text, c.err = gz.Next(keep)
			g.chunks = append(g.chunks, c)
			// A short chunk was all the available input, and more may take a while.
			more = c.err == nil && len(c.text)-keep >= inflate.MaxKeep/2
			// The caller keeps at most the unfinished line.
			keep = min(len(c.text)-1-bytes.LastIndexByte(c.text, '\n'), inflate.MaxKeep)
		}
		a.ready <- g // there is room for every group
		if c.err != nil {
			return
		}
	}
}

func (a *ahead) Next(keep int) ([]byte, error) {
	if a.last.err != nil {
		return a.last.text[len(a.last.text)-keep:], a.last.err
	}
	// The next chunk repeats what is kept of the last one.
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
