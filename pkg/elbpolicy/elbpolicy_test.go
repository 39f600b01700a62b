package elbpolicy

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	localelb "tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/secpolicy"
)

const (
	account = "123456789012"
	region  = "us-east-1"
	shop    = "app/shop/50dc6c495c0c9188"

	describeListeners = "elasticloadbalancing:DescribeListeners"
)

// newClient returns a client from the environment like the function's, but with
// a shorter back-off.
func newClient(t *testing.T, env map[string]string) *elb.Client {
	t.Helper()
	awstest.Setenv(t, env)
	c := awstest.Config(t)
	return elb.NewFromConfig(c)
}

func start(t *testing.T) (*localaws.Stack, *elb.Client) {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{})
	stack.ELB.SetLoadBalancers(
		localelb.LoadBalancer{Path: shop, Listeners: []localelb.Listener{
			{Port: 8443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-FS-2018-06", CertificateARN: "arn:1"},
			{Port: 80, Protocol: "HTTP"},
			{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-2016-08", CertificateARN: "arn:2"},
		}},
		localelb.LoadBalancer{Path: "net/edge/1234567890abcdef", Listeners: []localelb.Listener{
			{Port: 443, Protocol: "TLS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-2-2021-06"}, {Port: 53, Protocol: "UDP"},
		}},
		localelb.LoadBalancer{Path: "app/empty/fedcba0987654321"},
	)
	return stack, newClient(t, stack.Env())
}

var shopPolicies = secpolicy.ListenerPolicies{443: "ELBSecurityPolicy-2016-08", 8443: "ELBSecurityPolicy-FS-2018-06"}

// A lookup is a Lookup of a stand-in, with a settable clock.
type lookup struct {
	*Lookup
	*localaws.Stack
	time time.Time
}

func newLookup(t *testing.T) *lookup {
	t.Helper()
	stack, client := start(t)
	l := &lookup{Stack: stack, time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	l.Lookup = NewLookup(client, func() time.Time { return l.time })
	l.Lookup.timeout = time.Minute // but for tests that wait for it
	return l
}

// want looks up, and checks the answer, a part of the error ("" for none) and the
// number of calls.
func (l *lookup) want(t *testing.T, path string, want secpolicy.ListenerPolicies, problem string, calls int) {
	t.Helper()
	before := l.Calls.Counts()[describeListeners]
	got, err := l.Policies(t.Context(), account, region, path)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("policies: -want +got\n%s", d)
	}
	if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
		t.Errorf("error %v, want %q", err, problem)
	}
	if n := l.Calls.Counts()[describeListeners] - before; n != calls {
		t.Errorf("%d calls, want %d", n, calls)
	}
}

func TestLookup(t *testing.T) {
	l := newLookup(t)
	l.want(t, shop, shopPolicies, "", 1)
	l.time = l.time.Add(maxAge - 1)
	l.want(t, shop, shopPolicies, "", 0)
	l.want(t, "net/edge/1234567890abcdef", secpolicy.ListenerPolicies{443: "ELBSecurityPolicy-TLS13-1-2-2021-06"}, "", 1)
	l.want(t, "app/empty/fedcba0987654321", secpolicy.ListenerPolicies{}, "", 1)

	l.ELB.SetLoadBalancers(localelb.LoadBalancer{Path: shop, Listeners: []localelb.Listener{{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-3-2021-06"}}})
	l.want(t, shop, shopPolicies, "", 0)
	l.time = l.time.Add(1)
	l.want(t, shop, secpolicy.ListenerPolicies{443: "ELBSecurityPolicy-TLS13-1-3-2021-06"}, "", 1)
}

func TestLookupPages(t *testing.T) {
	l := newLookup(t)
	l.ELB.SetPageSize(1)
	l.want(t, shop, shopPolicies, "", 3)
	l.want(t, shop, shopPolicies, "", 0)
}

// TestLookupFails checks that a failure is reported once, delays the next call,
// and leaves the last answer in use.
func TestLookupFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault wire.Fault
		calls int
		want  string
	}{
		"throttled":       {wire.Refuse(400, "Throttling"), 3, "Throttling"},
		"server error":    {wire.Refuse(500, "InternalFailure"), 3, "InternalFailure"},
		"hung up":         {wire.Fault{Kind: wire.FaultClose}, 3, "EOF"},
		"reply cut":       {wire.Fault{Kind: wire.FaultReplyCut}, 1, "deserialization"},
		"no such balance": {wire.Refuse(400, "LoadBalancerNotFound"), 1, "LoadBalancerNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLookup(t)
			l.ELB.SetFaults(func(string, int) wire.Fault { return c.fault })
			l.want(t, shop, nil, c.want, c.calls)
			l.want(t, shop, nil, "", 0)
			l.time = l.time.Add(retryAfter - 1)
			l.want(t, shop, nil, "", 0)
			l.time = l.time.Add(1)
			l.want(t, shop, nil, c.want, c.calls)

			l.ELB.SetFaults(nil)
			l.time = l.time.Add(retryAfter)
			l.want(t, shop, shopPolicies, "", 1)
			l.ELB.SetFaults(func(string, int) wire.Fault { return c.fault })
			l.time = l.time.Add(maxAge)
			l.want(t, shop, shopPolicies, c.want, c.calls)
			l.want(t, shop, shopPolicies, "", 0)
		})
	}
}

// TestLookupDenied checks that missing permission is reported once per account,
// and delays the next call for as long as an answer would be kept.
func TestLookupDenied(t *testing.T) {
	l := newLookup(t)
	l.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	l.want(t, shop, nil, "must be allowed elasticloadbalancing:DescribeListeners", 1)
	l.want(t, shop, nil, "", 0)
	l.want(t, "app/other/1234567890abcdef", nil, "", 0)
	if _, err := l.Policies(t.Context(), "210987654321", region, shop); err == nil {
		t.Error("no error for another account")
	}
	l.time = l.time.Add(maxAge)
	l.want(t, shop, nil, "", 1) // it was said before
	l.want(t, shop, nil, "", 0)
	l.ELB.SetFaults(nil) // somebody allowed it
	l.time = l.time.Add(maxAge)
	l.want(t, shop, shopPolicies, "", 1)
}

// TestLookupTimeout checks that a service without answers costs the time-out once.
func TestLookupTimeout(t *testing.T) {
	l := newLookup(t)
	l.timeout = 20 * time.Millisecond
	l.ELB.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: time.Hour} })
	_, err := l.Policies(t.Context(), account, region, shop)
	if err == nil || !strings.Contains(err.Error(), "no answer within 20ms") || !strings.Contains(err.Error(), shop) {
		t.Errorf("error %v", err)
	}
	l.timeout = time.Hour
	l.want(t, shop, nil, "", 0)
}

// TestLookupCut checks that a caller without time left gets no error, and that the
// next caller makes the call.
func TestLookupCut(t *testing.T) {
	l := newLookup(t)
	ctx, cancel := context.WithCancel(t.Context())
	l.ELB.SetFaults(func(string, int) wire.Fault {
		cancel()
		return wire.Fault{Delay: time.Hour}
	})
	if got, err := l.Policies(ctx, account, region, shop); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := l.Policies(ctx, account, region, shop); got != nil || err != nil {
		t.Errorf("afterwards: got %v, %v", got, err)
	}
	l.ELB.SetFaults(nil)
	l.want(t, shop, shopPolicies, "", 1)
}

// TestLookupTogether checks that concurrent look-ups make one call.
func TestLookupTogether(t *testing.T) {
	l := newLookup(t)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := l.Policies(t.Context(), account, region, shop); err != nil || got.At(443) != shopPolicies[443] {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	all.Wait()
	if n := l.Calls.Counts()[describeListeners]; n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestLookupForgets(t *testing.T) {
	l := newLookup(t)
	for i := range maxKnown + 10 {
		l.answer(fmt.Sprintf("arn:%d", i))
		if len(l.known) > maxKnown {
			t.Fatalf("%d load balancers are kept", len(l.known))
		}
	}
	l.want(t, shop, shopPolicies, "", 1)
}

func all(string) bool { return true }

func TestLoadBalancers(t *testing.T) {
	stack, client := start(t)
	const arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/"
	for _, size := range []int{1, 2, 400} {
		stack.ELB.SetPageSize(size)
		list, err := LoadBalancers(t.Context(), client, all)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, lb := range list {
			got = append(got, fmt.Sprintf("%s %s %s", lb.Name, lb.Path, lb.Type))
			if lb.ARN != arn+lb.Path || !strings.HasPrefix(lb.DNSName, lb.Name+".") {
				t.Errorf("%+v", lb)
			}
			for _, l := range lb.Listeners {
				got = append(got, fmt.Sprintf("%d %s %s %q", l.Port, l.Protocol, l.Policy, l.CertificateARNs))
			}
		}
		want := []string{
			"edge net/edge/1234567890abcdef network", `53 UDP  []`, `443 TLS ELBSecurityPolicy-TLS13-1-2-2021-06 []`,
			"empty app/empty/fedcba0987654321 application",
			"shop " + shop + " application", `80 HTTP  []`, `443 HTTPS ELBSecurityPolicy-2016-08 ["arn:2"]`, `8443 HTTPS ELBSecurityPolicy-FS-2018-06 ["arn:1"]`,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pages of %d: -want +got\n%s", size, d)
		}
	}
	var paths []string
	list, err := LoadBalancers(t.Context(), client, func(path string) bool {
		paths = append(paths, path)
		return path == shop
	})
	if slices.Sort(paths); err != nil || len(list) != 1 || list[0].Path != shop || len(list[0].Listeners) != 3 ||
		!slices.Equal(paths, []string{"app/empty/fedcba0987654321", shop, "net/edge/1234567890abcdef"}) {
		t.Errorf("got %v of %q, %v", list, paths, err)
	}
	for operation, want := range map[string]string{"DescribeLoadBalancers": "DescribeLoadBalancers", "DescribeListeners": shop} {
		stack.ELB.SetFaults(func(op string, _ int) wire.Fault {
			if op == "elasticloadbalancing:"+operation {
				return wire.Refuse(403, "AccessDenied")
			}
			return wire.Fault{}
		})
		if _, err := LoadBalancers(t.Context(), client, func(path string) bool { return path == shop }); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "must be allowed elasticloadbalancing:"+operation) {
			t.Errorf("%s denied: %v", operation, err)
		}
	}
}

// sslPolicies are the built-in policies in the form of the stand-in.
func sslPolicies() (list []localelb.SSLPolicy) {
	for _, p := range secpolicy.Builtin().Policies() {
		s := localelb.SSLPolicy{Name: p.Name, LoadBalancerTypes: []string{"application"}}
		for _, v := range p.Protocols {
			s.Protocols = append(s.Protocols, v.String())
		}
		for _, c := range p.Ciphers {
			s.Ciphers = append(s.Ciphers, c.String())
		}
		list = append(list, s)
	}
	return list
}

// TestPolicies checks that the built-in policies come back unchanged, in order of
// priority, for any page size.
func TestPolicies(t *testing.T) {
	stack, client := start(t)
	all := sslPolicies()
	stack.ELB.SetSSLPolicies(append(all, localelb.SSLPolicy{Name: "ELBSecurityPolicy-Gateway", LoadBalancerTypes: []string{"gateway"}})...)
	for _, size := range []int{1, 7, 400} {
		stack.ELB.SetPageSize(size)
		list, err := Policies(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		var want []secpolicy.Description
		for _, p := range all {
			want = append(want, secpolicy.Description{Name: p.Name, Protocols: p.Protocols, Ciphers: p.Ciphers})
		}
		if d := cmp.Diff(want, list); d != "" {
			t.Errorf("pages of %d: -want +got\n%s", size, d)
		}
		set, err := secpolicy.Builtin().With("2026-11-23", list)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range set.Policies() {
			if d := secpolicy.Compare(&secpolicy.Builtin().Policies()[i], &p); !d.Same() || p.Unrecognized != nil {
				t.Errorf("%s has changed: %+v", p.Name, d)
			}
		}
	}
	stack.ELB.SetFaults(wire.Refuse(403, "AccessDenied").Once("elasticloadbalancing:DescribeSSLPolicies", stack.Calls.Counts()["elasticloadbalancing:DescribeSSLPolicies"]+1))
	if _, err := Policies(t.Context(), client); err == nil || !strings.Contains(err.Error(), "must be allowed elasticloadbalancing:DescribeSSLPolicies") {
		t.Errorf("denied: %v", err)
	}
}

// TestMoto checks the adapter with moto, an independent implementation of the
// service.
func TestMoto(t *testing.T) {
	endpoint := awstest.Moto(t, "nothing was held against an independent Elastic Load Balancing")
	client := newClient(t, map[string]string{
		"AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2": endpoint, "AWS_REGION": region, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	})
	policies, err := Policies(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if len(policies) < 10 {
		t.Errorf("%d policies", len(policies))
	}
	for _, d := range policies {
		p, err := secpolicy.Lookup(d.Name)
		if err != nil {
			t.Errorf("moto has %s: %v", d.Name, err)
			continue
		}
		var protocols []string
		for _, v := range p.Protocols {
			protocols = append(protocols, v.String())
		}
		if d := cmp.Diff(protocols, slices.Sorted(slices.Values(d.Protocols))); d != "" {
			t.Errorf("protocols of %s: -here +moto\n%s", p.Name, d)
		}
	}
	if list, err := LoadBalancers(t.Context(), client, all); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v", list, err)
	}
	ask := func(path string) (secpolicy.ListenerPolicies, error) {
		l := NewLookup(client, time.Now)
		l.timeout = time.Minute // moto may be slow
		return l.Policies(t.Context(), account, region, path)
	}
	got, err := ask(shop)
	if got != nil || err == nil || !strings.Contains(err.Error(), "LoadBalancerNotFound") {
		t.Errorf("got %v, %v", got, err)
	}

	created, err := client.CreateLoadBalancer(t.Context(), &elb.CreateLoadBalancerInput{Name: aws.String("shop"), Subnets: motoSubnets(t, endpoint)})
	if err != nil {
		t.Fatal(err)
	}
	arn := created.LoadBalancers[0].LoadBalancerArn
	listen := func(port int32, protocol types.ProtocolEnum, policy *string, certificates ...types.Certificate) {
		_, err := client.CreateListener(t.Context(), &elb.CreateListenerInput{
			LoadBalancerArn: arn, Port: &port, Protocol: protocol, SslPolicy: policy, Certificates: certificates,
			DefaultActions: []types.Action{{Type: types.ActionTypeEnumFixedResponse, FixedResponseConfig: &types.FixedResponseActionConfig{StatusCode: aws.String("200"), ContentType: aws.String("text/plain")}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	certificate := motoCertificate(t, endpoint)
	listen(80, types.ProtocolEnumHttp, nil)
	listen(443, types.ProtocolEnumHttps, aws.String("ELBSecurityPolicy-TLS13-1-2-2021-06"), types.Certificate{CertificateArn: &certificate})
	list, err := LoadBalancers(t.Context(), client, all)
	if err != nil || len(list) != 1 || len(list[0].Listeners) != 2 || list[0].ARN != *arn || list[0].Type != "application" {
		t.Fatalf("got %+v, %v", list, err)
	}
	plain, secure := list[0].Listeners[0], list[0].Listeners[1]
	if plain.Port != 80 || plain.Policy != "" || secure.Port != 443 || secure.Protocol != "HTTPS" || secure.Policy != "ELBSecurityPolicy-TLS13-1-2-2021-06" ||
		!slices.Equal(secure.CertificateARNs, []string{certificate}) {
		t.Errorf("listeners %+v", list[0].Listeners)
	}
	got, err = ask(list[0].Path)
	if d := cmp.Diff(secpolicy.ListenerPolicies{443: "ELBSecurityPolicy-TLS13-1-2-2021-06"}, got); d != "" || err != nil {
		t.Errorf("%v: -want +got\n%s", err, d)
	}
}

// motoSubnets returns two subnets of the default network. It uses plain HTTP
// because no other test needs the SDK for EC2.
func motoSubnets(t *testing.T, endpoint string) []string {
	var reply struct {
		IDs []string `xml:"subnetSet>item>subnetId"`
	}
	if err := xml.Unmarshal(motoCall(t, endpoint, "ec2", "Action=DescribeSubnets&Version=2016-11-15", ""), &reply); err != nil || len(reply.IDs) < 2 {
		t.Fatalf("%d subnets, %v", len(reply.IDs), err)
	}
	return reply.IDs[:2]
}

func motoCertificate(t *testing.T, endpoint string) string {
	var reply struct{ CertificateArn string }
	if err := json.Unmarshal(motoCall(t, endpoint, "acm", `{"DomainName":"shop.example"}`, "CertificateManager.RequestCertificate"), &reply); err != nil || reply.CertificateArn == "" {
		t.Fatalf("no certificate, %v", err)
	}
	return reply.CertificateArn
}

func motoCall(t *testing.T, endpoint, service, body, target string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if target != "" {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", target)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local/20261123/us-east-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", service, resp.StatusCode, err, reply)
	}
	return reply
}
