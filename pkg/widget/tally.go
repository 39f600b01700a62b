// Package widget shows failed TLS negotiations in a CloudWatch dashboard: a
// [Tally] sums up windows of the ledger, and renders the HTML of a custom widget.
// functions/widget reads the ledger.
package widget

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/secpolicy"
)

// A Tally sums up windows, in bounded memory: see maxClients.
type Tally struct {
	only          Filter
	failed        uint64
	loadBalancers map[string]*row
	causes        map[cause]*row
	clients       map[client]*row
	otherClients  uint64 // failures of clients beyond maxClients
	periods       map[time.Time]uint64
}

// A Filter restricts what a Tally counts. Empty fields restrict nothing.
type Filter struct {
	LoadBalancer string
	Client       string
}

// maxClients bounds the clients that a Tally counts separately. A window names at
// most a hundred.
const maxClients = 50_000

type client struct{ loadBalancer, name string }

type cause struct {
	loadBalancer string
	port         uint16
	secpolicy.Attempt
}

// A row counts failures, in all and by cause or client.
type row struct {
	failed      uint64
	connections uint64
	by          map[string]uint64 // failures by cause, or by client
	clients     int
}

func (r *row) add(name string, n uint64) {
	if len(r.by) < maxBy || r.by[name] > 0 {
		if r.by == nil {
			r.by = make(map[string]uint64)
		}
		r.by[name] += n
	}
}

// maxBy bounds row.by.
const maxBy = 200

// most returns the names with most failures.
func (r *row) most(n int) []string {
	names := slices.SortedFunc(maps.Keys(r.by), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.by[b], r.by[a]), cmp.Compare(a, b))
	})
	return names[:min(n, len(names))]
}

// NewTally returns an empty Tally.
func NewTally(only Filter) *Tally {
	return &Tally{
		only:          only,
		loadBalancers: make(map[string]*row),
		causes:        make(map[cause]*row),
		clients:       make(map[client]*row),
		periods:       make(map[time.Time]uint64),
	}
}

// Add counts the window of a log object.
func (t *Tally) Add(w alert.Window) {
	if t.only.LoadBalancer != "" && w.LoadBalancer != t.only.LoadBalancer {
		return
	}
	failed := w.Failed
	if t.only.Client != "" {
		failed = 0
	}
	for _, c := range w.Clients {
		if t.only.Client != "" {
			if c.Client != t.only.Client {
				continue
			}
			failed = c.Failed
		}
		r := get(t.clients, client{w.LoadBalancer, c.Client}, maxClients)
		if r == nil {
			t.otherClients += c.Failed
			continue
		}
		r.failed += c.Failed
		r.connections += c.Connections
	}
	for _, g := range w.Groups {
		k := cause{w.LoadBalancer, g.ListenerPort, g.Attempt()}
		if t.only.Client == "" {
			r := get(t.causes, k, maxClients)
			if r == nil {
				continue
			}
			r.failed += g.Failed
			r.clients = max(r.clients, g.Clients)
		}
		for _, c := range g.Top {
			if t.only.Client != "" && c.Client != t.only.Client {
				continue
			}
			if r := get(t.causes, k, maxClients); r != nil {
				r.add(c.Client, c.Failed)
				if t.only.Client != "" {
					r.failed += c.Failed
					r.clients = 1
				}
			}
			if r := t.clients[client{w.LoadBalancer, c.Client}]; r != nil {
				r.add(strings.Join(nonEmpty(g.Protocol, g.Cipher, g.Reason), " "), c.Failed)
			}
		}
	}
	if failed == 0 {
		return
	}
	t.failed += failed
	t.periods[w.End.UTC()] += failed
	lb := get(t.loadBalancers, w.LoadBalancer, maxClients)
	if lb == nil {
		return
	}
	lb.failed += failed
	lb.connections += w.Connections
	for reason, n := range w.Reasons {
		lb.add(reason, n)
	}
}

// get returns the row of k, nil if there is no room for it.
func get[K comparable](m map[K]*row, k K, most int) *row {
	r := m[k]
	if r == nil && len(m) < most {
		r = new(row)
		m[k] = r
	}
	return r
}

func nonEmpty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// top returns the n keys with most failures, ties by compare, and the number of
// others.
func top[K comparable](m map[K]*row, n int, compare func(a, b K) int) (keys []K, others int) {
	keys = slices.SortedFunc(maps.Keys(m), func(a, b K) int {
		return cmp.Or(cmp.Compare(m[b].failed, m[a].failed), compare(a, b))
	})
	if len(keys) > n {
		keys, others = keys[:n], len(keys)-n
	}
	return keys, others
}

func (c client) compare(d client) int {
	return cmp.Or(cmp.Compare(c.name, d.name), cmp.Compare(c.loadBalancer, d.loadBalancer))
}

func (c cause) compare(d cause) int {
	return cmp.Or(cmp.Compare(c.Reason, d.Reason), cmp.Compare(c.Protocol, d.Protocol), cmp.Compare(c.Cipher, d.Cipher),
		cmp.Compare(c.port, d.port), cmp.Compare(c.loadBalancer, d.loadBalancer))
}
