package forecast

import (
	"net/netip"
	"sync/atomic"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/secpolicy"
)

// Memory limits. Beyond them, entries count for the client "other", or for names about
// which nothing is known.
const (
	MaxObservations = 1_000_000
	maxKinds        = 16_384 // of each worker
	maxKindName     = 128    // bytes
)

// Observations count entries that differ only in their time.
type Observations struct {
	room   *atomic.Int64 // for how many more; all workers share it
	kinds  map[observedKind]uint32
	byKind []observedKind
	counts map[observed]uint64
	other  uint64 // entries of clients beyond the bound
}

// An observedKind is what entries of different clients have in common.
type observedKind struct {
	loadBalancer, protocol, cipher, keyExchange, status string
	port                                                uint16
}

// isLong reports whether a name is longer than any name that load balancers write.
func (k *observedKind) isLong() bool {
	return max(len(k.loadBalancer), len(k.protocol), len(k.cipher), len(k.keyExchange), len(k.status)) > maxKindName
}

// rest returns the kind that replaces k beyond the limit: one each for plaintext,
// successes, failures and anything else.
func (k *observedKind) rest() observedKind {
	const other = "other"
	e := connlog.Entry{Protocol: k.protocol, Status: k.status}
	switch {
	case !e.TLS():
		return observedKind{cipher: other}
	case e.Failed():
		return observedKind{protocol: other, cipher: other, status: connlog.FailedPrefix + other}
	case k.status == connlog.StatusSuccess:
		return observedKind{protocol: other, cipher: other, status: connlog.StatusSuccess}
	}
	return observedKind{protocol: other, cipher: other}
}

// An observed is a client and a kind.
type observed struct {
	client netip.Addr // invalid for those beyond the bound, if other
	kind   uint32
	other  bool
}

// NewObservations returns one for each worker. Together they have room for a number of
// observations.
func NewObservations(workers, room int) []Observations {
	shared := new(atomic.Int64)
	shared.Store(int64(room))
	folds := make([]Observations, workers)
	for i := range folds {
		folds[i] = Observations{room: shared, kinds: make(map[observedKind]uint32), counts: make(map[observed]uint64)}
	}
	return folds
}

// Add counts an entry.
func (o *Observations) Add(e *connlog.Entry) {
	k := observed{client: e.Client, kind: o.kind(observedKind{e.LoadBalancer, e.Protocol, e.Cipher, e.KeyExchange, e.Status, e.ListenerPort})}
	if o.room.Load() <= 0 {
		if _, ok := o.counts[k]; !ok {
			o.counts[observed{kind: k.kind, other: true}]++
			o.other++
			return
		}
	}
	before := len(o.counts)
	o.counts[k]++
	if len(o.counts) > before {
		o.room.Add(-1)
	}
}

// kind returns the number of a kind, within the limits.
func (o *Observations) kind(k observedKind) uint32 {
	n, ok := o.kinds[k]
	if !ok && (len(o.byKind) >= maxKinds || k.isLong()) {
		k = k.rest()
		n, ok = o.kinds[k]
	}
	if !ok {
		n = uint32(len(o.byKind))
		o.kinds[k] = n
		o.byKind = append(o.byKind, k)
	}
	return n
}

// merge adds the counts of another part.
func (o *Observations) merge(p Observations) {
	o.other += p.other
	for k, n := range p.counts {
		k.kind = o.kind(p.byKind[k.kind])
		o.counts[k] += n
	}
}

// each calls yield for every observation.
func (o *Observations) each(yield func(secpolicy.Observation, uint64) bool) {
	for k, n := range o.counts {
		client := "other"
		if !k.other {
			client = "-"
			if k.client.IsValid() {
				client = k.client.String()
			}
		}
		kind := o.byKind[k.kind]
		if !yield(secpolicy.Observation{
			Client: client, Listener: secpolicy.Listener{LoadBalancer: kind.loadBalancer, Port: kind.port},
			Protocol: kind.protocol, Cipher: kind.cipher, KeyExchange: kind.keyExchange, Status: kind.status,
		}, n) {
			return
		}
	}
}
