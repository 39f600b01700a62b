package whatif

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A possibility is the set of possible answers. A yes that has a risk is probably.
type possibility uint8

const (
	no possibility = 1 << iota
	yes
	probably
	maybe = no | yes
)

// An outcome is whether the new policy accepts a client.
type outcome struct {
	result possibility
	reason string // why the result is not yes
	risk   string // why the result is only probably, if it is
}

// knowledge is what connections that are alike prove about their clients, and what
// follows for another policy. [Question.Predict] lists the assumptions.
type knowledge struct {
	from, to  *secpolicy.Policy // from is nil if unknown
	version   tlsname.Version
	suite     tlsname.Suite
	group     tlsname.Group      // 0 if not in the log
	named     secpolicy.KeyKinds // all certificates that the listener has, 0 if unknown
	shown     secpolicy.KeyKinds // those that successful connections used
	onlyRSA   bool               // enough connections show that it has no ECDSA certificate
	failed    bool
	mutual    bool                      // the listener asks for client certificates
	presented bool                      // the client presented one
	signed    []tlsname.SignatureScheme // of it and its issuers, nil if unknown
	client
}

// enoughRSA is the number of clients with RSA suites after which a listener counts as
// one without an ECDSA certificate. All of them would have to lack the ECDSA suites,
// which most clients have.
const enoughRSA = 20

func newKnowledge(p *prediction, l *listener, s situation) *knowledge {
	k := &p.parsed[s.kind]
	n := &knowledge{
		from: s.from, to: p.q.To, version: k.version, suite: k.suite, group: k.group,
		named: l.certificates, shown: l.shown, onlyRSA: l.shown == secpolicy.RSA && l.onlyRSA >= enoughRSA, failed: k.failed, mutual: l.mutual, client: s.client,
	}
	if c := p.kinds[s.kind].clientCertificate; c > 0 {
		n.presented = true
		if int(c) <= len(p.q.ClientCertificates) {
			n.signed = p.q.ClientCertificates[c-1]
		}
	}
	return n
}

// outcome returns whether the new policy accepts the clients at the highest version
// that both support. The log does not show all versions of a client, so there may be
// several candidates.
func (k *knowledge) outcome() (o outcome) {
	var helpful []tlsname.Version // versions that work if the client supports them
	for _, v := range slices.Backward(k.to.Protocols) {
		has := k.hasVersion(v)
		if has == no {
			continue
		}
		accepted, why := k.accepts(v)
		o.result |= accepted
		if accepted == probably && o.risk == "" {
			o.risk = why
		}
		switch {
		case has == maybe && accepted&no == 0:
			helpful = append(helpful, v)
		case accepted == no && helpful != nil:
			o.reason = fmt.Sprintf("It works if the client supports %s, which the log does not show. Otherwise: %s", anyOf(helpful), why)
		case o.reason == "" && accepted != probably:
			o.reason = why
		}
		if has == yes {
			return o
		}
	}
	o.result |= no
	switch why := fmt.Sprintf("%s lacks %s", k.to.Name, k.version); {
	case o.reason != "":
	case k.higher && helpful != nil:
		o.reason = why + ". The client tried a higher protocol at another time. It works if the same program made these connections."
	case helpful != nil:
		o.reason = fmt.Sprintf("%s. It works if the client supports %s, which the log does not show.", why, anyOf(helpful))
	default:
		o.reason = why + ", the highest version that the client supports."
	}
	return o
}

// hasVersion reports whether the clients support version v.
func (k *knowledge) hasVersion(v tlsname.Version) possibility {
	switch {
	case v == k.version:
		return yes
	case v > k.version && !k.higher && k.from != nil &&
		slices.ContainsFunc(k.from.Protocols, func(w tlsname.Version) bool { return k.version < w && w <= v }):
		return no // otherwise the load balancer would have negotiated w
	}
	return maybe
}

// accepts reports whether the new policy accepts a client if v is the highest version
// that both support, and why it may not.
func (k *knowledge) accepts(v tlsname.Version) (possibility, string) {
	if len(k.to.Unrecognized) > 0 {
		return maybe, fmt.Sprintf("%s has cipher suites that this version of tlswatch cannot read.", k.to.Name)
	}
	if v != k.version {
		return k.acceptsUnseen(v)
	}
	if slices.Contains(k.to.Ciphers, k.suite) {
		return worst(k.serverCertificate, k.keyExchange, k.signature, k.sameKind, k.clientCertificate)
	}
	others := slices.DeleteFunc(slices.Clone(k.to.Ciphers), func(s tlsname.Suite) bool { return !s.UsableIn(v) || k.canUse(s) == no })
	if len(others) > 0 {
		return maybe, fmt.Sprintf("%s lacks %s. The log does not show whether the client offers %s.", k.to.Name, k.suite, anyOf(others))
	}
	return no, fmt.Sprintf("%s lacks %s, and the client can use none of its cipher suites for %s.", k.to.Name, k.suite, v)
}

// worst returns the least certain of some answers, and all risks if it is probably.
func worst(checks ...func() (possibility, string)) (possibility, string) {
	result, why := yes, ""
	for _, check := range checks {
		switch p, reason := check(); p {
		case yes:
		case probably:
			result, why = p, strings.TrimSpace(why+" "+reason)
		default:
			return p, reason
		}
	}
	return result, why
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
	case (k.group == 0 || k.failed || !hasUsableGroup(k.to, k.group, v)) && (!slices.Contains(k.to.Groups, secp256r1) || !slices.Contains(k.to.Groups, x25519)):
		return maybe, fmt.Sprintf("The log does not show whether the client has a key-exchange group of %s.", k.to.Name)
	case !slices.Contains(k.to.SignatureSchemes, ecdsaSHA256) || !slices.Contains(k.to.SignatureSchemes, pssSHA256):
		return maybe, fmt.Sprintf("The log does not show whether the client verifies the signatures of %s.", k.to.Name)
	}
	return k.firstTLS13(v)
}

// firstTLS13 reports whether clients that never completed a handshake of TLS 1.3 can
// do so.
func (k *knowledge) firstTLS13(v tlsname.Version) (possibility, string) {
	if k.bothKindsPossible() && !k.bothKinds {
		return maybe, k.otherKind(v)
	}
	p, why := k.clientCertificate()
	if p&no != 0 || k.tls13 && !k.failed && k.from != nil && slices.Contains(k.from.Protocols, v) {
		return p, why // it is not the first time, unless several programs share the address
	}
	risk := "it cannot verify RSA-PSS signatures"
	if k.presented || k.mutual {
		risk += ", or if its key cannot sign with RSA-PSS, as in some smart cards and PKCS #11 modules"
	}
	text := fmt.Sprintf("The client would use %s with %s for the first time. It fails if %s.", v, k.to.Name, risk)
	if p == probably {
		text += " " + why
	}
	return probably, text
}

// Values that RFC 8446 section 9.1 makes mandatory in TLS 1.3, and others that nearly
// all clients have.
const (
	aes128GCM   = tlsname.Suite(0x1301)
	aes256GCM   = tlsname.Suite(0x1302)
	chacha20    = tlsname.Suite(0x1303)
	x25519      = tlsname.Group(0x001d)
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
	switch need := keyKind(s); {
	case s == k.suite:
		return yes
	case k.named != 0 && need != 0 && k.named&need == 0:
		return no
	case k.suite == chacha20:
		return maybe // a listener may prefer it for clients that do
	case k.failed && k.from != nil && slices.Contains(k.from.Protocols, k.version) && slices.Contains(k.from.Ciphers, s):
		// The current policy would have negotiated s instead of failing.
	case !k.passed(s) || keyKind(k.suite) == secpolicy.ECDSA && need == secpolicy.RSA:
		return maybe
	}
	return k.couldNot(s)
}

// passed reports whether the current policy prefers s to the negotiated suite.
func (k *knowledge) passed(s tlsname.Suite) bool {
	return !k.failed && k.from != nil && k.from.Prefers(s, k.suite)
}

// couldNot returns no, for a suite that the current policy did not use although it
// has it. It is maybe if the new policy may have a group or signature scheme for s
// that the current one lacks.
func (k *knowledge) couldNot(s tlsname.Suite) possibility {
	if s.ForwardSecrecy() && !(k.hadGroup() && k.hadSignature(s)) {
		return maybe
	}
	return no
}

// hadGroup reports whether the current policy had all groups that the clients could
// use under the new one.
func (k *knowledge) hadGroup() bool {
	if !k.failed && k.suite.ForwardSecrecy() {
		return true // it negotiated one
	}
	return k.from.Groups != nil && k.to.Groups != nil && len(without(k.usable(k.to.Groups), k.from.Groups)) == 0
}

// hadSignature reports whether the current policy had a signature scheme for suite s
// that every client with s supports.
func (k *knowledge) hadSignature(s tlsname.Suite) bool {
	if !k.failed && k.suite.ForwardSecrecy() && keyKind(s) == keyKind(k.suite) {
		return true
	}
	return k.from.SignatureSchemes != nil && k.to.SignatureSchemes != nil &&
		(len(without(k.to.SignatureSchemes, k.from.SignatureSchemes)) == 0 || k.verify(k.from.SignatureSchemes, s))
}

// usable returns the groups for the negotiated version: post-quantum groups need TLS
// 1.3.
func (k *knowledge) usable(groups []tlsname.Group) []tlsname.Group {
	return slices.DeleteFunc(slices.Clone(groups), func(g tlsname.Group) bool { return k.version < tlsname.TLS13 && g.PostQuantum() })
}

// serverCertificate reports whether a client that failed gets a certificate that
// fits its suite. One listener may have different kinds for different server names.
func (k *knowledge) serverCertificate() (possibility, string) {
	need := keyKind(k.suite)
	switch {
	case !k.failed:
		return yes, ""
	case need == 0:
		return k.firstTLS13(k.version)
	}
	if need == secpolicy.ECDSA {
		if (k.named|k.shown)&need == 0 {
			return maybe, fmt.Sprintf("%s needs an ECDSA certificate, and no successful connection shows that the listener has one.", k.suite)
		}
		return maybe, fmt.Sprintf("The log does not show whether the client supports the curve of the ECDSA certificate that %s needs.", k.suite)
	}
	switch {
	case k.named == need:
		return yes, ""
	case k.named == 0 && k.shown == need:
		return probably, fmt.Sprintf("The client failed, and %s has the suite that the log shows. It works if the certificate for its server name is %s, as for the clients that succeeded. --certificate %s would make that certain.", k.to.Name, need, strings.ToLower(need.String()))
	case (k.named|k.shown)&need != 0:
		return maybe, fmt.Sprintf("%s needs an %s certificate. The listener has both kinds, and the log does not show which one the client's server name has.", k.suite, need)
	}
	return maybe, fmt.Sprintf("%s needs an %s certificate, and no successful connection shows that the listener has one.", k.suite, need)
}

// keyExchange reports whether the clients have a group of the new policy, if the
// suite needs one.
func (k *knowledge) keyExchange() (possibility, string) {
	lacks := fmt.Sprintf("The log does not show whether the client has a key-exchange group of %s.", k.to.Name)
	elsewhere := fmt.Sprintf("The client showed a group of %s only at other times. Another program at its address may have made these connections.", k.to.Name)
	var lost []tlsname.Group
	switch {
	case !k.suite.ForwardSecrecy():
		return yes, ""
	case k.to.Groups == nil:
		return maybe, lacks
	case k.group != 0:
		if hasUsableGroup(k.to, k.group, k.version) {
			return yes, ""
		}
		lacks = fmt.Sprintf("The log shows no group of the client but %s, which %s lacks.", k.group, k.to.Name)
		lost = []tlsname.Group{k.group}
	case !k.failed && k.from != nil && k.from.Groups != nil:
		lost = without(k.usable(k.from.Groups), k.to.Groups)
	default:
		lost = without(classicalGroups, k.to.Groups)
	}
	classical := slices.ContainsFunc(lost, func(g tlsname.Group) bool { return !g.PostQuantum() })
	switch {
	case len(lost) == 0:
		return yes, ""
	case k.otherGroup:
		return probably, elsewhere
	case !classical && slices.Contains(k.to.Groups, secp256r1):
		return probably, fmt.Sprintf("%s lacks %s. A client without secp256r1 would fail. No client with a post-quantum group is known to lack it.", k.to.Name, anyOf(lost))
	}
	return maybe, lacks
}

// classicalGroups are all groups of all policies for versions below TLS 1.3.
var classicalGroups = []tlsname.Group{x25519, secp256r1, 0x0018, 0x0019}

// signature reports whether the clients verify a signature scheme of the new policy.
func (k *knowledge) signature() (possibility, string) {
	schemes := k.to.SignatureSchemes
	switch {
	case !k.suite.ForwardSecrecy():
		return yes, ""
	case schemes == nil:
	case !k.failed && k.from != nil && k.from.SignatureSchemes != nil && len(without(k.from.SignatureSchemes, schemes)) == 0:
		return yes, ""
	case k.verify(schemes, k.suite):
		return yes, ""
	}
	return maybe, fmt.Sprintf("%s has fewer signature schemes; the log does not show whether the client verifies them.", k.to.Name)
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
	case keyKind(s) == secpolicy.ECDSA:
		sha256, sha1 = ecdsaSHA256, ecdsaSHA1
	}
	older := s.HasReason(tlsname.SHA1MAC) // the client may lack SHA-2
	return slices.Contains(schemes, sha256) && (!older || slices.Contains(schemes, sha1))
}

// bothKindsPossible reports whether the listener has certificates of both kinds, or
// may have, since nothing is known of them.
func (k *knowledge) bothKindsPossible() bool {
	kinds := cmp.Or(k.named, k.shown)
	return kinds == 0 || kinds == secpolicy.RSA|secpolicy.ECDSA
}

func (k *knowledge) otherKind(v tlsname.Version) string {
	if k.named|k.shown == 0 {
		return fmt.Sprintf("The log does not show which certificates the listener has. If it has both RSA and ECDSA, %s may choose the other one, which the client may not trust.", k.to.Name)
	}
	return fmt.Sprintf("The listener has RSA and ECDSA certificates, and %s may choose the other one for %s. The log does not show whether the client trusts it.", k.to.Name, v)
}

// sameKind reports whether the new policy chooses a certificate of the kind that the
// clients accepted.
func (k *knowledge) sameKind() (possibility, string) {
	possible := k.bothKindsPossible()
	switch {
	case k.failed || k.keepsKind(possible):
		return yes, ""
	case possible && k.from == nil && k.named|k.shown == 0:
		return probably, k.otherKind(k.version)
	case possible && k.bothKinds:
		return probably, k.to.Name + " may choose a certificate of the other kind. The client accepted both kinds, unless several programs share its address."
	case possible:
		return maybe, k.otherKind(k.version)
	case k.named == 0 && k.from != nil && !k.onlyRSA:
		return probably, fmt.Sprintf("The log shows only %s certificates. If the listener has others too, %s may choose one of these, which the client may not trust.", k.shown, k.to.Name)
	}
	return yes, ""
}

// keepsKind reports whether the new policy prefers no suite that needs the other kind
// of certificate and that the clients may have. With either, it also reports that for
// a listener that takes an ECDSA certificate rather than the first suite.
func (k *knowledge) keepsKind(either bool) bool {
	if k.version >= tlsname.TLS13 {
		return k.from != nil && slices.Equal(tls13Schemes(k.from.SignatureSchemes), tls13Schemes(k.to.SignatureSchemes))
	}
	return !slices.ContainsFunc(k.to.Ciphers, func(s tlsname.Suite) bool {
		if keyKind(s) == 0 || keyKind(s) == keyKind(k.suite) || !s.UsableIn(k.version) {
			return false
		}
		if k.to.Prefers(k.suite, s) {
			return either && keyKind(s) == secpolicy.ECDSA && (k.from == nil || !slices.Contains(k.from.Ciphers, s) || k.couldNot(s) != no)
		}
		return !k.passed(s) || k.couldNot(s) != no
	})
}

// tls13Schemes returns the schemes that sign handshakes of TLS 1.3: RFC 8446 section
// 4.2.3.
func tls13Schemes(list []tlsname.SignatureScheme) []tlsname.SignatureScheme {
	return slices.DeleteFunc(slices.Clone(list), func(s tlsname.SignatureScheme) bool {
		ecdsa := s&0xff == 3 && s >= ecdsaSHA256
		return s>>8 != 8 && !ecdsa
	})
}

// refuses reports whether the policy, nil if unknown, lacks the version or the suite.
func refuses(p *secpolicy.Policy, v tlsname.Version, s tlsname.Suite) possibility {
	switch {
	case p == nil:
		return maybe
	case !slices.Contains(p.Protocols, v):
		return yes
	case slices.Contains(p.Ciphers, s):
		return no
	case len(p.Unrecognized) > 0:
		return maybe
	}
	return yes
}

// keyKind returns the kind of certificate that a suite needs, 0 for a TLS 1.3 suite,
// which works with any.
func keyKind(s tlsname.Suite) secpolicy.KeyKinds {
	switch s.Authentication() {
	case tlsname.AuthRSA:
		return secpolicy.RSA
	case tlsname.AuthECDSA:
		return secpolicy.ECDSA
	}
	return 0
}

// without returns the elements of list that are not in other.
func without[T comparable](list, other []T) []T {
	var rest []T
	for _, v := range list {
		if !slices.Contains(other, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// anyOf enumerates at most five names: "a, b or c".
func anyOf[T fmt.Stringer](list []T) string {
	const most = 4
	var names []string
	for i, v := range list {
		if i == most && len(list) > most+1 {
			names = append(names, fmt.Sprintf("%d more", len(list)-most))
			break
		}
		names = append(names, v.String())
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
