package hello

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/captures"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/secpolicy"
)

// verdicts judges ClientHellos by security policies.
type verdicts struct {
	policyflags.Flags
	certificates  []string
	loadBalancers []string

	judge        *policyflags.Judge // nil if there is nothing to judge by
	loadBalancer string             // with --policy live, app/NAME/ID of the captures' one
	kinds        secpolicy.KeyKinds
	known        map[string]*captures.Verdict // by policy and offer: captures repeat themselves
}

const maxVerdicts = 10_000 // remembered

func (j *verdicts) register(cmd *cobra.Command) {
	j.Flags.Register(cmd, "says whether it accepts each client, and which policies would")
	f := cmd.Flags()
	f.StringArrayVar(&j.loadBalancers, "load-balancer", nil, command.LoadBalancerUsage+"; the one that the captures are from, for --policy live")
	f.StringArrayVar(&j.certificates, "certificate", nil, command.CertificateUsage+" (default: whichever the client needs)")
	command.CompleteWith(cmd, "certificate", "rsa", "ecdsa")
}

// prepare reads the flags.
func (j *verdicts) prepare(ctx context.Context) error {
	kinds, err := policyflags.ParseCertificates(j.certificates)
	if err != nil {
		return err
	}
	j.kinds = kinds
	wanted, err := input.ParseLoadBalancers(j.loadBalancers)
	switch {
	case err != nil:
		return err
	case len(wanted) > 1:
		return command.Usagef("--load-balancer must name one load balancer, not %d", len(wanted))
	case len(wanted) == 1 && j.Flags.Policy != policyflags.Live:
		return command.Usagef("--load-balancer is for --policy live")
	}
	if j.judge, err = j.Judge(ctx); err != nil || j.judge == nil {
		return err
	}
	j.known = make(map[string]*captures.Verdict)
	all, live := j.judge.LoadBalancers()
	if !live {
		return nil
	}
	var paths []string
	for _, path := range all {
		if len(wanted) == 0 || wanted.Match(path) {
			paths = append(paths, path)
		}
	}
	for _, miss := range wanted.Missing(all) {
		return fmt.Errorf("--policy live: there is no load balancer %s; there are: %s", miss.Value, cmp.Or(miss.Nearest, "none"))
	}
	switch slices.Sort(paths); len(paths) {
	case 1:
		j.loadBalancer = paths[0]
		return nil
	case 0:
		return errors.New("--policy live: there is no load balancer in this Region")
	}
	return command.Usagef("--policy live: --load-balancer must say which load balancer the captures are from: %s", strings.Join(paths, ", "))
}

// verdict judges a handshake. It returns nil without a policy or a ClientHello.
func (j *verdicts) verdict(h *clienthello.Handshake) *captures.Verdict {
	if j.judge == nil || !h.Protocol.TLS() {
		return nil
	}
	policy := j.judge.PolicyAt(j.loadBalancer, h.Server.Port())
	if policy == nil {
		return captures.NotJudged("", fmt.Sprintf("the security policy of port %d is unknown", h.Server.Port()))
	}
	if h.Hello == nil || h.Fault != nil {
		return captures.NotJudged(policy.Name, "the ClientHello is incomplete")
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
	if h.Outcome.HalfDelivered != nil {
		return v.NotApplied()
	}
	return v
}
