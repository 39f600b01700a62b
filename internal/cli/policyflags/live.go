package policyflags

import (
	"context"
	"fmt"

	"tlswatch/internal/cli/cloud"
	"tlswatch/pkg/elbpolicy"
	"tlswatch/pkg/secpolicy"
)

// Live stands in flags for the policies that listeners have now.
const Live = "live"

// livePolicies returns the policies that the TLS listeners of the Region have now, by load balancer ("app/NAME/ID").
func livePolicies(ctx context.Context) (map[string]secpolicy.ListenerPolicies, error) {
	client, _, err := cloud.ELB(ctx)
	if err != nil {
		return nil, err
	}
	list, err := elbpolicy.LoadBalancers(ctx, client, func(string) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("%w\nor use the name of a policy in place of live, which needs no access to AWS", cloud.Explain(err))
	}
	policies := make(map[string]secpolicy.ListenerPolicies)
	for _, lb := range list {
		policies[lb.Path] = make(secpolicy.ListenerPolicies)
		for _, l := range lb.Listeners {
			if l.Policy != "" {
				policies[lb.Path][l.Port] = l.Policy
			}
		}
	}
	return policies, nil
}
