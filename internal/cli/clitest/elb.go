package clitest

import (
	"testing"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/elb"
)

// StartELB starts a stand-in with some load balancers and points the
// environment at it.
func StartELB(t *testing.T) *localaws.Stack {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{Region: "eu-west-2"})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	stack.ELB.SetLoadBalancers(
		elb.LoadBalancer{Path: "app/shop/50dc6c495c0c9188", Listeners: []elb.Listener{
			{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-2016-08", CertificateARN: "arn:aws:acm:eu-west-2:123456789012:certificate/1"},
			{Port: 8443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-2-2021-06"},
			{Port: 80, Protocol: "HTTP"},
		}},
		elb.LoadBalancer{Path: "net/edge/1234567890abcdef", Listeners: []elb.Listener{
			{Port: 443, Protocol: "TLS", SSLPolicy: "ELBSecurityPolicy-Of-The-Future-2031-01"}, {Port: 53, Protocol: "UDP"},
		}},
		elb.LoadBalancer{Path: "app/bare/fedcba0987654321"},
		elb.LoadBalancer{Path: "app/agency/0011223344556677", Listeners: []elb.Listener{
			{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04"},
		}},
	)
	return stack
}
