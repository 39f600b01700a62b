package main

import (
	"slices"
	"time"
)

// A failing is how many failures a window has for a rule, and the share in
// percent of its connections.
type failing struct {
	failed  int
	percent float64
	client  string
}

// window counts the failures of a load balancer's objects in a window that ends
// at end.
func (w *world) window(r rule, lb string, end time.Time) failing {
	failed, connections := 0, 0
	clients := make(map[string]int)
	of := make(map[string]int)
	for _, o := range w.objects {
		if o.lb != lb || o.end.After(end) || !o.end.After(end.Add(-r.window)) {
			continue
		}
		n, all, byClient := o.failures(r.reason)
		failed += n
		connections += all
		for c, n := range byClient {
			clients[c] += n
		}
		for _, e := range o.entries {
			if e.tls {
				of[e.client]++
			}
		}
	}
	if !r.perClient {
		return failing{failed, share(failed, connections), ""}
	}
	worst := failing{}
	for c, n := range clients {
		if share(n, of[c]) >= r.percent && n > worst.failed {
			worst = failing{n, share(n, of[c]), c}
		}
	}
	return worst
}

func share(failed, connections int) float64 {
	if connections == 0 {
		return 0
	}
	return 100 * float64(failed) / float64(connections)
}

func (r rule) meets(f failing) bool { return f.failed >= r.minFailed && f.percent >= r.percent }

// judgeAlerts finds windows that meet a rule and were not alerted, and alerts
// that must not have been.
func (w *world) judgeAlerts() {
	for _, r := range w.rules {
		for _, lb := range w.loadBalancers() {
			var sent []*alertMessage
			for _, a := range w.alerts {
				if a.Rule == r.name && a.Window.LoadBalancer == lb {
					sent = append(sent, a)
					w.judgeAlert(r, a)
				}
			}
			w.judgeMissed(r, lb, sent)
			w.judgeDouble(r, lb, sent)
		}
	}
}

func (w *world) loadBalancers() (names []string) {
	for _, o := range w.objects {
		if !slices.Contains(names, o.lb) {
			names = append(names, o.lb)
		}
	}
	return names
}

// ends are the ends of all windows of a rule in which a load balancer has
// objects.
func (w *world) ends(r rule, lb string) (ends []time.Time) {
	for _, o := range w.objects {
		for d := time.Duration(0); o.lb == lb && d < r.window; d += period {
			if end := o.end.Add(d); !slices.ContainsFunc(ends, end.Equal) {
				ends = append(ends, end)
			}
		}
	}
	return ends
}

// judgeMissed: a window that meets the rule needs an alert, unless another alert
// stands for it: of a window that overlaps it or during the cooldown, and with
// failures that have not grown so much since.
func (w *world) judgeMissed(r rule, lb string, sent []*alertMessage) {
	for _, end := range w.ends(r, lb) {
		f := w.window(r, lb, end)
		if !r.meets(f) {
			continue
		}
		w.windows++
		stands := slices.ContainsFunc(sent, func(a *alertMessage) bool {
			return r.related(a.Window.End, end) && float64(f.failed) < r.growth*float64(a.Failed) || a.Window.End.Equal(end) && a.Failed == f.failed
		})
		if !stands {
			w.violate("missed", "%s of %s until %s has %d failures and no alert stands for it", r.name, lb, end.Format("15:04"), f.failed)
		}
	}
}

// related reports whether an alert about one window can stand for another. A
// seed is shorter than any cooldown but 0.
func (r rule) related(a, b time.Time) bool {
	return r.cooldown > 0 || a.Sub(b).Abs() < r.window
}

// judgeDouble finds alerts for which an earlier one stood: the last of all
// during the cooldown, the last of a window that overlaps always.
func (w *world) judgeDouble(r rule, lb string, sent []*alertMessage) {
	for i, a := range sent {
		for _, before := range slices.Backward(sent[:i]) {
			if !r.related(before.Window.End, a.Window.End) {
				continue
			}
			if float64(a.Failed) < r.growth*float64(before.Failed) {
				w.judgePair(before, a)
			}
			break
		}
	}
}

// doubles counts alerts that repeat another one, by what the log says about it.
type doubles struct {
	all   int
	told  int // the log says that the alert was taken over, or sent again
	muted int // the second sender was killed, maybe before it could log
}

// judgePair counts an alert that repeats the one before it.
func (w *world) judgePair(before, a *alertMessage) {
	w.doubles.all++
	lost := before.unheard || w.muted[before.sender] // so that the next to alert, about whatever window, takes over
	switch {
	case w.alertsTold[a.sender] || w.alertsTold[before.sender] || lost && w.takeOvers[a.Window.LoadBalancer]:
		w.doubles.told++
	case w.muted[a.sender]:
		w.doubles.muted++
	default:
		heard := "which knew that it was sent"
		if before.unheard {
			heard = "which did not hear that it was sent"
		} else if w.muted[before.sender] {
			heard = "which was killed"
		}
		w.violate("double", "%s by %s, after %s by %s, %s, and no take-over was told", a, a.by, before, before.by, heard)
	}
}

// judgeAlert holds the numbers of an alert against the reference: the failures
// of the objects that it names, which are all of the window.
func (w *world) judgeAlert(r rule, a *alertMessage) {
	whole := w.window(r, a.Window.LoadBalancer, a.Window.End)
	if a.Failed > whole.failed && !r.perClient {
		w.violate("wrong", "alert %s: the window has %d", a, whole.failed)
	}
	if a.Failed < r.minFailed {
		w.violate("wrong", "alert %s: the rule needs %d", a, r.minFailed)
	}
	if r.perClient || a.Window.ObjectCount != len(a.Window.Objects) {
		return
	}
	failed := 0
	for _, o := range w.objects {
		if slices.Contains(a.Window.Objects, o.uri()) {
			n, _, _ := o.failures(r.reason)
			failed += n
		}
	}
	if failed != a.Failed {
		w.violate("wrong", "alert %s: its objects have %d", a, failed)
	}
}
