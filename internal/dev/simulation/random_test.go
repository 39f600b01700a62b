package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
)

// chance is a nature that follows from a seed.
type chance struct {
	*rand.Rand
	calm bool // no more faults
}

func (c *chance) fate(what string) fate {
	if c.calm {
		return fine
	}
	switch f := fate(c.IntN(25)); {
	case f < refused, f == refused && (what == "put metric data" || what == "publish alert"):
		return f
	}
	return fine
}

func (c *chance) conflict() bool { return !c.calm && c.IntN(40) == 0 }
func (c *chance) resend() bool   { return c.IntN(2) == 0 }

func (c *chance) skew() time.Duration {
	return time.Duration(c.Int64N(int64(2*maxSkew))) - maxSkew
}

// newRandom makes the world of a seed: objects of up to three nodes in each of
// up to three periods, each announced up to three times, some of them together.
func newRandom(seed uint64, b breach) (*world, *chance) {
	c := &chance{Rand: rand.New(rand.NewPCG(seed, 0))}
	var objects, announced []logObject
	for p := range 1 + c.IntN(3) {
		for node := range 1 + c.IntN(3) {
			failed := c.IntN(threshold + 2)
			if c.IntN(8) == 0 { // far more than others
				failed = growth * (threshold + c.IntN(2*threshold))
			}
			o := newObject(p-2, node, failed, 1+c.IntN(3))
			objects = append(objects, o)
			announced = append(announced, slices.Repeat([]logObject{o}, 1+c.IntN(3))...)
		}
	}
	w := newWorld(c, b, logkey.Period*time.Duration(1+2*c.IntN(2)), objects...)
	c.Shuffle(len(announced), func(i, j int) { announced[i], announced[j] = announced[j], announced[i] })
	for len(announced) > 0 {
		n := 1
		if c.IntN(8) == 0 {
			n = min(2, len(announced))
		}
		w.waiting = append(w.waiting, &message{id: fmt.Sprint("M", len(w.waiting)+1), objects: announced[:n]})
		announced = announced[n:]
	}
	return w, c
}

// run delivers all messages and redrives the dead letters, at last without
// faults, until nothing is left.
func (w *world) run(c *chance) {
	for step := 0; len(w.waiting) > 0 || len(w.live) > 0 || len(w.dead) > 0; step++ {
		if step > 600 {
			c.calm = true
		}
		if len(w.waiting) == 0 && len(w.live) == 0 {
			w.pass(timeout + 2*ledger.Skew) // a redrive is late
			c.calm = c.calm || c.IntN(2) == 0
			for len(w.dead) > 0 {
				w.redrive(0, false)
			}
		}
		w.pass(time.Duration(c.Int64N(int64(5 * time.Second))))
		if c.IntN(40) == 0 {
			w.pass(time.Duration(c.Int64N(int64(20 * time.Minute))))
		}
		if n := len(w.dead); n > 0 && c.IntN(10) == 0 {
			w.redrive(c.IntN(n), c.IntN(2) == 0)
		}
		if n := len(w.waiting); n > 0 && len(w.live) < 8 && (len(w.live) == 0 || c.IntN(4) == 0) {
			c.Shuffle(n, func(i, j int) { w.waiting[i], w.waiting[j] = w.waiting[j], w.waiting[i] })
			batch := 1
			if c.IntN(2) == 0 {
				batch = min(1+c.IntN(4), n)
			}
			w.start(slices.Clone(w.waiting[:batch])...)
			continue
		}
		if len(w.live) > 0 {
			w.step(w.live[c.IntN(len(w.live))], true)
		}
	}
}

// redrive delivers a dead message again: with its id, as "tlswatch redrive" does,
// or with a new one, as the SQS console does.
func (w *world) redrive(i int, console bool) {
	m := w.dead[i]
	w.dead = slices.Delete(w.dead, i, i+1)
	again := &message{id: m.id, objects: m.objects, delivered: m.delivered}
	if console {
		again.id += "'"
		w.renamed = true
	}
	w.log("%s is redriven as %s", m.id, again.id)
	w.waiting = append(w.waiting, again)
}

// schedule runs the schedule of a seed and returns the guarantees that it breaks.
func schedule(seed uint64, b breach) (*world, []string) {
	w, c := newRandom(seed, b)
	w.run(c)
	return w, w.violations()
}
