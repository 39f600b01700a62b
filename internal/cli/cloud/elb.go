package cloud

import (
	"context"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"tlswatch/internal/cli/command"
)

// ELB returns a client of Elastic Load Balancing for a Region, "" for the
// environment's, and that Region.
func ELB(ctx context.Context, region string) (*elb.Client, string, error) {
	cfg, err := load(ctx, awsconfig.WithRegion(region))
	switch {
	case err != nil:
		return nil, "", err
	case cfg.Region == "":
		return nil, "", command.Usagef("no AWS Region: set AWS_REGION, or use --region")
	}
	return elb.NewFromConfig(cfg), cfg.Region, nil
}
