package world

import (
	"math"
	"slices"
	"time"

	"tlswatch/pkg/incident"
	"tlswatch/pkg/secpolicy"
)

// A scene is an ordinary world, in which something may happen to a listener.
type scene struct {
	main          *listener
	before, after *secpolicy.Policy
	at            time.Duration // when it happens
	spread        time.Duration // until the last node follows
	lines         int           // connections of main
	devices       []*device     // of main
	least         int           // devices that are hit
}

// ordinary makes the load balancers and those of their clients that are not hit.
func (w *world) ordinary(before, after *secpolicy.Policy) *scene {
	lines := w.count(6_000, 40_000)
	return w.sized(before, after, lines, lines/w.count(5, 50))
}

func (w *world) sized(before, after *secpolicy.Policy, lines, devices int) *scene {
	s := &scene{before: before, after: after, at: w.onset()}
	if w.rand.IntN(3) == 0 {
		s.spread = w.between(time.Second, 15*time.Second)
	}
	n := pick(w.rand, 1, 1, 1, 1, 1, 2, 2, 3, 6, 30)
	s.main = w.loadBalancer(before)
	s.lines = lines
	if n > 1 {
		s.lines = lines / 2
	}
	s.devices = w.settle(crowd{s.main, w.mixture(before, after), max(10, devices*s.lines/lines), s.lines})
	w.noise(s.main, int(0.0035*float64(s.lines))+1)
	for range n - 1 {
		p, _ := w.anyPolicy()
		l := w.loadBalancer(p)
		share := (lines - s.lines) / (n - 1)
		w.settle(crowd{l, w.mixture(p), max(3, devices*share/lines), share})
		w.noise(l, int(0.0035*float64(share))+1)
	}
	if w.rand.IntN(8) == 0 {
		w.late = append(w.late, w.rand.IntN(len(w.lags)))
	}
	return s
}

// happens notes that something happens to main. It returns the number of the
// incident.
func (w *world) happens(k incident.Kind, s *scene) int {
	w.incidents = append(w.incidents, &incidentTruth{
		kind: k, listener: s.main, start: s.at, spread: s.spread, before: s.main.last(), after: s.main.last(),
	})
	return len(w.incidents) - 1
}

// hit adds devices of some of those programs, which a change breaks: 0.5 to 10 % of
// the clients. Newcomers connect for the first time after the change.
func (w *world) hit(s *scene, list []*program) (regulars, newcomers []*device) {
	programs := w.some(list, 3)
	share := 0.005 * math.Pow(20, w.rand.Float64())
	n := max(8, s.least, int(share*float64(len(s.devices))))
	lines := max(12*n, min(s.lines/4, n*max(1, s.lines/len(s.devices))))
	regulars = w.settle(crowd{s.main, programs, n, lines})
	if w.rand.IntN(2) == 0 {
		newcomers = w.settle(crowd{s.main, programs, max(1, n/5), max(1, lines/5)})
		for _, d := range newcomers {
			d.from, d.to = s.at+time.Duration(w.rand.Int64N(int64(w.length-s.at))), w.length
		}
	}
	return regulars, newcomers
}

// some returns up to so many of a list.
func (w *world) some(list []*program, most int) []*program {
	list = slices.Clone(list)
	w.rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(len(list), 1+w.rand.IntN(most))]
}

// policyChanged changes the policy. It returns the devices that it breaks, without
// newcomers.
func (w *world) policyChanged(s *scene) []*device {
	i := w.happens(incident.PolicyChange, s)
	s.main.change(s.at, s.spread, func(u *setup) { u.policy, u.policyBy = s.after, i })
	w.incidents[i].after = s.main.last()
	if w.rand.IntN(4) == 0 {
		w.failing(s, 1+w.rand.IntN(3))
	}
	regulars, _ := w.hit(s, breaking(s.before, s.after))
	return regulars
}

// failing adds devices that never work, if any program is too old for the policy.
func (w *world) failing(s *scene, n int) {
	var list []*program
	for _, c := range old {
		if !negotiate(c, s.before, keys{rsa: true}).ok() && !negotiate(c, s.after, keys{rsa: true}).ok() {
			list = append(list, c)
		}
	}
	if len(list) > 0 {
		w.settle(crowd{s.main, list, n, 20 * n})
	}
}

// issuerChanged replaces the certificate by one of an authority that some do not know.
func (w *world) issuerChanged(s *scene) {
	i := w.happens(incident.ListenerCertificate, s)
	arn := w.arn()
	s.main.change(s.at, s.spread, func(u *setup) { u.issuer, u.arn, u.certificateBy = "second", arn, i })
	regulars, newcomers := w.hit(s, fitting(everyone, keys{rsa: true}, s.before))
	for _, d := range slices.Concat(regulars, newcomers) {
		d.distrusts = map[string]bool{"second": true}
	}
}

// keyChanged replaces an RSA certificate by an ECDSA one.
func (w *world) keyChanged(s *scene) {
	var list []*program
	ecdsa := keys{ecdsa: true}
	all := slices.Concat(everyone, rsaOnly, rsaOnly, rsaOnly)
	for {
		for _, c := range fitting(all, keys{rsa: true}, s.before) {
			if !negotiate(c, s.before, ecdsa).ok() {
				list = append(list, c)
			}
		}
		if len(list) > 0 {
			break
		}
		p, _ := w.anyPolicy()
		s.before, s.after, s.main.first.policy = p, p, p
	}
	for _, d := range s.devices {
		if !negotiate(d.program, s.before, ecdsa).ok() || !negotiate(d.program, s.before, keys{rsa: true}).ok() {
			d.program = pick(w.rand, fitting(modern, ecdsa, s.before)...)
		}
	}
	i := w.happens(incident.ListenerCertificate, s)
	arn := w.arn()
	s.main.change(s.at, s.spread, func(u *setup) { u.keys, u.arn, u.certificateBy = ecdsa, arn, i })
	w.hit(s, list)
}

// partners adds a listener with mutual TLS to the main load balancer, and returns a
// scene there.
func (w *world) partners(s *scene) (*scene, []*certificate) {
	m := *s
	m.main = w.listen(s.main.loadBalancer, 8443, s.before)
	m.main.mutual = true
	m.lines = w.count(500, 5_000)
	m.devices = w.settle(crowd{m.main, fitting(slices.Concat(modern, tls12), keys{rsa: true}, s.before, s.after), w.count(15, 200), m.lines})
	w.noise(m.main, 2)
	return &m, w.certify(m.devices, "Root A", "Root B", "Root C")
}

func (w *world) trustChanged(s *scene) {
	m, certificates := w.partners(s)
	i := w.happens(incident.TrustStoreChange, m)
	if w.rand.IntN(4) > 0 {
		m.main.change(m.at, m.spread, func(u *setup) { u.untrusted, u.trustBy = map[string]bool{"Root B": true}, i })
		return
	}
	m.main.change(m.at, m.spread, func(u *setup) {
		u.revoked, u.trustBy = make(map[string]bool), i
		for j, c := range certificates {
			if j%3 == 0 {
				u.revoked[c.serial] = true
			}
		}
	})
}

// certificateExpired lets the certificate of one partner expire.
func (w *world) certificateExpired(s *scene, at time.Duration) {
	m, certificates := w.partners(s)
	c := pick(w.rand, certificates...)
	m.at, m.spread = at, 0
	c.notAfter, c.expiry = w.start.Add(at), w.happens(incident.CertificateExpired, m)
	w.incidents[c.expiry].certificate = c
	for _, d := range m.devices {
		if d.certificate == c {
			d.from, d.to, d.every = 0, w.length, w.between(time.Minute, 8*time.Minute)
		}
	}
}

// released breaks a fleet of devices in some networks, within that time.
func (w *world) released(s *scene, within time.Duration, k incident.Kind) {
	i := w.happens(k, s)
	in := w.incidents[i]
	in.ramp, in.spread = k == incident.ClientRollout, min(within, w.length-s.at)
	n := max(6, int(float64(len(s.devices))*0.01*math.Pow(10, w.rand.Float64())))
	model := pick(w.rand, fitting(slices.Concat(modern, tls12), keys{rsa: true}, s.before)...)
	fleet := w.settle(crowd{s.main, []*program{model}, n, 2 * n * max(4, s.lines/len(s.devices))})
	w.gather(fleet, w.count(1, 6))
	w.settle(crowd{s.main, []*program{model}, n, n * max(4, s.lines/len(s.devices))}) // others have it too
	silent := w.rand.IntN(3) == 0
	for _, d := range fleet {
		d.from, d.to, d.breaksBy, d.breaksSilently = 0, w.length, i, silent
		d.breaks = s.at + time.Duration(w.rand.Int64N(int64(within)))
	}
}

// scanned adds many failures of scanners.
func (w *world) scanned(s *scene, at time.Duration) {
	failures, length := w.count(300, 5_000), w.between(4*time.Minute, 40*time.Minute)
	i := w.happens(incident.Scan, s)
	w.incidents[i].start, w.incidents[i].spread = at, 0
	if at+length < w.length {
		w.incidents[i].end = at + length
	}
	net := w.scannerAddress()
	for addresses := w.count(1, failures); failures > 0; {
		n := min(failures, max(1, w.rand.IntN(2*failures/addresses+2)))
		a := neighbour(w.rand, net)
		if w.used[a] || w.rand.IntN(20) == 0 {
			net = w.scannerAddress()
			a = net
		}
		w.scanner(s.main, a, n, at, length, i)
		failures -= n
		addresses = max(1, addresses-1)
	}
}

// alwaysFailing adds devices that fail all along: by their certificates, or since
// they do not know the authority of the listener's.
func (w *world) alwaysFailing(s *scene) {
	if w.rand.IntN(2) == 0 {
		m, certificates := w.partners(s)
		w.happens(incident.Steady, m)
		for j, c := range certificates {
			if j%4 == 0 {
				c.notBefore, c.notAfter = c.notBefore.AddDate(-2, 0, 0), w.start.Add(-time.Duration(1+w.rand.IntN(90))*24*time.Hour)
			}
		}
		return
	}
	w.happens(incident.Steady, s)
	n := w.count(3, 30)
	for _, d := range w.settle(crowd{s.main, fitting(everyone, keys{rsa: true}, s.before), n, 30 * n}) {
		d.distrusts = map[string]bool{"first": true}
	}
}

// bursts adds what is no incident: peaks of traffic, scanners in a hurry, networks
// that lose connections for a moment, and customers who come together.
func (w *world) bursts() {
	l := pick(w.rand, w.listeners...)
	instant := func() time.Duration { return time.Duration(w.rand.Int64N(int64(w.length))) }
	for range 1 + w.rand.IntN(4) {
		switch w.rand.IntN(4) {
		case 0:
			w.peaks = append(w.peaks, instant())
		case 1:
			w.scanner(l, w.scannerAddress(), w.count(10, 80), instant(), w.between(20*time.Second, 10*time.Minute), scan)
		case 2:
			at := instant()
			for range w.count(3, 15) {
				d := pick(w.rand, w.devices...)
				w.add(event{at: at + time.Duration(w.rand.Int64N(int64(20*time.Second))), addr: d.addr, device: d, listener: d.listener,
					node: w.rand.IntN(len(w.lags)), outcome: outcome{reason: unmapped, cause: abort}})
			}
		case 3:
			at := instant()
			for _, d := range w.settle(crowd{l, w.mixture(l.first.policy), w.count(5, 60), 400}) {
				d.from, d.to = at, at+w.between(2*time.Minute, time.Hour)
			}
		}
	}
}
