package incident

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// A profile is how the members of an incident that worked before fail, or all if none
// did. Each figure counts members.
type profile struct {
	all, failures uint64
	agreed        uint64 // agree on a suite that works for others
	certificate   uint64 // fail for a reason about client certificates
	rejects       uint64 // send an alert about the listener's certificate
	unseen        uint64 // used a protocol, suite or key exchange with which no client has succeeded since
	networks      int
}

func (s *scene) profile(in *Incident, ch *change, members []member) (p profile) {
	var all crew
	traits := s.traits(ch.onset.Until, s.until(ch))
	for i := range members {
		m := &members[i]
		if m.before == nil && in.WorkedBefore.Clients > 0 {
			continue
		}
		all.add(m)
		p.all++
		p.failures += m.failures
		count := func(n *uint64, ok bool) {
			if ok {
				*n++
			}
		}
		count(&p.agreed, m.now.Cipher != "" && works(traits, m.now))
		count(&p.certificate, strings.HasPrefix(m.reason, "ClientCert"))
		count(&p.rejects, rejectsCertificate(m.reason))
		count(&p.unseen, m.before != nil && slices.ContainsFunc(traits, func(t trait) bool { return t.Since == 0 && t.partOf(*m.before) }))
	}
	p.networks = len(all.networks)
	return p
}

// most reports whether a figure is at least 8 in 10 of all.
func (p *profile) most(n uint64) bool { return p.all > 0 && n*10 >= p.all*8 }

// works reports whether others succeed since with the protocol and the suite.
func works(traits []trait, n Negotiated) bool {
	seen := func(n Negotiated) bool {
		return slices.ContainsFunc(traits, func(t trait) bool { return t.Since > 0 && t.Negotiated == n })
	}
	return seen(Negotiated{Protocol: n.Protocol}) && seen(Negotiated{Cipher: n.Cipher})
}

// rejectsCertificate reports whether a client's alert is about the certificate of the
// listener: RFC 8446, section 6.2.
func rejectsCertificate(reason string) bool {
	alert, ok := strings.CutPrefix(reason, connlog.ReasonAlert)
	return ok && (strings.Contains(alert, "certificate") || alert == "unknown_ca")
}

// causes explains an incident.
func (s *scene) causes(in *Incident, ch *change, members []member) []Cause {
	p := s.profile(in, ch, members)
	total := in.WorkedBefore.Failures + in.NeverWorked.Failures + in.FailedBefore.Failures
	cause := func(k Kind, c Certainty, evidence ...string) Cause { return Cause{k, c, evidence, total} }
	gone := "gone since: " + names(in.Vanished)
	switch {
	case ch.certificate != nil:
		return []Cause{s.expiry(ch, cause)}
	case ch.steady:
		return []Cause{cause(Steady, Certain, "the same clients fail from the beginning of the logs to their end")}
	case ch.scan:
		return []Cause{cause(Scan, Likely, fmt.Sprintf("none of %s addresses ever succeeded", text.Count(p.all)), "no client that worked before fails with them")}
	case p.most(p.certificate):
		if p.all == 1 {
			return []Cause{cause(OneClient, Likely, "one client fails for a reason about its certificate"), cause(TrustStoreChange, Possible)}
		}
		return []Cause{cause(TrustStoreChange, Likely, fmt.Sprintf("%s clients fail for a reason about their certificates since the same time", text.Count(p.all)))}
	case ch.shape == Ramp:
		return []Cause{cause(ClientRollout, Likely, "the clients stopped working one after another: no single minute fits")}
	case p.most(p.rejects):
		return []Cause{cause(ListenerCertificate, Likely, "the clients send an alert about the listener's certificate"), cause(ClientRelease, Possible)}
	case s.otherKey(ch):
		return []Cause{cause(ListenerCertificate, Likely, "the listener's certificate has another kind of key since")}
	case p.agreed*2 > p.all:
		evidence := "the clients agree on a cipher suite that works for others, and break off"
		return []Cause{cause(ListenerCertificate, Likely, evidence), cause(ClientRelease, Likely, evidence)}
	case len(in.Vanished) > 0:
		return []Cause{cause(PolicyChange, Likely, gone)}
	case p.all == 1 && ch.shape != Flapping:
		return []Cause{cause(OneClient, Likely, "only one client that worked before fails"), cause(ClientRelease, Possible)}
	case p.unseen*2 > p.all:
		return []Cause{cause(PolicyChange, Likely, "since then, no client succeeds with what these clients negotiated before"), cause(ClientRelease, Possible)}
	}
	return []Cause{cause(ClientRelease, Likely, "the clients negotiate nothing now, while what they used works for others"), cause(PolicyChange, Possible), cause(ListenerCertificate, Possible)}
}

// otherKey reports whether suites for another kind of key replaced the former ones:
// RSA to ECDSA, or back.
func (s *scene) otherKey(ch *change) bool {
	before, since := make(map[string]uint64), make(map[string]uint64)
	for _, t := range s.traits(ch.onset.Until, s.until(ch)) {
		if a := authentication(t.Cipher); a != "" {
			before[a] += t.Before
			since[a] += t.Since
		}
	}
	replaced := func(a, b string) bool { return before[a] > 0 && since[a] == 0 && before[b] == 0 && since[b] > 0 }
	return replaced(tlsname.AuthRSA, tlsname.AuthECDSA) || replaced(tlsname.AuthECDSA, tlsname.AuthRSA)
}

func (s *scene) expiry(ch *change, cause func(Kind, Certainty, ...string) Cause) Cause {
	c := ch.certificate
	if c.NotAfter.IsZero() {
		return cause(CertificateExpired, Likely, "the load balancer says so: the log does not have the certificate's end")
	}
	evidence := []string{"the certificate ended at " + c.NotAfter.Format("2006-01-02 15:04:05") + " UTC", "the load balancer names this as the reason"}
	first := slices.MinFunc(ch.clients, func(a, b *suspect) int { return a.first.Compare(b.first) }).first
	if first.Before(c.NotAfter) || c.Worked.N > 0 && c.Worked.Last > c.NotAfter.UnixMicro() {
		return cause(CertificateExpired, Likely, append(evidence, "yet it failed before, or worked later: is a certificate of its chain expired?")...)
	}
	return cause(CertificateExpired, Certain, evidence...)
}

// names lists traits.
func names(traits []Trait) string {
	list := make([]string, len(traits))
	for i, t := range traits {
		list[i] = cmp.Or(t.Protocol, t.Cipher, t.KeyExchange)
	}
	return strings.Join(list, ", ")
}
