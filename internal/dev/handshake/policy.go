// Package handshake simulates TLS negotiation between clients and listeners of load
// balancers, to check predictions against. It is written from RFC 5246, RFC 7507, RFC
// 8422 and RFC 8446, the documentation of s2n-tls and the public policy data. It
// imports nothing of this project, so that it shares none of its mistakes.
package handshake

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A policy is a security policy, with names as the data file has them.
type policy struct {
	Name               string
	Protocols          []string // such as "TLSv1.2"
	Ciphers            []string // OpenSSL names, most preferred first
	Groups             []string
	Schemes            []string // for the handshake's signatures
	CertificateSchemes []string // for the signatures of client certificates; none means all
	OrderConfirmed     bool
	Pair               []string // two suites that have either order, even so
}

// parsePolicies reads the policy data.
func parsePolicies(data []byte) (map[string]*policy, error) {
	var file struct {
		Policies []struct {
			Name               string
			Protocols, Ciphers []string
			OrderConfirmed     bool     `json:"order_confirmed"`
			Pair               []string `json:"order_unconfirmed_pair"`
			Schemes            []string `json:"signature_schemes"`
			CertificateSchemes []string `json:"certificate_signature_schemes"`
			Groups             struct {
				Classical []string
				Hybrid    []string `json:"hybrid_pq"`
			} `json:"key_exchange_groups"`
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("policy data: %w", err)
	}
	policies := make(map[string]*policy)
	for _, p := range file.Policies {
		policies[p.Name] = &policy{
			Name: p.Name, Protocols: p.Protocols, Ciphers: p.Ciphers, Groups: slices.Concat(p.Groups.Hybrid, p.Groups.Classical),
			Schemes: p.Schemes, CertificateSchemes: p.CertificateSchemes, OrderConfirmed: p.OrderConfirmed, Pair: p.Pair,
		}
	}
	return policies, nil
}

// actual returns the policy as AWS may have it: an order that is not confirmed varies.
func (p *policy) actual(r *rand.Rand) *policy {
	q := *p
	q.Ciphers = slices.Clone(p.Ciphers)
	if p.Pair != nil && r.IntN(2) == 0 {
		i, j := slices.Index(q.Ciphers, p.Pair[0]), slices.Index(q.Ciphers, p.Pair[1])
		q.Ciphers[i], q.Ciphers[j] = q.Ciphers[j], q.Ciphers[i]
	}
	if !p.OrderConfirmed {
		r.Shuffle(len(q.Ciphers), func(i, j int) { q.Ciphers[i], q.Ciphers[j] = q.Ciphers[j], q.Ciphers[i] })
	}
	return &q
}

// versions are the protocols, lowest first.
var versions = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

const tls10, tls12, tls13 = 0, 2, 3 // indexes in versions

// maxVersion returns the index of the policy's highest protocol.
func (p *policy) maxVersion() int { return slices.Index(versions, p.Protocols[len(p.Protocols)-1]) }

func (p *policy) hasVersion(v int) bool { return slices.Contains(p.Protocols, versions[v]) }

// usableIn reports whether a cipher suite may be negotiated in a version: RFC 8446
// appendix B.4, and RFC 5246 section 1.2 for suites with SHA-2 or an AEAD.
func usableIn(suite string, v int) bool {
	switch {
	case strings.HasPrefix(suite, "TLS_"):
		return v == tls13
	case strings.HasSuffix(suite, "-SHA"):
		return v < tls13
	}
	return v == tls12
}

// key returns the kind of key that must sign or decrypt in a handshake with the
// suite, "" if any can.
func key(suite string) string {
	switch {
	case strings.HasPrefix(suite, "TLS_"):
		return ""
	case strings.HasPrefix(suite, "ECDHE-ECDSA-"):
		return "ecdsa"
	}
	return "rsa"
}

func ephemeral(suite string) bool {
	return strings.HasPrefix(suite, "TLS_") || strings.HasPrefix(suite, "ECDHE-") || strings.HasPrefix(suite, "DHE-")
}

func postQuantum(group string) bool { return strings.Contains(group, "MLKEM") }
