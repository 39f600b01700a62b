package whatif

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// certificateSchemes are what may sign a client certificate where a policy has no
// list: PKCS #1, PSS and ECDSA.
var certificateSchemes = []tlsname.SignatureScheme{
	0x0201, 0x0203, 0x0301, 0x0303, 0x0401, 0x0403, 0x0501, 0x0503, 0x0601, 0x0603,
	0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b,
}

// accepted returns the schemes that may sign client certificates under a policy.
func accepted(p *secpolicy.Policy) []tlsname.SignatureScheme {
	if p == nil || p.CertificateSchemes == nil {
		return certificateSchemes
	}
	return p.CertificateSchemes
}

// clientCertificate reports whether the new policy takes the certificate of a client
// under mutual TLS, and a signature that its key can make.
func (k *knowledge) clientCertificate() (possibility, string) {
	if !k.presented && !(k.failed && k.mutual) {
		return yes, ""
	}
	p, why := k.presentedCertificate()
	if k.failed && p == yes {
		return probably, "The listener asks for client certificates. It works if the client has one that is valid."
	}
	return p, why
}

// presentedCertificate is clientCertificate for clients that have one.
func (k *knowledge) presentedCertificate() (possibility, string) {
	to := accepted(k.to)
	if k.signed != nil {
		if bad := without(k.signed, to); len(bad) > 0 {
			return maybe, fmt.Sprintf("The client's certificate or an issuer's is signed with %s. In s2n-tls, %s takes only %s.", anyOf(bad), k.to.Name, hashes(to))
		}
		return k.ownSignature()
	}
	switch lost := without(accepted(k.from), to); {
	case len(lost) == 0:
		return k.ownSignature()
	case !slices.Contains(to, rsaSHA256):
		return maybe, fmt.Sprintf("In s2n-tls, %s takes only client certificates that are signed with %s. The log does not show how they are signed; --client-certificates does.", k.to.Name, anyOf(to))
	default:
		return probably, fmt.Sprintf("In s2n-tls, %s takes only client certificates that are signed with %s. A client fails if its certificate, or an issuer's, is signed with %s; --client-certificates shows which do.", k.to.Name, hashes(to), hashes(lost))
	}
}

// ownSignature reports whether the new policy has a scheme by which every client can
// prove that it has the key: RFC 8446 section 4.4.3.
func (k *knowledge) ownSignature() (possibility, string) {
	to := k.to.SignatureSchemes
	lost := k.from == nil || k.from.SignatureSchemes == nil || to == nil || len(without(k.from.SignatureSchemes, to)) > 0
	sha256 := slices.Contains(to, ecdsaSHA256) && slices.Contains(to, rsaSHA256) && !k.suite.HasReason(tlsname.SHA1MAC)
	if k.version < tlsname.TLS12 || !lost || sha256 || k.version >= tlsname.TLS13 && k.verify(to, k.suite) {
		return yes, ""
	}
	return probably, fmt.Sprintf("%s has fewer signature schemes. A client whose key can sign only with others would fail, as some smart cards.", k.to.Name)
}

// hashes returns the hash functions of signature schemes, weakest first.
func hashes(list []tlsname.SignatureScheme) string {
	const pss = 8
	var names []string
	for id, name := range []string{2: "SHA-1", 3: "SHA-224", 4: "SHA-256", 5: "SHA-384", 6: "SHA-512"} {
		if name != "" && slices.ContainsFunc(list, func(s tlsname.SignatureScheme) bool {
			return int(s>>8) == id || s>>8 == pss && int(s&0xff-4)%5+4 == id
		}) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// incompatible explains the failure of a client certificate by the schemes that the
// policies take.
func incompatible(from, to *secpolicy.Policy) string {
	text := "The client's certificate is incompatible with the current policy."
	if from != nil && from.CertificateSchemes != nil {
		text += fmt.Sprintf(" In s2n-tls, %s takes only certificates that are signed with %s.", from.Name, hashes(from.CertificateSchemes))
	}
	if added := without(accepted(to), accepted(from)); from != nil && len(added) > 0 {
		return text + fmt.Sprintf(" %s also takes %s. The log does not show how the certificate is signed.", to.Name, hashes(added))
	}
	return text + fmt.Sprintf(" The log does not show whether %s would accept it.", to.Name)
}
