package world

import (
	"math"
	"net/netip"
	"time"
)

// A device is one program at one address, or at changing ones.
type device struct {
	program  *program
	listener *listener
	addr     netip.Addr
	moves    func() netip.Addr // the next address of a mobile device, nil for others
	from, to time.Duration     // when it is in use
	every    time.Duration     // mean time between connections
	retries  retry

	distrusts   map[string]bool // issuers of listener certificates
	certificate *certificate    // for mutual TLS

	breaks         time.Duration // a release of its software breaks it then, 0 for never
	breaksBy       int           // incident
	breaksSilently bool          // it negotiates nothing; otherwise it leaves after agreeing
}

// A certificate is a client certificate. Several devices can have the same.
type certificate struct {
	subject, serial, authority string
	notBefore, notAfter        time.Time
	expiry                     int // incident that its expiry is
}

// retry is what a device does after a failure.
type retry int

const (
	givesUp  retry = iota // waits as after a success
	retries               // tries again a few times, soon
	insists               // tries again all the time
	retryEnd              // number of kinds
)

// An event is one connection attempt.
type event struct {
	at       time.Duration
	addr     netip.Addr
	device   *device // nil for scanners
	listener *listener
	node     int
	outcome
}

// live simulates a device from d.from to d.to.
func (w *world) live(d *device) {
	attempts := 0
	wait := func(mean time.Duration) time.Duration {
		return time.Duration(float64(mean) * w.rand.ExpFloat64())
	}
	for t := d.from + wait(d.every); t < d.to; {
		t = w.busy(t)
		if d.moves != nil && w.rand.IntN(3) == 0 {
			d.addr = d.moves()
		}
		node := w.rand.IntN(len(w.lags))
		o := w.connect(d, t, w.lags[node])
		if o.reason == "" && w.rand.Float64() < w.abortRate {
			o.reason, o.cause = unmapped, abort
			if w.rand.IntN(2) == 0 {
				o.agreed = agreed{}
			}
		}
		w.add(event{at: t, addr: d.addr, device: d, listener: d.listener, node: node, outcome: o})
		next := wait(d.every)
		if o.reason == "" {
			attempts = 0
		} else {
			attempts++
			next = min(next, w.pause(d.retries, attempts))
		}
		t += max(next, 50*time.Millisecond)
	}
}

// pause returns how long a device waits after so many failures in a row.
func (w *world) pause(r retry, attempts int) time.Duration {
	second := float64(time.Second)
	switch {
	case r == retries && attempts%4 != 0:
		return time.Duration(second * (0.5 + float64(attempts%4)*3*w.rand.Float64()))
	case r == insists && attempts < 60:
		return time.Duration(second * 10 * math.Pow(1.05, float64(attempts)) * (0.8 + 0.4*w.rand.Float64()))
	}
	return math.MaxInt64
}

// busy moves a share of the connections near a traffic peak into it.
func (w *world) busy(t time.Duration) time.Duration {
	for _, p := range w.peaks {
		if t < p && t > p-20*time.Minute && w.rand.IntN(3) == 0 {
			return p + time.Duration(w.rand.Int64N(int64(4*time.Minute)))
		}
	}
	return t
}
