package logkey

import (
	"fmt"
	"strings"
)

// LoadBalancerARN returns the Amazon Resource Name of a load balancer,
// app/NAME/ID or net/NAME/ID.
func LoadBalancerARN(region, account, lb string) string {
	return fmt.Sprintf("arn:%s:elasticloadbalancing:%s:%s:loadbalancer/%s", Partition(region), region, account, lb)
}

// LoadBalancerName returns NAME of app/NAME/ID, by which people know a load
// balancer. Anything of another form is returned as it is.
func LoadBalancerName(lb string) string {
	if parts := strings.Split(lb, "/"); len(parts) == 3 {
		return parts[1]
	}
	return lb
}

// Partition returns the AWS partition of a Region, as in the second element of
// an ARN.
func Partition(region string) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"us-isob-", "aws-iso-b"},
		{"us-isof-", "aws-iso-f"},
		{"us-iso-", "aws-iso"},
		{"eu-isoe-", "aws-iso-e"},
		{"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}
