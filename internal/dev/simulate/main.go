// Command simulate prints the tables of docs/scale.md: how far each way in
// carries, what ends it, how late metrics and alerts are, and what it costs.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"tlswatch/internal/dev/scale"
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
		fmt.Print("\n10,000 load balancers, with one knob turned:\n\n")
		write("knob", knobs())
	}
}

// loads are deployments of up to most load balancers.
func loads(most int) (cases []simulated) {
	for _, n := range []int{10, 1000, 10_000, 20_000, 40_000, 60_000, 100_000} {
		if n > most {
			break
		}
		for _, queue := range []bool{false, true} {
			c := scale.Defaults()
			c.LoadBalancers, c.Queue = n, queue
			if n > 10_000 {
				c.Periods = 6
			}
			cases = append(cases, simulated{number(n), c})
		}
	}
	return cases
}

// knobs are deployments that are alike but for one setting.
func knobs() []simulated {
	knob := func(what string, queue bool, turn func(*scale.Config)) simulated {
		c := scale.Defaults()
		c.LoadBalancers, c.Queue, c.Periods = 10_000, queue, 6
		turn(&c)
		return simulated{what, c}
	}
	return []simulated{
		knob("MaximumConcurrency=100", false, func(c *scale.Config) { c.Concurrency = 100 }),
		knob("MaximumConcurrency=100", true, func(c *scale.Config) { c.Concurrency = 100 }),
		knob("METRIC_BREAKDOWNS=none", false, func(c *scale.Config) { c.Data, c.Metrics = 32, 4 }),
		knob("METRIC_BREAKDOWNS=none", true, func(c *scale.Config) { c.Data, c.Metrics = 32, 4 }),
		knob("QueueBatchSize=5", true, func(c *scale.Config) { c.Batch = 5 }),
		knob("QueueBatchSize=100", true, func(c *scale.Config) { c.Batch = 100 }),
		knob("MemorySize=1769", true, func(c *scale.Config) { c.Memory = 1769 }),
		knob("deliveries spread over 60 s", false, func(c *scale.Config) { c.Spread = time.Minute }),
		knob("PutMetricData quota raised to 2,000", false, func(c *scale.Config) { c.Quotas.MetricCalls = 2000 }),
	}
}

// A simulated case is a configuration and what tells it from the others.
type simulated struct {
	name   string
	config scale.Config
}

// write prints a table of the cases in their order, having simulated two at a
// time: large ones take a gigabyte.
func write(names string, cases []simulated) {
	rows := make([]string, len(cases))
	var wg sync.WaitGroup
	turn := make(chan struct{}, 2)
	for i, s := range cases {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
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

// row simulates the case.
func (s simulated) row() string {
	c := s.config
	r := scale.Run(c)
	ingest := "direct"
	if c.Queue {
		ingest = "queue"
	}
	carried := "yes"
	if r.Stops() {
		carried = fmt.Sprintf("no: %s dead, %s left of %s", number(r.Dead), number(r.Left), number(r.Arrived))
	}
	limit := r.Limit()
	if limit != "" {
		limit = fmt.Sprintf("%s (%s)", limit, number(r.Refused[limit]))
	}
	perPeriod := func(n int) string { return number(n / c.Periods) }
	return fmt.Sprintf("| %s | %s | %.0f, %.0f | %.0f, %.0f | %s | %s | %s | %s | %s | %s |", s.name, ingest,
		r.Metric.P50, r.Metric.P99, r.Alert.P50, r.Alert.P99, perPeriod(r.Invocations), perPeriod(r.Calls),
		number(r.MostRunning), number(int(math.Round(r.Bill))), carried, cmp.Or(limit, "nothing"))
}

// number groups thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
