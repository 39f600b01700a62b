package secpolicy

import (
	"fmt"
	"slices"

	"tlswatch/pkg/tlsname"
)

// A possibility is the set of possible answers.
type possibility uint8

const (
	no possibility = 1 << iota
	yes
	maybe = no | yes
)

// knowledge is what connections that are alike prove about their clients, and
// what follows for another policy. [Question.WhatIf] lists the assumptions.
type knowledge struct {
	from, to     *Policy // from is nil if unknown
	version      tlsname.Version
	suite        tlsname.Suite
	group        tlsname.Group // 0 if not in the log
	certificates KeyKinds      // all that the listener has, 0 if unknown
	shown        KeyKinds      // for a failed connection: certificates that the listener is known to have
	failed       bool

	result possibility
	reason string // why the result is not yes
}

func (k *knowledge) certainly(p possibility) bool { return k.result == p }

// outcome sets the result and its reason: whether the new policy accepts the
// clients at the highest version that both support. The log does not show all
// versions of a client, so there may be several candidates.
func (k *knowledge) outcome() {
	k.result, k.reason = 0, ""
	var helpful []tlsname.Version // versions that work if the client supports them
	for _, v := range slices.Backward(k.to.Protocols) {
		has := k.hasVersion(v)
		if has == no {
			continue
		}
		accepted, why := k.accepts(v)
		k.result |= accepted
		switch {
		case has == maybe && accepted == yes:
			helpful = append(helpful, v)
		case accepted == no && helpful != nil:
			k.reason = fmt.Sprintf("It works if the client supports %s, which the log does not show. Otherwise: %s", join(names(helpful), "or"), why)
		case k.reason == "":
			k.reason = why
		}
		if has == yes {
			return
		}
	}
	k.result |= no
	switch why := fmt.Sprintf("%s lacks %s", k.to.Name, k.version); {
	case k.reason != "":
	case helpful != nil:
		k.reason = fmt.Sprintf("%s. It works if the client supports %s, which the log does not show.", why, join(names(helpful), "or"))
	default:
		k.reason = why + ", the highest version that the client supports."
	}
}

// hasVersion reports whether the clients support version v.
func (k *knowledge) hasVersion(v tlsname.Version) possibility {
	switch {
	case v == k.version:
		return yes
	case v > k.version && k.from != nil && slices.ContainsFunc(k.from.Protocols, func(w tlsname.Version) bool { return k.version < w && w <= v }):
		return no // otherwise the load balancer would have negotiated w
	}
	return maybe
}

// accepts reports whether the new policy accepts a client if v is the highest
// version that both support, and why it may not.
func (k *knowledge) accepts(v tlsname.Version) (possibility, string) {
	if len(k.to.Unrecognized) > 0 {
		return maybe, fmt.Sprintf("%s has cipher suites that this version of tlswatch cannot read.", k.to.Name)
	}
	if v != k.version {
		return k.acceptsUnseen(v)
	}
	if slices.Contains(k.to.Ciphers, k.suite) {
		if k.failed && authentication(k.suite) != 0 && authentication(k.suite)&k.shown == 0 {
			return maybe, fmt.Sprintf("%s needs an %s certificate, and no successful connection shows that the listener has one.", k.suite, authentication(k.suite))
		}
		if why := k.obstacle(); why != "" {
			return maybe, why
		}
		return yes, ""
	}
	mayUse := func(list []tlsname.Suite) []tlsname.Suite {
		return slices.DeleteFunc(slices.Clone(list), func(s tlsname.Suite) bool { return !s.UsableIn(v) || k.canUse(s) == no })
	}
	if list := mayUse(k.to.Ciphers); len(list) > 0 {
		return maybe, fmt.Sprintf("%s lacks %s. The log does not show whether the client offers %s.", k.to.Name, k.suite, join(names(list), "or"))
	}
	return no, fmt.Sprintf("%s lacks %s, and the client can use none of its cipher suites for %s.", k.to.Name, k.suite, v)
}

// acceptsUnseen is accepts for a version that the clients did not negotiate.
func (k *knowledge) acceptsUnseen(v tlsname.Version) (possibility, string) {
	usable := slices.ContainsFunc(k.to.Ciphers, func(s tlsname.Suite) bool { return s.UsableIn(v) })
	switch {
	case !usable:
		return no, fmt.Sprintf("%s has no cipher suite for %s.", k.to.Name, v)
	case v < tlsname.TLS13:
		return maybe, fmt.Sprintf("The log does not show whether the client supports %s, and with which cipher suites.", v)
	case !slices.Contains(k.to.Ciphers, aes128GCM) || !slices.Contains(k.to.Ciphers, aes256GCM):
		return maybe, fmt.Sprintf("The client may support %s without any cipher suite of %s.", v, k.to.Name)
	case !slices.Contains(k.to.Groups, secp256r1):
		return maybe, fmt.Sprintf("The log does not show the client's key-exchange groups, and %s is not known to have secp256r1, which every TLS 1.3 client has.", k.to.Name)
	case !slices.Contains(k.to.SignatureSchemes, ecdsaSHA256) || !slices.Contains(k.to.SignatureSchemes, pssSHA256):
		return maybe, fmt.Sprintf("The log does not show whether the client verifies the signatures of %s.", k.to.Name)
	}
	return yes, ""
}

// Values that RFC 8446 section 9.1 makes mandatory in TLS 1.3, and AES_256_GCM.
const (
	aes128GCM   = tlsname.Suite(0x1301)
	aes256GCM   = tlsname.Suite(0x1302)
	secp256r1   = tlsname.Group(0x0017)
	ecdsaSHA256 = tlsname.SignatureScheme(0x0403)
	pssSHA256   = tlsname.SignatureScheme(0x0804)

	rsaSHA256 = tlsname.SignatureScheme(0x0401) // of TLS 1.2
	rsaSHA1   = tlsname.SignatureScheme(0x0201)
	ecdsaSHA1 = tlsname.SignatureScheme(0x0203)
)

// canUse reports whether the clients and the listener can use suite s with the
// negotiated version.
func (k *knowledge) canUse(s tlsname.Suite) possibility {
	switch {
	case s == k.suite:
		return yes
	case !k.certificates.fits(s):
		return no
	case k.from == nil || !slices.Contains(k.from.Protocols, k.version):
		return maybe
	}
	// The current policy has the version, so it would have negotiated s instead
	// of failing, or instead of a suite that it prefers less.
	refused := k.failed && slices.Contains(k.from.Ciphers, s)
	passed := !k.failed && k.from.prefers(s, k.suite) &&
		!(authentication(k.suite) == ECDSA && authentication(s) == RSA)
	if !refused && !passed {
		return maybe
	}
	if ephemeral(s) && !(k.hadGroup() && k.hadSignature(s)) {
		return maybe // the new policy may have a group or signature scheme for s that the current one lacks
	}
	return no
}

// hadGroup reports whether the current policy had all groups that the clients
// could use under the new one.
func (k *knowledge) hadGroup() bool {
	if !k.failed && ephemeral(k.suite) {
		return true // it negotiated one
	}
	return k.from.Groups != nil && k.to.Groups != nil && len(without(k.usable(k.to.Groups), k.from.Groups)) == 0
}

// hadSignature reports whether the current policy had a signature scheme for
// suite s that every client with s supports.
func (k *knowledge) hadSignature(s tlsname.Suite) bool {
	if !k.failed && ephemeral(k.suite) && authentication(s) == authentication(k.suite) {
		return true
	}
	return k.from.SignatureSchemes != nil && k.to.SignatureSchemes != nil &&
		(len(without(k.to.SignatureSchemes, k.from.SignatureSchemes)) == 0 || k.verify(k.from.SignatureSchemes, s))
}

// usable returns the groups for the negotiated version: post-quantum groups need
// TLS 1.3.
func (k *knowledge) usable(groups []tlsname.Group) []tlsname.Group {
	return slices.DeleteFunc(slices.Clone(groups), func(g tlsname.Group) bool { return k.version < tlsname.TLS13 && g.PostQuantum() })
}

// obstacle returns what may prevent clients from using the negotiated suite under
// the new policy, "" if nothing.
func (k *knowledge) obstacle() string {
	if !ephemeral(k.suite) {
		return ""
	}
	if !k.keepsGroup() {
		return fmt.Sprintf("The log does not show whether the client has a key-exchange group of %s.", k.to.Name)
	}
	if !k.keepsSignature() {
		return fmt.Sprintf("%s has fewer signature schemes; the log does not show whether the client verifies them.", k.to.Name)
	}
	return ""
}

func (k *knowledge) keepsGroup() bool {
	switch {
	case (k.failed || k.version >= tlsname.TLS13) && slices.Contains(k.to.Groups, secp256r1):
		return true
	case k.failed || k.to.Groups == nil:
		return false
	case k.group != 0:
		return slices.Contains(k.to.Groups, k.group)
	case k.version >= tlsname.TLS13:
		return k.from != nil && k.from.Groups != nil && len(without(k.from.Groups, k.to.Groups)) == 0
	}
	had := classicalGroups
	if k.from != nil && k.from.Groups != nil {
		had = k.usable(k.from.Groups)
	}
	return len(without(had, k.to.Groups)) == 0
}

// classicalGroups are all groups of all policies for versions below TLS 1.3.
var classicalGroups = []tlsname.Group{0x001d, 0x0017, 0x0018, 0x0019}

func (k *knowledge) keepsSignature() bool {
	schemes := k.to.SignatureSchemes
	switch {
	case schemes == nil:
		return false
	case !k.failed && k.from != nil && k.from.SignatureSchemes != nil && len(without(k.from.SignatureSchemes, schemes)) == 0:
		return true
	}
	return k.verify(schemes, k.suite)
}

// verify reports whether every client with suite s supports one of the signature
// schemes with the negotiated version.
func (k *knowledge) verify(schemes []tlsname.SignatureScheme, s tlsname.Suite) bool {
	sha256, sha1 := rsaSHA256, rsaSHA1
	switch {
	case k.version >= tlsname.TLS13:
		return slices.Contains(schemes, ecdsaSHA256) && slices.Contains(schemes, pssSHA256)
	case k.version < tlsname.TLS12: // fixed to SHA-1, not negotiated
		return slices.Contains(schemes, rsaSHA1) && slices.Contains(schemes, ecdsaSHA1)
	case authentication(s) == ECDSA:
		sha256, sha1 = ecdsaSHA256, ecdsaSHA1
	}
	older := s.HasReason(tlsname.SHA1MAC) // the client may lack SHA-2
	return slices.Contains(schemes, sha256) && (!older || slices.Contains(schemes, sha1))
}
