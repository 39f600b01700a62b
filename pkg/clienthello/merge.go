package clienthello

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tlswatch/pkg/clienthello/capture"
)

// Read takes a capture in as far as it is readable. Connections may go on from
// one capture to the next. The end of ctx is looked for between packets.
//
// An error of the callback of [NewTracker] is returned as it is. If the capture
// is cut or damaged, what came before that counts, and the error says after how
// many packets.
func (t *Tracker) Read(ctx context.Context, r io.Reader) error {
	packets := t.stats.Packets
	source, err := capture.Open(r)
	if err != nil {
		return err
	}
	for t.err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := source()
		if err == io.EOF {
			break
		}
		if err != nil {
			return damaged(t.stats.Packets-packets, err)
		}
		t.packet(p)
	}
	return t.err
}

func (t *Tracker) packet(p capture.Packet) {
	t.stats.Packets++
	if p.Time.IsZero() {
		p.Time = time.Unix(0, t.now).UTC()
	}
	t.advance(p.Time.UnixNano())
	if !t.packets.Packet(p) {
		t.stats.OtherLinks++
	}
}

// A Capture is a file that can be opened more than once.
type Capture struct {
	Name string // in errors
	Open func() (io.ReadCloser, error)
}

// ReadAll takes captures in as if they were one, packet by packet in the order
// of time: rotated files in any order, or those of several hosts. Files are
// open only for the time that they cover. What cannot be read to its end is
// named in the error, and the rest counts; other errors are as for
// [Tracker.Read].
func (t *Tracker) ReadAll(ctx context.Context, captures []Capture) error {
	type entry struct {
		Capture
		first time.Time
	}
	var all []entry
	var errs []error
	fail := func(c Capture, err error) { errs = append(errs, fmt.Errorf("%s: %w", c.Name, err)) }
	for _, c := range captures {
		s, err := openCursor(c)
		switch {
		case err == nil:
			all = append(all, entry{c, s.packet.Time})
			s.file.Close()
		case err != io.EOF: // a capture without packets
			fail(c, err)
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.first.Compare(b.first) })

	var open []*cursor
	defer func() {
		for _, s := range open {
			s.file.Close()
		}
	}()
	for t.err == nil && len(all)+len(open) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := 0
		for i, s := range open {
			if s.packet.Time.Before(open[next].packet.Time) {
				next = i
			}
		}
		if len(open) == 0 || len(all) > 0 && all[0].first.Before(open[next].packet.Time) {
			s, err := openCursor(all[0].Capture)
			if err == nil {
				open = append(open, s)
			} else {
				fail(all[0].Capture, err)
			}
			all = all[1:]
			continue
		}
		s := open[next]
		t.packet(s.packet)
		if err := s.advance(); err != nil {
			s.file.Close()
			open = slices.Delete(open, next, next+1)
			if err != io.EOF {
				fail(s.Capture, err)
			}
		}
	}
	if t.err != nil {
		return t.err
	}
	return errors.Join(errs...)
}

// A cursor is at a packet of an open capture.
type cursor struct {
	Capture
	file   io.Closer
	source capture.Source
	read   int64
	packet capture.Packet
}

// openCursor opens a capture at its first packet. The error is io.EOF if there
// is none.
func openCursor(c Capture) (*cursor, error) {
	file, err := c.Open()
	if err != nil {
		return nil, err
	}
	s := &cursor{Capture: c, file: file}
	if s.source, err = capture.Open(file); err == nil {
		err = s.advance()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

// advance goes on to the next packet. The error is io.EOF after the last.
func (s *cursor) advance() error {
	var err error
	if s.packet, err = s.source(); err != nil && err != io.EOF {
		return damaged(s.read, err)
	}
	s.read++
	return err
}

// damaged is the error of a capture that ends before its end.
func damaged(packets int64, err error) error {
	return fmt.Errorf("the capture is cut or damaged after packet %d: %w", packets, err)
}
