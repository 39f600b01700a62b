// Command scale simulates deployments of tlswatch with up to hundreds of thousands
// of load balancers, over hours: log objects that arrive in bursts, Lambda's
// concurrency, a queue, and the quotas of CloudWatch and S3. It prints the tables
// of docs/scale.md: whether each deployment keeps up, which limit it meets first,
// how late metrics and alerts are, and what a month costs.
//
// It is a discrete-event simulation: time jumps from event to event, and the seed
// determines the result. docs/scale.md has its assumptions.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"tlswatch/internal/text"
)

func main() {
	quick := flag.Bool("quick", false, "only up to 1,000 load balancers")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	most := 100_000
	if *quick {
		most = 1000
	}
	write("load balancers", loads(most))
	if !*quick {
		fmt.Print("\n10,000 load balancers, with one setting changed:\n\n")
		write("setting", settings())
	}
}

// loads are deployments of at most that many load balancers.
func loads(most int) (cases []simulated) {
	for _, n := range []int{10, 1000, 10_000, 20_000, 40_000, 60_000, 100_000} {
		if n > most {
			break
		}
		for _, queue := range []bool{false, true} {
			c := defaults()
			c.loadBalancers, c.queue = n, queue
			if n > 10_000 {
				c.periods = 6
			}
			cases = append(cases, simulated{text.Count(n), c})
		}
	}
	return cases
}

// settings are deployments that differ in one setting.
func settings() []simulated {
	with := func(what string, queue bool, change func(*config)) simulated {
		c := defaults()
		c.loadBalancers, c.queue, c.periods = 10_000, queue, 6
		change(&c)
		return simulated{what, c}
	}
	return []simulated{
		with("MaximumConcurrency=100", false, func(c *config) { c.concurrency = 100 }),
		with("MaximumConcurrency=100", true, func(c *config) { c.concurrency = 100 }),
		with("METRIC_BREAKDOWNS=none", false, func(c *config) { c.data, c.metrics = 32, 4 }),
		with("METRIC_BREAKDOWNS=none", true, func(c *config) { c.data, c.metrics = 32, 4 }),
		with("QueueBatchSize=5", true, func(c *config) { c.batch = 5 }),
		with("QueueBatchSize=100", true, func(c *config) { c.batch = 100 }),
		with("MemorySize=1769", true, func(c *config) { c.memory = 1769 }),
		with("deliveries spread over 60 s", false, func(c *config) { c.spread = time.Minute }),
		with("PutMetricData quota raised to 2,000", false, func(c *config) { c.quotas.metricCalls = 2000 }),
	}
}

// A simulated case is a deployment and its name in the table.
type simulated struct {
	name   string
	config config
}

// write simulates the cases and prints a table of them, in order. It runs two at a
// time, since large ones take a gigabyte of memory.
func write(names string, cases []simulated) {
	rows := make([]string, len(cases))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 2)
	for i, s := range cases {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			rows[i] = s.row()
		})
	}
	wg.Wait()
	fmt.Printf("| %s | ingest | metric p50, p99 (s) | alert p50, p99 (s) | invocations | PutMetricData | most at once | USD a month | carried | refused most by |\n", names)
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Println(r)
	}
}

// row simulates the case and returns its row.
func (s simulated) row() string {
	c := s.config
	r := simulate(c)
	ingest := "direct"
	if c.queue {
		ingest = "queue"
	}
	carried := "yes"
	if r.overloaded() {
		carried = fmt.Sprintf("no: %s dead, %s left of %s", text.Count(r.dead), text.Count(r.left), text.Count(r.arrived))
	}
	limit := r.limit()
	if limit != "" {
		limit = fmt.Sprintf("%s (%s)", limit, text.Count(r.refused[limit]))
	}
	perPeriod := func(n int) string { return text.Count(n / c.periods) }
	return fmt.Sprintf("| %s | %s | %.0f, %.0f | %.0f, %.0f | %s | %s | %s | %s | %s | %s |", s.name, ingest,
		r.metric.p50, r.metric.p99, r.alert.p50, r.alert.p99, perPeriod(r.invocations), perPeriod(r.calls),
		text.Count(r.mostRunning), text.Count(int(math.Round(r.bill))), carried, cmp.Or(limit, "nothing"))
}
