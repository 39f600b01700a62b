package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// judge holds what was published and alerted against the reference, when all
// events have ended well.
func (w *world) judge() {
	w.judgeObjects()
	for _, p := range w.publications {
		for _, o := range w.objects {
			if p.has(o) {
				w.judgeData(p, o)
			}
		}
		w.judgeTotals(p)
	}
	w.judgeBudget()
	w.judgeAlerts()
}

// judgeObjects finds objects that were never published, and such as were
// published more often than the function said: each publication beyond the
// first must be in a request that counts it in UncertainRepublishes, or another
// publication of the object in its place.
func (w *world) judgeObjects() {
	beyond := make(map[*logObject]int)
	for _, o := range w.objects {
		n := w.published(o)
		if n == 0 {
			w.violate("lost", "%s was never published", w.name(o))
		}
		beyond[o] = max(0, n-1)
	}
	for _, o := range untold(w.publications, beyond) {
		w.violate("untold", "%s was published %d times, and UncertainRepublishes does not say so", w.name(o), w.published(o))
	}
}

// published counts the publications of an object.
func (w *world) published(o *logObject) int {
	n := 0
	for _, p := range w.publications {
		if p.has(o) {
			n++
		}
	}
	return n
}

// untold matches the publications of objects beyond their first with what the
// requests say in UncertainRepublishes, as well as that can be done, and returns
// the objects for which nothing is left, each as often as it has no match.
func untold(publications []*publication, beyond map[*logObject]int) []*logObject {
	told := make([][]*logObject, len(publications)) // the objects that a request's count is used for
	var use func(o *logObject, seen []bool) bool
	use = func(o *logObject, seen []bool) bool {
		for i, p := range publications {
			if seen[i] || !p.has(o) || slices.Contains(told[i], o) {
				continue
			}
			seen[i] = true
			if float64(len(told[i])) < p.sumOf("UncertainRepublishes") {
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
	var list []*logObject
	for o, n := range beyond {
		for range n {
			if !use(o, make([]bool, len(publications))) {
				list = append(list, o)
			}
		}
	}
	return list
}

// dimensionSets are the combinations of dimensions under which an object's
// connections, or failures, are all counted.
var dimensionSets = map[string][]string{
	"Connections":        {"", "KeyExchange"},
	"FailedNegotiations": {"", "ListenerPort", "Protocol", "Cipher", "Client", "Reason"},
}

// judgeData holds a request's data of one object against the reference: each
// series by itself, and that those of one combination of dimensions add up to
// all there is.
func (w *world) judgeData(p *publication, o *logObject) {
	totals := make(map[string]sum)
	for _, d := range p.data {
		if d.dims["LoadBalancer"] != o.lb || !d.time.Equal(o.minute) {
			continue
		}
		dims := make(map[string]string)
		set := ""
		for name, value := range d.dims {
			if name != "LoadBalancer" {
				dims[name] = value
				if set == "" || name == "Cipher" { // whose set has Protocol as well
					set = name
				}
			}
		}
		t := totals[d.name+" "+set]
		totals[d.name+" "+set] = sum{t.total + d.sum.total, t.samples + d.sum.samples}
		if dims["Client"] == "other" {
			continue
		}
		if want := o.reference(d.name, dims); !d.sum.near(want, d.name) {
			w.violate("wrong", "%s: %s %v is %v, want %v", w.name(o), d.name, d.dims, d.sum, want)
		}
	}
	for name, sets := range dimensionSets {
		all := o.reference(name, nil)
		for _, set := range sets {
			got := totals[name+" "+set]
			if got.total != all.total {
				w.violate("wrong", "%s: %s by %q adds up to %v, want %v", w.name(o), name, set, got.total, all.total)
			}
		}
	}
}

// near reports whether two sums are the same: that of latencies to 5 %.
func (s sum) near(want sum, name string) bool {
	if name == "HandshakeLatency" {
		return s.samples == want.samples && math.Abs(s.total-want.total) <= 0.05*want.total+1e-9
	}
	return s == want
}

// judgeTotals holds the metric over all load balancers against the objects of a
// request.
func (w *world) judgeTotals(p *publication) {
	want := make(map[time.Time]sum)
	for _, o := range w.objects {
		if p.has(o) {
			s, t := o.reference("FailedNegotiations", nil), want[o.minute]
			want[o.minute] = sum{s.total + t.total, s.samples + t.samples}
		}
	}
	for _, d := range p.data {
		if d.name != "FailedNegotiations" || len(d.dims) > 0 {
			continue
		}
		if d.sum != want[d.time] {
			w.violate("wrong", "%s: FailedNegotiations at %s is %v, want %v", p.by, d.time.Format("15:04"), d.sum, want[d.time])
		}
		delete(want, d.time)
	}
	for minute := range want {
		w.violate("wrong", "%s: no FailedNegotiations at %s", p.by, minute.Format("15:04"))
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
			if c := d.dims["Client"]; c != "" && c != "other" {
				hour := fmt.Sprint(d.dims["LoadBalancer"], " ", d.time.Truncate(time.Hour).Format("15:04"))
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
