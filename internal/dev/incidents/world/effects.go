package world

import (
	"cmp"
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

// uses are who uses a listener, and how.
type uses struct {
	broken, working map[*program]bool // by the change; now
	before, now     map[agreed]bool   // by those hit; by all, but for what may go
}

// effects returns what each policy would do.
func (w *world) effects(in *incidentTruth, hit map[*device]*history) (list []PolicyEffect) {
	u := w.uses(in, hit)
	force := allows(in.after.policy)
	for _, p := range secpolicy.Builtin().Policies() {
		if p.Legacy {
			continue
		}
		refused := func(set map[*program]bool) (n int) {
			for c := range set {
				if !negotiate(c, &p, in.after.keys).ok() {
					n++
				}
			}
			return n
		}
		e := PolicyEffect{
			Name:   p.Name,
			Fixes:  len(u.broken) - refused(u.broken),
			Of:     len(u.broken),
			Breaks: refused(u.working),
			Drops:  drops(&p, in.after.policy, u.now),
			Shown:  has(&p, u.before) && has(&p, u.now),
			TLS13:  p.MaxVersion() == tls13,
		}
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

func (w *world) uses(in *incidentTruth, hit map[*device]*history) uses {
	u := uses{make(map[*program]bool), make(map[*program]bool), make(map[agreed]bool), make(map[agreed]bool)}
	for d, h := range hit {
		if h.before > 0 {
			u.broken[d.program] = true
		}
	}
	appeared, groups := true, make(map[tlsname.Group]bool) // TLS 1.3 appeared; groups in use before
	all := make(map[agreed]bool)
	for _, e := range w.events {
		switch {
		case e.listener != in.listener || e.reason != "":
		case e.at < in.start:
			appeared = appeared && e.version != tls13
			groups[e.group] = true
			if hit[e.device] != nil {
				u.before[e.agreed] = true
			}
		case e.at >= in.start+in.spread && e.at < cmp.Or(in.stretch, in.end, w.length):
			u.working[e.device.program] = true
			all[e.agreed] = true
		}
	}
	for a := range all {
		if appeared && !groups[a.group] {
			a.group = 0
		}
		if !appeared || a.version != tls13 {
			u.now[a] = true
		}
	}
	return u
}

// has reports whether a policy has what was agreed on.
func has(p *secpolicy.Policy, set map[agreed]bool) bool {
	for a := range set {
		if !slices.Contains(p.Protocols, a.version) || !slices.Contains(p.Ciphers, a.suite) || a.group != 0 && !slices.Contains(p.Groups, a.group) {
			return false
		}
	}
	return true
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
