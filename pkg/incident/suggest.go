package incident

import (
	"cmp"
	"slices"

	"tlswatch/pkg/secpolicy"
)

// A Suggestion is which policies suit a listener, by its log.
type Suggestion struct {
	LoadBalancer string
	Port         uint16
	Counts                         // TLS connections
	InForce      *secpolicy.Policy // nil if unknown
	Of           uint64            // failures that the policies are for
	Cohorts      []Cohort          // of the clients with these failures
	Policies     []Suggested       // the best first
}

// A Suggested is a policy that accepts all that is negotiated now.
type Suggested struct {
	Policy *secpolicy.Policy
	Fixes  uint64 // failures
	Not    []int  // cohorts that it does not fix, by number
}

// Suggest returns a Suggestion for each listener with TLS connections. If there is an
// incident that a policy mends, the policies are for it, as in the [Story]. Otherwise
// they are for all failures, and accept all that was negotiated. All workers must be
// closed.
func (c *Collector) Suggest(limits secpolicy.Constraints) []Suggestion {
	var list []Suggestion
	r := c.history.Record()
	for i := range r.Listeners {
		s := newScene(&c.o, r, &r.Listeners[i])
		n := Suggestion{LoadBalancer: s.listener.LoadBalancer, Port: s.listener.Port, Counts: s.total()}
		if n.Connections == 0 {
			continue
		}
		best := s.worst(limits)
		recommended, cohorts := best.recommend()
		n.InForce, n.Of, n.Cohorts = best.InForce, best.of, best.in.Cohorts
		for _, p := range recommended {
			fixed := best.fixed(p, cohorts)
			r := best.cohorts(SetPolicy, func(c *Cohort) bool { return fixed[c] })
			n.Policies = append(n.Policies, Suggested{p.Policy, r.Fixes, r.Not})
		}
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b Suggestion) int {
		return cmp.Or(cmp.Compare(a.LoadBalancer, b.LoadBalancer), cmp.Compare(a.Port, b.Port))
	})
	return list
}

// worst returns advice about the incident with most failures that a policy mends, or
// about all failures.
func (s *scene) worst(limits secpolicy.Constraints) *advice {
	var worst *advice
	for _, in := range s.tell() {
		a := newAdvice(&in.Incident, in.policies)
		a.limits = limits
		if mends(a.cause()) && (worst == nil || a.of > worst.of) {
			if list, cohorts := a.recommend(); len(list) > 0 && len(cohorts) > 0 {
				worst = a
			}
		}
	}
	if worst != nil {
		return worst
	}
	all := &change{steady: true, narrow: true}
	for i := range s.listener.Failing {
		c := &suspect{Client: &s.listener.Failing[i], ways: s.listener.Failing[i].Ways}
		c.sum()
		all.clients = append(all.clients, c)
	}
	in := Incident{LoadBalancer: s.listener.LoadBalancer, Ports: []uint16{s.listener.Port}}
	members := s.join(all)
	in.populations(members)
	in.Cohorts = s.cohorts(members)
	a := newAdvice(&in, s.policies(&in, s.record.Last.Add(1)))
	a.limits = limits
	return a
}
