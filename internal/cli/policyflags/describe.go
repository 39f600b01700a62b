package policyflags

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/text"
	"tlswatch/pkg/secpolicy"
)

// A PolicyJSON is a policy as --format json prints it.
type PolicyJSON struct {
	Name             string   `json:"name"`
	Protocols        []string `json:"protocols"` // lowest first
	Ciphers          []string `json:"ciphers"`   // most preferred first
	PostQuantum      bool     `json:"postQuantum"`
	FIPS             bool     `json:"fips"`
	Confirmed        bool     `json:"confirmed"` // protocols, and ciphers as a set
	ForwardSecrecy   bool     `json:"forwardSecrecy"`
	Legacy           bool     `json:"legacy"`
	CipherStatus     string   `json:"cipherStatus"`     // confirmed or single-source
	OrderConfirmed   bool     `json:"orderConfirmed"`   // except for unorderedCiphers
	UnorderedCiphers []string `json:"unorderedCiphers"` // neighbours whose order is not confirmed
	DisputedCiphers  []string `json:"disputedCiphers"`  // always empty, for one more version
	UnreadCiphers    []string `json:"unreadCiphers"`
	Weaknesses       []string `json:"weaknesses"`
	GroupHints       []string `json:"groupHints"`     // from s2n-tls, not documented
	SignatureHints   []string `json:"signatureHints"` // likewise
	Roles            []string `json:"roles"`          // console-default, api-default, recommended, recommended-rfc9151
	Targets          string   `json:"targets"`        // the policy that the load balancer uses towards targets
	TargetsConfirmed bool     `json:"targetsConfirmed"`
	Caveat           string   `json:"caveat"`
	Notes            []string `json:"notes"`
}

// Describe converts a policy.
func Describe(p *secpolicy.Policy) PolicyJSON {
	targets, confirmed := p.Targets()
	return PolicyJSON{
		Roles: command.Names(p.Roles()), Targets: targets, TargetsConfirmed: confirmed,
		Name: p.Name, Protocols: command.Names(p.Protocols), Ciphers: command.Names(p.Ciphers), PostQuantum: p.PostQuantum, FIPS: p.FIPS,
		Confirmed: p.Confirmed(), ForwardSecrecy: p.ForwardSecrecy, Legacy: p.Legacy, CipherStatus: p.Status.String(),
		OrderConfirmed: p.OrderConfirmed, UnorderedCiphers: command.Names(p.Unordered), DisputedCiphers: []string{}, UnreadCiphers: append([]string{}, p.Unrecognized...),
		Weaknesses: command.Names(p.Weaknesses()), GroupHints: command.Names(p.Groups), SignatureHints: command.Names(p.SignatureSchemes),
		Caveat: p.Caveat(), Notes: append([]string{}, p.Notes...),
	}
}

// ProtocolSpan formats the range of a policy's protocols, which has no gaps.
func ProtocolSpan(p *secpolicy.Policy) string {
	if p.MinVersion() == p.MaxVersion() {
		return p.MinVersion().String()
	}
	return p.MinVersion().String() + " to " + strings.TrimPrefix(p.MaxVersion().String(), "TLSv")
}

// Remarks returns what a list of policies says about one.
func Remarks(p *secpolicy.Policy) string {
	var parts []string
	for _, r := range p.Roles() {
		switch r {
		case secpolicy.ConsoleDefault:
			parts = append(parts, "default of the console")
		case secpolicy.APIDefault:
			parts = append(parts, "default of the API")
		default:
			parts = append(parts, "recommended")
		}
	}
	if p.Legacy {
		parts = append(parts, "legacy")
	}
	switch {
	case len(p.Unrecognized) > 0:
		parts = append(parts, "some ciphers unreadable")
	case p.Status == secpolicy.StatusSingleSource:
		parts = append(parts, "ciphers not confirmed")
	case !p.OrderConfirmed:
		parts = append(parts, "order not confirmed")
	}
	return strings.Join(parts, ", ")
}

// WriteDefaults says which policies new listeners have, and which AWS recommends.
func WriteDefaults(w *console.Writer, set *secpolicy.Set) {
	t := text.Table{Columns: "lw"}
	for _, row := range []struct {
		heading string
		role    secpolicy.Role
	}{
		{"default of the console", secpolicy.ConsoleDefault},
		{"of API, CLI, CloudFormation, Terraform", secpolicy.APIDefault},
		{"recommended by AWS", secpolicy.Recommended},
		{"to begin with RFC 9151", secpolicy.RecommendedRFC9151},
	} {
		for _, p := range set.Policies() {
			if slices.Contains(p.Roles(), row.role) {
				t.Add(row.heading, p.Name)
				row.heading = ""
			}
		}
	}
	fmt.Fprintf(w, "\n  As of %s\n", secpolicy.RolesAsOf)
	w.Table(&t)
}

// TargetsText names the policy towards targets, and says whether that is confirmed.
func TargetsText(p *secpolicy.Policy) string {
	name, confirmed := p.Targets()
	if !confirmed {
		name += " (not confirmed for post-quantum policies)"
	}
	return name
}

// A Verdict says whether a policy accepts a client, as --format json prints it.
type Verdict struct {
	Accepted bool     `json:"accepted"`
	Code     string   `json:"code"`
	Reason   string   `json:"reason"`
	Hints    []string `json:"hints"`
	Caveat   string   `json:"caveat"`
}

// NewVerdict converts a verdict.
func NewVerdict(v secpolicy.Verdict) Verdict {
	return Verdict{v.Accepted, string(v.Code), v.Reason, append([]string{}, v.Hints...), v.Policy.Caveat()}
}

// Changes are what one policy accepts and another does not, as --format json prints
// them.
type Changes struct {
	ProtocolsRemoved []string `json:"protocolsRemoved"`
	ProtocolsAdded   []string `json:"protocolsAdded"`
	CiphersRemoved   []string `json:"ciphersRemoved"`
	CiphersAdded     []string `json:"ciphersAdded"`
}

// NewChanges converts a difference.
func NewChanges(d *secpolicy.Difference) Changes {
	return Changes{command.Names(d.ProtocolsRemoved), command.Names(d.ProtocolsAdded), command.Names(d.CiphersRemoved), command.Names(d.CiphersAdded)}
}
