package captures

import (
	"fmt"
	"strings"

	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A Verdict is what a policy says to a ClientHello.
type Verdict struct {
	Policy     string   `json:"policy"`
	Accepted   bool     `json:"accepted"`
	Code       string   `json:"code"`
	Reason     string   `json:"reason"`
	Hints      []string `json:"hints"`
	Caveat     string   `json:"caveat"`
	AcceptedBy []string `json:"acceptedBy"` // if refused: policies that would, strictest first
}

const (
	NotJudged = "not-judged" // the ClientHello is not whole, or the policy not known

	// certificateUnknown is the code of a client that is accepted if the
	// listener has the right kind of certificate.
	certificateUnknown = "certificate-unknown"

	maxAcceptedBy = 3
)

// OfferOf is what a ClientHello says about what a client can negotiate.
func OfferOf(h *clienthello.ClientHello) secpolicy.Offer {
	o := secpolicy.Offer{Versions: h.Versions(), Groups: h.Groups, SignatureSchemes: h.SignatureSchemes}
	for _, s := range h.CipherSuites {
		if !s.IsGREASE() && !s.IsSignalling() {
			o.Suites = append(o.Suites, s)
		}
	}
	return o
}

func Judge(set *secpolicy.Set, policy *secpolicy.Policy, o secpolicy.Offer) *Verdict {
	v := policy.Accepts(o)
	result := &Verdict{
		Policy: v.Policy.Name, Accepted: v.Accepted, Code: string(v.Code), Reason: v.Reason,
		Hints: append([]string{}, v.Hints...), Caveat: v.Policy.Caveat(), AcceptedBy: []string{},
	}
	if v.Accepted && o.Certificates == 0 && v.Suite.Authentication() != tlsname.AuthAny {
		for _, kind := range []secpolicy.Certificates{secpolicy.RSA, secpolicy.ECDSA} {
			o.Certificates = kind
			if !policy.Accepts(o).Accepted {
				other := secpolicy.RSA ^ secpolicy.ECDSA ^ kind
				result.Code = certificateUnknown
				result.Reason += fmt.Sprintf(", if the listener has an %s certificate", other)
			}
		}
		o.Certificates = 0
	}
	if !v.Accepted {
		for _, s := range set.Suggest([]secpolicy.Offer{o}, secpolicy.Constraints{}) {
			if len(result.AcceptedBy) < maxAcceptedBy {
				result.AcceptedBy = append(result.AcceptedBy, s.Policy.Name)
			}
		}
	}
	return result
}

// Text is the verdict in a sentence.
func (v *Verdict) Text() string {
	switch {
	case v.Code == NotJudged:
		return strings.TrimSpace(v.Policy + " not judged: " + v.Reason)
	case v.Accepted:
		return v.Policy + " accepts it: " + v.Reason
	}
	text := v.Policy + " refuses it: " + v.Reason
	if len(v.AcceptedBy) > 0 {
		return text + "; would accept it, strictest first: " + strings.Join(v.AcceptedBy, ", ")
	}
	return text + "; no policy would accept it"
}
