package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tlswatch/internal/dev/chaos/wire"
)

// A world is one seed: log objects, events, the function's processes and the
// services around them. Worlds share nothing but the machine.
type world struct {
	harness  *harness
	seed     uint64
	began    time.Time
	settings map[string]string // environment variables of the function
	rules    []rule
	objects  []*logObject
	events   []*event

	patient    bool // events may need to wait for leases to end
	freezeIdle bool
	slots      chan struct{}
	idle       chan *process

	mu           sync.Mutex // held while a call is applied, so that there is an order
	trouble      trouble
	store        wire.Store
	publications []*publication
	alerts       []*alertMessage
	alertsTold   map[sender]bool // whose log says that an alert was taken over
	takeOvers    map[string]bool // load balancers of which a log says that an alert was taken over
	muted        map[sender]bool // that were killed: they may not have come to their log
	invocations  int
	lastDeadline time.Time
	windows      int // that meet a rule
	doubles      doubles
	lines        []string // the trace
	violations   []violation
}

// A violation is something that must not happen.
type violation struct{ kind, text string }

// A rule is one of the function's, in the words of its settings.
type rule struct {
	name      string
	minFailed int
	percent   float64
	window    time.Duration
	cooldown  time.Duration
	growth    float64
	perClient bool
	reason    string // the one that counts; "" for all
}

// newWorld draws a world from a seed.
func newWorld(h *harness, g group, seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{
		harness: h, seed: seed, began: time.Now(), idle: make(chan *process),
		store: wire.Store{Objects: make(map[string][]byte)}, alertsTold: make(map[sender]bool), takeOvers: make(map[string]bool), muted: make(map[sender]bool),
	}
	w.trouble = trouble{seed: seed, group: g, calls: make(map[string]int), most: 3 + r.IntN(20), kill: 0.004 + 0.012*r.Float64(), fault: 0.01 + 0.06*r.Float64()}
	w.patient = seed%10 == 0
	w.freezeIdle = r.IntN(2) == 0
	w.store.PageSize = []int{2, 5, 1000}[r.IntN(3)]
	w.slots = make(chan struct{}, 2+r.IntN(7))
	w.settle(r)
	w.makeObjects(r)
	w.makeEvents(r)
	w.describe()
	return w
}

// describe begins the trace with what the seed brings.
func (w *world) describe() {
	for _, name := range slices.Sorted(maps.Keys(w.settings)) {
		w.trace("%s=%s", name, w.settings[name])
	}
	for _, o := range w.objects {
		failed, connections, _ := o.failures("")
		w.trace("%s: %d of %d connections failed, wide %v, %s", w.name(o), failed, connections, o.wide, o.key)
	}
	for _, e := range w.events {
		var names []string
		for _, o := range e.objects {
			names = append(names, w.name(o))
		}
		w.trace("%s is %s about %s after %v", e.name, e.id, strings.Join(names, " "), e.delay)
	}
}

// settle chooses the function's settings.
func (w *world) settle(r *rand.Rand) {
	n := rule{
		name: "failed-negotiations", minFailed: 8 + r.IntN(30), percent: float64(r.IntN(6)),
		window: time.Duration(1+r.IntN(3)) * period, cooldown: []time.Duration{0, time.Hour}[r.IntN(2)], growth: []float64{1.5, 3}[r.IntN(2)],
		reason: []string{"", "", "UnmappedConnectionError"}[r.IntN(3)],
	}
	w.rules = []rule{n}
	clients := 0
	if r.IntN(2) == 0 {
		c := n
		c.name, c.perClient, c.minFailed = "client-failures", true, 4+r.IntN(10)
		w.rules = append(w.rules, c)
		clients = c.minFailed
	}
	w.settings = map[string]string{
		"ALERT_MIN_FAILED": strconv.Itoa(n.minFailed), "ALERT_MIN_FAILED_PERCENT": fmt.Sprint(n.percent), "ALERT_WINDOW": n.window.String(),
		"ALERT_COOLDOWN": n.cooldown.String(), "ALERT_REASONS": n.reason, "ALERT_GROWTH": fmt.Sprint(n.growth), "CLIENT_ALERT_MIN_FAILED": strconv.Itoa(clients),
		"CLIENT_MIN_FAILED": strconv.Itoa(1 + r.IntN(3)), "CLIENT_BUDGET": strconv.Itoa(2 + r.IntN(8)),
		"DEADLINE_MARGIN": fmt.Sprintf("%dms", 200+r.IntN(800)), "GOMAXPROCS": strconv.Itoa(1 + r.IntN(2)),
	}
}

// makeObjects makes the logs of some nodes, periods and load balancers. Some
// nodes have many failures, so that windows meet the rules.
func (w *world) makeObjects(r *rand.Rand) {
	now := time.Now().UTC().Truncate(period)
	threshold := w.rules[0].minFailed
	for _, lb := range []string{"app/shop/50dc6c495c0c9188", "app/till/1234567890abcdef", "app/api/00000000deadbeef", "app/web/0123456789abcdef"}[:1+r.IntN(4)] {
		nodes, wide := 5, r.IntN(10) == 0
		if wide {
			nodes = 1
		}
		for back := range 1 + r.IntN(4) {
			for node := range 1 + r.IntN(nodes) {
				failed := r.IntN(threshold)
				switch r.IntN(6) {
				case 0:
					failed = threshold + r.IntN(threshold)
				case 1:
					failed = threshold * (3 + r.IntN(12))
				}
				o := newLogObject(r, lb, now.Add(-time.Duration(back)*period), node, failed, wide)
				w.store.Objects[logBucket+"/"+o.key] = o.body
				w.objects = append(w.objects, o)
			}
		}
	}
}

// name is short for an object: load balancer, end of the period, node.
func (w *world) name(o *logObject) string {
	return fmt.Sprintf("%s@%s#%d", strings.Split(o.lb, "/")[1], o.end.Format("15:04"), int(o.first.Sub(o.end.Add(-period)).Minutes()))
}

// shortKey puts the short name of a log object in the place of its key.
func (w *world) shortKey(key string) string {
	for _, o := range w.objects {
		if o.key == key {
			return w.name(o)
		}
	}
	return key
}

func (w *world) fate(service string, c call) fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.trouble.fate(service, c)
	if f.kind != none && !f.kills() {
		w.trouble.other++
	}
	return f
}

// trace adds a line to what is kept of the seed, with the lock held.
func (w *world) trace(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf("%8.3f ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace(format, args...)
}

// violate records what must not happen, with the lock held.
func (w *world) violate(kind, format string, args ...any) {
	v := violation{kind, fmt.Sprintf(format, args...)}
	w.violations = append(w.violations, v)
	w.trace("VIOLATION %s: %s", v.kind, v.text)
}

func (w *world) violateNow(kind, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violate(kind, format, args...)
}

func (w *world) begun(i *invocation, p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.invocations++
	if i.deadline.After(w.lastDeadline) {
		w.lastDeadline = i.deadline
	}
	w.trace("%s begins in process %d, deadline in %v", i.name, p.id, time.Until(i.deadline).Round(time.Millisecond))
}

// run delivers all events, sends dead letters again until none is left, and
// judges.
func (w *world) run() {
	w.deliver()
	w.drain()
	w.harness.endProcesses(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge()
}
