package alert

import (
	"maps"
	"slices"
	"time"
)

// maxSummed bounds the clients, the groups and the clients of a group that a Sum
// keeps: far more than a Window names, so that a Sum loses only what is small in
// it. A Sum of that many clients takes some 10 MB.
const maxSummed = 100_000

// A Sum adds up windows of one load balancer. It takes time in proportion to what
// is added, and its memory is bounded. The zero value is an empty Sum.
type Sum struct {
	window  Window // without its lists
	reasons map[string]uint64
	groups  map[groupKey]*groupSum
	clients clientSum
	objects []string
}

// A groupSum adds up groups with the same key.
type groupSum struct {
	Group // without Top
	top   clientSum
}

// A clientSum adds up the counts of clients by name.
type clientSum map[string]counts

type counts struct{ connections, failed uint64 }

// Add adds a window.
func (s *Sum) Add(w Window) {
	s.addTotals(&w, w.Reasons, w.Objects)
	for i := range w.Groups {
		g := &w.Groups[i]
		sum := s.group(g)
		for _, c := range g.Top {
			sum.Clients -= sum.top.add(c.Client, counts{c.Connections, c.Failed})
		}
		sum.top = sum.top.bounded()
	}
	for _, c := range w.Clients {
		s.window.FailingClients -= s.clients.add(c.Client, counts{c.Connections, c.Failed})
	}
	s.bound()
}

// AddSum adds the windows of another Sum.
func (s *Sum) AddSum(o *Sum) {
	s.addTotals(&o.window, o.reasons, o.objects)
	for _, g := range o.groups {
		sum := s.group(&g.Group)
		for name, n := range g.top {
			sum.Clients -= sum.top.add(name, n)
		}
		sum.top = sum.top.bounded()
	}
	for name, n := range o.clients {
		s.window.FailingClients -= s.clients.add(name, n)
	}
	s.bound()
}

// addTotals adds all that is not about groups and clients.
func (s *Sum) addTotals(w *Window, reasons map[string]uint64, objects []string) {
	if s.reasons == nil {
		s.reasons, s.groups, s.clients = make(map[string]uint64), make(map[groupKey]*groupSum), make(clientSum)
	}
	sum := &s.window
	if sum.LoadBalancer == "" {
		sum.Account, sum.Region, sum.LoadBalancer = w.Account, w.Region, w.LoadBalancer
	}
	if sum.FirstFailed.IsZero() || !w.FirstFailed.IsZero() && w.FirstFailed.Before(sum.FirstFailed) {
		sum.FirstFailed = w.FirstFailed
	}
	if w.LastFailed.After(sum.LastFailed) {
		sum.LastFailed = w.LastFailed
	}
	sum.Connections += w.Connections
	sum.Failed += w.Failed
	sum.FailingClients += w.FailingClients
	sum.ObjectCount += w.ObjectCount
	for reason, n := range reasons {
		s.reasons[reason] += n
	}
	if s.objects = append(s.objects, objects...); len(s.objects) > 10*maxObjects {
		s.objects = firstObjects(s.objects)
	}
}

// group adds a group, except for its clients.
func (s *Sum) group(g *Group) *groupSum {
	key := g.key()
	sum := s.groups[key]
	if sum == nil {
		sum = &groupSum{Group: Group{ListenerPort: g.ListenerPort, Protocol: g.Protocol, Cipher: g.Cipher, Reason: g.Reason}, top: make(clientSum)}
		s.groups[key] = sum
	}
	sum.Failed += g.Failed
	sum.Scanners += g.Scanners
	sum.Clients += g.Clients
	return sum
}

// bound drops the smallest clients, groups and reasons if there are too many.
func (s *Sum) bound() {
	s.clients = s.clients.bounded()
	if len(s.reasons) > 2*maxSummed {
		trimReasons(s.reasons, maxSummed)
	}
	if len(s.groups) > 2*maxSummed {
		list := slices.SortedFunc(maps.Values(s.groups), func(a, b *groupSum) int { return compareGroups(a.Group, b.Group) })
		for _, g := range list[maxSummed:] {
			delete(s.groups, g.key())
		}
	}
}

// Window returns the sum as the window of the given length that ends at end, with
// lists of bounded length.
func (s *Sum) Window(end time.Time, length time.Duration) Window {
	w := s.window
	w.Start, w.End = end.Add(-length), end
	w.Reasons = maps.Clone(s.reasons)
	for _, g := range s.groups {
		w.Groups = append(w.Groups, g.Group)
	}
	slices.SortFunc(w.Groups, compareGroups)
	w.Groups = slices.Clone(w.Groups[:min(len(w.Groups), maxGroups)])
	for i := range w.Groups {
		w.Groups[i].Top = s.groups[w.Groups[i].key()].top.most(maxTop)
	}
	w.Clients = s.clients.most(maxClients)
	w.Objects = slices.Clone(s.objects)
	w.trim()
	return w
}

// add adds a client's counts, and returns 1 if the client was there before.
func (s clientSum) add(name string, n counts) int {
	known, ok := s[name]
	s[name] = counts{known.connections + n.connections, known.failed + n.failed}
	if ok {
		return 1
	}
	return 0
}

// bounded returns s without the clients with fewest failures if there are too
// many, at most once in maxSummed additions.
func (s clientSum) bounded() clientSum {
	if len(s) <= 2*maxSummed {
		return s
	}
	kept := make(clientSum, 2*maxSummed)
	for _, c := range s.most(maxSummed) {
		kept[c.Client] = counts{c.Connections, c.Failed}
	}
	return kept
}

// most returns the n clients with most failures, most first. It sorts whenever
// there are twice as many, and then lets only those in that displace one.
func (s clientSum) most(n int) []Client {
	var list []Client
	full := false
	for name, sum := range s {
		c := Client{name, sum.connections, sum.failed}
		if full && compareClients(c, list[n-1]) > 0 {
			continue
		}
		if list = append(list, c); len(list) == 2*n {
			sortClients(list)
			list, full = list[:n], true
		}
	}
	sortClients(list)
	return list[:min(len(list), n)]
}
