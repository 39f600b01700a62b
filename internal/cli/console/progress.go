package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"tlswatch/internal/text"
)

// A Progress shows the progress of a long command in one line of the terminal, which it
// overwrites. A nil *Progress shows nothing.
type Progress struct {
	w    io.Writer
	now  func() time.Time
	noun string // what is counted: "object"

	mu         sync.Mutex
	started    time.Time
	shown      time.Time
	growing    bool // the totals may still grow
	total      int  // 0 if not known
	totalBytes int64
	done       int
	bytes      int64
}

// progressStep is the shortest time between two updates of the line.
const progressStep = 100 * time.Millisecond

// NewProgress returns a Progress on w, or nil if w is not a terminal.
func NewProgress(w io.Writer, noun string) *Progress {
	if _, ok := terminal(w); !ok || !movesCursor() {
		return nil
	}
	return &Progress{w: w, now: time.Now, noun: noun}
}

// update calls f, one call at a time.
func (p *Progress) update(f func()) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// Start resets the counts and sets the totals, 0 if they are not known.
func (p *Progress) Start(total int, bytes int64) {
	p.update(func() {
		p.started, p.shown = p.now(), time.Time{}
		p.total, p.totalBytes, p.growing = total, bytes, false
		p.done, p.bytes = 0, 0
	})
}

// Expect adds to the totals, which may grow until Complete is called.
func (p *Progress) Expect(n int, bytes int64) {
	p.update(func() {
		p.total += n
		p.totalBytes += bytes
		p.growing = true
	})
}

// Complete says that the totals are final.
func (p *Progress) Complete() { p.update(func() { p.growing = false }) }

// Add counts what was done.
func (p *Progress) Add(n int, bytes int64) {
	p.update(func() {
		p.done += n
		p.bytes += bytes
		if now := p.now(); now.Sub(p.shown) >= progressStep {
			p.shown = now
			fmt.Fprintf(p.w, "\r%s\x1b[K", p.line(now))
		}
	})
}

// End removes the line.
func (p *Progress) End() {
	p.update(func() {
		if !p.shown.IsZero() {
			fmt.Fprint(p.w, "\r\x1b[K")
			p.shown = time.Time{}
		}
	})
}

// line returns the text of the line, at most 80 columns.
func (p *Progress) line(now time.Time) string {
	if p.total == 0 || p.growing {
		line := "  " + text.Plural(p.done, p.noun)
		if p.bytes > 0 {
			line += ", " + humanize.Bytes(uint64(p.bytes))
		}
		if p.growing {
			line += fmt.Sprintf(", %s found so far", text.Count(p.total))
		}
		return line
	}
	part := float64(p.done) / float64(p.total)
	if p.totalBytes > 0 {
		part = min(float64(p.bytes)/float64(p.totalBytes), 1)
	}
	const width = 20
	bar := strings.Repeat("#", int(part*width))
	line := fmt.Sprintf("  [%-*s] %s of %s", width, bar, text.Count(p.done), text.Plural(p.total, p.noun))
	if p.totalBytes > 0 {
		line += fmt.Sprintf(", %s of %s", humanize.Bytes(uint64(p.bytes)), humanize.Bytes(uint64(p.totalBytes)))
	}
	// The first second says little about the rest.
	if passed := now.Sub(p.started); passed >= time.Second && part > 0 && part < 1 {
		line += ", " + text.Duration(time.Duration(float64(passed)/part*(1-part))) + " left"
	}
	return line
}
