// Package alert decides when failed TLS negotiations are worth an alert: a
// [Window] of observations and a [Rule] give an [Alert] or none. Package notice
// writes the messages.
package alert

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/secpolicy"
)

// A Rule says when a window of a load balancer is worth an alert. Both minima
// must be reached.
type Rule struct {
	Name             string
	MinFailed        uint64   // failed negotiations in the window; at least 1
	MinFailedPercent float64  // of the TLS connections in the window
	Reasons          []string // reason codes of the failures that count; all if empty
	PerClient        bool     // the minima are for a single client

	// The rest needs a ledger.
	Window   time.Duration // how much time the rule looks at, in whole periods
	Cooldown time.Duration // between alerts for the same load balancer
	Growth   float64       // alert again within the cooldown once failures reach this multiple
}

// Names of rules.
const (
	FailedNegotiations = "failed-negotiations" // all clients of a load balancer together
	ClientFailures     = "client-failures"     // any one client
)

// Severities of an alert.
const (
	warning  = "warning"
	critical = "critical" // at least criticalPercent of the connections failed
)

// criticalPercent is the failure rate at which a load balancer is as good as down
// for its clients.
const criticalPercent = 50

// An Alert is a window that meets a rule.
type Alert struct {
	Rule        Rule
	Severity    string
	Failed      uint64 // failures that the rule counts: of all clients, or of Client
	Connections uint64 // TLS connections of all clients, or of Client
	Client      string // for a rule per client: the client with most failures; else ""
	Window      Window
}

// Percent is the percentage of the TLS connections that failed.
func (a *Alert) Percent() float64 { return percent(a.Failed, a.Connections) }

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// Evaluate returns an alert if the window meets the rule, else nil.
func (r Rule) Evaluate(w Window) *Alert {
	if len(r.Reasons) > 0 {
		w = w.only(r.Reasons)
	}
	a := &Alert{Rule: r, Severity: warning, Failed: w.Failed, Connections: w.Connections, Window: w}
	if r.PerClient {
		if a.Window.Clients = slices.DeleteFunc(slices.Clone(w.Clients), func(c Client) bool { return !r.met(c.Failed, c.Connections) }); len(a.Window.Clients) == 0 {
			return nil
		}
		worst := a.Window.Clients[0]
		a.Client, a.Failed, a.Connections = worst.Client, worst.Failed, worst.Connections
		a.Window.FailingClients = len(a.Window.Clients)
		a.Window.Groups = w.groupsOf(a.Client)
	}
	if !r.met(a.Failed, a.Connections) {
		return nil
	}
	if a.Percent() >= criticalPercent {
		a.Severity = critical
	}
	return a
}

// groupsOf returns one client's failures, as far as the groups name it.
func (w *Window) groupsOf(client string) []Group {
	var list []Group
	for _, g := range w.Groups {
		for _, c := range g.Top {
			if c.Client == client {
				g.Failed, g.Clients, g.Top, g.Scanners = c.Failed, 1, []Client{c}, 0
				list = append(list, g)
				break
			}
		}
	}
	return list
}

// met reports whether both minima are reached.
func (r Rule) met(failed, connections uint64) bool {
	return failed > 0 && failed >= r.MinFailed && percent(failed, connections) >= r.MinFailedPercent
}

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
// client.
func Observe(s *rollup.Summary, key connlog.ObjectKey, uri string, clients bool) Window {
	w := Window{
		Account:      key.Account,
		Region:       key.Region,
		LoadBalancer: key.LoadBalancer,
		Start:        key.PeriodEnd.Add(-connlog.Period),
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
	failing := s.Suspects()
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
	w.trim()
	return w
}

// name is the client's address, "-" if the log has none.
func name(c rollup.Client) string { return cmp.Or(c.String(), "-") }

func reason(status string) string {
	return cmp.Or(text.Name(strings.TrimPrefix(status, connlog.FailedPrefix)), "none")
}

// Sum adds up the windows of one load balancer's objects over the time of the
// given length that ends at end.
func Sum(end time.Time, length time.Duration, windows ...Window) Window {
	var sum Window
	for _, w := range windows {
		sum.add(w)
	}
	sum.Start, sum.End = end.Add(-length), end
	sum.trim() // only now: a client or group may be large in the sum alone
	return sum
}

func (w *Window) add(v Window) {
	if w.LoadBalancer == "" {
		w.Account, w.Region, w.LoadBalancer = v.Account, v.Region, v.LoadBalancer
	}
	if w.FirstFailed.IsZero() || !v.FirstFailed.IsZero() && v.FirstFailed.Before(w.FirstFailed) {
		w.FirstFailed = v.FirstFailed
	}
	if v.LastFailed.After(w.LastFailed) {
		w.LastFailed = v.LastFailed
	}
	w.Connections += v.Connections
	w.Failed += v.Failed
	w.FailingClients += v.FailingClients - inBoth(w.Clients, v.Clients)
	w.ObjectCount += v.ObjectCount
	w.Objects = slices.Concat(w.Objects, v.Objects)

	reasons := make(map[string]uint64, len(w.Reasons)+len(v.Reasons))
	for _, m := range []map[string]uint64{w.Reasons, v.Reasons} {
		for reason, n := range m {
			reasons[reason] += n
		}
	}
	w.Reasons = reasons

	groups := slices.Clone(w.Groups)
	for _, g := range v.Groups {
		i := slices.IndexFunc(groups, func(h Group) bool { return h.key() == g.key() })
		if i < 0 {
			groups = append(groups, g)
			continue
		}
		groups[i].Failed += g.Failed
		groups[i].Scanners += g.Scanners
		groups[i].Clients += g.Clients - inBoth(groups[i].Top, g.Top)
		groups[i].Top = mergeClients(groups[i].Top, g.Top)
	}
	w.Groups = groups
	w.Clients = mergeClients(w.Clients, v.Clients)
}

// mergeClients adds up the clients of both lists.
func mergeClients(a, b []Client) []Client {
	all := slices.Clone(a)
	for _, c := range b {
		if i := slices.IndexFunc(all, func(d Client) bool { return d.Client == c.Client }); i >= 0 {
			all[i].Connections += c.Connections
			all[i].Failed += c.Failed
		} else {
			all = append(all, c)
		}
	}
	return all
}

// inBoth counts the clients that both lists name.
func inBoth(a, b []Client) int {
	n := 0
	for _, c := range a {
		if slices.ContainsFunc(b, func(d Client) bool { return d.Client == c.Client }) {
			n++
		}
	}
	return n
}

func sortClients(list []Client) {
	slices.SortFunc(list, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(a.Client, b.Client))
	})
}

// trim sorts and bounds the lists.
func (w *Window) trim() {
	slices.SortFunc(w.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.Cipher, b.Cipher), cmp.Compare(a.ListenerPort, b.ListenerPort))
	})
	w.Groups = w.Groups[:min(len(w.Groups), maxGroups)]
	for i, g := range w.Groups {
		sortClients(g.Top)
		w.Groups[i].Top = g.Top[:min(len(g.Top), maxTop)]
	}
	sortClients(w.Clients)
	w.Clients = w.Clients[:min(len(w.Clients), maxClients)]
	slices.Sort(w.Objects)
	w.Objects = w.Objects[:min(len(w.Objects), maxObjects)]
	if reasons := w.sortedReasons(); len(reasons) > maxReasons {
		for _, reason := range reasons[maxReasons-1:] {
			if reason != rollup.Other {
				w.Reasons[rollup.Other] += w.Reasons[reason]
				delete(w.Reasons, reason)
			}
		}
	}
}

// sortedReasons returns the reason codes, most failures first.
func (w *Window) sortedReasons() []string {
	return slices.SortedFunc(maps.Keys(w.Reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(w.Reasons[b], w.Reasons[a]), cmp.Compare(a, b))
	})
}

// only returns w with the failures for the given reasons only. Its clients are
// those that the groups name. FirstFailed and LastFailed remain those of all
// reasons: the window does not have them by reason.
func (w Window) only(reasons []string) Window {
	counted := make(map[string]uint64)
	w.Failed = 0
	for reason, n := range w.Reasons {
		if slices.Contains(reasons, reason) {
			counted[reason] = n
			w.Failed += n
		}
	}
	w.Reasons = counted
	w.Groups = slices.DeleteFunc(slices.Clone(w.Groups), func(g Group) bool { return !slices.Contains(reasons, g.Reason) })
	w.Clients, w.FailingClients = nil, 0
	for _, g := range w.Groups {
		w.FailingClients += g.Clients
		for _, c := range g.Top {
			if i := slices.IndexFunc(w.Clients, func(d Client) bool { return d.Client == c.Client }); i >= 0 {
				w.FailingClients--
				w.Clients[i].Failed += c.Failed
				w.Clients[i].Connections = max(w.Clients[i].Connections, c.Connections) // the same ones
			} else {
				w.Clients = append(w.Clients, c)
			}
		}
	}
	sortClients(w.Clients)
	w.Clients = w.Clients[:min(len(w.Clients), maxClients)]
	return w
}
