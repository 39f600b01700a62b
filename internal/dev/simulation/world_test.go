// Package simulation runs the real pipeline and ledger with a simulated S3,
// CloudWatch and SNS. At every API call, a scheduler with a seed decides which
// process continues, which one crashes, which reply is lost and how much time
// passes. The seed replays a schedule that breaks a guarantee.
package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/ledger"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/notice"
	"tlswatch/pkg/pipeline"
)

const (
	lb        = "app/shop/50dc6c495c0c9188"
	cooldown  = time.Hour
	growth    = 3
	threshold = 10
	timeout   = 5 * time.Minute // of an invocation
	maxSkew   = time.Minute     // of a process's clock, either way
)

var epoch = time.Date(2026, 11, 23, 10, 10, 0, 0, time.UTC)

// A breach switches off a rule of the ledger, to show that the rule matters.
type breach int

const (
	none           breach = iota
	ownerIsAttempt        // claims are owned by the attempt instead of the event (rule 2)
	noSecondLook          // a duplicate does not evaluate its window (rule 5)
	leasesIgnored         // other owners' live claims are taken over (rule 3)
)

// A logObject is one log object. The cipher of its connections identifies it.
type logObject struct {
	key         string
	cipher      string
	period      time.Time
	connections int
	failed      int
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

// An event announces an object. Its duplicates are separate events.
type event struct {
	id       string
	object   logObject
	attempts int
}

// A world is the services, the events and the running processes.
type world struct {
	r      *rand.Rand
	breach breach
	calm   bool // no more faults
	now    time.Time
	trace  []string

	objects []logObject
	waiting []*event // to be delivered
	dead    []*event // failed three times
	live    []*process

	s3       map[string]stored
	versions int

	broken      []string       // broken guarantees
	accepted    map[string]int // by cipher: how often CloudWatch accepted the object's data
	uncertain   map[string]int // by cipher: attempts that ended between acceptance and commit
	republished float64        // sum of UncertainRepublishes
	alerts      []*sentAlert
	pending     time.Time               // when the pending alert became pending; zero if none is
	evaluated   map[time.Time]time.Time // by period: when an invocation last succeeded
}

type stored struct {
	body []byte
	etag string
}

type sentAlert struct {
	since     time.Time // when it became pending
	at        time.Time
	end       time.Time
	failed    uint64
	uncertain bool // the sender ended before it recorded the alert
}

// A process is one invocation. It runs only between resume and its next API call.
type process struct {
	w        *world
	e        *event
	deadline time.Time
	skew     time.Duration
	resume   chan struct{}
	paused   chan bool // true at its end
	ok       bool

	accepted  bool // CloudWatch has the data
	committed bool
	alerted   *sentAlert
}

func newWorld(seed uint64, b breach) *world {
	w := &world{
		r: rand.New(rand.NewPCG(seed, 0)), breach: b, now: epoch,
		s3: make(map[string]stored), accepted: make(map[string]int), uncertain: make(map[string]int), evaluated: make(map[time.Time]time.Time),
	}
	periods := 1 + w.r.IntN(3)
	for p := range periods {
		for node := range 1 + w.r.IntN(3) {
			end := epoch.Add(time.Duration(p-2) * connlog.Period)
			o := logObject{
				key: fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/conn_log_123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_%s_192.0.2.%d_a.log",
					end.Format("20060102T1504Z"), node),
				cipher: fmt.Sprintf("C-%d-%d", p, node), period: end, failed: w.r.IntN(threshold + 2),
			}
			o.connections = o.failed + 1 + w.r.IntN(3)
			w.objects = append(w.objects, o)
			for d := range 1 + w.r.IntN(3) {
				w.waiting = append(w.waiting, &event{id: fmt.Sprintf("%s-event-%d", o.cipher, d), object: o})
			}
		}
	}
	w.r.Shuffle(len(w.waiting), func(i, j int) { w.waiting[i], w.waiting[j] = w.waiting[j], w.waiting[i] })
	return w
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, w.now.Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// run delivers all events and redrives the dead letters, at last without faults,
// until nothing is left.
func (w *world) run() {
	for step := 0; len(w.waiting) > 0 || len(w.live) > 0 || len(w.dead) > 0; step++ {
		if step > 400 {
			w.calm = true
		}
		if len(w.waiting) == 0 && len(w.live) == 0 { // redrive
			for _, e := range w.dead {
				e.attempts = 0
			}
			w.waiting, w.dead = w.dead, nil
			w.pass(timeout + 2*ledger.Skew) // a redrive is late
			w.calm = w.calm || w.r.IntN(2) == 0
		}
		w.pass(time.Duration(w.r.Int64N(int64(5 * time.Second))))
		if w.r.IntN(40) == 0 {
			w.pass(time.Duration(w.r.Int64N(int64(20 * time.Minute))))
		}
		if n := len(w.waiting); n > 0 && len(w.live) < 8 && (len(w.live) == 0 || w.r.IntN(4) == 0) {
			i := w.r.IntN(n)
			e := w.waiting[i]
			w.waiting = slices.Delete(w.waiting, i, i+1)
			w.start(e)
			continue
		}
		if len(w.live) > 0 {
			w.step(w.live[w.r.IntN(len(w.live))])
		}
	}
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) start(e *event) {
	e.attempts++
	p := &process{
		w: w, e: e, deadline: w.now.Add(timeout), skew: time.Duration(w.r.Int64N(int64(2*maxSkew))) - maxSkew,
		resume: make(chan struct{}), paused: make(chan bool),
	}
	w.live = append(w.live, p)
	go p.main()
}

// step runs a process until its next API call or its end.
func (w *world) step(p *process) {
	p.resume <- struct{}{}
	if <-p.paused {
		w.end(p)
	}
}

func (w *world) end(p *process) {
	w.live = slices.DeleteFunc(w.live, func(q *process) bool { return q == p })
	switch {
	case !p.accepted || p.committed:
	case p.ok: // although it had lost its claim
		p.breaks("published %s while another owner had its claim", p.e.object.cipher)
	default:
		w.uncertain[p.e.object.cipher]++
	}
	if p.alerted != nil {
		p.alerted.uncertain = true
	}
	switch {
	case p.ok:
		w.log("%s succeeded", p.e.id)
		w.evaluated[p.e.object.period] = w.now
	case p.e.attempts < 3:
		w.waiting = append(w.waiting, p.e)
	default:
		w.dead = append(w.dead, p.e)
	}
}

// main runs the invocation.
func (p *process) main() {
	<-p.resume
	defer func() { p.paused <- true }()
	owner := p.e.id
	if p.w.breach == ownerIsAttempt {
		owner = fmt.Sprint(p.e.id, "/", p.e.attempts)
	}
	clock := func() time.Time { return p.w.now.Add(p.skew) }
	sleep := func(context.Context, time.Duration) error { p.yield(); return nil }
	token := 0
	ledgerClock := clock
	if p.w.breach == leasesIgnored {
		ledgerClock = func() time.Time { return clock().Add(24 * time.Hour) }
	}
	l := pipeline.Ledger(ledger.New(store{p}, ledger.Options{
		Now: ledgerClock, Sleep: sleep, Random: p.w.r.Float64,
		Token: func() string { token++; return fmt.Sprint(p.e.id, "/", p.e.attempts, "/", p.w.r.Uint64(), "/", token) },
	}))
	if p.w.breach == noSecondLook {
		l = &forgetful{Ledger: l}
	}
	pipe := &pipeline.Pipeline{
		Source: source{p}, Metrics: sink{p}, Alerts: topic{p}, Ledger: l,
		MetricOptions: metric.Options{Breakdowns: metric.Breakdowns{Cipher: true}},
		Rules: []alert.Rule{{Name: "failed-negotiations", MinFailed: threshold, MinFailedPercent: 1,
			Window: connlog.Period, Cooldown: cooldown, Growth: growth}},
		Margin: 2 * time.Second, Now: clock, Sleep: sleep,
	}
	ctx := simulated{context.Background(), p.deadline.Add(p.skew)}
	r := pipe.Run(ctx, pipeline.Job{Object: pipeline.Object{Bucket: "logs", Key: p.e.object.key}, Owner: owner, Stable: true})[0]
	p.ok = r.Err == nil
	if r.Err != nil {
		p.w.log("%s failed: %v", p.e.id, r.Err)
	}
}

// simulated is a context with a deadline in simulated time.
type simulated struct {
	context.Context
	deadline time.Time
}

func (s simulated) Deadline() (time.Time, bool) { return s.deadline, true }

// forgetful is a ledger with which duplicates do not evaluate their window again.
type forgetful struct {
	pipeline.Ledger
	duplicate bool
}

func (f *forgetful) Claim(ctx context.Context, c pipeline.Claim) (pipeline.Ticket, error) {
	t, err := f.Ledger.Claim(ctx, c)
	f.duplicate = t.State == pipeline.Published
	return t, err
}

func (f *forgetful) Records(ctx context.Context, lb string, from, until time.Time) ([]pipeline.LedgerRecord, error) {
	if f.duplicate {
		return nil, nil
	}
	return f.Ledger.Records(ctx, lb, from, until)
}

// yield lets other processes run. It does not return after the deadline.
func (p *process) yield() {
	p.paused <- false
	<-p.resume
	if !p.w.now.Before(p.deadline) {
		p.die("timed out")
	}
}

func (p *process) die(why string) {
	p.w.log("%s died: %s", p.e.id, why)
	runtime.Goexit()
}

// breaks records a broken guarantee.
func (p *process) breaks(format string, args ...any) {
	p.w.broken = append(p.w.broken, p.e.id+": "+fmt.Sprintf(format, args...))
}

var errNetwork = errors.New("network: no reply")

// call is one API call. It may be applied or not, its reply may arrive or not, and
// the process may crash before or after it.
func (p *process) call(what string, apply func()) error {
	p.yield()
	fault := 0
	if !p.w.calm {
		fault = p.w.r.IntN(25)
	}
	switch fault {
	case 1:
		p.die("before " + what)
	case 2:
		apply()
		p.die("after " + what)
	case 3:
		p.w.log("%s: %s not sent", p.e.id, what)
		return errNetwork
	case 4:
		apply()
		p.w.log("%s: reply to %s lost", p.e.id, what)
		return errNetwork
	}
	apply()
	return nil
}

// store is one process's access to the state bucket.
type store struct{ p *process }

func (s store) Get(_ context.Context, key string) (body []byte, etag string, err error) {
	lost := s.p.call("get "+key, func() {
		o, ok := s.p.w.s3[key]
		if !ok {
			err = ledger.ErrNotFound
			return
		}
		body, etag = o.body, o.etag
	})
	if lost != nil {
		err = lost
	}
	return body, etag, err
}

// write is a conditional write. If the reply is lost, the SDK may send the request
// again, and the caller then sees the second request refused.
func (s store) write(what, key string, body []byte, refused func() error) (etag string, err error) {
	once := func() {
		if err = refused(); err != nil {
			return
		}
		s.p.w.versions++
		etag = fmt.Sprint("etag-", s.p.w.versions)
		s.p.w.s3[key] = stored{slices.Clone(body), etag}
		s.p.noteCommit(key, body)
	}
	lost := s.p.call(what+" "+key, once)
	if lost != nil && s.p.w.r.IntN(2) == 0 {
		lost = s.p.call(what+" again "+key, once)
	}
	if lost != nil {
		return "", lost
	}
	return etag, err
}

func (s store) Create(_ context.Context, key string, body []byte) (string, error) {
	return s.write("create", key, body, func() error {
		if !s.p.w.calm && s.p.w.r.IntN(40) == 0 {
			return ledger.ErrConflict
		}
		if _, ok := s.p.w.s3[key]; ok {
			return ledger.ErrExists
		}
		return nil
	})
}

func (s store) Replace(_ context.Context, key string, body []byte, etag string) (string, error) {
	return s.write("replace", key, body, func() error {
		if !s.p.w.calm && s.p.w.r.IntN(40) == 0 {
			return ledger.ErrConflict
		}
		switch o, ok := s.p.w.s3[key]; {
		case !ok:
			return ledger.ErrNotFound
		case o.etag != etag:
			return ledger.ErrChanged
		}
		return nil
	})
}

func (s store) List(_ context.Context, prefix, after string, yield func(string, int64) bool) error {
	type entry struct {
		key  string
		size int
	}
	var page []entry
	if err := s.p.call("list "+prefix, func() {
		for _, key := range slices.Sorted(maps.Keys(s.p.w.s3)) {
			if strings.HasPrefix(key, prefix) && key > after {
				page = append(page, entry{key, len(s.p.w.s3[key].body)})
			}
		}
	}); err != nil {
		return err
	}
	for _, e := range page {
		if !yield(e.key, int64(e.size)) {
			return nil
		}
	}
	return nil
}

// noteCommit records that a process has written "published", "pending" or "sent".
func (p *process) noteCommit(key string, body []byte) {
	var r struct{ State string }
	if err := json.Unmarshal(body, &r); err != nil {
		p.breaks("record %s: %v", key, err)
	}
	switch r.State {
	case "published":
		p.committed = true
	case "pending":
		if p.w.pending.IsZero() {
			p.w.pending = p.w.now
		}
	case "sent":
		p.alerted = nil
		p.w.pending = time.Time{}
	}
}

// source, sink and topic are the other services.
type source struct{ p *process }

func (s source) Open(_ context.Context, o pipeline.Object) (pipeline.Object, io.ReadCloser, error) {
	if err := s.p.call("open", func() {}); err != nil {
		return o, nil, err
	}
	o.ETag = "etag-of-" + o.Key
	return o, io.NopCloser(bytes.NewReader(s.p.e.object.body())), nil
}

type sink struct{ p *process }

func (s sink) Put(_ context.Context, data []metric.Datum) error {
	return s.p.call("put metric data", func() {
		for _, d := range data {
			for _, dim := range d.Dimensions {
				if d.Name == metric.Connections && dim.Name == metric.Cipher {
					if int(d.Values[0]) != s.p.e.object.connections {
						s.p.breaks("%s: %v connections of %d", dim.Value, d.Values[0], s.p.e.object.connections)
					}
					s.p.w.accepted[dim.Value]++
					s.p.accepted = true
				}
			}
			if d.Name == metric.UncertainRepublishes {
				s.p.w.republished += d.Values[0]
			}
		}
	})
}

type topic struct{ p *process }

func (t topic) Publish(_ context.Context, m notice.Message) error {
	return t.p.call("publish alert", func() {
		var doc struct {
			Failed uint64
			Window struct{ End time.Time }
		}
		if err := json.Unmarshal([]byte(m.Texts["sqs"]), &doc); err != nil {
			t.p.breaks("alert: %v", err)
		}
		t.p.alerted = &sentAlert{since: t.p.w.pending, at: t.p.w.now, end: doc.Window.End, failed: doc.Failed}
		t.p.w.alerts = append(t.p.w.alerts, t.p.alerted)
		t.p.w.log("%s alerts about %s: %d", t.p.e.id, doc.Window.End.Format("15:04"), doc.Failed)
	})
}
