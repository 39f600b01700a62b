package simulation

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
)

// A smallCase is a world so small that the explorer can try everything: every
// order of delivery, alone or two in a batch, every order of API calls, and
// crashes between any two calls. After a crash a message is delivered again, or
// the SQS console redrives it with a new id. Clocks agree, and no request or
// reply is lost: random schedules cover that.
type smallCase struct {
	name     string
	objects  []logObject
	messages [][]int // the objects that each announces
	crashes  int     // at most
	console  bool    // whether the console may redrive messages after a crash
}

// Names of small cases.
const (
	oneObject      = "an object"
	announcedTwice = "an object that is announced twice"
	twoWindows     = "two windows, one of which outgrows the other"
)

// smallCases have one or two objects. Each alone, or both together, reach the
// threshold.
func smallCases(crashes int, console bool) []smallCase {
	together := []logObject{newObject(0, 1, threshold/2, 1), newObject(0, 2, threshold/2, 1)}
	apart := []logObject{newObject(0, 1, threshold, 1), newObject(-1, 1, threshold*growth, 1)}
	return []smallCase{
		{oneObject, apart[:1], [][]int{{0}}, crashes, console},
		{announcedTwice, apart[:1], [][]int{{0}, {0}}, crashes, console},
		{twoWindows, apart, [][]int{{0}, {1}}, crashes, console},
		{"two objects of a window", together, [][]int{{0}, {1}}, crashes, console},
	}
}

// calmNature has no faults.
type calmNature struct{}

func (calmNature) fate(string) fate    { return fine }
func (calmNature) conflict() bool      { return false }
func (calmNature) resend() bool        { return false }
func (calmNature) skew() time.Duration { return 0 }

// A run is a small case in a certain state.
type run struct {
	*world
	smallCase
}

// A step is something that can happen next: one of its fields.
type step struct {
	deliver []*message
	on      *process // runs to its next API call
	crash   *process
	console bool // with crash: its messages get a new id
	quiet   bool // time passes until all leases are over
}

func (s step) String() string {
	switch {
	case s.on != nil:
		return s.on.id + ": " + s.on.next
	case s.crash != nil:
		return s.crash.id + " crashes before " + s.crash.next + map[bool]string{true: ", and is redriven by the console"}[s.console]
	case s.quiet:
		return "all leases end"
	}
	var ids []string
	for _, m := range s.deliver {
		ids = append(ids, m.id)
	}
	return "delivery of " + strings.Join(ids, " and ")
}

func (c smallCase) begin(b breach) *run {
	r := &run{world: newWorld(calmNature{}, b, logkey.Period, c.objects...), smallCase: c}
	for i, objects := range c.messages {
		m := &message{id: fmt.Sprint("M", i+1)}
		for _, o := range objects {
			m.objects = append(m.objects, c.objects[o])
		}
		r.waiting = append(r.waiting, m)
	}
	return r
}

// steps returns everything that can happen next; nothing if all is done.
func (r *run) steps() []step {
	var list []step
	process := func(p *process) {
		list = append(list, step{on: p})
		if r.crashes > 0 {
			list = append(list, step{crash: p})
			if r.console {
				list = append(list, step{crash: p, console: true})
			}
		}
	}
	// The order of calls that other processes do not notice makes no difference.
	for _, p := range r.live {
		if p.next == "open" || p.next == "put metric data" || p.next == "publish alert" {
			process(p)
			return list
		}
	}
	for _, p := range r.live {
		process(p)
	}
	for _, m := range r.waiting {
		list = append(list, step{deliver: []*message{m}})
		for _, n := range r.waiting {
			if m != n {
				list = append(list, step{deliver: []*message{m, n}})
			}
		}
	}
	if len(list) == 0 && len(r.later) > 0 {
		list = append(list, step{quiet: true})
	}
	return list
}

func (r *run) take(s step) {
	before := len(r.waiting)
	switch {
	case s.deliver != nil:
		before -= len(s.deliver)
		r.start(s.deliver...)
	case s.on != nil:
		r.step(s.on, true)
		// Without a crash, a message fails because another one is in progress.
		r.later = append(r.later, r.waiting[before:]...)
		r.waiting = r.waiting[:before]
	case s.crash != nil:
		r.crashes--
		r.step(s.crash, false)
		for i, m := range r.waiting[before:] {
			if s.console {
				r.waiting[before+i] = &message{id: m.id + "'", objects: m.objects}
				r.renamed = true
			}
		}
	case s.quiet:
		r.pass(timeout + 2*ledger.Skew)
		r.waiting, r.later = append(r.waiting, r.later...), nil
	}
	for _, m := range slices.Concat(r.waiting, r.later) {
		m.attempts = 0
		if m.delivered > 10 {
			r.breaks("%s is delivered again and again", m.id)
		}
	}
}

// state is a hash of everything that decides the next steps and the guarantees.
func (r *run) state() [sha256.Size]byte {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(r.s3)) {
		fmt.Fprintln(&b, key, r.s3[key].etag)
	}
	for _, p := range r.live {
		fmt.Fprintln(&b, p.id, p.next, p.history, p.company)
	}
	for _, list := range [][]*message{r.waiting, r.later} {
		var ids []string
		for _, m := range list {
			ids = append(ids, fmt.Sprint(m.id, "/", m.delivered))
		}
		slices.Sort(ids)
		fmt.Fprintln(&b, ids)
	}
	fmt.Fprintln(&b, r.crashes, r.renamed, r.now, r.broken, r.accepted, r.uncertain, r.republished)
	for _, a := range r.alerts {
		fmt.Fprintln(&b, *a)
	}
	for _, o := range r.world.objects {
		fmt.Fprintln(&b, r.evaluated[o.period])
	}
	return sha256.Sum256([]byte(b.String()))
}

// A finding is a way to break a guarantee.
type finding struct {
	broken []string
	steps  []string
}

// explore tries everything that can happen, until a guarantee breaks. It returns
// the number of states that it saw. To return to a state it repeats the choices
// that led there, since a process cannot be copied.
func (c smallCase) explore(b breach) (states int, found *finding) {
	seen := make(map[[sha256.Size]byte]bool)
	for open := [][]byte{nil}; len(open) > 0; {
		path := open[len(open)-1]
		open = open[:len(open)-1]
		r := c.begin(b)
		var trace []string
		for i := 0; ; i++ {
			list := r.steps()
			if i >= len(path) {
				key := r.state()
				if seen[key] {
					break
				}
				seen[key] = true
				if len(list) == 0 || len(r.broken) > 0 {
					if broken := r.violations(); len(broken) > 0 {
						return len(seen), &finding{broken, trace}
					}
					break
				}
				for other := len(list) - 1; other > 0; other-- {
					open = append(open, append(slices.Clone(path), byte(other)))
				}
				path = append(path, 0)
			}
			trace = append(trace, list[path[i]].String())
			r.take(list[path[i]])
		}
		r.abandon()
	}
	return len(seen), nil
}
