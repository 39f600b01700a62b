package world

import (
	"slices"
	"time"

	"tlswatch/pkg/incident"
	"tlswatch/pkg/secpolicy"
)

// Kinds of worlds without an incident: nothing happens, or a change hits no client.
const (
	Quiet      = "quiet"
	HitsNobody = "hits nobody"
)

// kinds are what can happen. A kind sets up a new world before it is simulated.
var kinds = []struct {
	name  string
	build func(*world, uint64)
}{
	{"policy", func(w *world, seed uint64) { w.policyChanged(w.ordinary(w.changedPolicies(seed))) }},
	{"server certificate, authority", func(w *world, _ uint64) { w.issuerChanged(w.ordinary(w.anyPolicy())) }},
	{"server certificate, ECDSA", func(w *world, _ uint64) { w.keyChanged(w.ordinary(w.anyPolicy())) }},
	{"trust store", func(w *world, _ uint64) { w.trustChanged(w.ordinary(w.anyPolicy())) }},
	{"client certificate expired", func(w *world, _ uint64) { w.certificateExpired(w.ordinary(w.anyPolicy()), w.onset()) }},
	{"release at once", func(w *world, _ uint64) { w.released(w.ordinary(w.anyPolicy()), time.Minute, incident.ClientRelease) }},
	{"roll-out", func(w *world, _ uint64) {
		w.released(w.ordinary(w.anyPolicy()), w.between(20*time.Minute, w.length/2), incident.ClientRollout)
	}},
	{"scan", func(w *world, _ uint64) { w.scanned(w.ordinary(w.anyPolicy()), w.onset()) }},
	{"scan and policy", func(w *world, seed uint64) {
		s := w.ordinary(w.changedPolicies(seed))
		w.policyChanged(s)
		w.scanned(s, max(0, s.at+time.Duration(w.rand.Int64N(int64(30*time.Minute)))-15*time.Minute))
	}},
	{"NAT crowd", func(w *world, seed uint64) {
		s := w.ordinary(w.changedPolicies(seed))
		all := w.policyChanged(s)
		w.share(slices.Concat(all, s.devices), max(2, len(s.devices)/w.count(20, 200)))
	}},
	{"mobile clients", func(w *world, seed uint64) {
		s := w.ordinary(w.changedPolicies(seed))
		w.wander(slices.Concat(w.policyChanged(s), s.devices))
	}},
	{"long-lived clients", longLived},
	{"flapping", flapping},
	{"two changes", twoChanges},
	{"always failing", func(w *world, _ uint64) { w.alwaysFailing(w.ordinary(w.anyPolicy())) }},
	{"small", small},
	{"large", large},
	{"NLB policy", func(w *world, seed uint64) {
		w.network = true
		w.policyChanged(w.ordinary(w.changedPolicies(seed)))
	}},
	{"NLB certificate", func(w *world, _ uint64) {
		w.network = true
		w.issuerChanged(w.ordinary(w.anyPolicy()))
	}},
	{"night", night},
	{HitsNobody, hitsNobody},
	{Quiet, func(w *world, seed uint64) {
		w.ordinary(w.anyPolicy())
		if seed%2 == 1 {
			w.bursts()
		}
	}},
}

// Kinds returns the names of all kinds.
func Kinds() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// policies are security policies by their names without the prefix.
func policies(names ...string) (list []*secpolicy.Policy) {
	for _, n := range names {
		p, err := secpolicy.Lookup(secpolicy.Prefix + n)
		if err != nil {
			panic(err)
		}
		list = append(list, p)
	}
	return list
}

var (
	// targets are what listeners change to.
	targets = policies("TLS13-1-2-2021-06", "TLS13-1-2-Res-2021-06", "TLS13-1-2-Res-PQ-2025-09", "TLS13-1-3-2021-06",
		"TLS13-1-2-Ext1-2021-06", "TLS13-1-2-FIPS-2023-04", "TLS13-1-2-Res-FIPS-PQ-2025-09", "FS-1-2-Res-2020-10",
		"TLS13-1-2-Ext2-2021-06", "TLS13-1-1-2021-06", "TLS13-1-2-RFC9151-FIPS-2023-07", "TLS-1-2-Ext-2018-06",
		"TLS13-1-2-PQ-2025-09")

	// sources are what they had before: all families.
	sources = policies("2016-08", "TLS13-1-0-2021-06", "TLS13-1-1-2021-06", "TLS13-1-2-Ext2-2021-06", "TLS-1-1-2017-01",
		"TLS13-1-2-Ext1-2021-06", "FS-2018-06", "FS-1-1-2019-08", "TLS13-1-0-PQ-2025-09", "TLS13-1-2-Ext2-PQ-2025-09",
		"TLS13-1-0-FIPS-2023-04", "TLS13-1-2-Ext2-FIPS-2023-04", "TLS13-1-0-FIPS-PQ-2025-09",
		"TLS13-1-2-Ext0-FIPS-2023-04", "TLS13-1-2-RFC9151-INTEROP4-FIPS-2023-07", "TLS13-1-2-RFC9151-INTEROP3-FIPS-2023-07")

	everyone = slices.Concat(postQuantum, modern, tls12, old, odd)
)

// changedPolicies returns the policies before and after a change that breaks some
// programs and not all. The targets take turns.
func (w *world) changedPolicies(seed uint64) (before, after *secpolicy.Policy) {
	after = targets[seed%uint64(len(targets))]
	for {
		before = pick(w.rand, sources...)
		// The secure listeners of a load balancer all have FIPS policies, or none has:
		// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
		if before.FIPS != after.FIPS && w.rand.IntN(10) > 0 {
			continue
		}
		if len(breaking(before, after)) > 0 && len(fitting(everyone, keys{rsa: true}, before, after)) > 0 {
			return before, after
		}
	}
}

// anyPolicy returns the policy of listeners whose policy stays.
func (w *world) anyPolicy() (before, after *secpolicy.Policy) {
	p := pick(w.rand, policies("2016-08", "TLS13-1-2-2021-06", "TLS13-1-2-Res-PQ-2025-09", "TLS13-1-0-2021-06",
		"TLS13-1-2-Ext2-2021-06", "TLS13-1-2-PQ-2025-09", "TLS13-1-2-FIPS-2023-04")...)
	return p, p
}

// breaking returns the programs that work before and not after.
func breaking(before, after *secpolicy.Policy) (list []*program) {
	for _, c := range fitting(everyone, keys{rsa: true}, before) {
		if !negotiate(c, after, keys{rsa: true}).ok() {
			list = append(list, c)
		}
	}
	return list
}
