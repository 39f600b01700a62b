package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"tlswatch/internal/dev/chaos/wire"
)

// judge holds what was published and alerted against the reference, when all
// events have ended well.
func (w *world) judge() {
	for _, o := range w.objects {
		w.judgeObject(o)
	}
	for _, o := range untold(w.publications) {
		w.violate("untold", "%s was published %d times, and UncertainRepublishes does not say so", w.name(o), o.published)
	}
	for _, p := range w.publications {
		w.judgeTotals(p)
	}
	w.judgeBudget()
	w.judgeAlerts()
}

// judgeObject holds the data of an object against the reference. Each series
// that it has must have been published, with the numbers of the reference.
func (w *world) judgeObject(o *logObject) {
	times := make(map[string]int)
	for _, p := range w.publications {
		named := make(map[time.Time]wire.Sum) // failures by client, which have to add up
		for _, d := range p.data {
			if !o.owns(d) {
				continue
			}
			dims := maps.Clone(d.Dims)
			delete(dims, "LoadBalancer")
			times[series(d.Name, d.Time, dims)]++
			if c := dims["Client"]; c != "" {
				named[d.Time] = named[d.Time].Plus(d.Sum)
				if c == "other" {
					continue
				}
			}
			if want := o.reference(d.Name, d.Time, dims); !near(d.Sum, want, d.Name) {
				w.violate("wrong", "%s: %s %v is %v, want %v", w.name(o), d.Name, d.Dims, d.Sum, want)
			}
		}
		for minute, s := range named {
			if want := o.reference("FailedNegotiations", minute, nil); s.Total != want.Total && !o.wide { // else some are in another request
				w.violate("wrong", "%s: failures by Client add up to %v, want %v", w.name(o), s.Total, want.Total)
			}
		}
	}
	for _, n := range times {
		o.published = max(o.published, n)
	}
	missing := slices.DeleteFunc(slices.Sorted(maps.Keys(o.expected())), func(name string) bool { return times[name] > 0 })
	switch {
	case o.published == 0:
		w.violate("lost", "%s was never published", w.name(o))
	case len(missing) > 0:
		w.violate("lost", "%s: %d series were never published, such as %s", w.name(o), len(missing), missing[0])
	}
}

// untold matches the publications of objects beyond their first with what the
// requests say in UncertainRepublishes, as well as that can be done, and returns
// the objects for which nothing is left, each as often as it has no match.
func untold(publications []*publication) []*logObject {
	told := make([][]*logObject, len(publications)) // the objects that a request's count is used for
	var use func(o *logObject, seen []bool) bool
	use = func(o *logObject, seen []bool) bool {
		for i, p := range publications {
			if seen[i] || !slices.Contains(p.objects, o) || slices.Contains(told[i], o) {
				continue
			}
			seen[i] = true
			if float64(len(told[i])) < p.uncertain() {
				told[i] = append(told[i], o)
				return true
			}
			for j, other := range told[i] {
				if use(other, seen) {
					told[i][j] = o
					return true
				}
			}
		}
		return false
	}
	var objects, list []*logObject
	for _, p := range publications {
		for _, o := range p.objects {
			if !slices.Contains(objects, o) {
				objects = append(objects, o)
			}
		}
	}
	for _, o := range objects {
		for range o.published - 1 {
			if !use(o, make([]bool, len(publications))) {
				list = append(list, o)
			}
		}
	}
	return list
}

// near reports whether two sums are the same: that of latencies to 5 %.
func near(s, want wire.Sum, name string) bool {
	if name == "HandshakeLatency" {
		return s.Samples == want.Samples && math.Abs(s.Total-want.Total) <= 0.05*want.Total+1e-9
	}
	return s == want
}

// judgeTotals holds the metric over all load balancers against the objects of a
// request, if all their data are in it.
func (w *world) judgeTotals(p *publication) {
	want := make(map[time.Time]wire.Sum)
	for _, o := range p.objects {
		if o.wide {
			return
		}
		want[o.first] = want[o.first].Plus(o.reference("FailedNegotiations", o.first, nil))
	}
	for _, d := range p.data {
		if d.Name == "FailedNegotiations" && len(d.Dims) == 0 && d.Sum != want[d.Time] {
			w.violate("wrong", "%s: FailedNegotiations at %s is %v, want %v", p.by, d.Time.Format("15:04"), d.Sum, want[d.Time])
		}
	}
}

// judgeBudget counts the names of clients in the metrics of each load balancer
// and hour.
func (w *world) judgeBudget() {
	budget, err := strconv.Atoi(w.settings["CLIENT_BUDGET"])
	if err != nil {
		panic(err)
	}
	clients := make(map[string]map[string]bool)
	for _, p := range w.publications {
		for _, d := range p.data {
			if c := d.Dims["Client"]; c != "" && c != "other" {
				hour := fmt.Sprint(d.Dims["LoadBalancer"], " ", d.Time.Truncate(time.Hour).Format("15:04"))
				if clients[hour] == nil {
					clients[hour] = make(map[string]bool)
				}
				clients[hour][c] = true
			}
		}
	}
	for hour, names := range clients {
		if len(names) > budget {
			w.violate("budget", "%d clients of %s have metrics, CLIENT_BUDGET is %d", len(names), hour, budget)
		}
	}
}
