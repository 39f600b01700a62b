package elb_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	local "tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/wire"
)

// A harness is a stack with a real client.
type harness struct {
	*localaws.Stack
	elb *elb.Client
}

func start(t *testing.T, o localaws.Options) *harness {
	t.Helper()
	stack := awstest.Start(t, o)
	return &harness{stack, elb.NewFromConfig(awstest.Config(t))}
}

func shop() local.LoadBalancer {
	return local.LoadBalancer{Path: "app/shop/50dc6c495c0c9188", Listeners: []local.Listener{
		{Port: 80, Protocol: "HTTP"},
		{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-2016-08", CertificateARN: "arn:aws:acm:us-east-1:123456789012:certificate/1"},
	}}
}

func TestDescribeLoadBalancers(t *testing.T) {
	h := start(t, localaws.Options{Region: "eu-west-2"})
	arns := h.ELB.SetLoadBalancers(shop(), local.LoadBalancer{Path: "net/edge/1234567890abcdef"})
	if want := "arn:aws:elasticloadbalancing:eu-west-2:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"; arns[0] != want {
		t.Errorf("ARN %s, want %s", arns[0], want)
	}
	for name, c := range map[string]struct {
		in   elb.DescribeLoadBalancersInput
		want []string // names and types
		code string
	}{
		"all":           {elb.DescribeLoadBalancersInput{}, []string{"shop application", "edge network"}, ""},
		"by ARN":        {elb.DescribeLoadBalancersInput{LoadBalancerArns: arns[1:]}, []string{"edge network"}, ""},
		"by name":       {elb.DescribeLoadBalancersInput{Names: []string{"edge", "shop"}}, []string{"edge network", "shop application"}, ""},
		"by both":       {elb.DescribeLoadBalancersInput{Names: []string{"edge"}, LoadBalancerArns: arns}, nil, "ValidationError"},
		"one is gone":   {elb.DescribeLoadBalancersInput{Names: []string{"shop", "gone"}}, nil, "LoadBalancerNotFound"},
		"a name as ARN": {elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{"shop"}}, nil, "LoadBalancerNotFound"},
		"too many ARNs": {elb.DescribeLoadBalancersInput{LoadBalancerArns: make([]string, 21)}, nil, "ValidationError"},
		"page too long": {elb.DescribeLoadBalancersInput{PageSize: aws.Int32(401)}, nil, "ValidationError"},
		"page empty":    {elb.DescribeLoadBalancersInput{PageSize: aws.Int32(0)}, nil, "ValidationError"},
		"made-up page":  {elb.DescribeLoadBalancersInput{Marker: aws.String("2")}, nil, "ValidationError"},
	} {
		out, err := h.elb.DescribeLoadBalancers(t.Context(), &c.in)
		t.Run(name, func(t *testing.T) { awstest.WantCode(t, err, c.code) })
		if err != nil {
			continue
		}
		var got []string
		for _, lb := range out.LoadBalancers {
			got = append(got, *lb.LoadBalancerName+" "+string(lb.Type))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
}

func TestDescribeListeners(t *testing.T) {
	h := start(t, localaws.Options{})
	arn := h.ELB.SetLoadBalancers(shop())[0]
	out, err := h.elb.DescribeListeners(t.Context(), &elb.DescribeListenersInput{LoadBalancerArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Listeners) != 2 {
		t.Fatalf("%d listeners", len(out.Listeners))
	}
	plain, secure := out.Listeners[0], out.Listeners[1]
	if *plain.Port != 80 || plain.Protocol != types.ProtocolEnumHttp || plain.SslPolicy != nil || len(plain.Certificates) > 0 {
		t.Errorf("plain: %+v", plain)
	}
	if *secure.Port != 443 || *secure.SslPolicy != "ELBSecurityPolicy-2016-08" || *secure.LoadBalancerArn != arn || len(secure.Certificates) != 1 {
		t.Errorf("TLS: %+v", secure)
	}
	if *plain.ListenerArn == *secure.ListenerArn {
		t.Error("two listeners have one ARN")
	}
	for _, c := range []struct {
		in   elb.DescribeListenersInput
		code string
	}{
		{elb.DescribeListenersInput{}, "ValidationError"},
		{elb.DescribeListenersInput{LoadBalancerArn: aws.String("app/shop/50dc6c495c0c9188")}, "ValidationError"},
		{elb.DescribeListenersInput{LoadBalancerArn: aws.String(arn + "0")}, "LoadBalancerNotFound"},
		{elb.DescribeListenersInput{ListenerArns: []string{"arn:1"}}, "ListenerNotFound"},
	} {
		_, err := h.elb.DescribeListeners(t.Context(), &c.in)
		awstest.WantCode(t, err, c.code)
	}
}

// Whatever the page size, and whether the service or the client sets it, every
// item comes once and in order.
func TestPages(t *testing.T) {
	h := start(t, localaws.Options{})
	var want []string
	var policies []local.SSLPolicy
	for i := range 10 {
		name := fmt.Sprintf("ELBSecurityPolicy-%d", i)
		kinds := []string{"application", "network"}
		if i == 9 {
			kinds = kinds[1:]
		} else {
			want = append(want, name)
		}
		policies = append(policies, local.SSLPolicy{Name: name, Protocols: []string{"TLSv1.2", "TLSv1.3"}, Ciphers: []string{"A", "B"}, LoadBalancerTypes: kinds})
	}
	h.ELB.SetSSLPolicies(policies...)
	for _, c := range []struct{ own, asked, calls int }{{400, 0, 1}, {4, 0, 3}, {400, 4, 3}, {4, 100, 3}, {1, 5, 9}, {9, 9, 1}} {
		h.ELB.SetPageSize(c.own)
		h.Calls.Reset()
		var got []string
		in := &elb.DescribeSSLPoliciesInput{LoadBalancerType: types.LoadBalancerTypeEnumApplication}
		if c.asked > 0 {
			in.PageSize = aws.Int32(int32(c.asked))
		}
		for {
			out, err := h.elb.DescribeSSLPolicies(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range out.SslPolicies {
				got = append(got, *p.Name)
				if len(p.SslProtocols) != 2 || len(p.Ciphers) != 2 || *p.Ciphers[1].Name != "B" || *p.Ciphers[1].Priority != 2 {
					t.Errorf("%+v", p)
				}
			}
			if in.Marker = out.NextMarker; in.Marker == nil {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%+v: -want +got\n%s", c, d)
		}
		if n := h.Calls.Counts()["elasticloadbalancing:DescribeSSLPolicies"]; n != c.calls {
			t.Errorf("%+v: %d calls", c, n)
		}
	}
	_, err := h.elb.DescribeSSLPolicies(t.Context(), &elb.DescribeSSLPoliciesInput{Names: []string{"ELBSecurityPolicy-1", "ELBSecurityPolicy-99"}})
	awstest.WantCode(t, err, "SSLPolicyNotFound")
}

func TestFaults(t *testing.T) {
	h := start(t, localaws.Options{})
	h.ELB.SetLoadBalancers(shop())
	h.ELB.SetFaults(wire.Refuse(400, "Throttling").Once("elasticloadbalancing:DescribeLoadBalancers", 1))
	if _, err := h.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{}); err != nil {
		t.Errorf("throttled once: %v", err)
	}
	if n := h.Calls.Counts()["elasticloadbalancing:DescribeLoadBalancers"]; n != 2 {
		t.Errorf("%d calls", n)
	}
	h.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	_, err := h.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{})
	awstest.WantCode(t, err, "AccessDenied")
}
