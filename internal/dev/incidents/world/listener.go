package world

import (
	"slices"
	"time"

	"tlswatch/pkg/secpolicy"
)

// Causes of a failed negotiation that are no incident's. An incident's is its index.
const (
	none   = -1 // the negotiation succeeded
	scan   = -2 // a scanner, at the usual rate
	abort  = -3 // a client that works gave up once
	always = -4 // the client never worked
)

// A setup is what decides at a listener who works. The changed fields have the
// incident that last changed each.
type setup struct {
	policy *secpolicy.Policy
	keys   keys
	issuer string // of the listener's certificate
	arn    string // of the listener's certificate

	untrusted map[string]bool // authorities of client certificates that the trust store lacks
	revoked   map[string]bool // serial numbers in the revocation list

	policyBy, certificateBy, trustBy int
}

// A listener has a setup that changes at some instants.
type listener struct {
	loadBalancer int
	port         uint16
	mutual       bool // asks for client certificates
	first        setup
	changes      []change
	after        []setup // after each change
	cache        map[cacheKey]agreed
}

type change struct {
	at, spread time.Duration // since the start; the last node follows spread later
}

type cacheKey struct {
	program *program
	policy  *secpolicy.Policy
	keys    keys
}

// change adds a change, which has to be later than the others. apply changes the last
// setup.
func (l *listener) change(at, spread time.Duration, apply func(*setup)) {
	s := l.last()
	apply(&s)
	l.changes, l.after = append(l.changes, change{at, spread}), append(l.after, s)
}

func (l *listener) last() setup {
	if n := len(l.after); n > 0 {
		return l.after[n-1]
	}
	return l.first
}

// at returns the setup at a node, which follows a change by lag times its spread.
func (l *listener) at(t time.Duration, lag float64) *setup {
	for i, c := range slices.Backward(l.changes) {
		if t >= c.at+time.Duration(lag*float64(c.spread)) {
			return &l.after[i]
		}
	}
	return &l.first
}

func (l *listener) negotiate(p *program, s *setup) agreed {
	k := cacheKey{p, s.policy, s.keys}
	a, ok := l.cache[k]
	if !ok {
		a = negotiate(p, s.policy, s.keys)
		l.cache[k] = a
	}
	return a
}

// An outcome is how a connection ended.
type outcome struct {
	agreed
	reason string // "" for success
	alert  uint8  // that the client sends, 0 for none
	cause  int
}

const (
	unmapped  = "UnmappedConnectionError"
	expired   = "ClientCertExpired"
	untrusted = "ClientCertUntrusted"
	crlHit    = "ClientCertCrlHit"

	alertCertificateUnknown = 46
	alertUnknownCA          = 48
)

// connect returns how a device's connection ends at that time.
func (w *world) connect(d *device, t time.Duration, lag float64) outcome {
	l := d.listener
	s := l.at(t, lag)
	a := l.negotiate(d.program, s)
	if !a.ok() {
		cause := s.policyBy
		if l.negotiate(d.program, &setup{policy: s.policy, keys: l.first.keys}).ok() {
			cause = s.certificateBy
		}
		if !l.negotiate(d.program, &l.first).ok() {
			cause = always
		}
		return outcome{reason: unmapped, cause: cause}
	}
	if d.breaks > 0 && t >= d.breaks {
		if d.breaksSilently {
			return outcome{reason: unmapped, cause: d.breaksBy}
		}
		return outcome{agreed: a, reason: unmapped, alert: alertCertificateUnknown, cause: d.breaksBy}
	}
	if d.distrusts[s.issuer] {
		cause := s.certificateBy
		if d.distrusts[l.first.issuer] {
			cause = always
		}
		return outcome{agreed: a, reason: unmapped, alert: alertUnknownCA, cause: cause}
	}
	if l.mutual && d.certificate != nil {
		if reason, cause := w.verify(d, s, t); reason != "" {
			return outcome{agreed: a, reason: reason, cause: cause}
		}
	}
	return outcome{agreed: a, cause: none}
}

// verify checks the certificate of a device as a load balancer with mutual TLS does.
func (w *world) verify(d *device, s *setup, t time.Duration) (reason string, cause int) {
	c := d.certificate
	switch {
	case !w.start.Add(t).Before(c.notAfter):
		if c.notAfter.Before(w.start) {
			return expired, always
		}
		return expired, c.expiry
	case s.untrusted[c.authority]:
		if d.listener.first.untrusted[c.authority] {
			return untrusted, always
		}
		return untrusted, s.trustBy
	case s.revoked[c.serial]:
		return crlHit, s.trustBy
	}
	return "", none
}
