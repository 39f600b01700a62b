// Command simulate prints the tables of docs/scale.md: how far each way in
// carries, what ends it, how late metrics and alerts are, and what it costs.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"tlswatch/internal/scale"
)

func main() {
	quick := flag.Bool("quick", false, "only up to 1,000 load balancers")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	fmt.Println("| load balancers | ingest | metric p50, p99 (s) | alert p50, p99 (s) | invocations | PutMetricData | most at once | USD a month | carried | refused most by |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	var cases []simulated
	for _, n := range []int{10, 1000, 10_000, 20_000, 40_000, 60_000, 100_000} {
		if *quick && n > 1000 {
			break
		}
		for _, queue := range []bool{false, true} {
			c := scale.Defaults()
			c.LoadBalancers, c.Queue = n, queue
			if n > 10_000 {
				c.Periods = 6
			}
			cases = append(cases, simulated{name(c), c})
		}
	}
	print(cases)
	if *quick {
		return
	}
	fmt.Println("\n10,000 load balancers, with one knob turned:")
	fmt.Println("\n| knob | ingest | metric p50, p99 (s) | alert p50, p99 (s) | invocations | PutMetricData | most at once | USD a month | carried | refused most by |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	knob := func(what string, queue bool, turn func(*scale.Config)) simulated {
		c := scale.Defaults()
		c.LoadBalancers, c.Queue, c.Periods = 10_000, queue, 6
		turn(&c)
		return simulated{what + " | " + ingest(c), c}
	}
	print([]simulated{
		knob("MaximumConcurrency=75", false, func(c *scale.Config) { c.Concurrency = 75 }),
		knob("MaximumConcurrency=100", true, func(c *scale.Config) { c.Concurrency = 100 }),
		knob("METRIC_BREAKDOWNS=none", false, func(c *scale.Config) { c.Data, c.Metrics = 32, 4 }),
		knob("METRIC_BREAKDOWNS=none", true, func(c *scale.Config) { c.Data, c.Metrics = 32, 4 }),
		knob("QueueBatchSize=5", true, func(c *scale.Config) { c.Batch = 5 }),
		knob("QueueBatchSize=100", true, func(c *scale.Config) { c.Batch = 100 }),
		knob("MemorySize=1769", true, func(c *scale.Config) { c.Memory = 1769 }),
		knob("deliveries spread over 60 s", false, func(c *scale.Config) { c.Spread = time.Minute }),
		knob("PutMetricData quota raised to 2,000", false, func(c *scale.Config) { c.Quotas.MetricCalls = 2000 }),
	})
}

// A simulated case is a configuration with the first cells of its row.
type simulated struct {
	name   string
	config scale.Config
}

func name(c scale.Config) string { return number(c.LoadBalancers) + " | " + ingest(c) }

func ingest(c scale.Config) string {
	if c.Queue {
		return "queue"
	}
	return "direct"
}

// print simulates the cases at the same time, and prints them in their order.
func print(cases []simulated) {
	rows := make([]string, len(cases))
	var wg sync.WaitGroup
	turn := make(chan struct{}, 2) // large ones take a gigabyte
	for i, s := range cases {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			rows[i] = row(s.name, scale.Run(s.config), s.config)
		})
	}
	wg.Wait()
	for _, r := range rows {
		fmt.Println(r)
	}
}

func row(name string, r scale.Result, c scale.Config) string {
	carried := "yes"
	if r.Stops() {
		carried = fmt.Sprintf("no: %s dead, %s left of %s", number(r.Dead), number(r.Left), number(r.Arrived))
	}
	limit := r.Limit()
	if limit != "" {
		limit = fmt.Sprintf("%s (%s)", limit, number(r.Refused[limit]))
	}
	perPeriod := func(n int) string { return number(n / c.Periods) }
	return fmt.Sprintf("| %s | %.0f, %.0f | %.0f, %.0f | %s | %s | %s | %s | %s | %s |", name,
		r.Metric.P50, r.Metric.P99, r.Alert.P50, r.Alert.P99, perPeriod(r.Invocations), perPeriod(r.Calls),
		number(r.MostRunning), number(int(r.Bill)), carried, cmp.Or(limit, "nothing"))
}

// number groups thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
