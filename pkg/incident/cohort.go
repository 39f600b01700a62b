package incident

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident/internal/history"
)

const maxExamples = 5 // of a cohort's clients

// A member is a client of an incident.
type member struct {
	*suspect
	failures uint64 // since the onset
	reason   string
	now      Negotiated
	before   *Negotiated // in its last success, nil if there is none before the onset
	crowd    bool
	failed   bool // before the onset, mostly
}

// join returns the members of a change, the clients first seen since included.
func (s *scene) join(ch *change) []member {
	clients := slices.Clone(ch.clients)
	if !ch.narrow && !ch.scan {
		for _, c := range s.suspects {
			fresh := !c.first.Before(ch.onset.After) && (c.Successes == 0 || !c.FirstWorked.Before(ch.onset.Until)) && s.latest(c) == ch
			if fresh || len(s.changes) == 1 && c.rises(s, ch) {
				clients = append(clients, c)
				c.change = ch
			}
		}
	}
	members := make([]member, 0, len(clients))
	for _, c := range clients {
		m := member{suspect: c, failures: c.since(s, ch), crowd: c.crowd(s, ch)}
		if m.failures == 0 {
			continue
		}
		w := &c.ways[0] // most failures
		m.reason, m.now = reason(w), negotiatedOf(w.Names)
		if c.Last != nil && (ch.steady || c.FirstWorked.Before(ch.onset.Until)) {
			before := negotiatedOf(c.Last)
			m.before = &before
		}
		if !ch.steady {
			before := upTo(s.stepOf(ch.onset.After))
			m.failed = onesIn(c.fails, before) > onesIn(c.Worked, before)
		} else {
			m.failed = true
		}
		members = append(members, m)
	}
	return members
}

// rises reports whether a client that worked fails in more steps since an onset than
// chance explains, without an agreement on a cipher suite. Some of the programs behind
// its address may go on working.
func (c *suspect) rises(s *scene, ch *change) bool {
	if ch.end != nil || c.Successes == 0 || !c.FirstWorked.Before(ch.onset.After) || c.ways[0].Cipher != "" {
		return false
	}
	at := s.stepOf(ch.onset.After)
	before, since := onesIn(c.fails, upTo(at)), onesIn(c.fails, ^upTo(at))
	each := math.Log(float64(s.steps) / float64(s.steps-at))
	return float64(since)*each-logChoose(before+since, before) >= math.Log(100)
}

// latest returns the latest change that began before a client first failed.
func (s *scene) latest(c *suspect) (latest *change) {
	for _, ch := range s.changes {
		if ch.narrow || ch.scan || c.first.Before(ch.onset.After) {
			continue
		}
		if latest == nil || ch.onset.Until.After(latest.onset.Until) {
			latest = ch
		}
	}
	return latest
}

func reason(w *history.Way) string { return strings.TrimPrefix(w.Status, connlog.FailedPrefix) }

// populations divides the members.
func (in *Incident) populations(members []member) {
	var worked, never, failed crew
	for i := range members {
		m := &members[i]
		switch {
		case m.failed:
			failed.add(m)
		case m.before != nil:
			worked.add(m)
		default:
			never.add(m)
		}
	}
	in.WorkedBefore, in.NeverWorked, in.FailedBefore = worked.population(), never.population(), failed.population()
}

// A crew adds up members.
type crew struct {
	Population
	networks map[netip.Prefix]bool
}

func (c *crew) add(m *member) {
	c.Clients++
	c.Failures += m.failures
	if c.networks == nil {
		c.networks = make(map[netip.Prefix]bool)
	}
	c.networks[network(m.Addr)] = true
}

func (c *crew) population() Population {
	c.Networks = len(c.networks)
	return c.Population
}

func network(a netip.Addr) netip.Prefix {
	n := 64
	if a.Is4() {
		n = 24
	}
	p, _ := a.Prefix(n)
	return p
}

// cohortKey is what the members of a cohort have in common.
type cohortKey struct {
	reason      string
	now, before Negotiated
	worked      bool
}

// cohorts divides the members by how they fail and what they negotiated before.
// Those that never worked join a cohort by what they negotiated.
func (s *scene) cohorts(members []member) []Cohort {
	groups := make(map[cohortKey][]*member)
	var order []cohortKey
	add := func(k cohortKey, m *member) {
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], m)
	}
	for i := range members {
		if m := &members[i]; m.before != nil {
			add(cohortKey{m.reason, m.now, *m.before, true}, m)
		}
	}
	worked := order
	for i := range members {
		m := &members[i]
		if m.before != nil {
			continue
		}
		k := cohortKey{m.reason, m.now, Negotiated{}, false}
		if m.now.Cipher != "" {
			for _, w := range worked {
				if w.reason == m.reason && (w.now == m.now || w.now == Negotiated{} && sameSuite(w.before, m.now)) {
					k = w
					break
				}
			}
		}
		add(k, m)
	}
	cohorts := make([]Cohort, 0, len(order))
	for _, k := range order {
		cohorts = append(cohorts, s.cohort(k, groups[k]))
	}
	slices.SortStableFunc(cohorts, func(a, b Cohort) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), cmp.Compare(b.Clients, a.Clients), cmp.Compare(a.Reason, b.Reason), a.Now.compare(b.Now), a.before().compare(b.before()))
	})
	return cohorts
}

func sameSuite(a, b Negotiated) bool { return a.Protocol == b.Protocol && a.Cipher == b.Cipher }

func (n Negotiated) compare(m Negotiated) int {
	return cmp.Or(cmp.Compare(n.Protocol, m.Protocol), cmp.Compare(n.Cipher, m.Cipher), cmp.Compare(n.KeyExchange, m.KeyExchange))
}

func (c *Cohort) before() Negotiated {
	if c.Before == nil {
		return Negotiated{}
	}
	return *c.Before
}

func (s *scene) cohort(k cohortKey, members []*member) Cohort {
	c := Cohort{Reason: k.reason, Now: k.now}
	if k.worked {
		c.Before = &k.before
	}
	slices.SortFunc(members, func(a, b *member) int {
		return cmp.Or(cmp.Compare(b.failures, a.failures), a.Addr.Compare(b.Addr))
	})
	var all crew
	var last time.Time
	for _, m := range members {
		all.add(m)
		c.Crowd = c.Crowd || m.crowd
		if m.before != nil {
			c.WorkedBefore++
			if m.LastWorked.After(last) && !m.crowd {
				last = m.LastWorked
			}
		}
		if len(c.Examples) < maxExamples {
			c.Examples = append(c.Examples, s.o.ClientName(m.Addr))
		}
	}
	c.Population = all.population()
	if !last.IsZero() {
		c.LastSuccess = &last
	}
	return c
}
