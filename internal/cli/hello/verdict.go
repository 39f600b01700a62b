package hello

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/captures"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/policies"
	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/secpolicy"
)

// verdicts says whether security policies accept ClientHellos.
type verdicts struct {
	policies.Flags
	certificates []string

	judge        *policies.Judge // nil if there is nothing to judge by
	loadBalancer string
	kinds        secpolicy.Certificates
	known        map[string]*captures.Verdict // by policy and offer: captures repeat themselves
}

const maxVerdicts = 10_000 // remembered

func (j *verdicts) register(cmd *cobra.Command) {
	j.Flags.Register(cmd)
	f := cmd.Flags()
	f.Lookup("policy").Usage = "say whether the listener's security policy accepts each client, and which would: its name, 443=NAME,8443=NAME by port, or live to ask Elastic Load Balancing"
	f.StringVar(&j.loadBalancer, "load-balancer", "", "with --policy live, the load balancer of the captures: NAME or app/NAME/ID")
	f.StringArrayVar(&j.certificates, "certificate", nil, "kind of certificate that the listener has, rsa or ecdsa (default: any that is needed)")
	command.CompleteWith(cmd, "certificate", "rsa", "ecdsa")
}

// prepare reads the flags.
func (j *verdicts) prepare(ctx context.Context) error {
	var err error
	if j.kinds, err = policies.ParseCertificates(j.certificates); err != nil {
		return err
	}
	if j.loadBalancer != "" && j.Flags.Policy != policies.Live {
		return command.Usagef("--load-balancer is for --policy live")
	}
	if j.judge, err = j.Load(ctx); err != nil || j.judge == nil {
		return err
	}
	j.known = make(map[string]*captures.Verdict)
	all, live := j.judge.LoadBalancers()
	if !live {
		return nil
	}
	wanted := j.loadBalancer
	var paths []string
	for _, path := range all {
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
	return command.Usagef("--policy live: say with --load-balancer which of %s the captures are of", strings.Join(paths, ", "))
}

// verdict is nil if there is no policy or no ClientHello.
func (j *verdicts) verdict(h *clienthello.Handshake) *captures.Verdict {
	if j.judge == nil || !h.Protocol.TLS() {
		return nil
	}
	policy := j.judge.PolicyAt(j.loadBalancer, h.Server.Port())
	if policy == nil {
		return &captures.Verdict{Code: captures.NotJudged, Reason: fmt.Sprintf("the security policy of port %d is not known", h.Server.Port()), Hints: []string{}, AcceptedBy: []string{}}
	}
	if h.Hello == nil || h.Fault != nil {
		return &captures.Verdict{Policy: policy.Name, Code: captures.NotJudged, Reason: "the ClientHello is not whole", Hints: []string{}, AcceptedBy: []string{}}
	}
	offer := captures.OfferOf(h.Hello)
	offer.Certificates = j.kinds
	key := fmt.Sprint(policy.Name, offer)
	v := j.known[key]
	if v == nil {
		if len(j.known) == maxVerdicts {
			clear(j.known)
		}
		v = captures.Judge(j.judge.Set, policy, offer)
		j.known[key] = v
	}
	return v
}
