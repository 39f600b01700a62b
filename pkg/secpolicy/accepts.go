package secpolicy

import (
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

	// Nil if unknown. They only lead to [Verdict.Hints].
	Groups           []tlsname.Group
	SignatureSchemes []tlsname.SignatureScheme

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
	CipherDisputed        Code = "cipher-disputed"          // sources differ on whether it is in the policy
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
	var inPolicy, inVersion, disputed []tlsname.Suite
	for _, suite := range p.Ciphers {
		if !slices.Contains(o.Suites, suite) {
			continue
		}
		inPolicy = append(inPolicy, suite)
		if !suite.UsableIn(v.version) {
			continue
		}
		inVersion = append(inVersion, suite)
		if o.Certificates.fits(suite) {
			v.Suite = suite
			break
		}
	}
	for _, suite := range p.Disputed {
		if slices.Contains(o.Suites, suite) && suite.UsableIn(v.version) && o.Certificates.fits(suite) {
			disputed = append(disputed, suite)
		}
	}
	switch {
	case v.Suite != 0:
		v.Accepted, v.Code = true, Accepted
		v.Reason = fmt.Sprintf("negotiates %s with %s", v.version, cipherName(v.Suite))
		v.Hints = p.hints(o, v)
		return v
	case disputed != nil:
		return v.refuse(CipherDisputed, fmt.Sprintf("may lack %s: sources differ", list(ciphers(disputed), "or")))
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

// hints returns what may prevent a connection although protocol and suite match.
func (p *Policy) hints(o Offer, v Verdict) []string {
	var hints []string
	if o.Groups != nil && p.Groups != nil && ephemeral(v.Suite) && !common(o.Groups, p.Groups) {
		hints = append(hints, fmt.Sprintf("the client offers none of the key-exchange groups that s2n-tls has for this policy (%s)", join(names(p.Groups), "and")))
	}
	if o.SignatureSchemes != nil && p.SignatureSchemes != nil && ephemeral(v.Suite) && v.version >= tlsname.TLS12 && !common(o.SignatureSchemes, p.SignatureSchemes) {
		hints = append(hints, "the client offers none of the signature schemes that s2n-tls has for this policy")
	}
	return hints
}

func common[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(x T) bool { return slices.Contains(b, x) })
}

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
