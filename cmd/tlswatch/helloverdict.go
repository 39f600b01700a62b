package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A helloJudge says whether a security policy accepts ClientHellos.
type helloJudge struct {
	name         string
	certificates []string
	data         policyData

	set    *secpolicy.Set
	policy *secpolicy.Policy // nil if there is nothing to judge by
	kinds  secpolicy.Certificates
	known  map[string]*helloVerdict // by offer: captures repeat themselves
}

// A helloVerdict is what a policy says to a ClientHello.
type helloVerdict struct {
	Policy     string   `json:"policy"`
	Accepted   bool     `json:"accepted"`
	Code       string   `json:"code"`
	Reason     string   `json:"reason"`
	Hints      []string `json:"hints"`
	Caveat     string   `json:"caveat"`
	AcceptedBy []string `json:"acceptedBy"` // if refused: policies that would, strictest first
}

const (
	notJudged = "not-judged" // the ClientHello is not whole

	// certificateUnknown is the code of a client that is accepted if the
	// listener has the right kind of certificate.
	certificateUnknown = "certificate-unknown"

	maxAcceptedBy = 3
	maxVerdicts   = 10_000 // remembered
)

func (j *helloJudge) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&j.name, "policy", "", "say whether this ELB security policy accepts each client, and which would")
	f.StringArrayVar(&j.certificates, "certificate", nil, "kind of certificate that the listener has, rsa or ecdsa (default: any that is needed)")
	j.data.addFlag(cmd)
	completeFlag(cmd, "policy", completePolicies(&j.data, 0))
}

// prepare reads the flags.
func (j *helloJudge) prepare(context.Context) error {
	var err error
	if j.kinds, err = parseCertificates(j.certificates); err != nil || j.name == "" {
		return err
	}
	if j.set, err = j.data.load(); err != nil {
		return err
	}
	if j.policy, err = lookupPolicy(j.set, j.name); err != nil {
		return err
	}
	j.known = make(map[string]*helloVerdict)
	return nil
}

// verdict is nil if there is no policy or no ClientHello.
func (j *helloJudge) verdict(h *clienthello.Handshake) *helloVerdict {
	if j.policy == nil || !h.Protocol.TLS() {
		return nil
	}
	if h.Hello == nil || h.Fault != nil {
		return &helloVerdict{Policy: j.policy.Name, Code: notJudged, Reason: "the ClientHello is not whole", Hints: []string{}, AcceptedBy: []string{}}
	}
	offer := j.offer(h.Hello)
	key := fmt.Sprint(offer)
	v := j.known[key]
	if v == nil {
		if len(j.known) == maxVerdicts {
			clear(j.known)
		}
		v = j.judge(offer)
		j.known[key] = v
	}
	return v
}

// offer is what a ClientHello says about what a client can negotiate.
func (j *helloJudge) offer(h *clienthello.ClientHello) secpolicy.Offer {
	o := secpolicy.Offer{Versions: h.Versions(), Groups: h.Groups, Certificates: j.kinds}
	for _, s := range h.CipherSuites {
		if !s.IsGREASE() && !s.IsSignalling() {
			o.Suites = append(o.Suites, s)
		}
	}
	for _, s := range h.SignatureSchemes {
		o.SignatureSchemes = append(o.SignatureSchemes, secpolicy.SignatureScheme(s))
	}
	return o
}

func (j *helloJudge) judge(o secpolicy.Offer) *helloVerdict {
	v := j.policy.Accepts(o)
	result := &helloVerdict{
		Policy: v.Policy.Name, Accepted: v.Accepted, Code: string(v.Code), Reason: v.Reason,
		Hints: append([]string{}, v.Hints...), Caveat: v.Policy.Caveat(), AcceptedBy: []string{},
	}
	if v.Accepted && o.Certificates == 0 && v.Suite.Authentication() != tlsname.AuthAny {
		for _, kind := range []secpolicy.Certificates{secpolicy.RSA, secpolicy.ECDSA} {
			o.Certificates = kind
			if !j.policy.Accepts(o).Accepted {
				other := secpolicy.RSA ^ secpolicy.ECDSA ^ kind
				result.Code = certificateUnknown
				result.Reason += fmt.Sprintf(", if the listener has an %s certificate", other)
			}
		}
		o.Certificates = 0
	}
	if !v.Accepted {
		for _, s := range j.set.Suggest([]secpolicy.Offer{o}, secpolicy.Constraints{}) {
			if len(result.AcceptedBy) < maxAcceptedBy {
				result.AcceptedBy = append(result.AcceptedBy, s.Policy.Name)
			}
		}
	}
	return result
}
