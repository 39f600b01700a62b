package world

import (
	"slices"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// The server side of a negotiation. It shares the lists of policies with package
// secpolicy and none of its code, so that advice based on secpolicy can be checked
// against it.

// keys says which kinds of key the certificates of a listener have.
type keys struct{ rsa, ecdsa bool }

// agreed is what client and server agreed on; zero for nothing.
type agreed struct {
	version tlsname.Version
	suite   tlsname.Suite
	group   tlsname.Group // 0 for RSA key exchange
}

func (a agreed) ok() bool { return a.suite != 0 }

const (
	tls10 tlsname.Version = 0x0301
	tls13 tlsname.Version = 0x0304

	secp256r1 tlsname.Group = 0x0017

	rsaSHA1    tlsname.SignatureScheme = 0x0201
	ecdsaSHA1  tlsname.SignatureScheme = 0x0203
	ecdsaP256  tlsname.SignatureScheme = 0x0403
	firstPSS   tlsname.SignatureScheme = 0x0804 // rsa_pss_rsae_sha256, then with SHA-384 and SHA-512
	lastPSS    tlsname.SignatureScheme = 0x0806
	rsaHashes  byte                    = 1 // low byte of RSA PKCS #1 schemes in TLS 1.2
	ecdsaCurve byte                    = 3
)

// negotiate returns what a server with this policy agrees on with a client: the
// highest common version, then the first suite of the policy that the client
// offers, and that a certificate of the server and a common group allow.
func negotiate(c *program, p *secpolicy.Policy, k keys) agreed {
	version := highest(c.versions, p.Protocols)
	if version == 0 {
		return agreed{}
	}
	group := commonGroup(c, p, version)
	rsa, ecdsa := k.rsa && signs(c, p, version, false), k.ecdsa && signs(c, p, version, true)
	for _, s := range p.Ciphers {
		if !slices.Contains(c.suites, s) || !s.UsableIn(version) {
			continue
		}
		switch {
		case version == tls13:
			if group != 0 && (rsa || ecdsa) {
				return agreed{version, s, group}
			}
		case !s.ForwardSecrecy():
			if k.rsa {
				return agreed{version: version, suite: s}
			}
		case group == 0:
		case s.Authentication() == tlsname.AuthECDSA && ecdsa, s.Authentication() == tlsname.AuthRSA && rsa:
			return agreed{version, s, group}
		}
	}
	return agreed{}
}

func highest(a, b []tlsname.Version) tlsname.Version {
	for _, v := range slices.Backward(a) {
		if slices.Contains(b, v) {
			return v
		}
	}
	return 0
}

// commonGroup returns the group that the policy prefers among those with a key
// share, or else, after a HelloRetryRequest or before TLS 1.3, among all offered.
func commonGroup(c *program, p *secpolicy.Policy, v tlsname.Version) tlsname.Group {
	offered := c.groups
	if offered == nil {
		offered = []tlsname.Group{secp256r1} // the client left it to the server
	}
	lists := [][]tlsname.Group{offered}
	if v == tls13 {
		lists = [][]tlsname.Group{c.keyShares, offered}
	}
	for _, list := range lists {
		for _, g := range p.Groups {
			if slices.Contains(list, g) && (v == tls13 || !g.PostQuantum()) {
				return g
			}
		}
	}
	return 0
}

// signs reports whether client and server have a signature scheme in common for a
// certificate of that kind: RSA, or ECDSA with curve P-256.
func signs(c *program, p *secpolicy.Policy, v tlsname.Version, ecdsa bool) bool {
	if ecdsa && c.groups != nil && !slices.Contains(c.groups, secp256r1) {
		return false
	}
	if v < 0x0303 {
		return true // a fixed hash
	}
	schemes := c.schemes
	if schemes == nil {
		schemes = []tlsname.SignatureScheme{rsaSHA1, ecdsaSHA1} // RFC 5246, section 7.4.1.4.1
	}
	return slices.ContainsFunc(schemes, func(s tlsname.SignatureScheme) bool {
		return slices.Contains(p.SignatureSchemes, s) && fits(s, v, ecdsa)
	})
}

func fits(s tlsname.SignatureScheme, v tlsname.Version, ecdsa bool) bool {
	pss := s >= firstPSS && s <= lastPSS
	switch {
	case ecdsa && v == tls13:
		return s == ecdsaP256
	case ecdsa:
		return s < firstPSS && byte(s) == ecdsaCurve
	case v == tls13:
		return pss
	}
	return pss || s < firstPSS && byte(s) == rsaHashes
}

// presented is what a client would like best, as some logs show for a refused one.
func (c *program) presented() (tlsname.Version, tlsname.Suite) {
	v := c.versions[len(c.versions)-1]
	for _, s := range c.suites {
		if s.UsableIn(v) {
			return v, s
		}
	}
	return v, 0
}
