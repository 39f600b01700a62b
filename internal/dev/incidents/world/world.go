// Package world simulates clients of load balancers and what goes wrong for them. It
// writes the logs of that and the truth about them, which real logs do not have.
//
// The package knows nothing of package incident but the types of a Story, and decides
// by its own server-side negotiation who works at a security policy.
package world

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"tlswatch/pkg/secpolicy"
)

// A world is what is simulated for one seed.
type world struct {
	rand   *rand.Rand
	start  time.Time
	length time.Duration

	names     []string // of load balancers
	network   bool     // Network Load Balancers
	lags      []float64
	listeners []*listener
	devices   []*device
	used      map[netip.Addr]bool
	nets      []netip.Addr // customers' networks
	v6        float64      // share of devices with IPv6
	abortRate float64
	peaks     []time.Duration
	shows     shows

	incidents []*incidentTruth
	scanners  []netip.Addr
	events    []event
	late      []int // nodes whose last objects are not there yet
}

// shows is what the log has about a refused negotiation. AWS does not document it.
type shows int

const (
	nothing   shows = iota // neither protocol nor cipher suite
	version                // the client's highest protocol
	presented              // and the suite that the client likes best
)

func newWorld(kind string, seed uint64) *world {
	h := fnv.New64a()
	h.Write([]byte(kind))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	w := &world{
		rand:      r,
		start:     time.Date(2026, 11, 30, r.IntN(20), 5*r.IntN(12), 0, 0, time.UTC),
		length:    2 * time.Hour,
		used:      make(map[netip.Addr]bool),
		v6:        pick(r, 0, 0, 0.1, 0.3, 0.6),
		abortRate: 0.001,
		shows:     pick(r, nothing, nothing, nothing, nothing, version, presented),
	}
	for range pick(r, 1, 2, 2, 3, 3, 4, 6, 8, 12, 40) {
		w.lags = append(w.lags, r.Float64())
	}
	w.lags[0] = 0
	return w
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// between returns a duration, small ones as likely as large ones.
func (w *world) between(a, b time.Duration) time.Duration {
	return time.Duration(float64(a) * math.Pow(float64(b)/float64(a), w.rand.Float64()))
}

// count returns a number, small ones as likely as large ones.
func (w *world) count(a, b int) int {
	return int(math.Round(float64(a) * math.Pow(float64(b)/float64(a), w.rand.Float64())))
}

// onset returns an instant in the middle half, on a whole millisecond.
func (w *world) onset() time.Duration {
	return (w.length/4 + time.Duration(w.rand.Int64N(int64(w.length/2)))).Truncate(time.Second)
}

// loadBalancer adds a load balancer with a listener on port 443.
func (w *world) loadBalancer(p *secpolicy.Policy) *listener {
	kind, i := "app", len(w.names)
	if w.network {
		kind = "net"
	}
	name := fmt.Sprintf("%s/%s-%d/%016x", kind, pick(w.rand, "shop", "api", "edge", "partner", "iot"), i, w.rand.Uint64())
	w.names = append(w.names, name)
	return w.listen(i, 443, p)
}

func (w *world) listen(loadBalancer int, port uint16, p *secpolicy.Policy) *listener {
	l := &listener{loadBalancer: loadBalancer, port: port, cache: make(map[cacheKey]agreed)}
	l.first = setup{
		policy: p, keys: keys{rsa: true}, issuer: "first", arn: w.arn(),
		policyBy: always, certificateBy: always, trustBy: always,
	}
	w.listeners = append(w.listeners, l)
	return l
}

func (w *world) arn() string {
	return fmt.Sprintf("arn:aws:acm:eu-central-1:123456789012:certificate/%08x-0000-4000-8000-%012x", w.rand.Uint32(), w.rand.Uint64()>>16)
}

// add keeps an event, at the time that its line has, unless the log does not reach
// that far.
func (w *world) add(e event) {
	e.at = e.at.Truncate(time.Microsecond)
	if w.network {
		e.at = e.at.Truncate(time.Second)
	}
	if e.at >= 0 && e.at < w.length {
		w.events = append(w.events, e)
	}
}

// run simulates all devices.
func (w *world) run() {
	for _, d := range w.devices {
		w.live(d)
	}
	cut := w.length.Truncate(5*time.Minute) - 5*time.Minute
	w.events = slices.DeleteFunc(w.events, func(e event) bool {
		return e.at >= cut && slices.Contains(w.late, e.node)
	})
	slices.SortStableFunc(w.events, func(a, b event) int { return int(a.at - b.at) })
}

// address returns a new address of a customer: in a network of several customers, or
// somewhere.
func (w *world) address() netip.Addr {
	for {
		var a netip.Addr
		switch n := len(w.nets); {
		case n > 0 && w.rand.IntN(2) == 0:
			a = neighbour(w.rand, w.nets[w.rand.IntN(n)])
		case w.rand.Float64() < w.v6:
			a = netip.AddrFrom16([16]byte{0x20, 0x01, byte(w.rand.Uint32()), byte(w.rand.Uint32()), byte(w.rand.Uint32()), byte(w.rand.Uint32()),
				0, byte(w.rand.IntN(4)), 15: 1 + byte(w.rand.IntN(200))})
		default:
			a = w.v4(5, 31, 62, 77, 82, 84, 91, 93, 151, 178, 188, 212)
		}
		if w.used[a] {
			continue
		}
		w.used[a] = true
		if w.rand.IntN(4) == 0 {
			w.nets = append(w.nets, a)
		}
		return a
	}
}

func (w *world) v4(first ...byte) netip.Addr {
	r := w.rand
	return netip.AddrFrom4([4]byte{pick(r, first...), byte(r.Uint32()), byte(r.Uint32()), 1 + byte(r.IntN(254))})
}

// neighbour returns an address in the same /24 or /64.
func neighbour(r *rand.Rand, a netip.Addr) netip.Addr {
	b := a.AsSlice()
	b[len(b)-1] = 1 + byte(r.IntN(254))
	n, _ := netip.AddrFromSlice(b)
	return n
}
