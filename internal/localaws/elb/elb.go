// Package elb is a stand-in for Elastic Load Balancing v2.
package elb

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tlswatch/internal/localaws/wire"
)

// Service is a stand-in for the part of Elastic Load Balancing v2 that is about
// TLS: DescribeLoadBalancers, DescribeListeners and DescribeSSLPolicies in the
// AWS query protocol, with paging.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/
type Service struct {
	*wire.Endpoint
	region string

	mu            sync.Mutex
	pageSize      int
	loadBalancers []LoadBalancer
	policies      []SSLPolicy
}

// A LoadBalancer is an application or network load balancer.
type LoadBalancer struct {
	Path      string // "app/NAME/ID" or "net/NAME/ID"
	Listeners []Listener
}

// A Listener accepts connections to a port of a load balancer.
type Listener struct {
	Port           uint16
	Protocol       string // HTTP, HTTPS, TLS, ...
	SSLPolicy      string // for HTTPS and TLS
	CertificateARN string // the default certificate, for HTTPS and TLS
}

// An SSLPolicy is a security policy of listeners.
type SSLPolicy struct {
	Name              string
	Protocols         []string // such as TLSv1.2
	Ciphers           []string // most preferred first
	LoadBalancerTypes []string // application, network
}

// Sizes of pages and lists.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeLoadBalancers.html
const (
	maxPage = 400
	maxARNs = 20
)

// New returns an ELB without load balancers and policies.
func New(c wire.Config) *Service {
	s := &Service{region: c.Region, pageSize: maxPage}
	query := wire.Query{
		Namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
		Actions: map[string]func(url.Values) (any, *wire.Refusal){
			"DescribeLoadBalancers": s.describeLoadBalancers,
			"DescribeListeners":     s.describeListeners,
			"DescribeSSLPolicies":   s.describeSSLPolicies,
		},
	}
	s.Endpoint = wire.NewEndpoint(wire.Protocol{
		Service:   "elasticloadbalancing",
		Operation: query.Operation,
		Apply:     query.Apply,
		Refuse:    query.Refuse,
		Accesses: func(_ *http.Request, operation string) []wire.Access {
			return []wire.Access{{Action: "elasticloadbalancing:" + operation, Resource: "*"}}
		},
	}, c.Calls)
	return s
}

// SetLoadBalancers replaces the load balancers of the account and returns their
// ARNs.
func (s *Service) SetLoadBalancers(list ...LoadBalancer) (arns []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loadBalancers = slices.Clone(list)
	for _, lb := range list {
		arns = append(arns, s.arn("loadbalancer", lb.Path))
	}
	return arns
}

// SetPageSize makes pages shorter than AWS's 400 items, so that tests need fewer
// items to make clients page. Clients may ask for even shorter pages.
func (s *Service) SetPageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = n
}

// SetSSLPolicies replaces the security policies.
func (s *Service) SetSSLPolicies(list ...SSLPolicy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = slices.Clone(list)
}

func (s *Service) arn(kind, path string) string {
	return "arn:aws:elasticloadbalancing:" + s.region + ":" + wire.AccountID + ":" + kind + "/" + path
}

// kind is the type of the load balancer.
func (lb LoadBalancer) kind() string {
	if strings.HasPrefix(lb.Path, "net/") {
		return "network"
	}
	return "application"
}

// name is the part of the path that users choose.
func (lb LoadBalancer) name() string {
	_, rest, _ := strings.Cut(lb.Path, "/")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func invalid(format string, args ...any) *wire.Refusal {
	return wire.BadRequest("ValidationError", fmt.Sprintf(format, args...))
}

// page returns the page of a list that a request asks for, and the marker of the
// next page. Markers are opaque to clients.
func page[T any](s *Service, form url.Values, list []T) ([]T, string, *wire.Refusal) {
	size := s.pageSize
	if text := form.Get("PageSize"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return nil, "", invalid("Value '%s' at 'pageSize' failed to satisfy constraint: Member must be between 1 and %d", text, maxPage)
		}
		size = min(size, n)
	}
	start := 0
	if marker := form.Get("Marker"); marker != "" {
		number, ok := strings.CutPrefix(marker, "after:")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 1 || n > len(list) {
			return nil, "", invalid("The marker '%s' is not valid", marker)
		}
		start = n
	}
	end := min(start+size, len(list))
	next := ""
	if end < len(list) {
		next = "after:" + strconv.Itoa(end)
	}
	return list[start:end], next, nil
}

// describeLoadBalancers handles DescribeLoadBalancers: all of them, or those with
// the given ARNs or names, which must exist.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeLoadBalancers.html
func (s *Service) describeLoadBalancers(form url.Values) (any, *wire.Refusal) {
	type state struct{ Code string }
	type member struct {
		ARN         string `xml:"LoadBalancerArn"`
		DNSName     string
		CreatedTime string
		Name        string `xml:"LoadBalancerName"`
		Scheme      string
		State       state
		Type        string
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	arns, names := wire.List(form, "LoadBalancerArns"), wire.List(form, "Names")
	switch {
	case len(arns) > 0 && len(names) > 0:
		return nil, invalid("Load balancer ARNs and names cannot be given together")
	case len(arns) > maxARNs:
		return nil, invalid("At most %d load balancer ARNs can be given", maxARNs)
	}
	chosen := s.loadBalancers
	if wanted := slices.Concat(arns, names); len(wanted) > 0 {
		chosen = nil
		for _, want := range wanted {
			i := slices.IndexFunc(s.loadBalancers, func(lb LoadBalancer) bool {
				return len(names) > 0 && lb.name() == want || len(arns) > 0 && s.arn("loadbalancer", lb.Path) == want
			})
			if i < 0 {
				return nil, noLoadBalancer(want)
			}
			chosen = append(chosen, s.loadBalancers[i])
		}
	}
	result := struct {
		XMLName    xml.Name `xml:"DescribeLoadBalancersResult"`
		Members    []member `xml:"LoadBalancers>member"`
		NextMarker string   `xml:",omitempty"`
	}{}
	list, next, refusal := page(s, form, chosen)
	if refusal != nil {
		return nil, refusal
	}
	result.NextMarker = next
	for _, lb := range list {
		result.Members = append(result.Members, member{
			ARN: s.arn("loadbalancer", lb.Path), Name: lb.name(), Type: lb.kind(), Scheme: "internet-facing", State: state{"active"},
			DNSName: lb.name() + "." + s.region + ".elb.amazonaws.com", CreatedTime: time.Unix(0, 0).UTC().Format(time.RFC3339),
		})
	}
	return result, nil
}

func noLoadBalancer(name string) *wire.Refusal {
	return wire.BadRequest("LoadBalancerNotFound", "Load balancers '["+name+"]' not found")
}

// describeListeners handles DescribeListeners for one load balancer.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeListeners.html
func (s *Service) describeListeners(form url.Values) (any, *wire.Refusal) {
	type certificate struct {
		ARN string `xml:"CertificateArn"`
	}
	type member struct {
		ListenerARN     string `xml:"ListenerArn"`
		LoadBalancerARN string `xml:"LoadBalancerArn"`
		Port            uint16
		Protocol        string
		SSLPolicy       string        `xml:"SslPolicy,omitempty"`
		Certificates    []certificate `xml:"Certificates>member,omitempty"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := form.Get("LoadBalancerArn")
	if arn == "" {
		if listeners := wire.List(form, "ListenerArns"); len(listeners) > 0 {
			return nil, wire.BadRequest("ListenerNotFound", "One or more listeners not found") // only the search by load balancer is implemented
		}
		return nil, invalid("You must specify either listener ARNs or a load balancer ARN")
	}
	if !strings.HasPrefix(arn, "arn:") || strings.Count(arn, ":") != 5 {
		return nil, invalid("'%s' is not a valid load balancer ARN", arn)
	}
	i := slices.IndexFunc(s.loadBalancers, func(lb LoadBalancer) bool { return s.arn("loadbalancer", lb.Path) == arn })
	if i < 0 {
		return nil, noLoadBalancer(arn)
	}
	result := struct {
		XMLName    xml.Name `xml:"DescribeListenersResult"`
		Members    []member `xml:"Listeners>member"`
		NextMarker string   `xml:",omitempty"`
	}{}
	list, next, refusal := page(s, form, s.loadBalancers[i].Listeners)
	if refusal != nil {
		return nil, refusal
	}
	result.NextMarker = next
	for _, l := range list {
		m := member{
			ListenerARN:     s.arn("listener", fmt.Sprintf("%s/%016x", s.loadBalancers[i].Path, l.Port)),
			LoadBalancerARN: arn, Port: l.Port, Protocol: l.Protocol, SSLPolicy: l.SSLPolicy,
		}
		if l.CertificateARN != "" {
			m.Certificates = []certificate{{l.CertificateARN}}
		}
		result.Members = append(result.Members, m)
	}
	return result, nil
}

// describeSSLPolicies handles DescribeSSLPolicies: all of them, or those with the
// given names, which must exist.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeSSLPolicies.html
func (s *Service) describeSSLPolicies(form url.Values) (any, *wire.Refusal) {
	type cipher struct {
		Name     string
		Priority int
	}
	type member struct {
		Name      string
		Protocols []string `xml:"SslProtocols>member"`
		Ciphers   []cipher `xml:"Ciphers>member"`
		Types     []string `xml:"SupportedLoadBalancerTypes>member"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	chosen := slices.Clone(s.policies)
	if names := wire.List(form, "Names"); len(names) > 0 {
		chosen = nil
		for _, name := range names {
			i := slices.IndexFunc(s.policies, func(p SSLPolicy) bool { return p.Name == name })
			if i < 0 {
				return nil, wire.BadRequest("SSLPolicyNotFound", "SSL policy '"+name+"' not found")
			}
			chosen = append(chosen, s.policies[i])
		}
	}
	if kind := form.Get("LoadBalancerType"); kind != "" {
		chosen = slices.DeleteFunc(chosen, func(p SSLPolicy) bool { return !slices.Contains(p.LoadBalancerTypes, kind) })
	}
	result := struct {
		XMLName    xml.Name `xml:"DescribeSSLPoliciesResult"`
		Members    []member `xml:"SslPolicies>member"`
		NextMarker string   `xml:",omitempty"`
	}{}
	list, next, refusal := page(s, form, chosen)
	if refusal != nil {
		return nil, refusal
	}
	result.NextMarker = next
	for _, p := range list {
		m := member{Name: p.Name, Protocols: p.Protocols, Types: p.LoadBalancerTypes}
		for i, name := range p.Ciphers {
			m.Ciphers = append(m.Ciphers, cipher{name, i + 1})
		}
		result.Members = append(result.Members, m)
	}
	return result, nil
}
