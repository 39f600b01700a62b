// Package secpolicy knows the security policies of Elastic Load Balancing:
// which TLS versions and cipher suites each one accepts, in which order, and
// how sure that is. It answers whether a policy accepts what a client offers
// ([Policy.Accepts]), how policies differ ([Compare]) and which policies are
// strictest for given clients ([Set.Suggest]).
//
// The policies are compiled in, from public documentation, captures of
// DescribeSSLPolicies and the source of s2n-tls, AWS's TLS library. [Load]
// reads newer ones. AWS documents protocols and cipher suites. It does not
// document the key-exchange groups (other than the hybrid ones) and signature
// schemes of its load balancers; what s2n-tls says about them is given as a
// hint and proves nothing.
//
// Policies, and all that they refer to, are shared: do not change them.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
package secpolicy

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/pkg/tlsname"
)

// A Policy is a predefined security policy of a load balancer. There are no
// others for Application Load Balancers.
type Policy struct {
	Name           string            // such as "ELBSecurityPolicy-TLS13-1-2-2021-06"
	Protocols      []tlsname.Version // lowest first
	Ciphers        []tlsname.Suite   // most preferred first, as in DescribeSSLPolicies
	PostQuantum    bool              // offers hybrid post-quantum key exchange, in TLS 1.3 only
	FIPS           bool              // uses the FIPS module
	ForwardSecrecy bool              // every cipher suite has forward secrecy
	Legacy         bool              // AWS no longer names it for Application Load Balancers

	Status         Status          // of Ciphers as a set
	OrderConfirmed bool            // of Ciphers: by the API, or by two sources
	Disputed       []tlsname.Suite // not in Ciphers; some sources have them
	Unrecognized   []string        // names of cipher suites, from newer data, that this version cannot read
	Notes          []string        // for people, about the sources

	// Hints from s2n-tls; nil if there are none.
	Groups           []tlsname.Group
	SignatureSchemes []tlsname.SignatureScheme
}

// Status says how well a list of cipher suites is known.
type Status uint8

const (
	StatusConfirmed    Status = iota // by DescribeSSLPolicies, or by two or more of: AWS documentation, s2n-tls, a table made from AWS pages
	StatusSingleSource               // s2n-tls alone has the list
	StatusDisputed                   // sources differ
)

func (s Status) String() string {
	switch s {
	case StatusConfirmed:
		return "confirmed"
	case StatusSingleSource:
		return "single-source"
	}
	return "disputed"
}

// Confirmed reports whether the protocols and the set of cipher suites are
// certain. The order of the suites may still not be: see OrderConfirmed.
func (p *Policy) Confirmed() bool { return p.Status == StatusConfirmed && len(p.Unrecognized) == 0 }

// Caveat says for people what about the policy is not confirmed, "" if
// everything is.
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

// setCaveat is Caveat without the order, which does not matter to whether a
// client is accepted.
func (p *Policy) setCaveat() string {
	switch {
	case len(p.Unrecognized) > 0:
		return "has cipher suites that this version of tlswatch cannot read: " + strings.Join(p.Unrecognized, ", ")
	case p.Status == StatusSingleSource:
		return "its cipher suites are known from one source only (s2n-tls)"
	case p.Status == StatusDisputed:
		return "sources differ about its cipher suites"
	}
	return ""
}

// MinVersion and MaxVersion are the ends of p.Protocols, 0 if it is empty.
func (p *Policy) MinVersion() tlsname.Version {
	if len(p.Protocols) == 0 {
		return 0
	}
	return p.Protocols[0]
}

func (p *Policy) MaxVersion() tlsname.Version {
	if len(p.Protocols) == 0 {
		return 0
	}
	return p.Protocols[len(p.Protocols)-1]
}

// Position returns the place of a cipher suite in the order of preference,
// -1 if the policy does not have it.
func (p *Policy) Position(s tlsname.Suite) int { return slices.Index(p.Ciphers, s) }

// A Set is a collection of policies under their names.
type Set struct {
	policies  []Policy
	Retrieved string // date of the data, YYYY-MM-DD
}

// Builtin returns the policies that are compiled in.
func Builtin() *Set { return &builtin }

// Policies returns all policies: current ones before legacy ones, families together.
func (s *Set) Policies() []Policy { return s.policies }

// Lookup returns the policy with the given name. The error says whether AWS mentions that name.
func (s *Set) Lookup(name string) (*Policy, error) {
	for i := range s.policies {
		if s.policies[i].Name == name {
			return &s.policies[i], nil
		}
	}
	return nil, &unknownError{name, slices.Contains(unavailable, name)}
}

// Lookup is that of [Builtin].
func Lookup(name string) (*Policy, error) { return builtin.Lookup(name) }

// An unknownError says that no known policy has this name. It does not say
// whether AWS has such a policy.
type unknownError struct {
	Name      string
	Mentioned bool // in source code of AWS, but not among the policies that it offers
}

func (e *unknownError) Error() string {
	if e.Mentioned {
		return fmt.Sprintf("unknown policy %q: AWS source code names it, but AWS is not known to offer it; refresh with `tlswatch policy update`", e.Name)
	}
	return fmt.Sprintf("unknown policy %q: see `tlswatch policy list`, or refresh with `tlswatch policy update`", e.Name)
}

// Prefix begins the names of all policies.
const Prefix = "ELBSecurityPolicy-"
