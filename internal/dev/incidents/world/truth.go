package world

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"tlswatch/pkg/incident"
	"tlswatch/pkg/tlsname"
)

// A Truth is what happened in a world, as far as the logs that were read reach.
type Truth struct {
	Kind        string    `json:"kind"` // of the seed: one of Kinds
	Seed        uint64    `json:"seed"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Connections int       `json:"connections"`
	Failed      int       `json:"failed"`

	Incidents []Incident `json:"incidents"`

	// Scanners are addresses that never succeed and negotiate nothing, at the usual rate
	// or above it, with their failures.
	Scanners        []netip.Addr `json:"scanners"`
	ScannerFailures int          `json:"scannerFailures"`

	// Customers are all other addresses with failures. AlwaysFailing are those of
	// them that never succeed, neither before nor since any change.
	Customers     []netip.Addr `json:"customers"`
	AlwaysFailing []netip.Addr `json:"alwaysFailing"`
}

// An Incident is what one change did. A change that hits no client is not an incident.
type Incident struct {
	// Alike are the kinds that a reader of the logs cannot tell apart, the true one first.
	Alike []incident.Kind `json:"alike"`

	LoadBalancer string         `json:"loadBalancer"`
	Port         uint16         `json:"port"`
	Start        time.Time      `json:"start"`   // on the first node; of a roll-out: for the client that stopped working first
	Changed      time.Time      `json:"changed"` // on the last node, or the last client of a release
	End          *time.Time     `json:"end,omitempty"`
	Shape        incident.Shape `json:"shape"`
	NotAfter     *time.Time     `json:"notAfter,omitempty"`
	Serial       string         `json:"serial,omitempty"`

	// WorkedBefore are the addresses that fail since the change and succeeded on the
	// listener before their first failure; NewCustomers those without a success before.
	WorkedBefore []netip.Addr `json:"workedBefore"`
	NewCustomers []netip.Addr `json:"newCustomers"`
	Failures     int          `json:"failures"`

	// Oracle is the bracket of an oracle that knows which devices were hit, zero for a
	// scan.
	Oracle incident.Bracket `json:"oracle"`

	// Visible says that an oracle has no doubt: three devices or more, whose successes all
	// come before their failures, by chance in one of 10^8 cases. Of an expired
	// certificate, two failures are enough.
	Visible bool `json:"visible"`

	Before   string         `json:"before,omitempty"` // security policy, if it changed
	After    string         `json:"after,omitempty"`
	Policies []PolicyEffect `json:"policies,omitempty"` // what each policy would do, if it changed
}

// incidentTruth is an incident under construction.
type incidentTruth struct {
	kind          incident.Kind
	listener      *listener
	start, spread time.Duration
	end           time.Duration // 0 if it goes on
	stretch       time.Duration // end of the first stretch if it comes and goes, otherwise 0
	ramp          bool
	certificate   *certificate
	before, after setup
}

func (w *world) truth(kind string, seed uint64) *Truth {
	t := &Truth{Kind: kind, Seed: seed, Incidents: []Incident{}}
	scanners := make(map[netip.Addr]bool)
	for _, a := range w.scanners {
		scanners[a] = true
	}
	failing, succeeded := make(map[netip.Addr]bool), make(map[netip.Addr]bool)
	present := make(map[netip.Addr]bool)
	for _, e := range w.events {
		t.Connections++
		if e.reason == "" {
			succeeded[e.addr] = true
			continue
		}
		t.Failed++
		if scanners[e.addr] {
			t.ScannerFailures++
			present[e.addr] = true
		} else {
			failing[e.addr] = true
		}
	}
	if n := len(w.events); n > 0 {
		t.First, t.Last = w.start.Add(w.events[0].at), w.start.Add(w.events[n-1].at)
	}
	t.Scanners, t.Customers = sorted(present), sorted(failing)
	maps.DeleteFunc(failing, func(a netip.Addr, _ bool) bool { return succeeded[a] })
	for i, in := range w.incidents {
		if told, ok := w.tell(i, in); ok {
			t.Incidents = append(t.Incidents, told)
			for _, a := range told.NewCustomers {
				delete(failing, a)
			}
		}
	}
	t.AlwaysFailing = sorted(failing)
	return t
}

func sorted(set map[netip.Addr]bool) []netip.Addr {
	list := slices.AppendSeq([]netip.Addr{}, maps.Keys(set))
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// A history is what one device, or one address, did at a listener.
type history struct {
	before, after int // successes before the first failure of the incident; 5-minute periods with such failures
	period        int // of the last such failure, plus 1
	success, fail time.Duration
}

func (h *history) add(e *event, cause int) {
	switch {
	case e.reason == "" && h.after == 0:
		h.before++
		h.success = e.at
	case e.cause == cause && e.reason != "":
		if h.after == 0 {
			h.fail = e.at
		}
		if period := int(e.at/(5*time.Minute)) + 1; period != h.period {
			h.after++
			h.period = period
		}
	}
}

// tell returns the truth about an incident, false if it hit nobody.
func (w *world) tell(cause int, in *incidentTruth) (told Incident, ok bool) {
	told = Incident{
		LoadBalancer: w.names[in.listener.loadBalancer],
		Port:         in.listener.port,
		Shape:        in.shape(),
		WorkedBefore: []netip.Addr{},
		NewCustomers: []netip.Addr{},
	}
	if in.kind == incident.Steady {
		cause = always
	}
	devices, addresses := make(map[*device]*history), make(map[netip.Addr]*history)
	for i := range w.events {
		e := &w.events[i]
		if e.listener != in.listener {
			continue
		}
		if e.cause == cause {
			told.Failures++
		}
		if e.device != nil {
			entry(devices, e.device).add(e, cause)
		}
		entry(addresses, e.addr).add(e, cause)
	}
	if told.Failures == 0 {
		return told, false
	}
	for a, h := range addresses {
		switch {
		case h.after > 0 && h.before > 0:
			told.WorkedBefore = append(told.WorkedBefore, a)
		case h.after > 0 && in.kind != incident.Scan && in.kind != incident.Steady:
			told.NewCustomers = append(told.NewCustomers, a)
		}
	}
	slices.SortFunc(told.WorkedBefore, netip.Addr.Compare)
	slices.SortFunc(told.NewCustomers, netip.Addr.Compare)
	maps.DeleteFunc(devices, func(_ *device, h *history) bool { return h.after == 0 })
	w.times(&told, in, devices)
	told.Visible = visible(in, devices, told.Failures)
	told.Alike = w.alike(in, devices)
	if in.kind == incident.PolicyChange {
		told.Before, told.After = in.before.policy.Name, in.after.policy.Name
		told.Policies = w.effects(in, devices)
	}
	return told, true
}

func (in *incidentTruth) shape() incident.Shape {
	switch {
	case in.kind == incident.Steady:
		return incident.Throughout
	case in.ramp:
		return incident.Ramp
	case in.stretch > 0:
		return incident.Flapping
	case in.end > 0:
		return incident.Spike
	}
	return incident.Step
}

func entry[K comparable](m map[K]*history, key K) *history {
	h := m[key]
	if h == nil {
		h = new(history)
		m[key] = h
	}
	return h
}

// times fills in when it began and ended, and what an oracle would say.
func (w *world) times(told *Incident, in *incidentTruth, hit map[*device]*history) {
	start := in.start
	first := time.Duration(math.MaxInt64)
	var earliest *device
	for d, h := range hit {
		if h.fail < first && (h.before > 0 || !in.ramp) {
			first, earliest = h.fail, d
		}
	}
	var last time.Duration
	if in.ramp && earliest != nil {
		start, last = earliest.breaks, hit[earliest].success
	} else {
		for _, e := range w.events {
			if e.at >= start {
				break
			}
			if e.reason == "" && hit[e.device] != nil && e.listener == in.listener {
				last = e.at
			}
		}
	}
	told.Start, told.Changed = w.start.Add(start), w.start.Add(start)
	if !in.ramp {
		told.Changed = told.Changed.Add(in.spread)
	}
	if len(hit) > 0 {
		told.Oracle = incident.Bracket{After: w.start.Add(last), Until: w.start.Add(first)}
	}
	if in.end > 0 {
		end := w.start.Add(in.end)
		told.End = &end
	}
	if c := in.certificate; c != nil {
		told.NotAfter, told.Serial = &c.notAfter, c.serial
	}
}

// visible says whether the devices' successes and failures leave no doubt: of k successes and m
// periods with failures, all successes come first by chance in one of C(k+m, m) cases.
func visible(in *incidentTruth, hit map[*device]*history, failures int) bool {
	if in.kind == incident.Scan {
		return true
	}
	if in.certificate != nil {
		return failures >= 2
	}
	odds, devices := 0.0, 0
	for _, h := range hit {
		if h.before > 0 {
			devices++
		}
		k, m := float64(h.before), float64(h.after)
		odds += logGamma(k+m+1) - logGamma(k+1) - logGamma(m+1)
	}
	if in.kind == incident.Steady {
		return failures >= 10
	}
	return devices >= 3 && odds > math.Log(1e8)
}

func logGamma(x float64) float64 {
	y, _ := math.Lgamma(x)
	return y
}

// alike returns the kinds of incident with such lines.
func (w *world) alike(in *incidentTruth, hit map[*device]*history) []incident.Kind {
	kinds := []incident.Kind{in.kind}
	also := func(yes bool, k incident.Kind) {
		if yes && !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	vanished := w.vanished(in, hit)
	silent := w.silent(in)
	switch in.kind {
	case incident.PolicyChange:
		also(!vanished, incident.ClientRelease)
	case incident.ListenerCertificate:
		also(!silent, incident.ClientRelease)
		also(silent && !w.succeeded(in, func(e *event) bool {
			return e.suite.Authentication() == tlsname.AuthECDSA
		}), incident.PolicyChange)
	case incident.ClientRelease:
		also(!silent, incident.ListenerCertificate)
		also(silent && vanished, incident.PolicyChange)
	case incident.Steady:
		also(in.listener.mutual, incident.CertificateExpired) // before the log begins
	}
	also(len(hit) == 1 && in.kind != incident.Scan, incident.OneClient)
	return kinds
}

// silent reports whether those hit negotiate nothing. Otherwise they leave after agreeing.
func (w *world) silent(in *incidentTruth) bool {
	for _, e := range w.events {
		if e.listener == in.listener && e.cause >= 0 && w.incidents[e.cause] == in && e.ok() {
			return false
		}
	}
	return true
}

// vanished reports whether most that those hit used before had a protocol, suite or
// group that is in no success since, and not just by chance.
func (w *world) vanished(in *incidentTruth, hit map[*device]*history) bool {
	still := make(map[any]bool)
	w.succeeded(in, func(e *event) bool {
		still[e.version], still[e.suite], still[e.group] = true, true, true
		return false
	})
	gone, all := 0, 0
	for i := range w.events {
		e := &w.events[i]
		if e.listener == in.listener && e.reason == "" && e.at < in.start && hit[e.device] != nil {
			all++
			if !still[e.version] || !still[e.suite] || !still[e.group] {
				gone++
			}
		}
	}
	return gone >= 12 && 2*gone > all
}

// succeeded reports whether a success since the incident is as asked.
func (w *world) succeeded(in *incidentTruth, is func(*event) bool) bool {
	until := cmp.Or(in.stretch, in.end, w.length)
	return slices.ContainsFunc(w.events, func(e event) bool {
		return e.listener == in.listener && e.reason == "" && e.at >= in.start+in.spread && e.at < until && is(&e)
	})
}
