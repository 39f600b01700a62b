package world

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"tlswatch/pkg/secpolicy"
)

// A crowd is devices to make.
type crowd struct {
	listener *listener
	programs []*program // one of them each
	devices  int
	lines    int // connections of all of them while the log lasts, about
}

// settle adds devices with ordinary lives: some connect a hundred times as often as
// others, and a fifth is in use for a part of the time only. The rates are log-normal
// with mean 1.
func (w *world) settle(c crowd) []*device {
	if c.devices == 0 {
		return nil
	}
	every := float64(w.length) * float64(c.devices) / float64(max(c.lines, 1))
	added := make([]*device, c.devices)
	for i := range added {
		d := &device{
			program:  pick(w.rand, c.programs...),
			listener: c.listener,
			addr:     w.address(),
			to:       w.length,
			every:    time.Duration(every * math.Exp(w.rand.NormFloat64()+0.5)),
			retries:  retry(w.rand.IntN(int(retryEnd))),
		}
		if w.rand.IntN(5) == 0 {
			d.from = time.Duration(w.rand.Int64N(int64(w.length)))
			d.to = d.from + time.Duration(w.rand.Int64N(int64(w.length)))
			d.every /= 2
		}
		added[i] = d
	}
	w.devices = append(w.devices, added...)
	return added
}

// fitting returns the programs that work with all those policies, of all ages as
// they are met.
func fitting(list []*program, k keys, policies ...*secpolicy.Policy) (ok []*program) {
	for _, c := range list {
		if !slices.ContainsFunc(policies, func(p *secpolicy.Policy) bool { return !negotiate(c, p, k).ok() }) {
			ok = append(ok, c)
		}
	}
	return ok
}

// mixture returns programs of several ages that work with the policies. A program
// can be in it several times.
func (w *world) mixture(policies ...*secpolicy.Policy) (mix []*program) {
	for _, age := range []struct {
		list   []*program
		shares []int
	}{
		{postQuantum, []int{0, 6, 12, 20}},
		{modern, []int{3, 6, 12}},
		{tls12, []int{0, 1, 2, 4}},
	} {
		if ok := fitting(age.list, keys{rsa: true}, policies...); len(ok) > 0 {
			for range pick(w.rand, age.shares...) {
				mix = append(mix, pick(w.rand, ok...))
			}
		}
	}
	if len(mix) == 0 {
		panic(fmt.Sprintf("no program works with %s", policies[0].Name))
	}
	return mix
}

// share puts devices behind addresses that they share: small networks.
func (w *world) share(devices []*device, behind int) {
	for i, d := range devices {
		d.addr = devices[i%behind].addr
	}
}

// gather moves devices into so many networks. Some share an address then.
func (w *world) gather(devices []*device, networks int) {
	for i, d := range devices[min(networks, len(devices)):] {
		d.addr = neighbour(w.rand, devices[i%networks].addr)
		w.used[d.addr] = true
	}
}

// wander gives devices a new address every few connections, from a carrier's ranges.
func (w *world) wander(devices []*device) {
	carrier := []byte{100 + byte(w.rand.IntN(20)), 160 + byte(w.rand.IntN(20))}
	for _, d := range devices {
		d.moves = func() (a netip.Addr) {
			for a = w.v4(carrier...); w.used[a]; a = w.v4(carrier...) {
			}
			w.used[a] = true
			return a
		}
	}
}

// certify gives each device of a mutual TLS listener a client certificate, one per
// partner. A partner has a few devices.
func (w *world) certify(devices []*device, authorities ...string) (all []*certificate) {
	for i := 0; i < len(devices); {
		n := len(all)
		c := &certificate{
			subject:   fmt.Sprintf("CN=p%d.partner.example,O=Partner %d,C=DE", n, n),
			serial:    fmt.Sprintf("%016X", w.rand.Uint64()),
			authority: pick(w.rand, authorities...),
			notBefore: w.start.Add(-time.Duration(1+w.rand.IntN(300)) * 24 * time.Hour).Truncate(time.Second),
			notAfter:  w.start.Add(time.Duration(5+w.rand.IntN(300))*24*time.Hour + w.length).Truncate(time.Second),
			expiry:    none,
		}
		c.subject += ",OU=" + c.authority
		all = append(all, c)
		for range 1 + w.rand.IntN(4) {
			if i < len(devices) {
				devices[i].certificate = c
				i++
			}
		}
	}
	return all
}

// scanner is an address that never succeeds and negotiates nothing.
func (w *world) scanner(l *listener, a netip.Addr, attempts int, from, length time.Duration, cause int) {
	w.used[a] = true
	w.scanners = append(w.scanners, a)
	for range attempts {
		at := from
		if length > 0 {
			at += time.Duration(w.rand.Int64N(int64(length)))
		}
		w.add(event{at: at, addr: a, listener: l, node: w.rand.IntN(len(w.lags)), outcome: outcome{reason: unmapped, cause: cause}})
	}
}

// noise adds scanners to a listener at a constant rate. Most try a few times; some
// try for hours.
func (w *world) noise(l *listener, failures int) {
	for failures > 0 {
		attempts, length := 1, time.Duration(0)
		switch w.rand.IntN(10) {
		case 0, 1, 2, 3:
		case 4, 5, 6:
			attempts, length = 2+w.rand.IntN(4), w.between(time.Second, 10*time.Minute)
		default:
			attempts, length = 6+w.rand.IntN(26), w.between(time.Minute, w.length)
		}
		attempts = min(attempts, failures)
		failures -= attempts
		from := time.Duration(w.rand.Int64N(int64(w.length+length))) - length // as many at the start as later
		w.scanner(l, w.scannerAddress(), attempts, from, length, scan)
	}
}

func (w *world) scannerAddress() netip.Addr {
	for {
		if a := w.v4(45, 64, 71, 92, 104, 141, 162, 167, 193, 198); !w.used[a] {
			return a
		}
	}
}
