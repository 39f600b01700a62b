package incident

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"tlswatch/pkg/incident/internal/history"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsclient"
)

// Story returns the story of what was collected. All workers must be closed. The
// Collector cannot be used afterwards.
func (c *Collector) Story() *Story {
	r := c.history.Record()
	s := &Story{First: r.First, Last: r.Last, Sample: r.Sample, Incidents: []Incident{}}
	if r.Overflow {
		s.Remarks = append(s.Remarks, "The logs have too many kinds of entries for a story.")
		return s
	}
	if r.Sample < 1 {
		s.Remarks = append(s.Remarks, "There are more clients than are kept: clients are counted in a sample.")
	}
	if r.Certs < 1 {
		s.Remarks = append(s.Remarks, "There are more client certificates than are kept: only some of the expired ones are listed.")
	}
	var noise crew
	var list []told
	for i := range r.Listeners {
		l := newScene(&c.o, r, &r.Listeners[i])
		s.Counts.add(l.total())
		list = append(list, l.tell()...)
		s.Unexplained += l.rest(&noise)
	}
	s.Noise = noise.population()
	for _, in := range merged(list) {
		in.Remedies = remedies(&in.Incident, in.policies)
		s.Incidents = append(s.Incidents, in.Incident)
	}
	slices.SortStableFunc(s.Incidents, func(a, b Incident) int {
		return cmp.Or(cmp.Compare(b.WorkedBefore.Clients, a.WorkedBefore.Clients), cmp.Compare(b.failures(), a.failures()))
	})
	return s
}

// told is an incident with what is known of the policies of its listeners, before its
// remedies are.
type told struct {
	Incident
	policies listenerPolicies
}

// tell finds and describes the changes.
func (s *scene) tell() (list []told) {
	s.certificates()
	s.bursts()
	s.switches()
	s.vanishings()
	s.scans()
	s.steady()
	for _, ch := range s.changes {
		list = append(list, s.incident(ch))
	}
	return list
}

func (c *Counts) add(d Counts) {
	c.Connections += d.Connections
	c.Failed += d.Failed
}

func (in *Incident) failures() uint64 {
	return in.WorkedBefore.Failures + in.NeverWorked.Failures + in.FailedBefore.Failures
}

// total counts the TLS connections of the listener.
func (s *scene) total() (n Counts) {
	for i := range s.listener.Kinds {
		k := &s.listener.Kinds[i]
		for _, c := range k.Cells {
			n.Connections += c.N
			if k.Outcome == history.Failure {
				n.Failed += c.N
			}
		}
	}
	return n
}

// incident describes a change.
func (s *scene) incident(ch *change) told {
	in := Incident{LoadBalancer: s.listener.LoadBalancer, Ports: []uint16{s.listener.Port}, Shape: ch.shape, Onset: ch.onset, End: ch.end}
	end := s.record.Last.Add(1)
	if ch.end != nil {
		end = ch.end.Until
	}
	for i := range s.listener.Kinds {
		k := &s.listener.Kinds[i]
		before, since := counts(k, ch.onset.Until, end)
		in.Before.Connections, in.Since.Connections = in.Before.Connections+before, in.Since.Connections+since
		if k.Outcome == history.Failure {
			in.Before.Failed, in.Since.Failed = in.Before.Failed+before, in.Since.Failed+since
		}
	}
	in.Vanished, in.Appeared = []Trait{}, []Trait{}
	if !ch.steady && !ch.narrow {
		for _, t := range s.traits(ch.onset.Until, s.until(ch)) {
			switch {
			case t.vanished():
				in.Vanished = append(in.Vanished, t.Trait)
			case t.appeared():
				in.Appeared = append(in.Appeared, t.Trait)
			}
		}
	}
	members := s.join(ch)
	in.populations(members)
	in.Cohorts = s.cohorts(members)
	in.Causes = s.causes(&in, ch, members)
	if ch.certificate != nil {
		in.Certificate = s.certificate(ch.certificate)
	}
	p := s.policies(&in, end)
	in.identify(p)
	return told{in, p}
}

// certificate describes the client certificate of an incident.
func (s *scene) certificate(c *history.Cert) *Certificate {
	out := &Certificate{Serial: c.Serial, Subject: c.Subject, NotAfter: c.NotAfter}
	name := func(subject string) string { return subject }
	if s.o.SubjectName != nil {
		name, out.Serial = s.o.SubjectName, ""
	}
	out.Subject = name(c.Subject)
	var next *history.Cert
	for i := range s.listener.Certs {
		if o := &s.listener.Certs[i]; o.NotAfter.After(s.record.Last) && o.Worked.N > 0 && (next == nil || o.NotAfter.Before(next.NotAfter)) {
			next = o
		}
	}
	if next != nil {
		out.Next = &NextCertificate{Subject: name(next.Subject), NotAfter: next.NotAfter}
	}
	return out
}

// policies returns what is known of the listener's policies.
func (s *scene) policies(in *Incident, end time.Time) listenerPolicies {
	p := listenerPolicies{Known: s.o.Policies, Uses: s.uses(in.Onset.Until, end)}
	if s.o.Policy != nil {
		p.InForce = s.o.Policy(in.LoadBalancer, in.Ports[0])
	}
	if len(in.Causes) == 0 || in.Causes[0].Kind != PolicyChange {
		return p
	}
	var before, since []*secpolicy.Policy
	list := s.o.Policies.Policies()
	for i := range list {
		fits := func(when func(usage) uint64) bool {
			return !slices.ContainsFunc(p.Uses, func(u usage) bool {
				o, ok := u.offer()
				return ok && when(u) > 0 && !list[i].Admits(o)
			})
		}
		if fits(func(u usage) uint64 { return u.Before }) {
			before = append(before, &list[i])
		}
		if fits(func(u usage) uint64 { return u.Since }) && !slices.ContainsFunc(in.Cohorts, func(c Cohort) bool {
			if c.Before == nil {
				return false
			}
			o, ok := c.Before.offer()
			return ok && list[i].Admits(o)
		}) {
			since = append(since, &list[i])
		}
	}
	if len(before) == 1 && (p.InForce != nil || len(since) == 1) {
		p.Previous = before[0]
		if p.InForce == nil {
			p.InForce = since[0]
		}
	}
	return p
}

// identify names the software of the cohorts that worked before. If several programs
// share an address, it is not known which of them fails.
func (in *Incident) identify(p listenerPolicies) {
	policy := p.Previous
	if policy == nil && !slices.ContainsFunc(in.Causes, func(c Cause) bool { return c.Kind == PolicyChange }) {
		policy = p.InForce
	}
	for i := range in.Cohorts {
		c := &in.Cohorts[i]
		if c.Before == nil || c.Crowd {
			continue
		}
		s, ok := tlsclient.NewSighting(c.Before.Protocol, c.Before.Cipher, c.Before.KeyExchange)
		if s.Policy = policy; !ok {
			continue
		}
		if conclusion := tlsclient.Consistent(s); conclusion.Known() {
			c.Software = conclusion.String()
		}
	}
}

// rest adds clients that no change explains to the noise: those that never succeeded
// and negotiated nothing. It returns the failures of the others. Where nobody worked
// before, there is nothing to compare with, and nothing is noise.
func (s *scene) rest(noise *crew) (unexplained uint64) {
	half := s.at(s.steps / 2)
	var early, late uint32
	for i, n := range s.listener.Active[:s.steps] {
		if i < s.steps/2 {
			early += n
		} else {
			late += n
		}
	}
	night := s.steps >= 4 && early*10 < late
	for _, c := range s.suspects {
		if c.change != nil {
			continue
		}
		silent := c.Successes == 0 && !slices.ContainsFunc(c.ways, func(w history.Way) bool { return w.Cipher != "" })
		if silent && !(night && c.first.After(half)) {
			noise.add(&member{suspect: c, failures: c.failures})
			continue
		}
		unexplained += c.failures
	}
	return unexplained
}

// merged makes one incident of those on several ports of a load balancer that have
// the same cause, shape and onset.
func merged(list []told) []told {
	var out []told
	for _, in := range list {
		i := slices.IndexFunc(out, func(o told) bool { return o.same(&in.Incident) })
		if i < 0 {
			out = append(out, in)
			continue
		}
		out[i].merge(&in.Incident)
		out[i].policies.merge(&in.policies)
	}
	return out
}

func (in *Incident) same(o *Incident) bool {
	return in.LoadBalancer == o.LoadBalancer && in.Shape == o.Shape && in.Causes[0].Kind == o.Causes[0].Kind && in.Certificate == nil && o.Certificate == nil &&
		!in.Onset.After.After(o.Onset.Until) && !o.Onset.After.After(in.Onset.Until)
}

// merge adds another incident with the same cause.
func (in *Incident) merge(o *Incident) {
	in.Ports = append(in.Ports, o.Ports...)
	slices.Sort(in.Ports)
	in.Ports = slices.Compact(in.Ports)
	if o.Onset.After.After(in.Onset.After) {
		in.Onset.After = o.Onset.After
	}
	if o.Onset.Until.Before(in.Onset.Until) {
		in.Onset.Until = o.Onset.Until
	}
	in.Before.add(o.Before)
	in.Since.add(o.Since)
	for _, p := range []struct{ to, from *Population }{{&in.WorkedBefore, &o.WorkedBefore}, {&in.NeverWorked, &o.NeverWorked}, {&in.FailedBefore, &o.FailedBefore}} {
		p.to.Clients += p.from.Clients
		p.to.Networks += p.from.Networks
		p.to.Failures += p.from.Failures
	}
	in.Cohorts = append(in.Cohorts, o.Cohorts...)
	for i := range in.Causes {
		for _, c := range o.Causes {
			if c.Kind == in.Causes[i].Kind {
				in.Causes[i].Explains += c.Explains
			}
		}
	}
}

func onesIn(set, in uint64) int { return bits.OnesCount64(set & in) }
