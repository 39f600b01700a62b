package scale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// configs are set-ups of all kinds, also such that stop.
func configs() map[string]Config {
	list := make(map[string]Config)
	for _, queue := range []bool{false, true} {
		for _, loadBalancers := range []int{0, 1, 10, 300, 1000} {
			c := Defaults()
			c.LoadBalancers, c.Queue, c.Periods = loadBalancers, queue, 3
			list[fmt.Sprintf("%d, queue %v", loadBalancers, queue)] = c
		}
		c := Defaults()
		c.LoadBalancers, c.Queue, c.Periods = 300, queue, 6
		c.Quotas.MetricCalls = 1.5
		list[fmt.Sprintf("metric calls, queue %v", queue)] = c
		c.Quotas = Defaults().Quotas
		c.Quotas.S3Writes, c.Quotas.S3Reads = 7, 5
		list[fmt.Sprintf("S3, queue %v", queue)] = c
		c.Quotas = Defaults().Quotas
		c.Concurrency = 1
		list[fmt.Sprintf("concurrency, queue %v", queue)] = c
		c.Concurrency, c.Quotas.Burst = 50, 2
		list[fmt.Sprintf("burst, queue %v", queue)] = c
	}
	return list
}

// Nothing is lost or made up: every object that came is done, dead, or left.
func TestConservation(t *testing.T) {
	for name, c := range configs() {
		r := Run(c)
		if want := c.LoadBalancers * c.Nodes * c.Periods; r.Arrived != want || r.Done+r.Dead+r.Left != want || r.Left < 0 {
			t.Errorf("%s: %d arrived, %d done, %d dead, %d left; want %d", name, r.Arrived, r.Done, r.Dead, r.Left, want)
		}
		if r.Published < r.Done || r.Published > r.Arrived || r.Invocations > r.Arrived+r.Errors {
			t.Errorf("%s: %d published, %d done, %d invocations, %d errors", name, r.Published, r.Done, r.Invocations, r.Errors)
		}
		if c.LoadBalancers > 0 && r.Done == 0 {
			t.Errorf("%s: nothing is done", name)
		}
	}
}

// Little's law: what is in a place, summed over time, is how long each stays
// there, summed over all.
func TestLittle(t *testing.T) {
	looked := 0
	for name, c := range configs() {
		r := Run(c)
		if r.Left > 0 { // stays are not over
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
		if c.LoadBalancers > 300 {
			continue
		}
		if d := cmp.Diff(Run(c), Run(c), cmp.AllowUnexported(Result{})); d != "" {
			t.Errorf("%s: twice\n%s", name, d)
		}
	}
	a, b := Defaults(), Defaults()
	a.LoadBalancers, b.LoadBalancers, b.Seed = 10, 10, 2
	if Run(a).Metric == Run(b).Metric {
		t.Error("the seed does not matter")
	}
}

// No limit is exceeded.
func TestLimits(t *testing.T) {
	for name, c := range configs() {
		r := Run(c)
		most := c.Concurrency
		if c.Queue {
			most = min(most, c.Quotas.MaxPollers)
		}
		if r.MostRunning > most {
			t.Errorf("%s: %d at once, want at most %d", name, r.MostRunning, most)
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
	for i := range granted { // in any second from here
		n := 0
		for ; i+n < len(granted) && granted[i+n] < granted[i]+time.Second; n++ {
		}
		if n > 20 { // what was saved up, and a second's worth
			t.Fatalf("%d in the second from %v", n, granted[i])
		}
	}
	if n := len(granted); n < 590 || n > 610+10 {
		t.Errorf("%d granted in a minute, want 600", n)
	}
}

// With nothing in the way, a delay is the sum of the steps.
func TestUnhindered(t *testing.T) {
	c := Defaults()
	c.LoadBalancers, c.Nodes, c.Periods, c.Spread, c.Announce = 1, 1, 1, 0, 0
	cpuMS := (2 + 0.37*7) * 1769 / 512.0 // 2 ms, and 7 ms a MB, of a share of a processor
	cpu := time.Duration(cpuMS * float64(time.Millisecond))
	want := (c.Start + 25*time.Millisecond + cpu + 2*25*time.Millisecond + 40*time.Millisecond).Seconds()
	if r := Run(c); math.Abs(r.Metric.P50-want) > 1e-6 || math.Abs(r.Alert.P50-want-0.075) > 1e-6 || math.Abs(r.Seconds-want-0.075) > 1e-6 {
		t.Errorf("direct: %+v, %v s billed, want %v s", r.Metric, r.Seconds, want)
	}
	c.Queue = true
	if r := Run(c); math.Abs(r.Metric.P50-want-15) > 1e-6 {
		t.Errorf("queue: %+v, want %v s and the window", r.Metric, want)
	}
	if r := Run(c); r.Calls != 1 || r.Reads != 3 || r.Writes != 3 {
		t.Errorf("%d calls, %d reads, %d writes", r.Calls, r.Reads, r.Writes)
	}
	// A batch that is full does not wait for its window.
	c.LoadBalancers, c.Batch = 5, 5
	if r := Run(c); r.Invocations != 1 || r.Metric.Max > 5 {
		t.Errorf("full batch: %d invocations, %+v", r.Invocations, r.Metric)
	}
}

// Where the load is beyond a quota by arithmetic, the simulation says so too,
// and which.
func TestStops(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		limit  string
	}{
		"metric calls": {func(c *Config) {
			c.Quotas.MetricCalls = 900.0 / 300 * 0.8
			c.Concurrency = 20_000
			c.Quotas.Burst = 20_000
		}, limitMetrics},
		"S3 writes":   {func(c *Config) { c.Quotas.S3Writes = 3 * 900.0 / 300 * 0.8; c.Queue = true }, limitS3Writes},
		"S3 reads":    {func(c *Config) { c.Quotas.S3Reads = 900.0 / 300 * 0.8; c.Queue = true }, limitLogReads},
		"concurrency": {func(c *Config) { c.Concurrency = 1; c.WaitS3 *= 3 }, limitConcurrency},
		"nothing":     {func(*Config) {}, ""},
	} {
		c := Defaults()
		c.LoadBalancers, c.Periods = 300, 12
		test.change(&c)
		if r := Run(c); r.Stops() != (test.limit != "") || r.Limit() != test.limit {
			t.Errorf("%s: stops %v (%d dead, %d left, backlog %v), limit %q, refused %v", name, r.Stops(), r.Dead, r.Left, r.Backlog, r.Limit(), r.Refused)
		}
	}
}

// More load is never faster or cheaper.
func TestMonotonic(t *testing.T) {
	for _, queue := range []bool{false, true} {
		var delays, bills []float64
		for _, n := range []int{10, 100, 1000, 2500} {
			c := Defaults()
			c.LoadBalancers, c.Queue, c.Periods = n, queue, 3
			r := Run(c)
			delays, bills = append(delays, r.Metric.Max), append(bills, r.Bill)
		}
		if !slices.IsSorted(bills) || delays[3] < delays[0] {
			t.Errorf("queue %v: delays %v, bills %v", queue, delays, bills)
		}
	}
}

// Events run in the order of time, and of their planning.
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
