package main

import (
	"math"
	"slices"
	"time"

	"tlswatch/pkg/price"
)

// An invocation is one run of the function over its objects.
type invocation struct {
	w       *world
	objects []*object
	begun   time.Duration
	failed  []*object
}

func (w *world) begin(objects []*object, start time.Duration) {
	for _, o := range objects {
		w.waiting.add(-1)
		w.result.waitTimes += (w.now - o.queued).Seconds()
	}
	w.running.add(1)
	w.result.invocations++
	i := &invocation{w: w, objects: objects, begun: w.now}
	w.after(start, func() { i.read(0) })
}

// request sends a request, with the SDK's retries and back-off, and calls next
// after the reply.
func (i *invocation) request(q *quota, limit string, attempts int, wait time.Duration, next func(ok bool)) {
	w := i.w
	var try func(n int)
	try = func(n int) {
		if q.take() {
			w.after(wait, func() { next(true) })
			return
		}
		w.result.refused[limit]++
		if n == attempts {
			next(false)
			return
		}
		w.after(w.within(min(time.Second<<n, 20*time.Second)), func() { try(n + 1) })
	}
	try(1)
}

// How often the SDK tries a request; package cwsink sets its own number.
const (
	s3Attempts     = 3
	metricAttempts = 5
)

// read reads and claims the n-th object, and reads which clients have metrics.
func (i *invocation) read(n int) {
	w := i.w
	if n == len(i.objects) {
		i.publish()
		return
	}
	fail := func() {
		i.failed = append(i.failed, i.objects[n])
		i.objects = slices.Delete(slices.Clone(i.objects), n, n+1)
		i.read(n)
	}
	get := func(q *quota, limit string, next func()) {
		i.request(q, limit, s3Attempts, w.waitS3, func(ok bool) {
			if !ok {
				fail()
				return
			}
			w.result.reads++
			next()
		})
	}
	get(w.logReads, limitLogReads, func() {
		w.after(w.cpu(), func() {
			i.request(w.writes, limitS3Writes, s3Attempts, w.waitS3, func(ok bool) {
				if !ok {
					fail()
					return
				}
				w.result.writes++
				get(w.stateReads, limitStateReads, func() { i.read(n + 1) })
			})
		})
	})
}

// cpu is how long one object keeps the function's share of a processor busy.
func (w *world) cpu() time.Duration {
	full := float64(w.objectCPU) + w.bytes*float64(w.cpuPerMB)
	return time.Duration(full / min(1, w.memory/price.FullCPU))
}

// publish sends the metric data of all objects that are not published yet.
func (i *invocation) publish() {
	w := i.w
	var fresh []*object
	for _, o := range i.objects {
		if !o.published {
			fresh = append(fresh, o)
		}
	}
	calls := int(math.Ceil(float64(len(fresh)) * w.data / 1000))
	var send func(n int)
	send = func(n int) {
		if n == calls {
			for _, o := range fresh {
				o.published = true
				w.result.published++
				w.metricDelays = append(w.metricDelays, (w.now - o.end).Seconds())
			}
			i.commit(0, 0)
			return
		}
		i.request(w.metricCalls, limitMetrics, metricAttempts, w.waitMetrics, func(ok bool) {
			if !ok { // claims are released: all of them are retried
				i.failed = append(i.failed, i.objects...)
				i.end()
				return
			}
			w.result.calls++
			send(n + 1)
		})
	}
	send(0)
}

// commit takes the remaining steps of the n-th object: 0 commits it, 1 lists its
// window, 2 reads the last alert, 3 ends.
func (i *invocation) commit(n, step int) {
	w := i.w
	if n == len(i.objects) {
		i.end()
		return
	}
	q, limit, count := w.writes, limitS3Writes, &w.result.writes
	switch step {
	case 2:
		q, limit, count = w.stateReads, limitStateReads, &w.result.reads
	case 3:
		w.result.done++
		w.finished++
		w.alertDelays = append(w.alertDelays, (w.now - i.objects[n].end).Seconds())
		i.commit(n+1, 0)
		return
	}
	i.request(q, limit, s3Attempts, w.waitS3, func(ok bool) {
		if !ok {
			i.failed = append(i.failed, i.objects[n])
			i.commit(n+1, 0)
			return
		}
		*count++
		i.commit(n, step+1)
	})
}

// end frees the environment and retries what failed.
func (i *invocation) end() {
	w := i.w
	w.running.add(-1)
	w.result.seconds += (w.now - i.begun).Seconds()
	w.result.runTimes += (w.now - i.begun).Seconds()
	w.idle++
	for _, o := range i.failed {
		w.result.errors++
		w.retry(o)
	}
	if w.queue {
		w.polling--
		w.poll()
	}
}

// retry retries an object: an event twice, after one and two minutes; a message
// when it is visible again, at most five times in all.
func (w *world) retry(o *object) {
	o.attempt++
	attempts, pause := 3, time.Duration(o.attempt)*time.Minute
	if w.queue {
		attempts, pause = 5, visibility
	}
	if o.attempt == attempts {
		w.result.dead++
		w.finished++
		return
	}
	w.after(pause, func() { w.arrive(o) })
}

// visibility is the template's visibility timeout for a function timeout of two
// minutes: six times that, and one minute for the batch to fill.
const visibility = 13 * time.Minute
