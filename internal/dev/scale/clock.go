package main

import (
	"container/heap"
	"time"
)

// A clock runs events in the order of time. Events of the same time run in the
// order in which they were scheduled.
type clock struct {
	now    time.Duration
	events events
	seq    uint64
}

type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

// after schedules an event.
func (c *clock) after(d time.Duration, do func()) {
	c.seq++
	heap.Push(&c.events, event{c.now + d, c.seq, do})
}

// run runs events up to the end, and reports whether none are left.
func (c *clock) run(end time.Duration) bool {
	for len(c.events) > 0 {
		if c.events[0].at > end {
			c.now = end
			return false
		}
		e := heap.Pop(&c.events).(event)
		c.now = e.at
		e.do()
	}
	return true
}

// A quota is a token bucket that holds one second's worth of requests.
type quota struct {
	clock  *clock
	rate   float64 // requests a second
	tokens float64
	filled time.Duration
}

func newQuota(c *clock, rate float64) *quota { return &quota{clock: c, rate: rate, tokens: rate} }

// take reports whether a request is granted.
func (q *quota) take() bool {
	now := q.clock.now
	q.tokens = min(q.rate, q.tokens+q.rate*(now-q.filled).Seconds())
	q.filled = now
	if q.tokens < 1 {
		return false
	}
	q.tokens--
	return true
}

// An area integrates a number over time.
type area struct {
	clock *clock
	n     int
	most  int
	since time.Duration
	sum   float64 // seconds
}

func (a *area) add(d int) {
	a.sum += float64(a.n) * (a.clock.now - a.since).Seconds()
	a.since = a.clock.now
	a.n += d
	a.most = max(a.most, a.n)
}
