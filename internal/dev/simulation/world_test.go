// Package simulation runs the real pipeline and ledger with a simulated S3,
// CloudWatch and SNS.
//
// A process is one invocation: a batch of messages, each about one or two log
// objects. At every API call a scheduler decides which process continues, which
// one crashes, which reply is lost and how much time passes. There are two:
//
//   - one with a seed, which replays a schedule that breaks a guarantee
//     (random_test.go);
//   - one that tries every order and every crash of a small case
//     (explore_test.go).
package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

const (
	lb        = "app/shop/50dc6c495c0c9188"
	cooldown  = time.Hour
	growth    = 3
	threshold = 10
	timeout   = 5 * time.Minute // of an invocation
	maxSkew   = time.Minute     // of a process's clock, either way
	attempts  = 3               // of a message, before it is dead
)

var epoch = time.Date(2026, 11, 23, 10, 10, 0, 0, time.UTC)

// A logObject is one log object. The cipher of its connections identifies it.
type logObject struct {
	key         string
	cipher      string
	period      time.Time
	connections int
	failed      int
}

// newObject makes the object of a node in the period that ends so many periods
// after epoch.
func newObject(period, node, failed, succeeded int) logObject {
	end := epoch.Add(time.Duration(period) * logkey.Period)
	return logObject{
		key: fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/conn_log_123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_%s_192.0.2.%d_a.log",
			end.Format("20060102T1504Z"), node),
		cipher: fmt.Sprintf("C%d-%d", period, node), period: end, failed: failed, connections: failed + succeeded,
	}
}

func (o logObject) body() []byte {
	var b bytes.Buffer
	for i := range o.connections {
		status := "Success"
		if i < o.failed {
			status = "Failed:X"
		}
		fmt.Fprintf(&b, "%s 192.0.2.1 1 443 TLSv1.2 %s - \"-\" - - %s\n", o.period.Add(-time.Minute).Format(time.RFC3339), o.cipher, status)
	}
	return b.Bytes()
}

// A message announces objects. Its duplicates are separate messages. It keeps
// its id over all attempts.
type message struct {
	id        string
	objects   []logObject
	delivered int
	attempts  int // since it was last redriven
}

// A world is the services, the messages and the running processes.
type world struct {
	nature  nature
	breach  breach
	window  time.Duration // of the rule
	now     time.Time
	trace   []string
	objects []logObject
	bodies  map[string][]byte // by key

	waiting []*message // to be delivered
	dead    []*message // failed too often
	live    []*process

	later   []*message // to be delivered when nothing else is left; only the explorer uses it
	renamed bool       // whether a message was redriven under another identity

	s3 map[string]stored

	broken      []string       // broken guarantees
	accepted    map[string]int // by cipher: how often CloudWatch accepted the object's data
	uncertain   map[string]int // by cipher: attempts that ended between acceptance and commit
	republished float64        // sum of UncertainRepublishes
	alerts      []*sentAlert
	evaluated   map[time.Time]time.Time // by period: when a message about it last succeeded
}

// A nature decides what goes wrong.
type nature interface {
	fate(what string) fate // of a call
	conflict() bool        // whether S3 answers a conditional write with 409
	resend() bool          // whether the SDK sends a write again whose reply was lost
	skew() time.Duration   // of a process's clock
}

// A fate is what happens to an API call.
type fate int

const (
	fine      fate = iota
	dieBefore      // the process dies, and the call is not made
	dieAfter       // the process dies when the call was applied
	notSent        // the call fails and was not applied
	replyLost      // the call fails and was applied
	refused        // the service says no, and applied nothing
)

type stored struct {
	body []byte
	etag string
}

type sentAlert struct {
	at        time.Time
	end       time.Time // of its window
	failed    uint64
	uncertain bool // the sender ended before it recorded the alert
}

func newWorld(n nature, b breach, window time.Duration, objects ...logObject) *world {
	w := &world{
		nature: n, breach: b, window: window, now: epoch, objects: objects, bodies: make(map[string][]byte),
		s3: make(map[string]stored), accepted: make(map[string]int), uncertain: make(map[string]int), evaluated: make(map[time.Time]time.Time),
	}
	for _, o := range objects {
		w.bodies[o.key] = o.body()
	}
	return w
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, w.now.Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

// breaks records a broken guarantee.
func (w *world) breaks(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// cipherOf returns the cipher of the object with an S3 URI.
func (w *world) cipherOf(uri string) string {
	for _, o := range w.objects {
		if uri == "s3://logs/"+o.key {
			return o.cipher
		}
	}
	return ""
}

// A process is one invocation. It runs only between resume and its next API call.
type process struct {
	w        *world
	id       string
	messages []*message
	deadline time.Time
	skew     time.Duration
	resume   chan bool // false: crash
	paused   chan bool // true at its end
	next     string    // the call before which it is paused
	history  uint64    // hash of what its calls have returned
	company  bool      // whether another message's process ever ran beside it, or crashed before
	failed   []error   // by message; nil before the end

	accepted  map[string]bool // by cipher: CloudWatch has the data
	committed map[string]bool // by cipher
	alerted   *sentAlert      // sent, and not yet recorded
}

// start delivers messages to a new process and lets it run until its first
// call.
func (w *world) start(messages ...*message) *process {
	var ids []string
	for _, m := range messages {
		m.attempts++
		m.delivered++
		ids = append(ids, fmt.Sprint(m.id, "/", m.delivered))
		w.waiting = slices.DeleteFunc(w.waiting, func(n *message) bool { return n == m })
	}
	p := &process{
		w: w, id: strings.Join(ids, "+"), messages: messages, deadline: w.now.Add(timeout), skew: w.nature.skew(),
		resume: make(chan bool), paused: make(chan bool), accepted: make(map[string]bool), committed: make(map[string]bool),
	}
	w.live = append(w.live, p)
	go p.main()
	w.step(p, true)
	return p
}

// step runs a process until its next API call or its end. With on false it
// crashes instead.
func (w *world) step(p *process, on bool) {
	p.resume <- on
	if <-p.paused {
		w.end(p)
	}
}

// end has messages that did not succeed delivered again.
func (w *world) end(p *process) {
	w.live = slices.DeleteFunc(w.live, func(q *process) bool { return q == p })
	if p.alerted != nil {
		p.alerted.uncertain = true
	}
	if slices.ContainsFunc(p.failed, func(err error) bool { return errors.Is(err, pipeline.ErrInProgress) }) && !w.renamed && !p.company {
		w.breaks("%s waits for itself", p.id)
	}
	failed := make(map[string]bool) // by cipher
	for i, m := range p.messages {
		ok := p.failed != nil && p.failed[i] == nil
		for _, o := range m.objects {
			failed[o.cipher] = failed[o.cipher] || !ok
			if ok {
				w.evaluated[o.period] = w.now
			}
		}
		switch {
		case ok:
			w.log("%s succeeded", m.id)
		case m.attempts < attempts:
			w.waiting = append(w.waiting, m)
		default:
			w.dead = append(w.dead, m)
		}
	}
	for cipher := range p.accepted {
		switch {
		case p.committed[cipher]:
		case failed[cipher]:
			w.uncertain[cipher]++
		default: // although it had lost its claim
			w.breaks("%s published %s while another owner had its claim", p.id, cipher)
		}
	}
}

// othersBegan reports whether another process than p is running, or has crashed
// and its messages are to be delivered again.
func (w *world) othersBegan(p *process) bool {
	began := func(m *message) bool { return m.delivered > 0 }
	return slices.ContainsFunc(w.live, func(q *process) bool { return q != p }) ||
		slices.ContainsFunc(w.waiting, began) || slices.ContainsFunc(w.later, began) || slices.ContainsFunc(w.dead, began)
}

// abandon ends all processes.
func (w *world) abandon() {
	for _, p := range w.live {
		p.resume <- false
		<-p.paused
	}
	w.live = nil
}

// pipelines of processes that have ended. Their buffers are most of the cost of
// a process.
var pipelines = sync.Pool{New: func() any { return new(pipeline.Pipeline) }}

// main runs the invocation.
func (p *process) main() {
	defer func() { p.paused <- true }()
	if !<-p.resume {
		return
	}
	clock := func() time.Time { return p.w.now.Add(p.skew) }
	sleep := func(context.Context, time.Duration) error { p.yield("sleep"); return nil }
	tokens := 0
	l := ledger.New(p.w.breach.store(p), ledger.Options{
		Now: p.w.breach.clock(clock), Sleep: sleep, Random: func() float64 { return 0 },
		Token: func() string { tokens++; return fmt.Sprint(p.id, "/", tokens) },
	})
	pipe := pipelines.Get().(*pipeline.Pipeline)
	defer pipelines.Put(pipe)
	pipe.Source, pipe.Metrics, pipe.Alerts, pipe.Ledger = source{p}, sink{p}, topic{p}, l
	pipe.MetricOptions = metric.Options{Breakdowns: metric.Breakdowns{Cipher: true}}
	pipe.Rules = []alert.Rule{{Name: "failed-negotiations", MinFailed: threshold, MinFailedPercent: 1,
		Window: p.w.window, Cooldown: cooldown, Growth: growth}}
	pipe.Margin, pipe.Now, pipe.Sleep = 2*time.Second, clock, sleep
	var jobs []pipeline.Job
	var of []int // the message of each job
	for i, m := range p.messages {
		for _, o := range m.objects {
			jobs = append(jobs, pipeline.Job{Object: pipeline.Object{Bucket: "logs", Key: o.key}, Owner: p.w.breach.owner(m)})
			of = append(of, i)
		}
	}
	failed := make([]error, len(p.messages))
	for i, r := range pipe.Run(simulated{context.Background(), p.deadline.Add(p.skew)}, jobs...) {
		if r.Err != nil {
			failed[of[i]] = r.Err
			p.w.log("%s: %s failed: %v", p.id, p.messages[of[i]].id, r.Err)
		}
	}
	p.failed = failed
}

// simulated is a context with a deadline in simulated time.
type simulated struct {
	context.Context
	deadline time.Time
}

func (s simulated) Deadline() (time.Time, bool) { return s.deadline, true }

// yield lets other processes run. It does not return after the deadline.
func (p *process) yield(next string) {
	p.next = next
	p.paused <- false
	switch {
	case !<-p.resume:
		p.die("killed before " + next)
	case !p.w.now.Before(p.deadline):
		p.die("timed out before " + next)
	}
}

func (p *process) die(why string) {
	p.w.log("%s died: %s", p.id, why)
	runtime.Goexit()
}
