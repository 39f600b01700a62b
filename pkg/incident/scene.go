package incident

import (
	"math/bits"
	"slices"
	"time"

	"tlswatch/pkg/incident/internal/history"
)

// A scene is one listener: its failing clients that no change explains yet, and the
// changes found so far.
type scene struct {
	o        *Options
	record   *history.Record
	listener *history.Listener
	steps    int // in the record
	exposure []float64
	suspects []*suspect
	changes  []*change
}

// A suspect is a failing client, without the failures that a change explains.
type suspect struct {
	*history.Client
	ways        []history.Way
	fails       uint64 // steps with failures
	failures    uint64
	first, last time.Time // failures
	change      *change   // that it belongs to
}

// A change is something that began at a listener, and the clients that it hits.
type change struct {
	shape       Shape
	onset       Bracket
	end         *Bracket
	stretch     time.Time // end of the first stretch, if it ended
	steps       uint64    // in which it lasts, if it ended
	clients     []*suspect
	only        func(*history.Way) bool // the failures that it explains, nil for all
	narrow      bool                    // no other client belongs to it
	scan        bool
	steady      bool
	certificate *history.Cert // that it is about
}

func newScene(o *Options, r *history.Record, l *history.Listener) *scene {
	s := &scene{o: o, record: r, listener: l}
	s.steps = int(r.Last.Sub(r.Start)/r.Step) + 1
	s.exposure = make([]float64, s.steps)
	for i := range s.exposure {
		from, to := s.at(i), s.at(i+1)
		if from.Before(r.First) {
			from = r.First
		}
		if to.After(r.Last) {
			to = r.Last
		}
		s.exposure[i] = max(float64(to.Sub(from))/float64(r.Step), 1e-3)
	}
	suspects := make([]suspect, len(l.Failing))
	s.suspects = make([]*suspect, len(l.Failing))
	for i := range suspects {
		suspects[i].Client, suspects[i].ways = &l.Failing[i], l.Failing[i].Ways
		suspects[i].sum()
		s.suspects[i] = &suspects[i]
	}
	return s
}

// at returns when a step begins.
func (s *scene) at(step int) time.Time {
	return s.record.Start.Add(time.Duration(step) * s.record.Step)
}

func (s *scene) stepOf(t time.Time) int {
	return min(max(int(t.Sub(s.record.Start)/s.record.Step), 0), s.steps-1)
}

// sum adds up the ways.
func (c *suspect) sum() {
	c.fails, c.failures = 0, 0
	for i := range c.ways {
		w := &c.ways[i]
		c.fails |= w.Steps
		c.failures += w.N
		if i == 0 || w.First.Before(c.first) {
			c.first = w.First
		}
		if i == 0 || c.last.Before(w.Last) {
			c.last = w.Last
		}
	}
}

// explain adds a change, and takes its clients, or the failures that it is about,
// from the suspects.
func (s *scene) explain(c *change) {
	s.changes = append(s.changes, c)
	s.explained(c)
}

// explained takes the clients of a change from the suspects.
func (s *scene) explained(c *change) {
	for i, client := range c.clients {
		if c.only == nil {
			client.change = c
			continue
		}
		taken := &suspect{Client: client.Client, change: c}
		taken.ways = slices.DeleteFunc(slices.Clone(client.ways), func(w history.Way) bool { return !c.only(&w) })
		taken.sum()
		client.ways = slices.DeleteFunc(slices.Clone(client.ways), func(w history.Way) bool { return c.only(&w) })
		client.sum()
		c.clients[i] = taken
	}
	s.suspects = slices.DeleteFunc(s.suspects, func(c *suspect) bool { return c.change != nil || c.failures == 0 })
}

// onset returns when a client that worked began to fail for good: it has not
// succeeded since, or it fails in every step since.
func (c *suspect) onset(s *scene) (b Bracket, ok bool) {
	if c.Worked == 0 || c.fails == 0 {
		return b, false
	}
	b.Until = c.first
	if c.LastWorked.Before(c.first) {
		b.After = c.LastWorked
		return b, true
	}
	clean := c.Worked &^ c.fails
	if clean == 0 || lastStep(clean) >= firstStep(c.fails) {
		return b, false
	}
	b.After = c.FirstWorked // what works goes on
	return b, true
}

// evidence is the logarithm of how unlikely it is by chance that all successes of a
// client come before its failures.
func (c *suspect) evidence() float64 {
	k := bits.OnesCount64(c.Worked &^ c.fails)
	if c.LastWorked.Before(c.first) && c.Worked&c.fails != 0 {
		k++ // the step of the onset has both
	}
	return logChoose(k+bits.OnesCount64(c.fails), k)
}

// until returns when a change, or its first stretch, ended, at the latest just after
// the last entry.
func (s *scene) until(ch *change) time.Time {
	if !ch.stretch.IsZero() {
		return ch.stretch
	}
	return s.record.Last.Add(time.Microsecond)
}

// since returns the client's failures from an onset to an end. Steps are not divided.
func (c *suspect) since(s *scene, ch *change) (n uint64) {
	from, to := ch.onset.After, s.record.Last
	if ch.end != nil {
		to = ch.end.Until
	}
	for i := range c.ways {
		w := &c.ways[i]
		switch {
		case !w.First.Before(from) && !w.Last.After(to):
			n += w.N
		case w.Last.Before(from) || w.First.After(to):
		default:
			in := upTo(s.stepOf(to)+1) &^ upTo(s.stepOf(from))
			n += w.N * uint64(bits.OnesCount64(w.Steps&in)) / uint64(bits.OnesCount64(w.Steps))
		}
	}
	return n
}

// crowd reports whether the client succeeds and fails side by side since an onset.
func (c *suspect) crowd(s *scene, ch *change) bool {
	in := ^upTo(s.stepOf(ch.onset.Until))
	if ch.end != nil {
		in &= upTo(s.stepOf(ch.end.After))
	}
	return c.Successes > 0 && c.LastWorked.After(c.first) && bits.OnesCount64(c.Worked&c.fails&in) > 0
}
