package main

import (
	"slices"
	"time"

	"tlswatch/pkg/price"
)

// result says what became of the objects of all periods.
type result struct {
	arrived   int
	published int // their metrics
	done      int // published, committed, window evaluated
	dead      int // in the failure queue
	left      int // neither done nor dead at the end

	metric, alert delays // from the end of the period

	invocations int
	calls       int // PutMetricData that were accepted
	writes      int // PUT and LIST of S3
	reads       int // GET
	errors      int // failed attempts at an object
	refused     map[string]int
	mostRunning int     // at the same time
	seconds     float64 // billed
	bill        float64 // US dollars a month
	backlog     bool    // it grew from period to period

	// For the test of Little's law.
	running, waiting float64 // object-seconds, integrated over time
	runTimes         float64 // the same, summed over objects
	waitTimes        float64
}

// delays are percentiles, in seconds.
type delays struct{ p50, p99, max float64 }

// overloaded reports whether the deployment does not keep up: objects end in the
// failure queue, or the backlog grows.
func (r *result) overloaded() bool { return r.dead > 0 || r.backlog || r.left > 0 }

// limit names the limit that refused most requests, "" if none did.
func (r *result) limit() string {
	most := ""
	for _, name := range []string{limitMetrics, limitS3Writes, limitLogReads, limitStateReads, limitConcurrency} {
		if r.refused[name] > r.refused[most] {
			most = name
		}
	}
	return most
}

// Names of the limits.
const (
	limitMetrics     = "PutMetricData calls per second"
	limitS3Writes    = "S3 PUT and LIST per second of the state bucket"
	limitLogReads    = "S3 GET per second of the log bucket"
	limitStateReads  = "S3 GET per second of the state bucket"
	limitConcurrency = "Lambda concurrency"
)

// sum returns the result.
func (w *world) sum() result {
	r := &w.result
	w.running.add(0)
	w.waiting.add(0)
	r.running, r.waiting = w.running.sum, w.waiting.sum
	r.mostRunning = w.running.most
	r.left = r.arrived - w.finished
	r.metric, r.alert = percentiles(w.metricDelays), percentiles(w.alertDelays)
	// A growing backlog exceeds one period's objects and the backlog half-way.
	n := len(w.left)
	r.backlog = n > 2 && w.left[n-1] > w.loadBalancers*w.nodes && w.left[n-1] > w.left[n/2]
	r.bill = w.month().Usage(price.Setup{
		ObjectTime: time.Duration(r.seconds / float64(max(1, r.arrived)) * float64(time.Second)),
		Queue:      w.queue, Memory: w.memory, FunctionDays: 30, Alarms: price.StackAlarms(w.queue), Dashboards: 1, InsightRules: 2,
	}).Total(false)
	return *r
}

// month extrapolates the simulated work to a month.
func (w *world) month() price.Month {
	r := &w.result
	if r.arrived == 0 {
		return price.Month{}
	}
	objects := float64(w.loadBalancers*w.nodes) * price.HoursPerMonth * float64(time.Hour/period)
	each := objects / float64(r.arrived) // of what was counted
	return price.Month{
		Objects: objects, Batches: each * float64(r.invocations), Requests: each * float64(r.calls),
		Metrics: 8 + w.metrics*float64(w.loadBalancers), Bytes: objects * w.bytes * 1e6,
		NamingObjects: objects, FirstNamings: float64(w.loadBalancers) * price.HoursPerMonth, AlarmingReads: objects,
		FailingClients: objects * w.failing, RecordBytes: objects * w.record * 1000,
	}
}

func percentiles(list []float64) delays {
	if len(list) == 0 {
		return delays{}
	}
	slices.Sort(list)
	return delays{list[len(list)/2], list[len(list)*99/100], list[len(list)-1]}
}
