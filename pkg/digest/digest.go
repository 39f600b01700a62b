// Package digest writes the weekly digest about TLS at each load balancer: what
// clients negotiate and how that changed, which clients still use weak protocols
// and cipher suites, which client certificates expire soon, and which clients
// the recommended security policy would break. functions/digest reads the
// ledger for it and sends the message.
package digest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/rollup"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
	"tlswatch/pkg/whatif"
)

// Recommended is the policy of the forecasts: TLS 1.3 and 1.2, only with forward
// secrecy and authenticated encryption, and post-quantum key exchange for clients
// that support it.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
const Recommended = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"

// Week is the period of a digest.
const Week = 7 * 24 * time.Hour

// The records must note certificates early enough for the digest that warns of them.
const _ = uint64(posture.Horizon - secpolicy.ExpiryWarning - Week)

// schema names the form of the JSON document. New versions only add members.
const schema = "tlswatch.digest/v1"

// A Digest is the document for machines.
type Digest struct {
	Schema        string         `json:"schema"`
	Region        string         `json:"region,omitempty"`
	From          time.Time      `json:"from"`
	Until         time.Time      `json:"until"`
	Policy        string         `json:"policy"`        // of the forecasts
	LoadBalancers []LoadBalancer `json:"loadBalancers"` // most in need of attention first
	Omitted       int            `json:"omittedLoadBalancers,omitempty"`
	Notes         []string       `json:"notes,omitempty"` // what was left out

	totals totals // of all load balancers, omitted ones too
}

// A LoadBalancer sums up the week at one load balancer. Shares are from 0 to 1.
// Changes are from the week before, and absent if that has no connections.
type LoadBalancer struct {
	Name        string        `json:"loadBalancer"` // app/NAME/ID
	Objects     int           `json:"objects"`      // log objects of the week
	Read        int           `json:"readObjects"`  // those read, a sample spread evenly
	Connections uint64        `json:"connections"`  // successful, in the objects read
	Change      *float64      `json:"connectionsChange,omitempty"`
	Protocols   []Share       `json:"protocols"`
	Ciphers     []Share       `json:"ciphers"` // the last may be "other"
	PostQuantum Share         `json:"postQuantum"`
	Weak        []Weak        `json:"weak"`
	OtherWeak   uint64        `json:"otherWeak,omitempty"` // connections that Weak does not have
	Expiring    []Certificate `json:"expiringCertificates"`
	Forecast    Forecast      `json:"forecast"`

	OtherExpiring   int    `json:"otherExpiringCertificates,omitempty"`
	UnnamedExpiring uint64 `json:"unnamedExpiringConnections,omitempty"` // with certificates that expire within posture.Horizon and have no room in the records
}

// A Share counts the connections that negotiated the same.
type Share struct {
	Name        string   `json:"name"`
	Connections uint64   `json:"connections"`
	Share       float64  `json:"share"`
	Change      *float64 `json:"change,omitempty"` // of the share
}

// Weak is a weak protocol or cipher suite, and the clients that use it.
type Weak struct {
	Protocol    string   `json:"protocol"`
	Cipher      string   `json:"cipher"`
	Connections uint64   `json:"connections"`
	Clients     []Client `json:"clients"` // most connections first
	Others      int      `json:"otherClients,omitempty"`
	Reasons     []string `json:"reasons"`
}

// A Client counts connections of one client.
type Client struct {
	Client      string `json:"client"` // "" where clients are not named
	Connections uint64 `json:"connections"`
	Reason      string `json:"reason,omitempty"`
}

// A Certificate is a client certificate that expires soon, or has expired.
type Certificate struct {
	Subject     string    `json:"subject"` // "" where clients are not named
	Serial      string    `json:"serial"`
	NotAfter    time.Time `json:"notAfter"`
	Connections uint64    `json:"connections"`
	Failed      uint64    `json:"failed"`
}

// A Forecast says what the policy would do to the connections. Connections that
// it does not count keep working.
type Forecast struct {
	Breaks     uint64   `json:"breaks"`  // connections that would certainly break
	Clients    []Client `json:"clients"` // of Breaks, most connections first
	Others     int      `json:"otherClients,omitempty"`
	Likely     uint64   `json:"likely"`     // connections that are likely to keep working, with a risk
	Unknown    uint64   `json:"unknown"`    // connections whose outcome is unknown
	CannotTell uint64   `json:"cannotTell"` // Unknown, for one more version
	Why        []string `json:"why,omitempty"`
}

// Bounds of the lists.
const (
	maxCiphers = 10
	maxWeak    = 10
	maxClients = 5
	maxCerts   = 10
	maxReasons = 2
)

// An Input is what the ledger has about one load balancer.
type Input struct {
	Name          string
	Objects       int          // log objects of the week
	ObjectsBefore int          // of the week before
	Now, Before   *posture.Sum // sums over the objects read

	// Policy returns the listener's policy by port, nil if it is unknown.
	Policy func(port uint16) *secpolicy.Policy
}

// New makes the digest of the week that ends at until. Policies has the
// recommended policy.
func New(region string, until time.Time, inputs []Input, policies *secpolicy.Set) *Digest {
	d := &Digest{Schema: schema, Region: region, From: until.Add(-Week).UTC(), Until: until.UTC(), Policy: Recommended, LoadBalancers: []LoadBalancer{}}
	for _, in := range inputs {
		lb := d.loadBalancer(in, policies)
		d.totals.add(&lb)
		d.LoadBalancers = append(d.LoadBalancers, lb)
	}
	slices.SortFunc(d.LoadBalancers, func(a, b LoadBalancer) int {
		return cmp.Or(cmp.Compare(b.weak(), a.weak()), cmp.Compare(b.Forecast.Breaks, a.Forecast.Breaks),
			cmp.Compare(len(b.Expiring), len(a.Expiring)), cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Name, b.Name))
	})
	return d
}

// totals are the numbers of the headline.
type totals struct{ loadBalancers, weak, breaking, expiring int }

func (t *totals) add(lb *LoadBalancer) {
	t.loadBalancers++
	if lb.weak() > 0 {
		t.weak++
	}
	if lb.Forecast.Breaks > 0 {
		t.breaking++
	}
	t.expiring += len(lb.Expiring) + lb.OtherExpiring
}

// weak counts the weak connections.
func (lb *LoadBalancer) weak() uint64 {
	n := lb.OtherWeak
	for _, w := range lb.Weak {
		n += w.Connections
	}
	return n
}

func (d *Digest) loadBalancer(in Input, policies *secpolicy.Set) LoadBalancer {
	now, before := in.Now.Negotiated(), in.Before.Negotiated()
	lb := LoadBalancer{
		Name: in.Name, Objects: in.Objects, Read: in.Now.Postures(), Connections: total(now),
		Protocols: shares(now, before, func(n posture.Negotiated) string { return cmp.Or(n.Protocol, "none") }),
		Ciphers:   shares(now, before, func(n posture.Negotiated) string { return cmp.Or(n.Cipher, "none") }),
		Weak:      []Weak{}, OtherWeak: in.Now.OtherWeak(), Expiring: []Certificate{}, UnnamedExpiring: in.Now.OtherExpiring(),
	}
	// Both weeks may be samples of different sizes.
	if b := perObject(before, in.Before) * float64(in.ObjectsBefore); b > 0 {
		change := perObject(now, in.Now)*float64(in.Objects)/b - 1
		lb.Change = &change
	}
	lb.Ciphers = atMost(maxCiphers, lb.Ciphers)
	for _, s := range shares(now, before, postQuantum) {
		if s.Name == pq {
			lb.PostQuantum = s
		}
	}
	if lb.PostQuantum.Name == "" {
		lb.PostQuantum = Share{Name: pq}
	}
	lb.addWeak(in.Now.Weak())
	lb.addExpiring(in.Now.Expiring(), d.Until)
	lb.forecast(in, policies)
	return lb
}

// addExpiring lists certificates that expire soon, and after them those that have
// expired and are still presented.
func (lb *LoadBalancer) addExpiring(list []posture.Certificate, now time.Time) {
	for _, c := range list {
		if c.NotAfter.Sub(now) < secpolicy.ExpiryWarning {
			lb.Expiring = append(lb.Expiring, Certificate(c))
		}
	}
	slices.SortStableFunc(lb.Expiring, func(a, b Certificate) int {
		if endedA, endedB := !a.NotAfter.After(now), !b.NotAfter.After(now); endedA != endedB {
			if endedA {
				return 1
			}
			return -1
		}
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(b.Connections, a.Connections))
	})
	lb.OtherExpiring = len(lb.Expiring) - min(len(lb.Expiring), maxCerts)
	lb.Expiring = lb.Expiring[:len(lb.Expiring)-lb.OtherExpiring]
}

func total(list []posture.Negotiated) (n uint64) {
	for _, r := range list {
		n += r.Connections
	}
	return n
}

func perObject(list []posture.Negotiated, s *posture.Sum) float64 {
	return float64(total(list)) / float64(max(1, s.Postures()))
}

// pq names the share of post-quantum key exchanges.
const pq = "post-quantum"

func postQuantum(n posture.Negotiated) string {
	if g, err := tlsname.ParseGroup(n.KeyExchange); err == nil && g.PostQuantum() {
		return pq
	}
	return ""
}

// shares groups what was negotiated by name, most connections first.
func shares(now, before []posture.Negotiated, name func(posture.Negotiated) string) []Share {
	sum := func(list []posture.Negotiated) map[string]uint64 {
		m := make(map[string]uint64)
		for _, n := range list {
			m[name(n)] += n.Connections
		}
		return m
	}
	n, b := sum(now), sum(before)
	all, allBefore := float64(total(now)), float64(total(before))
	list := []Share{}
	names := maps.Clone(n)
	maps.Copy(names, b) // also what nobody negotiates any more
	for name := range names {
		s := Share{Name: name, Connections: n[name]}
		if all > 0 {
			s.Share = float64(s.Connections) / all
		}
		if allBefore > 0 {
			change := s.Share - float64(b[name])/allBefore
			s.Change = &change
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// atMost sums up the last shares as other if there are more than n.
func atMost(n int, list []Share) []Share {
	if len(list) <= n {
		return list
	}
	// The records may have such a row already.
	if i := slices.IndexFunc(list, func(s Share) bool { return s.Name == rollup.Other }); i >= 0 {
		some := list[i]
		list = append(slices.Delete(list, i, i+1), some)
	}
	other := Share{Name: rollup.Other}
	for _, s := range list[n-1:] {
		other.Connections += s.Connections
		other.Share += s.Share
		if s.Change != nil {
			change := *s.Change
			if other.Change != nil {
				change += *other.Change
			}
			other.Change = &change
		}
	}
	return append(list[:n-1], other)
}

// addWeak groups the clients by what they use.
func (lb *LoadBalancer) addWeak(clients []posture.Weak) {
	type key struct{ protocol, cipher string }
	index := make(map[key]int)
	others := make(map[key]map[string]bool)
	for _, c := range clients { // most connections first
		k := key{c.Protocol, c.Cipher}
		i, ok := index[k]
		if !ok {
			i = len(lb.Weak)
			index[k], others[k] = i, make(map[string]bool)
			lb.Weak = append(lb.Weak, Weak{Protocol: c.Protocol, Cipher: c.Cipher, Clients: []Client{}, Reasons: reasons(c.Protocol, c.Cipher)})
		}
		w := &lb.Weak[i]
		w.Connections += c.Connections
		if j := slices.IndexFunc(w.Clients, func(d Client) bool { return d.Client == c.Client }); j >= 0 { // on another port
			w.Clients[j].Connections += c.Connections
		} else if len(w.Clients) < maxClients {
			w.Clients = append(w.Clients, Client{Client: c.Client, Connections: c.Connections})
		} else {
			others[k][c.Client] = true
			w.Others = len(others[k])
		}
	}
	slices.SortStableFunc(lb.Weak, func(a, b Weak) int { return cmp.Compare(b.Connections, a.Connections) })
	for _, w := range lb.Weak[min(len(lb.Weak), maxWeak):] {
		lb.OtherWeak += w.Connections
	}
	lb.Weak = lb.Weak[:min(len(lb.Weak), maxWeak)]
}

// reasons says why a protocol and cipher suite are weak.
func reasons(protocol, cipher string) []string {
	list := []string{}
	if v, err := tlsname.ParseVersion(protocol); err == nil && v < tlsname.TLS12 {
		list = append(list, v.String()+" is deprecated (RFC 8996)")
	}
	if s, err := tlsname.ParseSuite(cipher); err == nil {
		for _, r := range s.Reasons() {
			list = append(list, r.Text())
		}
	}
	return list
}

// forecast predicts what the recommended policy would do to the connections.
func (lb *LoadBalancer) forecast(in Input, policies *secpolicy.Set) {
	lb.Forecast.Clients = []Client{}
	to, err := policies.Lookup(Recommended)
	if err != nil {
		lb.Forecast.Why = []string{err.Error()}
		return
	}
	o := observe(in)
	q := whatif.Question{From: o.policy, To: to, Policies: policies}
	f := q.Predict(o.kinds, o.rows)
	lb.Forecast.Breaks, lb.Forecast.Unknown, lb.Forecast.Likely = f.Connections[whatif.Breaks], f.Connections[whatif.Unknown]+in.Now.OtherWeak(), f.Connections[whatif.Likely]
	lb.Forecast.CannotTell = lb.Forecast.Unknown
	others := make(map[string]bool)
	for _, b := range f.Breaking {
		name := o.clients[b.Client]
		i := slices.IndexFunc(lb.Forecast.Clients, func(c Client) bool { return c.Client == name })
		switch {
		case i >= 0:
			lb.Forecast.Clients[i].Connections += b.Connections
		case len(lb.Forecast.Clients) < maxClients:
			lb.Forecast.Clients = append(lb.Forecast.Clients, Client{name, b.Connections, b.Reason})
		default:
			others[name] = true
			lb.Forecast.Others = len(others)
		}
	}
	for _, u := range f.Undecided[:min(len(f.Undecided), maxReasons)] {
		lb.Forecast.Why = append(lb.Forecast.Why, u.Reason)
	}
	if in.Now.OtherWeak() > 0 {
		lb.Forecast.Why = append(lb.Forecast.Why, "The records count connections of some clients without naming what they negotiated.")
	}
}

// An observation is what the week's records have on connections, for a forecast. They
// have no times, so a listener that negotiated what its policy does not allow counts
// as one with an unknown policy.
type observation struct {
	kinds   []whatif.Kind
	rows    []whatif.Row
	clients []string // by number
	policy  func(whatif.Listener) *secpolicy.Policy
}

// observe observes the weak connections by client and port. The records have no
// clients and ports of the others, so their policy is known only if all listeners have
// the same.
func observe(in Input) (o observation) {
	add := func(client string, connections uint64, k whatif.Kind) {
		k.Listener.LoadBalancer, k.Status = in.Name, connlog.StatusSuccess
		o.rows = append(o.rows, whatif.Row{Client: uint32(len(o.clients)), Kind: uint32(len(o.kinds)), Connections: connections, Evidence: connections})
		o.kinds, o.clients = append(o.kinds, k), append(o.clients, client)
	}
	same := in.samePolicy()
	for _, w := range in.Now.Weak() {
		k := whatif.Kind{Protocol: w.Protocol, Cipher: w.Cipher}
		if same == nil {
			k.Listener.Port = w.ListenerPort
		}
		add(w.Client, w.Connections, k)
	}
	for _, n := range in.Now.Negotiated() {
		if !posture.IsWeak(n.Protocol, n.Cipher) {
			add("", n.Connections, whatif.Kind{Protocol: n.Protocol, Cipher: n.Cipher, KeyExchange: n.KeyExchange})
		}
	}
	if in.Policy != nil {
		o.policy = func(l whatif.Listener) *secpolicy.Policy {
			if l.Port == 0 {
				return same
			}
			return in.Policy(l.Port)
		}
	}
	return o
}

// samePolicy returns the policy of all listeners with weak connections, or nil.
func (in *Input) samePolicy() *secpolicy.Policy {
	if in.Policy == nil {
		return nil
	}
	const https = 443
	policy := in.Policy(https)
	for i, w := range in.Now.Weak() {
		if p := in.Policy(w.ListenerPort); i == 0 {
			policy = p
		} else if p != policy {
			return nil
		}
	}
	return policy
}
