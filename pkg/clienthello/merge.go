package clienthello

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"tlswatch/pkg/clienthello/capture"
)

// Read reads a capture as far as possible. Connections may continue in the next one. Read
// checks between packets whether ctx has ended.
//
// It returns errors of the callback of [NewTracker] unchanged. If the capture is
// truncated or damaged, the packets before that count, and the error gives their
// number.
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
	t.expire(t.clock.end())
	return t.err
}

func (t *Tracker) packet(p capture.Packet) {
	t.stats.Packets++
	if p.Old {
		t.stats.OldRecords++
	}
	if p.Long {
		t.stats.LongRecords++
	}
	if p.Time == 0 {
		p.Time = t.clock.latest
	}
	t.advance(p.Time)
	if len(p.Data) == 0 {
		t.stats.EmptyRecords++
		return
	}
	t.packets.Packet(p)
}

// A Capture is a capture file, which can be opened more than once.
type Capture struct {
	Name string // in errors
	Open func() (io.ReadCloser, error)
}

// ReadAll reads captures as if they were one, in the order of time: rotated files in
// any order, or those of several hosts. A file is open only for the time that it
// covers. The error names captures that cannot be read completely; what was read of
// them counts. Other errors are those of [Tracker.Read].
func (t *Tracker) ReadAll(ctx context.Context, captures []Capture) error {
	if len(captures) == 1 {
		return t.readOne(ctx, captures[0])
	}
	type entry struct {
		Capture
		first int64
	}
	var all []entry
	var errs []error
	fail := func(c Capture, err error) { errs = append(errs, fmt.Errorf("%s: %w", c.Name, err)) }
	for _, c := range captures {
		s, err := openCursor(c)
		switch {
		case err == nil:
			all = append(all, entry{c, s.at})
			s.file.Close()
		case err != io.EOF: // a capture without packets
			fail(c, err)
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.first, b.first) })

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
			if s.at < open[next].at {
				next = i
			}
		}
		if len(open) == 0 || len(all) > 0 && all[0].first < open[next].at {
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
	t.expire(t.clock.end())
	if t.err != nil {
		return t.err
	}
	return errors.Join(errs...)
}

// readOne is ReadAll for one capture.
func (t *Tracker) readOne(ctx context.Context, c Capture) error {
	file, err := c.Open()
	if err == nil {
		defer file.Close()
		err = t.Read(ctx, file)
	}
	if err == nil || t.err != nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%s: %w", c.Name, err)
}

// A cursor is a position in an open capture.
type cursor struct {
	Capture
	file   io.Closer
	source capture.Source
	read   int64
	packet capture.Packet
	at     int64 // place of the packet in the order of time

	following capture.Packet
	err       error     // instead of it
	buffers   [2][]byte // of packet and following, in turn
}

// openCursor opens a capture at its first packet. The error is io.EOF without one.
func openCursor(c Capture) (*cursor, error) {
	file, err := c.Open()
	if err != nil {
		return nil, err
	}
	s := &cursor{Capture: c, file: file}
	if s.source, err = capture.Open(file); err == nil {
		s.look()
		s.at = s.following.Time
		err = s.advance()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

// advance moves to the next packet. The error is io.EOF after the last one. A single
// packet far from its neighbors in time has the place of the one before it.
func (s *cursor) advance() error {
	if s.err != nil {
		return s.err
	}
	s.packet, s.buffers[0], s.buffers[1] = s.following, s.buffers[1], s.buffers[0]
	s.read++
	s.look()
	if far(s.packet.Time, s.at) && s.err == nil && !far(s.following.Time, s.at) {
		return nil
	}
	s.at = s.packet.Time
	return nil
}

// far reports whether times are more than idleTime apart.
func far(a, b int64) bool { return a-b > int64(idleTime) || b-a > int64(idleTime) }

// look reads the packet that follows.
func (s *cursor) look() {
	p, err := s.source()
	switch {
	case err == nil:
		s.buffers[1] = append(s.buffers[1][:0], p.Data...)
		p.Data = s.buffers[1]
		s.following = p
	case err == io.EOF:
		s.err = err
	default:
		s.err = damaged(s.read, err)
	}
}

// damaged returns the error for a capture that cannot be read to its end.
func damaged(packets int64, err error) error {
	return fmt.Errorf("the capture is cut or damaged after packet %d: %w", packets, err)
}
