package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// world is the state of a simulation.
type world struct {
	config
	clock
	random *rand.Rand
	result result

	metricCalls *quota
	writes      *quota // of the state bucket
	logReads    *quota
	stateReads  *quota

	running area
	waiting area // messages in the queue, or events waiting for concurrency

	idle    int // execution environments
	started int // environments started in the current burst
	burst   time.Duration
	warm    int // environments that exist

	messages []*object
	pollers  int
	polling  int        // consumers that run or wait for their batch to fill
	filling  []*filling // those that wait, the longest first
	growing  bool

	throttled    time.Duration // consumers pause until then for lack of concurrency
	metricDelays []float64
	alertDelays  []float64
	left         []int // unfinished at the end of each period
	finished     int
}

// An object is a log object in the pipeline.
type object struct {
	end       time.Duration // of its period
	queued    time.Duration
	published bool
	attempt   int // of its event or message
}

// simulate runs a deployment. The same config gives the same result.
func simulate(c config) result {
	w := &world{config: c, random: rand.New(rand.NewPCG(c.seed, 0x5ca1e))}
	w.metricCalls = newQuota(&w.clock, c.quotas.metricCalls)
	w.writes = newQuota(&w.clock, c.quotas.s3Writes)
	w.logReads = newQuota(&w.clock, c.quotas.s3Reads)
	w.stateReads = newQuota(&w.clock, c.quotas.s3Reads)
	w.running.clock, w.waiting.clock = &w.clock, &w.clock
	w.burst = -c.quotas.burstEach
	w.pollers = c.quotas.pollers
	w.result.refused = make(map[string]int)
	for p := range c.periods {
		w.after(time.Duration(p+1)*period, func() { w.deliver() })
	}
	// What is not done an hour after the last period counts as left.
	w.run(time.Duration(c.periods)*period + time.Hour)
	return w.sum()
}

// deliver makes all nodes deliver at the end of a period.
func (w *world) deliver() {
	w.left = append(w.left, w.result.arrived-w.finished)
	end := w.now
	for range w.loadBalancers * w.nodes {
		o := &object{end: end}
		w.result.arrived++
		w.after(w.within(w.spread)+w.within(w.announce), func() { w.arrive(o) })
	}
}

// within returns a random duration up to d.
func (w *world) within(d time.Duration) time.Duration {
	return time.Duration(w.random.Float64() * float64(d))
}

func (w *world) arrive(o *object) {
	o.queued = w.now
	w.waiting.add(1)
	if w.queue {
		w.messages = append(w.messages, o)
		w.poll()
		w.grow()
	} else {
		w.invoke(o, 0)
	}
}

// invoke runs the function for an asynchronous event. If it is throttled, the
// event waits with Lambda's back-off: one second, doubling up to five minutes.
func (w *world) invoke(o *object, throttled int) {
	start, ok := w.environment()
	if !ok {
		pause := min(time.Second<<min(throttled, 10), 5*time.Minute)
		w.after(pause/2+w.within(pause), func() { w.invoke(o, throttled+1) })
		return
	}
	w.begin([]*object{o}, start)
}

// environment takes an execution environment and returns its start-up time.
func (w *world) environment() (start time.Duration, ok bool) {
	if w.idle > 0 {
		w.idle--
		return 0, true
	}
	if w.now >= w.burst+w.quotas.burstEach {
		w.burst, w.started = w.now, 0
	}
	if w.warm >= w.concurrency || w.started >= w.quotas.burst {
		w.result.refused[limitConcurrency]++
		return 0, false
	}
	w.warm++
	w.started++
	return w.start, true
}

// A filling is a consumer that waits for its batch to fill or its window to end.
type filling struct{ over bool }

// poll starts batches while there are messages and free consumers.
func (w *world) poll() {
	for len(w.messages) > 0 && w.now >= w.throttled {
		full := len(w.messages) >= w.batch
		switch {
		case full && len(w.filling) > 0:
			w.filled()
		case w.polling >= min(w.pollers, w.concurrency):
			return
		case full:
			w.polling++
			w.take()
		default:
			w.polling++
			f := new(filling)
			w.filling = append(w.filling, f)
			w.after(w.window, func() {
				if !f.over {
					w.filled()
				}
			})
			return // it waits for further messages, too
		}
	}
}

// filled ends the wait of the consumer that has waited longest.
func (w *world) filled() {
	w.filling[0].over = true
	w.filling = w.filling[1:]
	w.take()
}

// take gives a consumer its batch.
func (w *world) take() {
	n := min(len(w.messages), w.batch)
	if n == 0 {
		w.polling--
		return
	}
	batch := slices.Clone(w.messages[:n])
	w.messages = w.messages[n:]
	start, ok := w.environment()
	if !ok { // the messages go back to the queue
		w.messages = append(w.messages, batch...)
		w.polling--
		w.throttled = w.now + time.Second
		w.after(time.Second, w.poll)
		return
	}
	w.begin(batch, start)
}

// grow adds consumers every second while messages wait, and drops them when none
// does.
func (w *world) grow() {
	if w.growing {
		return
	}
	w.growing = true
	const step = time.Second
	var each func()
	each = func() {
		if len(w.messages) == 0 {
			w.pollers, w.growing = w.quotas.pollers, false
			return
		}
		w.pollers = min(w.quotas.maxPollers, w.pollers+int(math.Ceil(float64(w.quotas.pollersMinute)*step.Minutes())))
		w.poll()
		w.after(step, each)
	}
	w.after(step, each)
}
