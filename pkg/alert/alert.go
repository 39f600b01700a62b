// Package alert decides when failed TLS negotiations are worth an alert: a
// [Window] of observations and a [Rule] give an [Alert] or none. Package notice
// writes the messages.
package alert

import (
	"slices"
	"time"
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
	w = w.Only(r.Reasons)
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
