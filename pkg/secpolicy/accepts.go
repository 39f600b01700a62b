package secpolicy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tlswatch/pkg/tlsname"
)

// An Offer is what a client offers in its ClientHello, with what is known about
// the listener's certificates. Values that no policy has, such as GREASE, are
// ignored.
type Offer struct {
	Versions []tlsname.Version
	Suites   []tlsname.Suite
	Fallback bool // it sent TLS_FALLBACK_SCSV: it offers less than it could, because an attempt with more failed

	// Nil if unknown. They only lead to [Verdict.Hints].
	Groups           []tlsname.Group
	SignatureSchemes []tlsname.SignatureScheme

	// partial is set if the client may have more groups: Groups are what it negotiated.
	partial bool

	// Certificates are the kinds of key in the listener's certificates, 0 if
	// unknown: then every suite of the policy counts as usable.
	Certificates KeyKinds
}

// KeyKinds is the set of the kinds of key in a listener's certificates.
type KeyKinds uint8

const (
	RSA KeyKinds = 1 << iota
	ECDSA
)

func (k KeyKinds) String() string {
	switch k {
	case 0:
		return "unknown"
	case RSA:
		return "RSA"
	case ECDSA:
		return "ECDSA"
	}
	return "RSA and ECDSA"
}

// ParseKeyKind parses "rsa" or "ecdsa" in any case.
func ParseKeyKind(s string) (KeyKinds, error) {
	switch strings.ToLower(s) {
	case "rsa":
		return RSA, nil
	case "ecdsa":
		return ECDSA, nil
	}
	return 0, fmt.Errorf("certificate %q: want rsa or ecdsa", s)
}

// or is String for one certificate of these kinds.
func (k KeyKinds) or() string { return strings.ReplaceAll(k.String(), "and", "or") }

// fits reports whether one of the certificates can authenticate suite s, true if
// they are unknown.
func (k KeyKinds) fits(s tlsname.Suite) bool {
	need := authentication(s)
	return k == 0 || need == 0 || k&need != 0
}

// A Code identifies the reason of a verdict.
type Code string

const (
	Accepted              Code = "accepted"
	ProtocolNotInPolicy   Code = "protocol-not-in-policy"
	CipherNotInPolicy     Code = "cipher-not-in-policy"
	CipherNotInProtocol   Code = "cipher-not-in-protocol"   // in the policy, but not for the version that would be negotiated
	InappropriateFallback Code = "inappropriate-fallback"   // the client has fallen back, and the policy has a higher version (RFC 7507, section 3)
	CertificateDoesNotFit Code = "certificate-does-not-fit" // the suites need another kind of certificate
	CipherListNotReadable Code = "cipher-list-not-readable" // newer data names suites that this version of tlswatch does not know
)

// A Verdict says whether a policy accepts an offer, and why.
type Verdict struct {
	Policy   *Policy
	Accepted bool
	Code     Code
	Reason   string // for people: a clause whose subject is the policy

	// The load balancer negotiates the highest version that both support, and
	// the first suite in its own order that both support. 0 if there is none.
	version tlsname.Version
	Suite   tlsname.Suite

	// Hints are reasons, from the source of s2n-tls, why the negotiation may fail
	// although protocol and cipher suite match. They prove nothing.
	Hints []string
}

// Accepts reports whether the policy has a protocol and cipher suite for the
// client. A server negotiates the highest common version, then the first suite
// in its own list that the client offers.
func (p *Policy) Accepts(o Offer) Verdict {
	v := Verdict{Policy: p}
	for _, version := range slices.Backward(p.Protocols) {
		if slices.Contains(o.Versions, version) {
			v.version = version
			break
		}
	}
	switch {
	case len(o.Versions) == 0:
		return v.refuse(ProtocolNotInPolicy, "cannot negotiate: the client offers no protocol")
	case v.version == 0:
		return v.refuse(ProtocolNotInPolicy, fmt.Sprintf("lacks %s%s; it has %s",
			join(names(o.Versions), "and"), p.alsoCiphers(o), join(names(p.Protocols), "and")))
	}
	if o.Fallback && p.MaxVersion() > slices.Max(o.Versions) {
		return v.refuse(InappropriateFallback, fmt.Sprintf("has %s, but the client has fallen back to %s (TLS_FALLBACK_SCSV): the server must refuse that (RFC 7507)",
			p.MaxVersion(), slices.Max(o.Versions)))
	}
	var inPolicy, inVersion []tlsname.Suite
	for _, suite := range p.Ciphers {
		if !slices.Contains(o.Suites, suite) {
			continue
		}
		inPolicy = append(inPolicy, suite)
		if !suite.UsableIn(v.version) {
			continue
		}
		inVersion = append(inVersion, suite)
		if !o.Certificates.fits(suite) {
			continue
		}
		hints := p.hints(o, v.version, suite)
		if v.Suite == 0 || len(hints) == 0 {
			v.Suite, v.Hints = suite, hints
		}
		if len(hints) == 0 {
			break
		}
	}
	switch {
	case v.Suite != 0:
		v.Accepted, v.Code = true, Accepted
		v.Reason = fmt.Sprintf("negotiates %s with %s", v.version, cipherName(v.Suite))
		if other := without(p.Unordered, []tlsname.Suite{v.Suite}); len(other) == 1 && slices.Contains(inVersion, other[0]) && o.Certificates.fits(other[0]) {
			v.Reason += fmt.Sprintf(", or %s: their order is not confirmed", cipherName(other[0]))
		}
		if v.version < tlsname.TLS13 && slices.ContainsFunc(o.Groups, func(g tlsname.Group) bool { return g.PostQuantum() && slices.Contains(p.Groups, g) }) {
			v.Hints = append(v.Hints, "s2n-tls refuses a client that lists a post-quantum group of this policy without TLSv1.3")
		}
		return v
	case inVersion != nil:
		return v.refuse(CertificateDoesNotFit, fmt.Sprintf("can use %s only with a different certificate than the listener's (%s)",
			list(ciphers(inVersion), "or"), o.Certificates))
	case inPolicy != nil:
		return v.refuse(CipherNotInProtocol, fmt.Sprintf("has %s, but not for %s, the highest protocol in common",
			list(ciphers(inPolicy), "and"), v.version))
	case len(o.Suites) == 0:
		return v.refuse(CipherNotInPolicy, "has "+v.version.String()+", but the client offers no cipher")
	case len(p.Unrecognized) > 0:
		return v.refuse(CipherListNotReadable, fmt.Sprintf("may lack %s: this version of tlswatch cannot read %s",
			list(ciphers(o.Suites), "and"), strings.Join(p.Unrecognized, ", ")))
	}
	return v.refuse(CipherNotInPolicy, "lacks "+list(ciphers(o.Suites), "and"))
}

func (v Verdict) refuse(code Code, reason string) Verdict {
	v.Code, v.Reason = code, reason
	return v
}

// alsoCiphers completes the reason of a refused protocol if the policy has none
// of the client's suites either.
func (p *Policy) alsoCiphers(o Offer) string {
	if len(o.Suites) == 0 || common(p.Ciphers, o.Suites) {
		return ""
	}
	return " and " + list(ciphers(o.Suites), "and")
}

// hints returns what may prevent a connection although version and suite match.
func (p *Policy) hints(o Offer, version tlsname.Version, s tlsname.Suite) []string {
	if !ephemeral(s) {
		return nil
	}
	var hints []string
	if o.Groups != nil && p.Groups != nil && !slices.ContainsFunc(o.Groups, func(g tlsname.Group) bool {
		return slices.Contains(p.Groups, g) && (version >= tlsname.TLS13 || !g.PostQuantum())
	}) {
		groups := slices.DeleteFunc(slices.Clone(p.Groups), func(g tlsname.Group) bool { return version < tlsname.TLS13 && g.PostQuantum() })
		hints = append(hints, fmt.Sprintf("the client offers none of the key-exchange groups that s2n-tls has for this policy (%s)", join(names(groups), "and")))
	}
	// RFC 8422, section 5.1: below TLS 1.3, groups are also the curves of certificates.
	if version < tlsname.TLS13 && authentication(s) == ECDSA && o.Groups != nil && !o.partial && !slices.Contains(o.Groups, secp256r1) {
		hints = append(hints, "the client does not list secp256r1: it refuses an ECDSA certificate with this curve (P-256)")
	}
	kinds := authentication(s)
	if kinds == 0 {
		kinds = cmp.Or(o.Certificates, RSA|ECDSA)
	}
	if o.SignatureSchemes != nil && p.SignatureSchemes != nil && version >= tlsname.TLS12 && !slices.ContainsFunc(o.SignatureSchemes, func(s tlsname.SignatureScheme) bool {
		return slices.Contains(p.SignatureSchemes, s) && kinds.signs(s, version)
	}) {
		pss := ""
		if version >= tlsname.TLS13 && kinds&RSA != 0 {
			pss = " (with RSA, TLSv1.3 needs RSA-PSS)"
		}
		hints = append(hints, fmt.Sprintf("the client offers none of the signature schemes that s2n-tls has for this policy and an %s certificate%s", kinds.or(), pss))
	}
	return hints
}

// signs reports whether one of the certificates can make a signature of the
// scheme (RFC 8446, section 4.2.3, and RFC 5246, section 7.4.1.4.1). TLS 1.3 has
// neither PKCS #1 v1.5 signatures nor SHA-1 and SHA-224 in its handshake.
func (k KeyKinds) signs(s tlsname.SignatureScheme, version tlsname.Version) bool {
	const sha224 = 0x03
	switch hash, algorithm := s>>8, s&0xff; {
	case 0x0804 <= s && s <= 0x0806: // rsa_pss_rsae; rsa_pss_pss needs another kind of certificate
		return k&RSA != 0
	case algorithm == 0x01: // rsa_pkcs1
		return k&RSA != 0 && version < tlsname.TLS13
	case algorithm == 0x03: // ecdsa
		return k&ECDSA != 0 && (version < tlsname.TLS13 || hash > sha224)
	}
	return false
}

func common[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(x T) bool { return slices.Contains(b, x) })
}

// secp256r1 is the group that nearly all clients have.
const secp256r1 = tlsname.Group(0x0017)

// ephemeral reports whether the suite uses (EC)DHE key exchange, which needs a
// group and a signature scheme.
func ephemeral(s tlsname.Suite) bool { return s.ForwardSecrecy() }

// authentication returns the kind of certificate that a suite needs, 0 for a TLS
// 1.3 suite, which works with any.
func authentication(s tlsname.Suite) KeyKinds {
	switch s.Authentication() {
	case tlsname.AuthRSA:
		return RSA
	case tlsname.AuthECDSA:
		return ECDSA
	}
	return 0
}

// cipherName returns the name in the log and the IANA name, which packet
// captures show.
func cipherName(s tlsname.Suite) string {
	if name := s.String(); name == s.IANA() || s.IANA() == "" {
		return name
	}
	return fmt.Sprintf("%s (%s)", s, s.IANA())
}

func ciphers(list []tlsname.Suite) []string {
	var names []string
	for _, s := range list {
		names = append(names, cipherName(s))
	}
	return names
}

func names[T fmt.Stringer](list []T) []string {
	var names []string
	for _, v := range list {
		names = append(names, v.String())
	}
	return names
}

// maxNames is how many names a sentence lists.
const maxNames = 4

// join enumerates at most maxNames+1 names, or maxNames and the number of the
// rest.
func join(names []string, last string) string {
	if len(names) > maxNames+1 {
		names = append(slices.Clone(names[:maxNames]), fmt.Sprintf("%d more", len(names)-maxNames))
	}
	return enumerate(names, last)
}

// enumerate returns "a, b and c".
func enumerate(names []string, last string) string {
	switch n := len(names); n {
	case 0:
		return "none"
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " " + last + " " + names[n-1]
	}
}

// list enumerates cipher suites.
func list(ciphers []string, last string) string {
	if len(ciphers) == 1 {
		return "cipher " + ciphers[0]
	}
	return "ciphers " + join(ciphers, last)
}
