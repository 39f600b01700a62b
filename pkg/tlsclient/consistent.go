package tlsclient

import (
	"fmt"
	"slices"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A Sighting is what a log shows of successful connections that are alike.
type Sighting struct {
	version tlsname.Version
	suite   tlsname.Suite
	group   tlsname.Group // 0 if the log does not name one that is known

	// Policy is the one that the listener had then, nil if unknown.
	Policy *secpolicy.Policy

	// Certificates are all kinds of certificate that the listener has, 0 if unknown.
	Certificates secpolicy.KeyKinds
}

// NewSighting returns the sighting of successful connections with what a line of the
// log has, "" for none. It returns false if the line lacks protocol or cipher suite, if
// tlswatch does not know them, or if they do not go together.
func NewSighting(protocol, cipher, keyExchange string) (Sighting, bool) {
	o, ok := secpolicy.ParseOffer(protocol, cipher, keyExchange)
	if !ok {
		return Sighting{}, false
	}
	s := Sighting{version: o.Versions[0], suite: o.Suites[0]}
	if len(o.Groups) > 0 {
		s.group = o.Groups[0]
	}
	return s, true
}

// A Conclusion is which known clients connections can be from.
type Conclusion struct {
	// fits are the clients that negotiate the same in their default settings, none if no
	// known client does.
	fits []*Client

	// noBrowserSince is a year: no known browser that was released then or later fits. It
	// is 0 if newer ones fit, or none is known.
	noBrowserSince int
}

// Consistent returns the known clients that can be behind a sighting, those that
// offer what was negotiated. With the policy, it also uses what follows about what the
// client did not offer: a higher version of the policy, and the suites that the policy
// prefers to the negotiated one and that a certificate of the listener fits. That is
// sound because a client counts unless it negotiates something else under every
// possible certificate, and under every order of the suites where the policy's is not
// confirmed. A policy that cannot have negotiated this counts as unknown.
func Consistent(s Sighting) Conclusion {
	if s.Policy != nil && !s.inPolicy() {
		s.Policy = nil
	}
	var c Conclusion
	latest, last := 0, 0 // browser that fits, and of all
	for i := range clients {
		client := &clients[i]
		possible := client.offers(s.version, s.suite, s.group)
		fits := possible && (s.Policy == nil || s.negotiates(client))
		if fits {
			c.fits = append(c.fits, client)
		}
		if client.Kind != browser {
			continue
		}
		last = max(last, client.Released)
		// Browsers used to try again with a lower version when a connection failed.
		if fits || possible && client.Released <= lastFallback && client.Offer.Versions[0] > s.version {
			latest = max(latest, client.Released)
		}
	}
	if len(c.fits) > 0 && latest < last {
		c.noBrowserSince = latest + 1
	}
	return c
}

// inPolicy reports whether the policy may have the version and the suite.
func (s *Sighting) inPolicy() bool {
	p := s.Policy
	return slices.Contains(p.Protocols, s.version) &&
		(slices.Contains(p.Ciphers, s.suite) || len(p.Unrecognized) > 0)
}

// lastFallback is a year since which no browser falls back to a lower version (RFC 7507
// explains the practice). Firefox stopped in 2015 and Chrome in 2016; two more years are
// for those of which that is not known.
const lastFallback = 2018

// offers reports whether the client offers all of it. Without the extension
// supported_groups, a server may choose any group (RFC 8422, section 4).
func (c *Client) offers(v tlsname.Version, s tlsname.Suite, g tlsname.Group) bool {
	return slices.Contains(c.Offer.Versions, v) && slices.Contains(c.Offer.Suites, s) &&
		(g == 0 || c.Offer.Groups == nil || slices.Contains(c.Offer.Groups, g))
}

// negotiates reports whether the policy can have negotiated version and suite with the
// client.
func (s *Sighting) negotiates(c *Client) bool {
	o := c.Offer
	for _, o.Certificates = range s.certificates() {
		if !authenticates(o.Certificates, s.suite) {
			continue
		}
		v := s.Policy.Accepts(o)
		if v.Version() != s.version {
			return false
		}
		first := s.first(c, o.Certificates)
		switch {
		case first == s.suite:
			return true
		case !s.Policy.OrderConfirmed || !s.Policy.Confirmed(), v.Accepted && (v.Suite != first || len(v.Hints) > 0):
			return true // any common suite may come first
		case slices.Contains(s.Policy.Unordered, first) && slices.Contains(s.Policy.Unordered, s.suite):
			return true
		}
	}
	return false
}

// first returns the first suite of the policy that the client offers and a certificate
// fits, 0 if there is none.
func (s *Sighting) first(c *Client, certificates secpolicy.KeyKinds) tlsname.Suite {
	for _, suite := range s.Policy.Ciphers {
		if suite.UsableIn(s.version) && authenticates(certificates, suite) && slices.Contains(c.Offer.Suites, suite) {
			return suite
		}
	}
	return 0
}

// authenticates reports whether one of the certificates can authenticate the suite.
func authenticates(certificates secpolicy.KeyKinds, s tlsname.Suite) bool {
	switch s.Authentication() {
	case tlsname.AuthRSA:
		return certificates&secpolicy.RSA != 0
	case tlsname.AuthECDSA:
		return certificates&secpolicy.ECDSA != 0
	}
	return true
}

// certificates returns the certificates that may have counted for a connection. A
// listener with both kinds can have one of them for a server name, and can choose the
// certificate before the suite.
func (s *Sighting) certificates() []secpolicy.KeyKinds {
	if s.Certificates == secpolicy.RSA || s.Certificates == secpolicy.ECDSA {
		return []secpolicy.KeyKinds{s.Certificates}
	}
	return []secpolicy.KeyKinds{secpolicy.RSA, secpolicy.ECDSA, secpolicy.RSA | secpolicy.ECDSA}
}

// Known reports whether the conclusion says something: some clients fit, and not more than
// a third of all.
func (c *Conclusion) Known() bool { return 0 < len(c.fits) && len(c.fits) <= len(clients)/3 }

// String returns the conclusion as a clause, such as "consistent with IE 11 on Windows
// 7 and 8.1 and Safari 6 to 8; not with any known browser since 2016". It begins with
// "unknown" unless it is Known.
func (c *Conclusion) String() string {
	not := ""
	if c.noBrowserSince > 0 {
		not = fmt.Sprintf("; not with any known browser since %d", c.noBrowserSince)
	}
	switch n := len(c.fits); {
	case n == 0:
		return "unknown: no known program negotiates this in its default settings"
	case !c.Known():
		return fmt.Sprintf("unknown: consistent with %d of %d known programs%s", n, len(clients), not)
	}
	return "consistent with " + bounded(c.fits) + not
}
