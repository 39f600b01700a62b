package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A helloJudge says whether security policies accept ClientHellos.
type helloJudge struct {
	policyFlags
	certificates []string

	judge        *judge // nil if there is nothing to judge by
	loadBalancer string
	kinds        secpolicy.Certificates
	known        map[string]*helloVerdict // by policy and offer: captures repeat themselves
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
	notJudged = "not-judged" // the ClientHello is not whole, or the policy not known

	// certificateUnknown is the code of a client that is accepted if the
	// listener has the right kind of certificate.
	certificateUnknown = "certificate-unknown"

	maxAcceptedBy = 3
	maxVerdicts   = 10_000 // remembered
)

func (j *helloJudge) register(cmd *cobra.Command) {
	j.policyFlags.register(cmd)
	f := cmd.Flags()
	f.Lookup("policy").Usage = "say whether the listener's security policy accepts each client, and which would: its name, 443=NAME,8443=NAME by port, or live to ask Elastic Load Balancing"
	f.StringVar(&j.loadBalancer, "load-balancer", "", "with --policy live, the load balancer of the captures: NAME or app/NAME/ID")
	f.StringArrayVar(&j.certificates, "certificate", nil, "kind of certificate that the listener has, rsa or ecdsa (default: any that is needed)")
	completeFlag(cmd, "certificate", cobra.FixedCompletions([]string{"rsa", "ecdsa"}, cobra.ShellCompDirectiveNoFileComp))
}

// prepare reads the flags.
func (j *helloJudge) prepare(ctx context.Context) error {
	var err error
	if j.kinds, err = parseCertificates(j.certificates); err != nil {
		return err
	}
	if j.loadBalancer != "" && j.policyFlags.policy != livePolicy {
		return &usageError{errors.New("--load-balancer is for --policy live")}
	}
	if j.judge, err = j.load(ctx); err != nil || j.judge == nil {
		return err
	}
	j.known = make(map[string]*helloVerdict)
	if j.judge.live == nil {
		return nil
	}
	wanted := j.loadBalancer
	var paths []string
	for path := range j.judge.live {
		if name := strings.Split(path, "/"); wanted == "" || wanted == path || len(name) > 1 && wanted == name[1] {
			paths = append(paths, path)
		}
	}
	switch slices.Sort(paths); len(paths) {
	case 1:
		j.loadBalancer = paths[0]
		return nil
	case 0:
		return fmt.Errorf("--policy live: there is no load balancer %s", cmp.Or(wanted, "here"))
	}
	return &usageError{fmt.Errorf("--policy live: say with --load-balancer which of %s the captures are of", strings.Join(paths, ", "))}
}

// verdict is nil if there is no policy or no ClientHello.
func (j *helloJudge) verdict(h *clienthello.Handshake) *helloVerdict {
	if j.judge == nil || !h.Protocol.TLS() {
		return nil
	}
	policy := j.judge.at(j.loadBalancer, h.Server.Port())
	if policy == nil {
		return &helloVerdict{Code: notJudged, Reason: fmt.Sprintf("the security policy of port %d is not known", h.Server.Port()), Hints: []string{}, AcceptedBy: []string{}}
	}
	if h.Hello == nil || h.Fault != nil {
		return &helloVerdict{Policy: policy.Name, Code: notJudged, Reason: "the ClientHello is not whole", Hints: []string{}, AcceptedBy: []string{}}
	}
	offer := offerOf(h.Hello)
	offer.Certificates = j.kinds
	key := fmt.Sprint(policy.Name, offer)
	v := j.known[key]
	if v == nil {
		if len(j.known) == maxVerdicts {
			clear(j.known)
		}
		v = judgeOffer(j.judge.set, policy, offer)
		j.known[key] = v
	}
	return v
}

// offerOf is what a ClientHello says about what a client can negotiate.
func offerOf(h *clienthello.ClientHello) secpolicy.Offer {
	o := secpolicy.Offer{Versions: h.Versions(), Groups: h.Groups, SignatureSchemes: h.SignatureSchemes}
	for _, s := range h.CipherSuites {
		if !s.IsGREASE() && !s.IsSignalling() {
			o.Suites = append(o.Suites, s)
		}
	}
	return o
}

func judgeOffer(set *secpolicy.Set, policy *secpolicy.Policy, o secpolicy.Offer) *helloVerdict {
	v := policy.Accepts(o)
	result := &helloVerdict{
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

// text is the verdict in a sentence.
func (v *helloVerdict) text() string {
	switch {
	case v.Code == notJudged:
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
