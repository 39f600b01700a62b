package notice

import (
	"cmp"
	"slices"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/secpolicy"
)

// explained is an alert with the reasons for its failures, and policy changes
// that would prevent them.
type explained struct {
	*Alert
	diagnoses []secpolicy.Diagnosis // in the order of the window's groups
	causes    []cause               // most failures first, scanners last
	changes   []change              // for listeners whose policy refuses clients, by port
	unknown   []string              // sentences about policies that the set lacks
}

// A cause is the failures that have one diagnosis.
type cause struct {
	secpolicy.Diagnosis
	reason string // code of the log
	failed uint64
	groups []alert.Group // most failures first
}

// rank puts what people can ignore last.
func (c *cause) rank() int {
	if c.ID == secpolicy.ScannerNoise {
		return 1
	}
	return 0
}

// title names the cause and the log's reason code.
func (c *cause) title() string { return label(c.ID, c.reason) }

// label is a short name of a diagnosis, with the log's reason code, if given,
// unless both say the same.
func label(id secpolicy.DiagnosisID, reason string) string {
	name := strings.ReplaceAll(string(id), "-", " ")
	if id == secpolicy.OfferAccepted {
		name = "protocol and cipher in the policy"
	}
	switch {
	case reason == "":
		return name
	case strings.EqualFold(strings.ReplaceAll(name, " ", ""), reason):
		return reason
	}
	return name + " (" + text.Name(reason) + ")"
}

// A change is the smallest change of a listener's policy that accepts the clients
// that the policy refuses.
type change struct {
	port   uint16
	from   *secpolicy.Policy
	to     *secpolicy.Difference // nil if there is none
	failed uint64                // failures that it would prevent
	beyond uint64                // failures of clients that it does not accept either
}

// explain diagnoses every group by its listener's policy.
func (a *Alert) explain() *explained {
	policies := a.Known
	if policies == nil {
		policies = secpolicy.Builtin()
	}
	e := &explained{Alert: a}
	refused := make(map[uint16]*refusals)
	for _, g := range a.Window.Groups {
		p, err := a.listenerPolicy(policies, g.ListenerPort)
		if err != nil && !slices.Contains(e.unknown, err.Error()) {
			e.unknown = append(e.unknown, err.Error())
		}
		d := policies.DiagnoseAttempt(g.Attempt(), p)
		e.diagnoses = append(e.diagnoses, d)
		e.add(g, d)
		if d.ID == secpolicy.ProtocolRefused || d.ID == secpolicy.CipherRefused {
			if refused[g.ListenerPort] == nil {
				refused[g.ListenerPort] = &refusals{policy: p}
			}
			refused[g.ListenerPort].add(g, d)
		}
	}
	slices.SortStableFunc(e.causes, func(a, b cause) int {
		return cmp.Or(a.rank()-b.rank(), cmp.Compare(b.failed, a.failed))
	})
	for port, r := range refused {
		e.changes = append(e.changes, r.smallest(policies, port))
	}
	slices.SortFunc(e.changes, func(a, b change) int { return cmp.Compare(a.port, b.port) })
	return e
}

// listenerPolicy is nil without an error where the policy's name is unknown.
func (a *Alert) listenerPolicy(policies *secpolicy.Set, port uint16) (*secpolicy.Policy, error) {
	name := a.Policies.At(port)
	if name == "" {
		return nil, nil
	}
	return policies.Lookup(name)
}

// add counts a group under its diagnosis, and probable scanners in it apart.
func (e *explained) add(g alert.Group, d secpolicy.Diagnosis) {
	noise := secpolicy.Noise{Clients: uint64(g.Scanners)}
	if apart, ok := noise.Diagnose(); ok && d.ID == secpolicy.NothingNegotiated {
		scanners := g
		scanners.Failed, scanners.Clients = noise.Clients, g.Scanners
		e.addTo(scanners, apart)
		g.Failed -= min(g.Failed, noise.Clients)
		g.Clients -= min(g.Clients, g.Scanners)
		if g.Failed == 0 {
			return
		}
	}
	e.addTo(g, d)
}

func (e *explained) addTo(g alert.Group, d secpolicy.Diagnosis) {
	i := slices.IndexFunc(e.causes, func(c cause) bool {
		return c.reason == g.Reason && c.ID == d.ID && c.Remedy == d.Remedy && (c.Cause == d.Cause || d.ID == secpolicy.ScannerNoise)
	})
	if i < 0 {
		i = len(e.causes)
		e.causes = append(e.causes, cause{Diagnosis: d, reason: g.Reason})
	}
	c := &e.causes[i]
	c.failed += g.Failed
	c.groups = append(c.groups, g)
	if d.ID == secpolicy.ScannerNoise && len(c.groups) > 1 { // of several listeners
		c.Diagnosis, _ = secpolicy.Noise{Clients: c.failed}.Diagnose()
	}
}

// refusals is what a listener's policy refuses.
type refusals struct {
	policy  *secpolicy.Policy
	clients []secpolicy.Client // by failures
	beyond  uint64             // failures that no policy change would prevent
}

func (r *refusals) add(g alert.Group, d secpolicy.Diagnosis) {
	offer, ok := g.Attempt().Offer()
	if !ok || d.Change == nil {
		r.beyond += g.Failed
		return
	}
	r.clients = append(r.clients, secpolicy.Client{Offers: []secpolicy.Offer{offer}, Weight: g.Failed})
}

// smallest finds the change that accepts most of the clients, by their failures.
func (r *refusals) smallest(policies *secpolicy.Set, port uint16) change {
	c := change{port: port, from: r.policy, beyond: r.beyond}
	for _, client := range r.clients {
		c.beyond += client.Weight
	}
	list := policies.Recommend(secpolicy.Needs{Current: r.policy, Clients: r.clients})
	if len(r.clients) == 0 || len(list) == 0 {
		return c
	}
	d := secpolicy.Compare(r.policy, list[0].Policy)
	c.to, c.failed = &d, list[0].Weight
	c.beyond -= c.failed
	return c
}
