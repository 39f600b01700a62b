package main

import (
	"context"
	"errors"
	"fmt"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"tlswatch/pkg/elbpolicy"
	"tlswatch/pkg/pipeline"
)

// livePolicy is the word that flags take in place of a policy, for those that
// the listeners have now.
const livePolicy = "live"

// newELB returns a client of Elastic Load Balancing for a region, "" for that
// of the environment.
func newELB(ctx context.Context, region string) (*elb.Client, string, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("AWS configuration: %w", err)
	case cfg.Region == "":
		return nil, "", &usageError{errors.New("which region? --region or AWS_REGION says so")}
	}
	return elb.NewFromConfig(cfg), cfg.Region, nil
}

// livePolicies returns the policies that the TLS listeners of a region have
// now, by load balancer ("app/NAME/ID").
func livePolicies(ctx context.Context, region string) (map[string]pipeline.ListenerPolicies, error) {
	client, _, err := newELB(ctx, region)
	if err != nil {
		return nil, err
	}
	list, err := elbpolicy.LoadBalancers(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: it needs elasticloadbalancing:DescribeLoadBalancers and DescribeListeners, in the region of the load balancers; the name of a policy needs nothing", err)
	}
	policies := make(map[string]pipeline.ListenerPolicies)
	for _, lb := range list {
		policies[lb.Path] = make(pipeline.ListenerPolicies)
		for _, l := range lb.Listeners {
			if l.Policy != "" {
				policies[lb.Path][l.Port] = l.Policy
			}
		}
	}
	return policies, nil
}
