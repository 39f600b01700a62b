package world

import (
	"cmp"
	"maps"
	"slices"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A PolicyEffect is what a security policy would do at a listener whose policy
// changed. Programs count once, whatever the number of their devices.
type PolicyEffect struct {
	Name   string `json:"name"`
	Fixes  int    `json:"fixes"`  // programs that the change broke and that would work
	Of     int    `json:"of"`     // programs that the change broke, if they are seen working before
	Breaks int    `json:"breaks"` // programs that work now and would not

	// Drops are protocols and groups in use now that the policy lacks, and "FIPS" or
	// "not FIPS" if that would change. If TLS 1.3 came with the change, it may go, and
	// the groups that came too: they may be what breaks clients.
	Drops []string `json:"drops"`

	// Shown says that the policy has all that those hit used before and that others use
	// now, but for what may go. That is what a log shows of the clients.
	Shown bool `json:"shown"`

	TLS13 bool `json:"tls13"`
	Newly int  `json:"newly"` // pairs of protocol and suite, and groups, that the policy in force does not allow
	Size  int  `json:"size"`  // pairs of protocol and suite, and groups, that it allows
}

// Good reports whether the policy undoes the harm and does no other.
func (p *PolicyEffect) Good() bool { return p.Fixes == p.Of && p.Breaks == 0 && len(p.Drops) == 0 }

// effects returns what each policy would do.
func (w *world) effects(in *incidentTruth, hit map[*device]*history) (list []PolicyEffect) {
	broken, working := make(map[*program]bool), make(map[*program]bool)
	before, now := make(map[agreed]bool), make(map[agreed]bool)
	appeared, groups := true, make(map[tlsname.Group]bool) // TLS 1.3 appeared; groups in use before
	for d, h := range hit {
		if h.before > 0 {
			broken[d.program] = true
		}
	}
	for _, e := range w.events {
		switch {
		case e.listener != in.listener || e.reason != "":
		case e.at < in.start:
			appeared = appeared && e.version != tls13
			groups[e.group] = true
			if hit[e.device] != nil {
				before[e.agreed] = true
			}
		case e.at >= in.start+in.spread && e.at < cmp.Or(in.stretch, in.end, w.length):
			working[e.device.program] = true
			now[e.agreed] = true
		}
	}
	if appeared {
		stay := make(map[agreed]bool)
		for a := range now {
			if !groups[a.group] {
				a.group = 0
			}
			stay[a] = a.version != tls13
		}
		maps.DeleteFunc(stay, func(_ agreed, stays bool) bool { return !stays })
		now = stay
	}
	force := allows(in.after.policy)
	for _, p := range secpolicy.Builtin().Policies() {
		if p.Legacy {
			continue
		}
		e := PolicyEffect{Name: p.Name, Of: len(broken), Drops: []string{}, Shown: true, TLS13: p.MaxVersion() == tls13}
		for c := range broken {
			if negotiate(c, &p, in.after.keys).ok() {
				e.Fixes++
			}
		}
		for c := range working {
			if !negotiate(c, &p, in.after.keys).ok() {
				e.Breaks++
			}
		}
		for _, uses := range []map[agreed]bool{before, now} {
			for a := range uses {
				e.Shown = e.Shown && slices.Contains(p.Protocols, a.version) && slices.Contains(p.Ciphers, a.suite) &&
					(a.group == 0 || slices.Contains(p.Groups, a.group))
			}
		}
		e.Drops = drops(&p, in.after.policy, now)
		mine := allows(&p)
		e.Size = len(mine)
		for x := range mine {
			if !force[x] {
				e.Newly++
			}
		}
		list = append(list, e)
	}
	return list
}

// drops returns what is in use that the policy p lacks, and whether FIPS would change.
func drops(p, force *secpolicy.Policy, now map[agreed]bool) []string {
	list := []string{}
	for a := range now {
		if !slices.Contains(p.Protocols, a.version) {
			list = append(list, a.version.String())
		}
		if a.group != 0 && !slices.Contains(p.Groups, a.group) {
			list = append(list, a.group.String())
		}
	}
	if force.FIPS != p.FIPS {
		list = append(list, map[bool]string{true: "FIPS", false: "not FIPS"}[force.FIPS])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// An allowance is a protocol with a suite, or a group.
type allowance struct {
	version tlsname.Version
	suite   tlsname.Suite
	group   tlsname.Group
}

func allows(p *secpolicy.Policy) map[allowance]bool {
	set := make(map[allowance]bool)
	for _, v := range p.Protocols {
		for _, s := range p.Ciphers {
			if s.UsableIn(v) {
				set[allowance{version: v, suite: s}] = true
			}
		}
	}
	for _, g := range p.Groups {
		set[allowance{group: g}] = true
	}
	return set
}
