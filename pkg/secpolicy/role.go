package secpolicy

import (
	"slices"
	"strings"

	"tlswatch/pkg/tlsname"
)

// A Role is what AWS uses a policy for, or recommends it for.
type Role string

const (
	ConsoleDefault     Role = "console-default"
	APIDefault         Role = "api-default"
	Recommended        Role = "recommended"
	RecommendedRFC9151 Role = "recommended-rfc9151"
)

// String returns the identifier.
func (r Role) String() string { return string(r) }

// Text returns a clause whose subject is the policy.
func (r Role) Text() string {
	switch r {
	case ConsoleDefault:
		return "is the default of the console"
	case APIDefault:
		return "is the default of the API, the CLI, CloudFormation and Terraform"
	case RecommendedRFC9151:
		return "is recommended by AWS to begin with RFC 9151"
	}
	return "is recommended by AWS"
}

// Roles returns the policy's roles as of RolesAsOf.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
func (p *Policy) Roles() []Role {
	var list []Role
	if p.Name == consoleDefault {
		list = append(list, ConsoleDefault)
	}
	if p.Name == apiDefault {
		list = append(list, APIDefault)
	}
	if slices.Contains(recommended, p.Name) {
		list = append(list, Recommended)
	}
	if p.Name == recommendedRFC9151 {
		list = append(list, RecommendedRFC9151)
	}
	return list
}

// Targets returns the name of the policy that a load balancer uses for HTTPS
// connections to targets if its listener has policy p, and whether that is confirmed. It
// cannot be chosen.
func (p *Policy) Targets() (name string, confirmed bool) {
	switch {
	case strings.Contains(p.Name, "-RFC9151-"):
		return targetsOfRFC9151, true
	case p.FIPS:
		name = targetsOfFIPS
	case slices.Contains(p.Protocols, tlsname.TLS13):
		name = targetsOfTLS13
	default:
		name = targetsOfOthers
	}
	return name, !p.PostQuantum
}
