package alert

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/secpolicy"
)

// Bounds of a Window's lists: long enough to name what matters, short enough for
// the limits of SNS.
const (
	maxGroups  = 25
	maxClients = 100
	maxTop     = 5 // clients of a group
	maxObjects = 50
	maxReasons = 50
)

// A Window is the connections of one load balancer in one or more periods.
// Windows of different objects can be added up.
type Window struct {
	Account      string    `json:"account"`
	Region       string    `json:"region"`
	LoadBalancer string    `json:"loadBalancer"` // "app/NAME/ID"
	Start        time.Time `json:"start"`
	End          time.Time `json:"end"`

	Connections uint64            `json:"connections"` // to TLS listeners
	Failed      uint64            `json:"failed"`
	FirstFailed time.Time         `json:"firstFailed,omitzero"`
	LastFailed  time.Time         `json:"lastFailed,omitzero"`
	Reasons     map[string]uint64 `json:"reasons,omitempty"` // failures by code

	Groups         []Group  `json:"groups,omitempty"`  // most failures first
	Clients        []Client `json:"clients,omitempty"` // most failures first; in a sum of windows, of the clients that each of them names
	FailingClients int      `json:"failingClients"`    // an upper bound if Clients does not name all
	Objects        []string `json:"objects,omitempty"` // S3 URIs of the log objects
	ObjectCount    int      `json:"objectCount"`

	// Counted has the clients with failures of the reasons that rules count, in the
	// window of one object. It is nil if rules count all reasons.
	Counted *counted `json:"counted,omitempty"`
}

// counted is the part of a Window for rules that count only some reasons. The
// clients with most of these failures need not be those with most failures.
type counted struct {
	Reasons        []string `json:"reasons"`
	Clients        []Client `json:"clients,omitempty"` // most failures of these reasons first
	FailingClients int      `json:"failingClients"`
}

// A Group counts failures that differ only in the client.
type Group struct {
	ListenerPort uint16   `json:"listenerPort"`
	Protocol     string   `json:"protocol,omitempty"` // "" where nothing was negotiated
	Cipher       string   `json:"cipher,omitempty"`
	Reason       string   `json:"reason"`
	Failed       uint64   `json:"failed"`
	Clients      int      `json:"clients"`       // in a sum of windows, an upper bound if Top does not name all
	Top          []Client `json:"top,omitempty"` // with their failures in the group, most first

	// Scanners is the number of clients that tried once and negotiated nothing. A
	// client that did so at several nodes counts once for each.
	Scanners int `json:"scanners,omitempty"`
}

// Attempt is what the failed negotiations have in common.
func (g *Group) Attempt() secpolicy.Attempt {
	return secpolicy.Attempt{Protocol: g.Protocol, Cipher: g.Cipher, Reason: g.Reason}
}

// A groupKey is what the failures of a Group have in common.
type groupKey struct {
	port uint16
	secpolicy.Attempt
}

func (g *Group) key() groupKey { return groupKey{g.ListenerPort, g.Attempt()} }

// A Client counts the connections of a client with failures.
type Client struct {
	Client      string `json:"client"`
	Connections uint64 `json:"connections"`
	Failed      uint64 `json:"failed"`
}

// Observe returns the window of one log object. With clients false, it names no
// client. The reasons are those that rules count, none for all.
func Observe(s *rollup.Summary, key logkey.Key, uri string, clients bool, reasons ...string) Window {
	w := Window{
		Account:      key.Account,
		Region:       key.Region,
		LoadBalancer: key.LoadBalancer,
		Start:        key.PeriodEnd.Add(-logkey.Period),
		End:          key.PeriodEnd,
		Connections:  s.Totals.Connections,
		Failed:       s.Totals.Failed,
		FirstFailed:  s.FirstFailed,
		LastFailed:   s.LastFailed,
		Reasons:      make(map[string]uint64),
		Objects:      []string{uri},
		ObjectCount:  1,
	}
	for cell, n := range s.Cells {
		if cell.Failed() {
			w.Reasons[reason(cell.Status)] += n
		}
	}
	failing := s.TopFailing()
	w.FailingClients = len(failing)
	connections := make(map[rollup.Client]uint64, len(failing))
	for i, c := range failing {
		connections[c.Client] = c.Connections
		if clients && i < maxClients {
			w.Clients = append(w.Clients, Client{name(c.Client), c.Connections, c.Failed})
		}
	}
	groups := make(map[groupKey]*Group)
	for _, f := range s.Failures() {
		g := &Group{ListenerPort: f.ListenerPort, Protocol: text.Name(f.Protocol), Cipher: text.Name(f.Cipher), Reason: reason(f.Status)}
		if known := groups[g.key()]; known != nil {
			g = known
		} else {
			groups[g.key()] = g
		}
		g.Failed += f.Count
		g.Clients++ // Failures are distinct by client within a group
		if f.Protocol == "" && f.Cipher == "" && f.Count == 1 && connections[f.Client] == 1 {
			g.Scanners++
		}
		if clients && len(g.Top) < maxTop {
			g.Top = append(g.Top, Client{name(f.Client), max(connections[f.Client], f.Count), f.Count})
		}
	}
	for _, g := range groups {
		sortClients(g.Top)
		w.Groups = append(w.Groups, *g)
	}
	if len(reasons) > 0 {
		w.Counted = observeCounted(s, connections, clients, reasons)
	}
	w.trim()
	return w
}

// observeCounted is the part of Observe for rules that count only some reasons.
func observeCounted(s *rollup.Summary, connections map[rollup.Client]uint64, clients bool, reasons []string) *counted {
	failed := make(map[rollup.Client]uint64)
	for _, f := range s.Failures() {
		if slices.Contains(reasons, reason(f.Status)) {
			failed[f.Client] += f.Count
		}
	}
	c := &counted{Reasons: reasons, FailingClients: len(failed)}
	if clients {
		for client, n := range failed {
			c.Clients = append(c.Clients, Client{name(client), max(connections[client], n), n})
		}
		sortClients(c.Clients)
		c.Clients = c.Clients[:min(len(c.Clients), maxClients)]
	}
	return c
}

// name is the client's address, "-" if the log has none.
func name(c rollup.Client) string { return cmp.Or(c.String(), "-") }

func reason(status string) string {
	return cmp.Or(text.Name(strings.TrimPrefix(status, connlog.FailedPrefix)), "none")
}

// Only returns w with the failures of the given reasons as its only ones; of all
// reasons if none is given. FirstFailed and LastFailed stay those of all reasons.
//
// The clients of an object that was observed with these reasons are those with
// most of the counted failures. Else they are those that the groups name.
func (w Window) Only(reasons []string) Window {
	other := func(reason string) bool { return !slices.Contains(reasons, reason) }
	if len(reasons) == 0 || len(w.Reasons) > 0 && !slices.ContainsFunc(slices.Collect(maps.Keys(w.Reasons)), other) {
		w.Counted = nil
		return w
	}
	w.Failed = 0
	w.Reasons = maps.Clone(w.Reasons)
	maps.DeleteFunc(w.Reasons, func(reason string, _ uint64) bool { return other(reason) })
	for _, n := range w.Reasons {
		w.Failed += n
	}
	w.Groups = slices.DeleteFunc(slices.Clone(w.Groups), func(g Group) bool { return other(g.Reason) })
	if w.Counted != nil && slices.Equal(w.Counted.Reasons, reasons) {
		w.Clients, w.FailingClients = w.Counted.Clients, w.Counted.FailingClients
	} else {
		w.nameByGroups()
	}
	w.Counted = nil
	return w
}

// nameByGroups sets the clients to those that the groups name.
func (w *Window) nameByGroups() {
	w.Clients, w.FailingClients = nil, 0
	at := make(map[string]int)
	for _, g := range w.Groups {
		w.FailingClients += g.Clients
		for _, c := range g.Top {
			i, known := at[c.Client]
			if !known {
				at[c.Client] = len(w.Clients)
				w.Clients = append(w.Clients, c)
				continue
			}
			w.FailingClients--
			w.Clients[i].Failed += c.Failed
			w.Clients[i].Connections = max(w.Clients[i].Connections, c.Connections) // the same ones
		}
	}
	sortClients(w.Clients)
	w.Clients = w.Clients[:min(len(w.Clients), maxClients)]
}

// compareClients puts the one with more failures first.
func compareClients(a, b Client) int {
	return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(a.Client, b.Client))
}

func sortClients(list []Client) { slices.SortFunc(list, compareClients) }

// compareGroups puts the one with more failures first.
func compareGroups(a, b Group) int {
	return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.Cipher, b.Cipher), cmp.Compare(a.ListenerPort, b.ListenerPort))
}

// firstObjects returns as many objects as a Window names.
func firstObjects(list []string) []string {
	slices.Sort(list)
	return list[:min(len(list), maxObjects)]
}

// trim sorts and bounds the lists.
func (w *Window) trim() {
	slices.SortFunc(w.Groups, compareGroups)
	w.Groups = w.Groups[:min(len(w.Groups), maxGroups)]
	for i, g := range w.Groups {
		sortClients(g.Top)
		w.Groups[i].Top = g.Top[:min(len(g.Top), maxTop)]
	}
	sortClients(w.Clients)
	w.Clients = w.Clients[:min(len(w.Clients), maxClients)]
	w.Objects = firstObjects(w.Objects)
	if len(w.Reasons) > maxReasons {
		var kept []string
		if w.Counted != nil {
			kept = w.Counted.Reasons
		}
		trimReasons(w.Reasons, maxReasons, kept...)
	}
}

// trimReasons keeps the reasons with most failures, and those that rules count.
// The failures of the rest are added to [rollup.Other].
func trimReasons(reasons map[string]uint64, most int, kept ...string) {
	sorted := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
	})
	for _, reason := range sorted[most-1:] {
		if reason != rollup.Other && !slices.Contains(kept, reason) {
			reasons[rollup.Other] += reasons[reason]
			delete(reasons, reason)
		}
	}
}
