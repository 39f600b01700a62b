package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// A progress shows on a terminal how far a long command has come, in one line
// that is written over. A nil *progress shows nothing.
type progress struct {
	w    io.Writer
	now  func() time.Time
	noun string // what is counted: "object"

	mu         sync.Mutex
	started    time.Time
	shown      time.Time
	growing    bool // the totals may grow yet
	total      int  // 0 if not known
	totalBytes int64
	done       int
	bytes      int64
}

// progressStep is the shortest time between two states of the line.
const progressStep = 100 * time.Millisecond

// newProgress returns a progress on w, or nil if w is no terminal.
func newProgress(w io.Writer, noun string) *progress {
	if !isTerminal(w) {
		return nil
	}
	return &progress{w: w, now: time.Now, noun: noun}
}

// isTerminal takes every character device for a terminal, except one that
// cannot move its cursor. (It does not matter what is written to /dev/null.)
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// start begins anew with a total, 0 if it is not known.
func (p *progress) start(total int, bytes int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started, p.shown = p.now(), time.Time{}
	p.total, p.totalBytes, p.growing = total, bytes, false
	p.done, p.bytes = 0, 0
}

// expect adds to the totals; there may be more until complete is called.
func (p *progress) expect(n int, bytes int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += n
	p.totalBytes += bytes
	p.growing = true
}

// complete says that the totals are known.
func (p *progress) complete() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.growing = false
}

// add counts what was done.
func (p *progress) add(n int, bytes int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.bytes += bytes
	if now := p.now(); now.Sub(p.shown) >= progressStep {
		p.shown = now
		fmt.Fprintf(p.w, "\r%s\x1b[K", p.line(now))
	}
}

// end removes the line.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shown.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = time.Time{}
	}
}

// line is the state as text, short enough for 80 columns.
func (p *progress) line(now time.Time) string {
	if p.total == 0 || p.growing {
		line := "  " + counted(p.done, p.noun, p.noun+"s")
		if p.bytes > 0 {
			line += ", " + byteSize(p.bytes)
		}
		if p.growing {
			line += fmt.Sprintf(", %s found so far", grouped(p.total))
		}
		return line
	}
	part := float64(p.done) / float64(p.total)
	if p.totalBytes > 0 {
		part = min(float64(p.bytes)/float64(p.totalBytes), 1)
	}
	const width = 20
	bar := strings.Repeat("#", int(part*width))
	line := fmt.Sprintf("  [%-*s] %s of %s", width, bar, grouped(p.done), counted(p.total, p.noun, p.noun+"s"))
	if p.totalBytes > 0 {
		line += fmt.Sprintf(", %s of %s", byteSize(p.bytes), byteSize(p.totalBytes))
	}
	// The first second says little about the rest.
	if passed := now.Sub(p.started); passed >= time.Second && part > 0 && part < 1 {
		line += ", " + roughly(time.Duration(float64(passed)/part*(1-part))) + " left"
	}
	return line
}

// grouped writes a count with thousands separators.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted writes a number and what it counts, in the one form or the other.
func counted[N int | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(int(n)) + " " + many
}

// byteSize writes a size with two or three digits.
func byteSize(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1000, 0
	for ; f >= 999.5; i++ {
		f /= 1000
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %cB", f, units[i])
	}
	return fmt.Sprintf("%.0f %cB", f, units[i])
}

// roughly writes a duration with its one or two largest units.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()+0.5))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
