package cloud

import (
	"context"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
)

// ELB returns a client of Elastic Load Balancing, and its Region.
func ELB(ctx context.Context) (*elb.Client, string, error) {
	cfg, err := Config(ctx, "")
	if err != nil {
		return nil, "", err
	}
	return elb.NewFromConfig(cfg), cfg.Region, nil
}
