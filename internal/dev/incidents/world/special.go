package world

import (
	"cmp"
	"slices"
	"time"
)

// longLived has clients that keep connections for hours, so that a change hits them
// one after another.
func longLived(w *world, seed uint64) {
	w.length = 6 * time.Hour
	before, after := w.changedPolicies(seed)
	devices := w.count(600, 4_000)
	s := w.sized(before, after, 4*devices, devices)
	s.least = 20
	s.at = 2*time.Hour + w.between(time.Minute, 2*time.Hour)
	for _, d := range slices.Concat(s.devices, w.policyChanged(s)) {
		d.from, d.to = 0, w.length
		d.every = time.Duration(float64(time.Hour) * (0.7 + w.rand.Float64()))
	}
}

// flapping changes a policy, undoes that, and does it again some times.
func flapping(w *world, seed uint64) {
	s := w.ordinary(w.changedPolicies(seed))
	s.at = w.length/6 + time.Duration(w.rand.Int64N(int64(w.length/8)))
	w.policyChanged(s)
	at := s.at
	for range 2 + w.rand.IntN(3) {
		at += w.between(5*time.Minute, 12*time.Minute)
		if len(s.main.changes)%2 == 1 {
			w.incidents[0].end = at
			w.incidents[0].stretch = cmp.Or(w.incidents[0].stretch, at)
			s.main.change(at, s.spread, func(u *setup) { *u = s.main.first })
		} else {
			w.incidents[0].end = 0
			s.main.change(at, s.spread, func(u *setup) { u.policy, u.policyBy = s.after, 0 })
		}
	}
}

// twoChanges has two of: a policy, an expired certificate, a listener certificate.
func twoChanges(w *world, seed uint64) {
	s := w.ordinary(w.changedPolicies(seed))
	s.at = w.length / 4
	w.policyChanged(s)
	second := *s
	second.at = (s.at + w.between(5*time.Minute, time.Hour)).Truncate(time.Second)
	switch {
	case seed%2 == 0:
		w.certificateExpired(&second, second.at)
	default:
		second.main = w.loadBalancer(s.after)
		second.before, second.lines = s.after, s.lines/2
		second.devices = w.settle(crowd{second.main, w.mixture(s.after), max(20, len(s.devices)/2), second.lines})
		w.issuerChanged(&second)
	}
}

// small has 20 connections an hour.
func small(w *world, seed uint64) {
	w.length = 8 * time.Hour
	s := &scene{at: w.onset()}
	s.before, s.after = w.changedPolicies(seed)
	s.main = w.loadBalancer(s.before)
	s.lines = 20 * 8
	s.devices = w.settle(crowd{s.main, w.mixture(s.before, s.after), w.count(4, 20), s.lines * 3 / 4})
	w.noise(s.main, 1)
	w.policyChanged(s)
	for _, d := range w.devices {
		d.retries = givesUp
	}
	w.devices = slices.DeleteFunc(w.devices, func(d *device) bool { return w.rand.IntN(3) == 0 })
}

// large has 100,000 clients.
func large(w *world, seed uint64) {
	before, after := w.changedPolicies(seed)
	s := w.sized(before, after, 160_000, 100_000)
	w.policyChanged(s)
}

// night has a change at night, when nearly none of those that it hits are there: they
// come in the morning.
func night(w *world, seed uint64) {
	w.start = w.start.Truncate(24 * time.Hour).Add(2 * time.Hour)
	w.length = 5 * time.Hour
	before, after := w.changedPolicies(seed)
	s := w.sized(before, after, 6_000, w.count(200, 1_500))
	s.at = time.Hour + w.between(time.Minute, time.Hour)
	for _, d := range slices.Concat(s.devices, w.policyChanged(s)) {
		d.from, d.to = 0, w.length
		if w.rand.IntN(20) > 0 {
			d.from = 2*time.Hour + time.Duration(w.rand.Int64N(int64(2*time.Hour)))
		}
	}
}

// hitsNobody has a change that all clients survive.
func hitsNobody(w *world, seed uint64) {
	s := w.ordinary(w.changedPolicies(seed))
	s.main.change(s.at, s.spread, func(u *setup) { u.policy = s.after })
	if seed%3 == 0 {
		arn := w.arn()
		s.main.change(s.at+10*time.Minute, 0, func(u *setup) { u.arn, u.issuer = arn, "second" })
	}
}
