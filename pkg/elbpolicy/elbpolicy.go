// Package elbpolicy gets load balancers, listeners and security policies from Elastic
// Load Balancing v2.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/
package elbpolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	"tlswatch/pkg/secpolicy"
)

// An API is what this package needs of *elasticloadbalancingv2.Client.
type API interface {
	elb.DescribeLoadBalancersAPIClient
	elb.DescribeListenersAPIClient
	DescribeSSLPolicies(context.Context, *elb.DescribeSSLPoliciesInput, ...func(*elb.Options)) (*elb.DescribeSSLPoliciesOutput, error)
}

// A LoadBalancer is a load balancer with its listeners.
type LoadBalancer struct {
	ARN       string
	Path      string // "app/NAME/ID", as in connection logs and metrics
	Name      string
	DNSName   string
	Type      string // application or network
	Listeners []Listener
}

// A Listener accepts connections to a port of a load balancer.
type Listener struct {
	ARN             string
	Port            uint16
	Protocol        string // HTTPS, TLS; HTTP, TCP, ...
	Policy          string // security policy; "" without TLS
	CertificateARNs []string
	MutualTLS       string // off, passthrough or verify; "" where it does not apply
}

// LoadBalancers returns the application and network load balancers of the client's
// account and Region for which want returns true for the path, "app/NAME/ID", ordered
// by name, with their listeners by port.
func LoadBalancers(ctx context.Context, client API, want func(path string) bool) ([]LoadBalancer, error) {
	var list []LoadBalancer
	for pages := elb.NewDescribeLoadBalancersPaginator(client, &elb.DescribeLoadBalancersInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain("DescribeLoadBalancers", err)
		}
		for _, lb := range page.LoadBalancers {
			arn := aws.ToString(lb.LoadBalancerArn)
			_, path, _ := strings.Cut(arn, ":loadbalancer/")
			if lb.Type != types.LoadBalancerTypeEnumGateway && want(path) {
				list = append(list, LoadBalancer{ARN: arn, Path: path, Name: aws.ToString(lb.LoadBalancerName), DNSName: aws.ToString(lb.DNSName), Type: string(lb.Type)})
			}
		}
	}
	slices.SortFunc(list, func(a, b LoadBalancer) int { return strings.Compare(a.Name, b.Name) })
	for i := range list {
		listeners, err := listeners(ctx, client, list[i].ARN)
		if err != nil {
			return nil, err
		}
		list[i].Listeners = listeners
	}
	return list, nil
}

// listeners returns the listeners of a load balancer by port.
func listeners(ctx context.Context, client elb.DescribeListenersAPIClient, arn string, options ...func(*elb.Options)) ([]Listener, error) {
	var list []Listener
	in := &elb.DescribeListenersInput{LoadBalancerArn: &arn}
	for pages := elb.NewDescribeListenersPaginator(client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx, options...)
		if err != nil {
			return nil, fmt.Errorf("listeners of %s: %w", arn, explain("DescribeListeners", err))
		}
		for _, l := range page.Listeners {
			listener := Listener{
				ARN: aws.ToString(l.ListenerArn), Port: uint16(aws.ToInt32(l.Port)), Protocol: string(l.Protocol),
			}
			if l.Protocol == types.ProtocolEnumHttps || l.Protocol == types.ProtocolEnumTls {
				listener.Policy = aws.ToString(l.SslPolicy)
			}
			for _, c := range l.Certificates {
				listener.CertificateARNs = append(listener.CertificateARNs, aws.ToString(c.CertificateArn))
			}
			if l.MutualAuthentication != nil {
				listener.MutualTLS = aws.ToString(l.MutualAuthentication.Mode)
			}
			list = append(list, listener)
		}
	}
	slices.SortStableFunc(list, func(a, b Listener) int { return int(a.Port) - int(b.Port) })
	return list, nil
}

// Policies returns the security policies of Application Load Balancers in the client's
// Region, from all pages of DescribeSSLPolicies.
func Policies(ctx context.Context, client API) ([]secpolicy.Description, error) {
	var list []secpolicy.Description
	in := &elb.DescribeSSLPoliciesInput{LoadBalancerType: types.LoadBalancerTypeEnumApplication}
	for {
		out, err := client.DescribeSSLPolicies(ctx, in)
		if err != nil {
			return nil, explain("DescribeSSLPolicies", err)
		}
		for _, p := range out.SslPolicies {
			slices.SortStableFunc(p.Ciphers, func(a, b types.Cipher) int { return int(aws.ToInt32(a.Priority)) - int(aws.ToInt32(b.Priority)) })
			d := secpolicy.Description{Name: aws.ToString(p.Name), Protocols: p.SslProtocols}
			for _, c := range p.Ciphers {
				d.Ciphers = append(d.Ciphers, aws.ToString(c.Name))
			}
			list = append(list, d)
		}
		switch next := out.NextMarker; {
		case aws.ToString(next) == "":
			return list, nil
		case aws.ToString(next) == aws.ToString(in.Marker):
			return nil, fmt.Errorf("DescribeSSLPolicies: the page after %q begins with itself", *next)
		default:
			in.Marker = next
		}
	}
}

// explain adds what to do about an error, if that is known.
func explain(operation string, err error) error {
	if denied(err) {
		return fmt.Errorf("access denied: the caller must be allowed elasticloadbalancing:%s: %w", operation, err)
	}
	return err
}

// denied reports whether IAM denied a call. The code of the query protocol is
// AccessDenied; some endpoints use others.
func denied(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && (api.ErrorCode() == "AccessDenied" || api.ErrorCode() == "AccessDeniedException" || api.ErrorCode() == "UnauthorizedOperation")
}
