package scale

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"tlswatch/pkg/price"
)

// Period is how often each node of a load balancer delivers a log object, all
// of them at the same marks.
const Period = 5 * time.Minute

// A Config is a deployment and its load. [Defaults] has the published quotas.
type Config struct {
	LoadBalancers int
	Nodes         int // of each
	Periods       int // simulated
	Seed          uint64

	// The load of one object.
	Bytes   float64 // after decompression, MB
	Data    float64 // metric data
	Metrics float64 // custom metrics of a load balancer
	Failing float64 // failing clients
	Record  float64 // KB of its ledger record

	// How objects come: at a time within Spread after the end of their period,
	// and their events within Announce after that.
	Spread, Announce time.Duration

	Queue       bool
	Batch       int           // messages at once
	Window      time.Duration // for which a consumer waits for that many
	Concurrency int           // of the account, or what reserved or maximum concurrency leaves of it
	Memory      float64       // of the function, MB

	Quotas Quotas

	// What the work takes. See the constants of package price.
	WaitS3, WaitMetrics, ObjectCPU, CPUPerMB, Start time.Duration
}

// Quotas are those of one account and Region.
type Quotas struct {
	MetricCalls   float64       // PutMetricData a second
	S3Writes      float64       // PUT and LIST a second, of the state bucket
	S3Reads       float64       // GET a second, of each bucket
	Burst         int           // execution environments that Lambda adds at once
	BurstEach     time.Duration // and again after this
	Pollers       int           // batches that a queue's consumers begin with
	PollersMinute int           // and add in a minute
	MaxPollers    int
}

// Defaults are the quotas that AWS publishes for an account nobody has asked to
// raise, and the template's defaults.
//
// Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html,
// https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html,
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html,
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
func Defaults() Config {
	return Config{
		Nodes: 3, Periods: 12, Seed: 1,
		Bytes: 0.37, Data: 207, Metrics: 39, Failing: 10, Record: 3.5,
		Spread: 10 * time.Second, Announce: time.Second,
		Batch: 25, Window: 15 * time.Second, Concurrency: 1000, Memory: 512,
		Quotas: Quotas{
			MetricCalls: 500, S3Writes: 3500, S3Reads: 5500,
			Burst: 1000, BurstEach: 10 * time.Second,
			Pollers: 5, PollersMinute: 300, MaxPollers: 1000,
		},
		WaitS3: price.WaitS3, WaitMetrics: price.WaitMetrics, ObjectCPU: price.ObjectCPU, CPUPerMB: price.CPUPerMB,
		Start: 250 * time.Millisecond,
	}
}

// A Result is what became of the objects of all periods.
type Result struct {
	Arrived   int
	Published int // their metrics
	Done      int // published, committed, and their window looked at
	Dead      int // in the failure queue
	Left      int // neither done nor dead when the time was over

	Metric, Alert Delays // from the end of the period

	Invocations int
	Calls       int // PutMetricData that were accepted
	Writes      int // PUT and LIST of S3
	Reads       int // GET
	Errors      int // of objects, each time
	Refused     map[string]int
	MostRunning int     // at the same time
	Seconds     float64 // billed
	Bill        float64 // US dollars a month
	Backlog     bool    // it grew: a period begins with more than the one before left behind

	// For the laws that hold of every queue.
	running, waiting float64 // areas, in seconds
	runTimes         float64 // sums, in seconds
	waitTimes        float64
}

// Delays are percentiles, in seconds.
type Delays struct{ P50, P99, Max float64 }

// Stops reports whether the set-up does not carry its load: objects end in the
// failure queue, or the backlog grows.
func (r *Result) Stops() bool { return r.Dead > 0 || r.Backlog || r.Left > 0 }

// Limit names what refused most requests, "" for nothing.
func (r *Result) Limit() string {
	most := ""
	for _, name := range []string{limitMetrics, limitS3Writes, limitLogReads, limitStateReads, limitConcurrency} {
		if r.Refused[name] > r.Refused[most] {
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

// world is a simulation under way.
type world struct {
	Config
	clock
	random *rand.Rand
	result Result

	metrics    *quota
	writes     *quota // of the state bucket
	logReads   *quota
	stateReads *quota

	running area
	waiting area // messages in the queue, or events that wait for a place

	idle    int // execution environments
	started int // environments begun in the present burst
	burst   time.Duration
	warm    int // environments that exist

	queue   []*object
	pollers int
	polling int        // consumers that wait for their batch to fill, or run
	filling []*filling // those that wait, the first that began to first
	growing bool

	throttled time.Duration // until when consumers find no place to run in
	metric    []float64
	alert     []float64
	left      []int // unfinished at the end of each period
	finished  int
}

// An object is a log object on its way.
type object struct {
	end       time.Duration // of its period
	queued    time.Duration
	published bool
	attempt   int // of its event or message
}

// Run simulates. The same Config gives the same Result.
func Run(c Config) Result {
	w := &world{Config: c, random: rand.New(rand.NewPCG(c.Seed, 0x5ca1e))}
	w.metrics = newQuota(&w.clock, c.Quotas.MetricCalls)
	w.writes = newQuota(&w.clock, c.Quotas.S3Writes)
	w.logReads = newQuota(&w.clock, c.Quotas.S3Reads)
	w.stateReads = newQuota(&w.clock, c.Quotas.S3Reads)
	w.running.clock, w.waiting.clock = &w.clock, &w.clock
	w.burst = -c.Quotas.BurstEach
	w.pollers = c.Quotas.Pollers
	w.result.Refused = make(map[string]int)
	for p := range c.Periods {
		w.after(time.Duration(p+1)*Period, func() { w.deliver() })
	}
	// An hour after the last period, whatever is not done is left behind.
	w.run(time.Duration(c.Periods)*Period + time.Hour)
	return w.sum()
}

// deliver has all nodes deliver at the end of a period.
func (w *world) deliver() {
	w.left = append(w.left, w.result.Arrived-w.finished)
	end := w.now
	for range w.LoadBalancers * w.Nodes {
		o := &object{end: end}
		w.result.Arrived++
		w.after(w.within(w.Spread)+w.within(w.Announce), func() { w.announce(o) })
	}
}

func (w *world) within(d time.Duration) time.Duration {
	return time.Duration(w.random.Float64() * float64(d))
}

func (w *world) announce(o *object) {
	o.queued = w.now
	w.waiting.add(1)
	if w.Queue {
		w.queue = append(w.queue, o)
		w.poll()
		w.grow()
	} else {
		w.invoke(o, 0)
	}
}

// invoke starts an environment for an asynchronous event, or lets the event wait
// with Lambda's back-off: a second, doubling up to five minutes.
func (w *world) invoke(o *object, throttled int) {
	start, ok := w.environment()
	if !ok {
		pause := min(time.Second<<min(throttled, 10), 5*time.Minute)
		w.after(pause/2+w.within(pause), func() { w.invoke(o, throttled+1) })
		return
	}
	w.begin([]*object{o}, start)
}

// environment takes a place to run in, and returns how long it takes to start.
func (w *world) environment() (start time.Duration, ok bool) {
	if w.idle > 0 {
		w.idle--
		return 0, true
	}
	if w.now >= w.burst+w.Quotas.BurstEach {
		w.burst, w.started = w.now, 0
	}
	if w.warm >= w.Concurrency || w.started >= w.Quotas.Burst {
		w.result.Refused[limitConcurrency]++
		return 0, false
	}
	w.warm++
	w.started++
	return w.Start, true
}

// A filling is a consumer that waits for its batch to fill, or for its window to
// end.
type filling struct{ over bool }

// poll begins batches while there are messages and consumers.
func (w *world) poll() {
	for len(w.queue) > 0 && w.now >= w.throttled {
		full := len(w.queue) >= w.Batch
		switch {
		case full && len(w.filling) > 0:
			w.filled()
		case w.polling >= min(w.pollers, w.Concurrency):
			return
		case full:
			w.polling++
			w.take()
		default:
			w.polling++
			f := new(filling)
			w.filling = append(w.filling, f)
			w.after(w.Window, func() {
				if !f.over {
					w.filled()
				}
			})
			return // it waits for the others, too
		}
	}
}

// filled ends the wait of the consumer that has waited longest, which is also
// the one whose window ends first.
func (w *world) filled() {
	w.filling[0].over = true
	w.filling = w.filling[1:]
	w.take()
}

// take gives a consumer its batch.
func (w *world) take() {
	n := min(len(w.queue), w.Batch)
	if n == 0 {
		w.polling--
		return
	}
	batch := slices.Clone(w.queue[:n])
	w.queue = w.queue[n:]
	start, ok := w.environment()
	if !ok { // the consumer puts its messages back
		w.queue = append(w.queue, batch...)
		w.polling--
		w.throttled = w.now + time.Second
		w.after(time.Second, w.poll)
		return
	}
	w.begin(batch, start)
}

// grow adds consumers while messages wait, and takes them away when none does.
func (w *world) grow() {
	if w.growing {
		return
	}
	w.growing = true
	const step = time.Second
	var each func()
	each = func() {
		if len(w.queue) == 0 {
			w.pollers, w.growing = w.Quotas.Pollers, false
			return
		}
		w.pollers = min(w.Quotas.MaxPollers, w.pollers+int(math.Ceil(float64(w.Quotas.PollersMinute)*step.Minutes())))
		w.poll()
		w.after(step, each)
	}
	w.after(step, each)
}

// An invocation is a run of the function over some objects.
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
	w.result.Invocations++
	i := &invocation{w: w, objects: objects, begun: w.now}
	w.after(start, func() { i.read(0) })
}

// request waits for a service to grant a request, with the SDK's back-off, and
// for its reply.
func (i *invocation) request(q *quota, limit string, attempts int, wait time.Duration, next func(ok bool)) {
	w := i.w
	var try func(n int)
	try = func(n int) {
		if q.take() {
			w.after(wait, func() { next(true) })
			return
		}
		w.result.Refused[limit]++
		if n == attempts {
			next(false)
			return
		}
		w.after(w.within(min(time.Second<<n, 20*time.Second)), func() { try(n + 1) })
	}
	try(1)
}

// The SDK's attempts at a request of each service; package cwsink has its own.
const (
	s3Attempts     = 3
	metricAttempts = 5
)

// read reads and claims the n-th object, and asks which clients have metrics.
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
		i.request(q, limit, s3Attempts, w.WaitS3, func(ok bool) {
			if !ok {
				fail()
				return
			}
			w.result.Reads++
			next()
		})
	}
	get(w.logReads, limitLogReads, func() {
		w.after(w.cpu(), func() {
			i.request(w.writes, limitS3Writes, s3Attempts, w.WaitS3, func(ok bool) {
				if !ok {
					fail()
					return
				}
				w.result.Writes++
				get(w.stateReads, limitStateReads, func() { i.read(n + 1) })
			})
		})
	})
}

// cpu is the time that one object takes of the processor's share.
func (w *world) cpu() time.Duration {
	full := float64(w.ObjectCPU) + w.Bytes*float64(w.CPUPerMB)
	return time.Duration(full / min(1, w.Memory/price.FullCPU))
}

// publish sends the data of all objects that are not published yet.
func (i *invocation) publish() {
	w := i.w
	var fresh []*object
	for _, o := range i.objects {
		if !o.published {
			fresh = append(fresh, o)
		}
	}
	calls := int(math.Ceil(float64(len(fresh)) * w.Data / 1000))
	var send func(n int)
	send = func(n int) {
		if n == calls {
			for _, o := range fresh {
				o.published = true
				w.result.Published++
				w.metric = append(w.metric, (w.now - o.end).Seconds())
			}
			i.commit(0, 0)
			return
		}
		i.request(w.metrics, limitMetrics, metricAttempts, w.WaitMetrics, func(ok bool) {
			if !ok { // released: all of them come again
				i.failed = append(i.failed, i.objects...)
				i.end()
				return
			}
			w.result.Calls++
			send(n + 1)
		})
	}
	send(0)
}

// commit notes the n-th object, lists its window, and reads the alert before,
// from the given one of these steps on.
func (i *invocation) commit(n, step int) {
	w := i.w
	if n == len(i.objects) {
		i.end()
		return
	}
	q, limit, count := w.writes, limitS3Writes, &w.result.Writes
	switch step {
	case 2:
		q, limit, count = w.stateReads, limitStateReads, &w.result.Reads
	case 3:
		w.result.Done++
		w.finished++
		w.alert = append(w.alert, (w.now - i.objects[n].end).Seconds())
		i.commit(n+1, 0)
		return
	}
	i.request(q, limit, s3Attempts, w.WaitS3, func(ok bool) {
		if !ok {
			i.failed = append(i.failed, i.objects[n])
			i.commit(n+1, 0)
			return
		}
		*count++
		i.commit(n, step+1)
	})
}

// end frees the environment, and has what failed tried again.
func (i *invocation) end() {
	w := i.w
	w.running.add(-1)
	w.result.Seconds += (w.now - i.begun).Seconds()
	w.result.runTimes += (w.now - i.begun).Seconds()
	w.idle++
	for _, o := range i.failed {
		w.result.Errors++
		w.again(o)
	}
	if w.Queue {
		w.polling--
		w.poll()
	}
}

// again tries an object again: an event twice, after one and two minutes; a
// message up to five times, when it is visible again.
func (w *world) again(o *object) {
	o.attempt++
	attempts, pause := 3, time.Duration(o.attempt)*time.Minute
	if w.Queue {
		attempts, pause = 5, visibility
	}
	if o.attempt == attempts {
		w.result.Dead++
		w.finished++
		return
	}
	w.after(pause, func() { w.announce(o) })
}

// visibility is the template's for a time-out of two minutes: six times that,
// and a minute for the batch to fill.
const visibility = 13 * time.Minute

// sum makes the result.
func (w *world) sum() Result {
	r := &w.result
	w.running.add(0)
	w.waiting.add(0)
	r.running, r.waiting = w.running.sum, w.waiting.sum
	r.MostRunning = w.running.most
	r.Left = r.Arrived - w.finished
	r.Metric, r.Alert = delays(w.metric), delays(w.alert)
	// A backlog is one that grows from period to period, to more than a period's
	// objects.
	n := len(w.left)
	r.Backlog = n > 2 && w.left[n-1] > w.LoadBalancers*w.Nodes && w.left[n-1] > w.left[n/2]
	r.Bill = w.month().Usage(price.Setup{
		ObjectTime: time.Duration(r.Seconds / float64(max(1, r.Arrived)) * float64(time.Second)),
		Queue:      w.Queue, Memory: w.Memory, FunctionDays: 30, Alarms: price.StackAlarms(w.Queue), Dashboards: 1, InsightRules: 2,
	}).Total(false)
	return *r
}

// month is the work of a month, from what was counted.
func (w *world) month() price.Month {
	r := &w.result
	if r.Arrived == 0 {
		return price.Month{}
	}
	objects := float64(w.LoadBalancers*w.Nodes) * price.HoursPerMonth * float64(time.Hour/Period)
	each := objects / float64(r.Arrived) // of what was counted, in a month
	return price.Month{
		Objects: objects, Batches: each * float64(r.Invocations), Requests: each * float64(r.Calls),
		Metrics: 8 + w.Metrics*float64(w.LoadBalancers), Bytes: objects * w.Bytes * 1e6,
		NamingObjects: objects, FirstNamings: float64(w.LoadBalancers) * price.HoursPerMonth, AlarmingReads: objects,
		FailingClients: objects * w.Failing, RecordBytes: objects * w.Record * 1000,
	}
}

func delays(list []float64) Delays {
	if len(list) == 0 {
		return Delays{}
	}
	slices.Sort(list)
	return Delays{list[len(list)/2], list[len(list)*99/100], list[len(list)-1]}
}
