package forecast

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// clientCertificates are the certificates that clients present, from PEM files.
type clientCertificates struct {
	signatures [][]tlsname.SignatureScheme // the first, nil, is for certificates that are not in the files
	index      map[certificateID]uint16    // in signatures, and 1
	incomplete int                         // certificates without their issuer
}

// A certificateID is what the log shows of a certificate.
type certificateID struct {
	serial              string // hexadecimal, upper case, without leading zeros
	notBefore, notAfter int64
}

// maxChain bounds the number of issuers of a certificate.
const maxChain = 10

// readClientCertificates reads certificates of clients and of their issuers. How a
// certificate is signed is known if all its issuers are there, up to one that signed
// itself.
func readClientCertificates(files []string) (*clientCertificates, error) {
	c := &clientCertificates{signatures: make([][]tlsname.SignatureScheme, 1), index: make(map[certificateID]uint16)}
	var all []*x509.Certificate
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--client-certificates: %w", err)
		}
		n := 0
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			n++
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("--client-certificates: %s: certificate %d: %w", file, n, err)
			}
			all = append(all, cert)
		}
		if n == 0 {
			return nil, fmt.Errorf("--client-certificates: %s has no certificate in PEM format", file)
		}
	}
	issuers := make(map[string][]*x509.Certificate)
	for _, cert := range all {
		issuers[string(cert.RawSubject)] = append(issuers[string(cert.RawSubject)], cert)
	}
	for _, cert := range all {
		if cert.IsCA {
			continue
		}
		schemes, ok := chain(cert, issuers)
		if !ok {
			c.incomplete++
			continue
		}
		c.add(cert, schemes)
	}
	return c, nil
}

// chain returns the schemes by which a certificate and its issuers are signed, other
// than those that signed themselves. It is false if one of them is missing or
// unknown.
func chain(cert *x509.Certificate, issuers map[string][]*x509.Certificate) (list []tlsname.SignatureScheme, ok bool) {
	for range maxChain {
		s := scheme(cert)
		if s == 0 {
			return nil, false
		}
		list = append(list, s)
		next := slices.IndexFunc(issuers[string(cert.RawIssuer)], func(issuer *x509.Certificate) bool {
			return len(cert.AuthorityKeyId) == 0 || len(issuer.SubjectKeyId) == 0 || bytes.Equal(cert.AuthorityKeyId, issuer.SubjectKeyId)
		})
		if next < 0 {
			return nil, false
		}
		if cert = issuers[string(cert.RawIssuer)][next]; bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			slices.Sort(list)
			return slices.Compact(list), true
		}
	}
	return nil, false
}

// add adds a certificate. Two with the same identity may be either.
func (c *clientCertificates) add(cert *x509.Certificate, schemes []tlsname.SignatureScheme) {
	id := certificateID{serialNumber(fmt.Sprintf("%X", cert.SerialNumber)), cert.NotBefore.Unix(), cert.NotAfter.Unix()}
	if i, ok := c.index[id]; ok {
		schemes = slices.Concat(schemes, c.signatures[i-1])
		slices.Sort(schemes)
		schemes = slices.Compact(schemes)
	}
	i := slices.IndexFunc(c.signatures, func(s []tlsname.SignatureScheme) bool { return slices.Equal(s, schemes) })
	if i < 0 {
		i = len(c.signatures)
		c.signatures = append(c.signatures, schemes)
	}
	c.index[id] = uint16(i + 1)
}

// of returns the number of the certificate that a client presented, for [whatif.Worker.Add].
func (c *clientCertificates) of(e *connlog.Entry) uint16 {
	cert := &e.ClientCert
	if len(cert.Subject)+len(cert.Serial)+len(cert.Validity) == 0 {
		return 0
	}
	if len(c.index) > 0 {
		if i, ok := c.index[certificateID{serialNumber(string(cert.Serial)), cert.NotBefore.Unix(), cert.NotAfter.Unix()}]; ok {
			return i
		}
	}
	return 1
}

func serialNumber(hexadecimal string) string {
	return strings.TrimLeft(strings.ToUpper(hexadecimal), "0")
}

// schemes are the TLS names of X.509 signature algorithms: RFC 8446 section 4.2.3.
var schemes = map[x509.SignatureAlgorithm]tlsname.SignatureScheme{
	x509.SHA1WithRSA: 0x0201, x509.SHA256WithRSA: 0x0401, x509.SHA384WithRSA: 0x0501, x509.SHA512WithRSA: 0x0601,
	x509.ECDSAWithSHA1: 0x0203, x509.ECDSAWithSHA256: 0x0403, x509.ECDSAWithSHA384: 0x0503, x509.ECDSAWithSHA512: 0x0603,
	x509.SHA256WithRSAPSS: 0x0804, x509.SHA384WithRSAPSS: 0x0805, x509.SHA512WithRSAPSS: 0x0806, x509.PureEd25519: 0x0807,
}

// sha224 are algorithms that crypto/x509 does not know: RFC 4055 section 5 and RFC
// 5758 section 3.2.
var sha224 = map[string]tlsname.SignatureScheme{"1.2.840.113549.1.1.14": 0x0301, "1.2.840.10045.4.3.1": 0x0303}

// scheme returns how a certificate is signed, 0 if that is unknown.
func scheme(cert *x509.Certificate) tlsname.SignatureScheme {
	if s := schemes[cert.SignatureAlgorithm]; s != 0 {
		return s
	}
	var outer struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.Raw, &outer); err != nil {
		return 0
	}
	return sha224[outer.Algorithm.Algorithm.String()]
}
