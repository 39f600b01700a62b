package report

import (
	"cmp"
	"math"
	"slices"

	"tlswatch/internal/table"
)

// Timelines are the connections of each load balancer over time.
type Timelines struct {
	Minutes map[string][]MinuteCount // by load balancer; nil if there are more than 300
	width   int64                    // minutes in a row
}

func (t *Timelines) unit() int64 {
	if t == nil {
		return 1
	}
	return t.width
}

// A Timeline is a load balancer's connections over time.
type Timeline struct {
	LoadBalancer string
	Bars         []Counts // as Result.Bars divides the time
	Counts                // of all bars
}

// timelines counts by load balancer and minute, while there are few load
// balancers. If there is no room, it counts by wider steps.
type timelines struct {
	number map[string]int32 // of each load balancer
	full   bool             // there are more load balancers
	width  int64            // minutes
	t      table.Table[timelineKey, Counts]
}

type timelineKey struct {
	balancer int32
	minute   int64
}

const (
	maxTimelines    = 300
	maxTimelineRows = 16_384
)

func newTimelines(width int64) timelines {
	return timelines{
		number: make(map[string]int32), width: width,
		t: table.New[timelineKey, Counts](func(k timelineKey) uint64 { return table.Mix(uint64(k.balancer), uint64(k.minute), 0) }),
	}
}

// balancerNumber returns the number of a load balancer. Those beyond maxTimelines
// have the same.
func (c *Collector) balancerNumber(name string) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.timelines
	n, ok := t.number[name]
	switch {
	case ok:
		return n
	case len(t.number) == maxTimelines:
		t.full = true
		return maxTimelines
	}
	n = int32(len(t.number))
	t.number[name] = n
	return n
}

func (t *timelines) add(m minuteCounts) {
	if t.full {
		return
	}
	n, fresh := t.t.Get(timelineKey{m.balancer, floor(m.minute, t.width)})
	n.add(m.Counts)
	for fresh && t.t.Len() > maxTimelineRows && t.width < widths[len(widths)-1] {
		wider := newTimelines(widths[slices.Index(widths, t.width)+1])
		for r := range t.t.All {
			n, _ := wider.t.Get(timelineKey{r.Key.balancer, floor(r.Key.minute, wider.width)})
			n.add(r.Value)
		}
		t.t, t.width = wider.t, wider.width
	}
}

// result moves the rows to a Result.
func (t *timelines) result() *Timelines {
	r := &Timelines{width: t.width}
	if t.full {
		return r
	}
	r.Minutes = make(map[string][]MinuteCount)
	names := make([]string, len(t.number))
	for name, n := range t.number {
		names[n] = dash(name)
	}
	for row := range t.t.All {
		name := names[row.Key.balancer]
		r.Minutes[name] = append(r.Minutes[name], MinuteCount{minuteTime(row.Key.minute), row.Value})
	}
	return r
}

// BarsByLoadBalancer divides the connections of each load balancer as Bars does. The
// one whose failure rate changed most is the first. It returns none if there are more
// than 300 load balancers.
func (r *Result) BarsByLoadBalancer(most int) []Timeline {
	if r.Timelines == nil {
		return nil
	}
	all, from, width := r.Bars(most)
	list := make([]Timeline, 0, len(r.Timelines.Minutes))
	change := make(map[string]float64)
	for name, rows := range r.Timelines.Minutes {
		t := Timeline{LoadBalancer: name, Bars: make([]Counts, len(all))}
		for _, m := range rows {
			t.add(m.Counts)
			t.Bars[max(0, min(int(m.Minute.Sub(from)/width), len(all)-1))].add(m.Counts)
		}
		list = append(list, t)
		change[name] = t.change()
	}
	slices.SortFunc(list, func(a, b Timeline) int {
		return cmp.Or(cmp.Compare(change[b.LoadBalancer], change[a.LoadBalancer]), cmp.Compare(b.Failed, a.Failed),
			cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.LoadBalancer, b.LoadBalancer))
	})
	return list
}

// Peak is the bar with the highest failure rate. It leaves out bars with less than a
// tenth of the connections of an average bar, such as the first and last minute of a
// log, whose rates are chance, unless all failures are in such bars.
func Peak(bars []Counts) (peak Counts) {
	var all, small Counts
	used := uint64(0)
	for _, b := range bars {
		all.add(b)
		used += min(b.Connections, 1)
	}
	for _, b := range bars {
		highest := &peak
		if 10*b.Connections*used < all.Connections {
			highest = &small
		}
		if b.FailureRate() > highest.FailureRate() {
			*highest = b
		}
	}
	if peak.Failed == 0 {
		return small
	}
	return peak
}

// change says how unlikely the bars are if one failure rate holds for all of them:
// the statistic G of a likelihood-ratio test, divided by its degrees of freedom.
func (t *Timeline) change() float64 {
	sum, bars := -likelihood(t.Counts), 0.0
	for _, b := range t.Bars {
		if b.Connections > 0 {
			sum += likelihood(b)
			bars++
		}
	}
	return math.Round(1e6*sum/max(bars-1, 1)) / 1e6
}

// likelihood is the logarithm of the largest likelihood of so many failures.
func likelihood(c Counts) float64 {
	log := func(n uint64) float64 {
		if n == 0 {
			return 0
		}
		return float64(n) * math.Log(float64(n)/float64(c.Connections))
	}
	return log(c.Failed) + log(c.Connections-c.Failed)
}
