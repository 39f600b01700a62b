package incident

import (
	"net/netip"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident/internal/history"
	"tlswatch/pkg/secpolicy"
)

// Options of a Collector.
type Options struct {
	// Policies has the security policies that a Story names. Nil means the built-in ones.
	Policies *secpolicy.Set

	// Policy returns the policy that a listener has now, nil if it is unknown. It may be
	// nil itself.
	Policy func(loadBalancer string, port uint16) *secpolicy.Policy

	// ClientName is how a Story names a client. Nil means by its address.
	ClientName func(netip.Addr) string

	// SubjectName is how a Story names the subject of a client certificate. Nil means as
	// in the log, and the serial number beside it; otherwise the serial number is left out.
	SubjectName func(string) string
}

// A Collector collects entries. Each goroutine uses its own [Worker].
type Collector struct {
	o       Options
	history *history.History
}

// New returns an empty Collector.
func New(o Options) *Collector {
	if o.Policies == nil {
		o.Policies = secpolicy.Builtin()
	}
	if o.ClientName == nil {
		o.ClientName = netip.Addr.String
	}
	return &Collector{o: o, history: history.New()}
}

// An EntryKind is what entries have in common: listener, status, and what was
// negotiated.
type EntryKind = history.Kind

// A Worker collects the entries of one goroutine.
type Worker struct {
	c      *Collector
	w      *history.Worker
	recent [1 << recentBits]recent
}

const recentBits = 8

type recent struct {
	names history.Names
	kind  EntryKind
}

// Worker returns a new Worker. It must be closed.
func (c *Collector) Worker() *Worker { return &Worker{c: c, w: c.history.Worker()} }

// Add collects an entry, and keeps no reference to it.
func (w *Worker) Add(e *connlog.Entry) {
	r := &w.recent[e.Hint()>>(64-recentBits)]
	if n := namesOf(e); r.names != n {
		r.names, r.kind = n, w.Kind(e)
	}
	w.AddKind(r.kind, e)
}

func namesOf(e *connlog.Entry) history.Names {
	return history.Names{LoadBalancer: e.LoadBalancer, Port: e.ListenerPort, Protocol: e.Protocol, Cipher: e.Cipher, KeyExchange: e.KeyExchange, Status: e.Status}
}

// Kind returns the kind of an entry, for AddKind.
func (w *Worker) Kind(e *connlog.Entry) EntryKind { return w.c.history.Kind(namesOf(e)) }

// AddKind is Add for an entry whose kind is known.
func (w *Worker) AddKind(kind EntryKind, e *connlog.Entry) {
	if len(e.ClientCert.Subject) > 0 {
		w.w.AddCert(kind, e.Client, e.Time, &e.ClientCert)
		return
	}
	w.w.Add(kind, e.Client, e.Time)
}

// Close collects what is left. The Worker must not be used afterwards.
func (w *Worker) Close() { w.w.Close() }

// LatestSuccesses calls yield for the clients of each listener that succeeded, with the
// time of the latest success and what it negotiated. Beyond 100,000 clients, it leaves
// out those that are not in the sample of the Story.
func (c *Collector) LatestSuccesses(yield func(netip.Addr, time.Time, Negotiated) bool) {
	c.history.LatestSuccesses(func(a netip.Addr, at time.Time, n *history.Names) bool { return yield(a, at, negotiatedOf(n)) })
}
