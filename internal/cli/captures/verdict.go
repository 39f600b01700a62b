package captures

import (
	"fmt"
	"slices"
	"strings"

	"tlswatch/internal/cli/policyflags"
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A Verdict says whether a policy accepts a ClientHello.
type Verdict struct {
	Policy string `json:"policy"`
	policyflags.Verdict
	AcceptedBy []string `json:"acceptedBy"` // if refused: policies that would, the smallest change first

	loses bool // each of AcceptedBy lacks something that the policy accepts
}

const (
	notJudged  = "not-judged"  // the ClientHello is not whole, or the policy not known
	notApplied = "not-applied" // the server did not acknowledge the whole ClientHello

	// certificateUnknown is the code of a client that is accepted if the
	// listener has the right kind of certificate.
	certificateUnknown = "certificate-unknown"

	maxAcceptedBy = 3
)

// OfferOf returns what the client can negotiate according to its ClientHello.
func OfferOf(h *tlswire.ClientHello) secpolicy.Offer {
	const fallbackSCSV = tlsname.Suite(0x5600) // RFC 7507
	o := secpolicy.Offer{Versions: h.Versions(), Groups: h.Groups, SignatureSchemes: h.SignatureSchemes, Fallback: slices.Contains(h.CipherSuites, fallbackSCSV)}
	for _, s := range h.CipherSuites {
		if !s.IsGREASE() && !s.IsSignalling() {
			o.Suites = append(o.Suites, s)
		}
	}
	return o
}

// NotJudged returns the verdict for a client that cannot be judged.
func NotJudged(policy, reason string) *Verdict {
	return &Verdict{Policy: policy, Verdict: policyflags.Verdict{Code: notJudged, Reason: reason, Hints: []string{}}, AcceptedBy: []string{}}
}

// Judge says whether a policy accepts an offer and, if not, which policies of the set
// would.
func Judge(set *secpolicy.Set, policy *secpolicy.Policy, o secpolicy.Offer) *Verdict {
	v := policy.Accepts(o)
	result := &Verdict{Policy: policy.Name, Verdict: policyflags.NewVerdict(v), AcceptedBy: []string{}}
	if v.Accepted && o.Certificates == 0 && v.Suite.Authentication() != tlsname.AuthAny {
		for _, kind := range []secpolicy.KeyKinds{secpolicy.RSA, secpolicy.ECDSA} {
			o.Certificates = kind
			if !policy.Accepts(o).Accepted {
				other := secpolicy.RSA ^ secpolicy.ECDSA ^ kind
				result.Code = certificateUnknown
				result.Reason += fmt.Sprintf(", if the listener has an %s certificate", other)
			}
		}
		o.Certificates = 0
	}
	if !v.Accepted && v.Code != secpolicy.InappropriateFallback { // the first attempt counts
		needs := secpolicy.Needs{Current: policy, Clients: []secpolicy.Client{{Offers: []secpolicy.Offer{o}}}}
		list := set.Recommend(needs)
		if len(list) == 0 {
			result.loses, needs.Current = true, nil
			list = set.Recommend(needs)
		}
		for _, r := range list[:min(len(list), maxAcceptedBy)] {
			result.AcceptedBy = append(result.AcceptedBy, r.Policy.Name)
		}
	}
	return result
}

// NotApplied returns the verdict on a client whose ClientHello the server did not
// acknowledge whole: the policy did not decide how the handshake ended.
func (v *Verdict) NotApplied() *Verdict {
	n := *v
	n.Accepted, n.Code = false, notApplied
	n.Reason = "the server did not acknowledge the whole ClientHello; with all of it, the policy " + v.decision()
	return &n
}

// Text returns the verdict as a sentence.
func (v *Verdict) Text() string { return strings.TrimSpace(v.Policy + " " + v.decision()) }

// decision is Text without the name of the policy.
func (v *Verdict) decision() string {
	switch {
	case v.Code == notJudged:
		return "not judged: " + v.Reason
	case v.Code == notApplied:
		return "was not applied: " + v.Reason
	case v.Accepted && len(v.Hints) > 0:
		return "may accept it: " + v.Reason
	case v.Accepted:
		return "accepts it: " + v.Reason
	}
	text := "refuses it: " + v.Reason
	switch {
	case v.Code == string(secpolicy.InappropriateFallback):
		return text + "; what matters is why the attempt before it failed"
	case len(v.AcceptedBy) == 0:
		return text + "; no policy is known to accept it"
	case v.loses:
		return text + "; accepted by, though each lacks something that this policy has: " + strings.Join(v.AcceptedBy, ", ")
	}
	return text + "; accepted by, smallest change first: " + strings.Join(v.AcceptedBy, ", ")
}
