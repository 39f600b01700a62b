package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// configs are deployments of all kinds, including some that do not keep up.
func configs() map[string]config {
	list := make(map[string]config)
	for _, queue := range []bool{false, true} {
		for _, loadBalancers := range []int{0, 1, 10, 300, 1000} {
			c := defaults()
			c.loadBalancers, c.queue, c.periods = loadBalancers, queue, 3
			list[fmt.Sprintf("%d, queue %v", loadBalancers, queue)] = c
		}
		c := defaults()
		c.loadBalancers, c.queue, c.periods = 300, queue, 6
		c.quotas.metricCalls = 1.5
		list[fmt.Sprintf("metric calls, queue %v", queue)] = c
		c.quotas = defaults().quotas
		c.quotas.s3Writes, c.quotas.s3Reads = 7, 5
		list[fmt.Sprintf("S3, queue %v", queue)] = c
		c.quotas = defaults().quotas
		c.concurrency = 1
		list[fmt.Sprintf("concurrency, queue %v", queue)] = c
		c.concurrency, c.quotas.burst = 50, 2
		list[fmt.Sprintf("burst, queue %v", queue)] = c
	}
	return list
}

// Nothing is lost or made up: every object that arrived is done, dead or left.
func TestConservation(t *testing.T) {
	for name, c := range configs() {
		r := simulate(c)
		if want := c.loadBalancers * c.nodes * c.periods; r.arrived != want || r.done+r.dead+r.left != want || r.left < 0 {
			t.Errorf("%s: %d arrived, %d done, %d dead, %d left; want %d", name, r.arrived, r.done, r.dead, r.left, want)
		}
		if r.published < r.done || r.published > r.arrived || r.invocations > r.arrived+r.errors {
			t.Errorf("%s: %d published, %d done, %d invocations, %d errors", name, r.published, r.done, r.invocations, r.errors)
		}
		if c.loadBalancers > 0 && r.done == 0 {
			t.Errorf("%s: nothing is done", name)
		}
	}
}

// Little's law: the number in a place, integrated over time, is the time each
// stays there, summed over all.
func TestLittle(t *testing.T) {
	looked := 0
	for name, c := range configs() {
		r := simulate(c)
		if r.left > 0 { // some stays have not ended
			continue
		}
		looked++
		for what, sums := range map[string][2]float64{"running": {r.running, r.runTimes}, "waiting": {r.waiting, r.waitTimes}} {
			if math.Abs(sums[0]-sums[1]) > 1e-6*(1+sums[0]) {
				t.Errorf("%s: %s: %v over time, %v over all", name, what, sums[0], sums[1])
			}
		}
	}
	if looked < 10 {
		t.Errorf("only %d set-ups come to an end", looked)
	}
}

func TestDeterministic(t *testing.T) {
	for name, c := range configs() {
		if c.loadBalancers > 300 {
			continue
		}
		if d := cmp.Diff(simulate(c), simulate(c), cmp.AllowUnexported(result{}, delays{})); d != "" {
			t.Errorf("%s: twice\n%s", name, d)
		}
	}
	a, b := defaults(), defaults()
	a.loadBalancers, b.loadBalancers, b.seed = 10, 10, 2
	if simulate(a).metric == simulate(b).metric {
		t.Error("the seed does not matter")
	}
}

// No limit is exceeded.
func TestLimits(t *testing.T) {
	for name, c := range configs() {
		r := simulate(c)
		most := c.concurrency
		if c.queue {
			most = min(most, c.quotas.maxPollers)
		}
		if r.mostRunning > most {
			t.Errorf("%s: %d at once, want at most %d", name, r.mostRunning, most)
		}
	}
	clock := new(clock)
	q := newQuota(clock, 10)
	random := rand.New(rand.NewPCG(1, 2))
	var granted []time.Duration
	for clock.now < time.Minute {
		clock.now += time.Duration(random.Float64() * float64(50*time.Millisecond))
		if q.take() {
			granted = append(granted, clock.now)
		}
	}
	for i := range granted { // in the second from here
		n := 0
		for ; i+n < len(granted) && granted[i+n] < granted[i]+time.Second; n++ {
		}
		if n > 20 { // a full bucket and one second's worth
			t.Fatalf("%d in the second from %v", n, granted[i])
		}
	}
	if n := len(granted); n < 590 || n > 610+10 {
		t.Errorf("%d granted in a minute, want 600", n)
	}
}

// Without contention, a delay is the sum of the steps.
func TestUnhindered(t *testing.T) {
	c := defaults()
	c.loadBalancers, c.nodes, c.periods, c.spread, c.announce = 1, 1, 1, 0, 0
	cpuMS := (2 + 0.37*7) * 1769 / 512.0 // 2 ms, and 7 ms a MB, of a share of a processor
	cpu := time.Duration(cpuMS * float64(time.Millisecond))
	want := (c.start + 25*time.Millisecond + cpu + 2*25*time.Millisecond + 40*time.Millisecond).Seconds()
	if r := simulate(c); math.Abs(r.metric.p50-want) > 1e-6 || math.Abs(r.alert.p50-want-0.075) > 1e-6 || math.Abs(r.seconds-want-0.075) > 1e-6 {
		t.Errorf("direct: %+v, %v s billed, want %v s", r.metric, r.seconds, want)
	}
	c.queue = true
	if r := simulate(c); math.Abs(r.metric.p50-want-15) > 1e-6 {
		t.Errorf("queue: %+v, want %v s and the window", r.metric, want)
	}
	if r := simulate(c); r.calls != 1 || r.reads != 3 || r.writes != 3 {
		t.Errorf("%d calls, %d reads, %d writes", r.calls, r.reads, r.writes)
	}
	// A batch that is full does not wait for its window.
	c.loadBalancers, c.batch = 5, 5
	if r := simulate(c); r.invocations != 1 || r.metric.max > 5 {
		t.Errorf("full batch: %d invocations, %+v", r.invocations, r.metric)
	}
}

// Where simple arithmetic says that the load exceeds a quota, the simulation
// names that quota.
func TestStops(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*config)
		limit  string
	}{
		"metric calls": {func(c *config) {
			c.quotas.metricCalls = 900.0 / 300 * 0.8
			c.concurrency = 20_000
			c.quotas.burst = 20_000
		}, limitMetrics},
		"S3 writes":   {func(c *config) { c.quotas.s3Writes = 3 * 900.0 / 300 * 0.8; c.queue = true }, limitS3Writes},
		"S3 reads":    {func(c *config) { c.quotas.s3Reads = 900.0 / 300 * 0.8; c.queue = true }, limitLogReads},
		"concurrency": {func(c *config) { c.concurrency = 1; c.waitS3 *= 3 }, limitConcurrency},
		"nothing":     {func(*config) {}, ""},
	} {
		c := defaults()
		c.loadBalancers, c.periods = 300, 12
		test.change(&c)
		if r := simulate(c); r.overloaded() != (test.limit != "") || r.limit() != test.limit {
			t.Errorf("%s: stops %v (%d dead, %d left, backlog %v), limit %q, refused %v", name, r.overloaded(), r.dead, r.left, r.backlog, r.limit(), r.refused)
		}
	}
}

// More load is never faster or cheaper.
func TestMonotonic(t *testing.T) {
	for _, queue := range []bool{false, true} {
		var delays, bills []float64
		for _, n := range []int{10, 100, 1000, 2500} {
			c := defaults()
			c.loadBalancers, c.queue, c.periods = n, queue, 3
			r := simulate(c)
			delays, bills = append(delays, r.metric.max), append(bills, r.bill)
		}
		if !slices.IsSorted(bills) || delays[3] < delays[0] {
			t.Errorf("queue %v: delays %v, bills %v", queue, delays, bills)
		}
	}
}

// Events run in the order of time, then of scheduling.
func TestClock(t *testing.T) {
	var c clock
	var got []int
	for i, at := range []int{5, 1, 3, 1, 5, 0, 3} {
		c.after(time.Duration(at), func() { got = append(got, i) })
	}
	c.after(2, func() { c.after(0, func() { got = append(got, 7) }) })
	if c.run(4) || len(c.events) != 2 || c.now != 4 {
		t.Errorf("at 4: %d events, now %v", len(c.events), c.now)
	}
	if !c.run(100) {
		t.Error("events are left")
	}
	if want := []int{5, 1, 3, 7, 2, 6, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
