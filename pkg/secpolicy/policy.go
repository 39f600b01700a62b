// Package secpolicy has the security policies of Elastic Load Balancing: the TLS
// versions and cipher suites that each accepts, in order of preference, and
// whether that is confirmed. It answers whether a policy accepts a client's offer
// ([Policy.Accepts]), how policies differ ([Compare]), and which policies are
// best for given clients ([Set.Recommend]).
//
// The built-in policies come from public documentation, captures of
// DescribeSSLPolicies and the source of s2n-tls, AWS's TLS library. [Load] reads
// newer ones. AWS documents protocols and cipher suites, but not the key-exchange
// groups (other than the hybrid ones) and signature schemes of its load
// balancers. Those from s2n-tls are hints and prove nothing.
//
// Policies and everything they refer to are shared: do not change them.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
package secpolicy

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/pkg/tlsname"
)

// A Policy is a predefined security policy. Application Load Balancers have no
// custom ones.
type Policy struct {
	Name           string            // such as "ELBSecurityPolicy-TLS13-1-2-2021-06"
	Protocols      []tlsname.Version // lowest first
	Ciphers        []tlsname.Suite   // most preferred first, as in DescribeSSLPolicies
	PostQuantum    bool              // offers hybrid post-quantum key exchange, in TLS 1.3 only
	FIPS           bool              // uses the FIPS module
	ForwardSecrecy bool              // every cipher suite has forward secrecy
	Legacy         bool              // AWS no longer documents it for Application Load Balancers

	Status         Status          // how well Ciphers is known as a set
	OrderConfirmed bool            // the order of Ciphers is confirmed by the API or by two sources, except for Unordered
	Unordered      []tlsname.Suite // neighbours in Ciphers, for which sources have both orders
	Unrecognized   []string        // cipher suites in newer data that this version of tlswatch does not know
	Notes          []string        // about the sources

	// Hints from s2n-tls, nil if there are none.
	Groups           []tlsname.Group
	SignatureSchemes []tlsname.SignatureScheme

	// CertificateSchemes may sign the certificates of clients and their issuers,
	// under mutual TLS. Nil means that there is no list, so all may, or that it is
	// unknown like Groups.
	CertificateSchemes []tlsname.SignatureScheme
}

// Status rates the sources of a list of cipher suites.
type Status uint8

const (
	StatusConfirmed    Status = iota // by DescribeSSLPolicies, or by two or more of: AWS documentation, s2n-tls, a table made from AWS pages
	StatusSingleSource               // s2n-tls alone has the list
)

func (s Status) String() string {
	if s == StatusSingleSource {
		return "single-source"
	}
	return "confirmed"
}

// Confirmed reports whether the protocols and the set of cipher suites are
// confirmed. Their order may not be: see OrderConfirmed.
func (p *Policy) Confirmed() bool { return p.Status == StatusConfirmed && len(p.Unrecognized) == 0 }

// Caveat returns what is not confirmed about the policy, "" if everything is, apart
// from Unordered.
func (p *Policy) Caveat() string {
	order := "the order of its cipher suites is not confirmed"
	switch set := p.setCaveat(); {
	case p.OrderConfirmed:
		return set
	case set == "":
		return order
	default:
		return set + "; " + order
	}
}

// setCaveat is Caveat without the order, which does not affect whether the policy
// accepts a client.
func (p *Policy) setCaveat() string {
	switch {
	case len(p.Unrecognized) > 0:
		return "has cipher suites that this version of tlswatch cannot read: " + strings.Join(p.Unrecognized, ", ")
	case p.Status == StatusSingleSource:
		return "its cipher suites are known from one source only (s2n-tls)"
	}
	return ""
}

// MinVersion returns the lowest protocol, 0 if there is none.
func (p *Policy) MinVersion() tlsname.Version {
	if len(p.Protocols) == 0 {
		return 0
	}
	return p.Protocols[0]
}

// MaxVersion returns the highest protocol, 0 if there is none.
func (p *Policy) MaxVersion() tlsname.Version {
	if len(p.Protocols) == 0 {
		return 0
	}
	return p.Protocols[len(p.Protocols)-1]
}

// Position returns the index of a suite in Ciphers, -1 if it is not there.
func (p *Policy) Position(s tlsname.Suite) int { return slices.Index(p.Ciphers, s) }

// Prefers reports whether it is confirmed that the policy has both suites, a
// before b.
func (p *Policy) Prefers(a, b tlsname.Suite) bool {
	i, j := p.Position(a), p.Position(b)
	return p.OrderConfirmed && 0 <= i && i < j && !(slices.Contains(p.Unordered, a) && slices.Contains(p.Unordered, b))
}

// A Set is a collection of policies with different names.
type Set struct {
	policies  []Policy
	Retrieved string // date of the data, YYYY-MM-DD
}

// Builtin returns the policies in the program.
func Builtin() *Set { return &builtin }

// Policies returns all policies, current ones before legacy ones, grouped by
// family.
func (s *Set) Policies() []Policy { return s.policies }

// Lookup returns the policy with the given name. The error says whether AWS source
// code names it.
func (s *Set) Lookup(name string) (*Policy, error) {
	for i := range s.policies {
		if s.policies[i].Name == name {
			return &s.policies[i], nil
		}
	}
	return nil, &unknownError{name, slices.Contains(unavailable, name)}
}

// Lookup looks a policy up in [Builtin].
func Lookup(name string) (*Policy, error) { return builtin.Lookup(name) }

// An unknownError reports that no known policy has this name. AWS may have one.
type unknownError struct {
	Name      string
	Mentioned bool // AWS source code names it, but AWS is not known to offer it
}

func (e *unknownError) Error() string {
	if e.Mentioned {
		return fmt.Sprintf("unknown policy %q: AWS source code names it, but AWS is not known to offer it; refresh with `tlswatch policy update`", e.Name)
	}
	return fmt.Sprintf("unknown policy %q: see `tlswatch policy list`, or refresh with `tlswatch policy update`", e.Name)
}

// Prefix starts every policy's name.
const Prefix = "ELBSecurityPolicy-"
