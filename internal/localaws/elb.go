package localaws

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
)

// ELBOptions are the settings of [NewELB]. All may be left out.
type ELBOptions struct {
	Region string    // of ARNs; default us-east-1
	Calls  *Calls    // default: counts of its own
	Faults FaultFunc // default none
}

// ELB is a stand-in for Elastic Load Balancing v2, as far as it is about TLS:
// DescribeLoadBalancers, DescribeListeners and DescribeSSLPolicies in the AWS
// query protocol, with paging.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/
type ELB struct {
	endpoint
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
	SSLPolicy      string // of HTTPS and TLS
	CertificateARN string // default certificate, likewise
}

// An SSLPolicy is a security policy of listeners.
type SSLPolicy struct {
	Name              string
	Protocols         []string // such as TLSv1.2
	Ciphers           []string // by preference
	LoadBalancerTypes []string // application, network
}

// Sizes of pages and lists.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeLoadBalancers.html
const (
	maxELBPage = 400
	maxELBARNs = 20
)

// NewELB returns an ELB without load balancers and policies.
func NewELB(o ELBOptions) *ELB {
	e := &ELB{region: o.Region, pageSize: maxELBPage}
	if e.region == "" {
		e.region = defaultRegion
	}
	e.endpoint = endpoint{
		service:   "elasticloadbalancing",
		operation: elbOperation,
		apply:     e.apply,
		refuse:    elbQuery.refuse,
		accesses:  elbAccesses,
		calls:     o.Calls,
		faults:    o.Faults,
	}
	if e.calls == nil {
		e.calls = new(Calls)
	}
	return e
}

// SetLoadBalancers replaces the load balancers of the account and returns their
// ARNs.
func (e *ELB) SetLoadBalancers(list ...LoadBalancer) (arns []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.loadBalancers = slices.Clone(list)
	for _, lb := range list {
		arns = append(arns, e.arn("loadbalancer", lb.Path))
	}
	return arns
}

// SetPageSize makes pages shorter than AWS's 400 items, to see clients turn
// them. Clients may ask for still shorter ones.
func (e *ELB) SetPageSize(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pageSize = n
}

// SetSSLPolicies replaces the security policies that there are.
func (e *ELB) SetSSLPolicies(list ...SSLPolicy) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.policies = slices.Clone(list)
}

func (e *ELB) arn(kind, path string) string {
	return "arn:aws:elasticloadbalancing:" + e.region + ":" + accountID + ":" + kind + "/" + path
}

// kind is the type of the load balancer.
func (lb LoadBalancer) kind() string {
	if strings.HasPrefix(lb.Path, "net/") {
		return "network"
	}
	return "application"
}

// name is the part of the path that people give.
func (lb LoadBalancer) name() string {
	_, rest, _ := strings.Cut(lb.Path, "/")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

const elbQuery query = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"

// elbOperation names the operation of a request, or returns "Unknown".
func elbOperation(r *http.Request) string {
	switch action := queryForm(r).Get("Action"); action {
	case "DescribeLoadBalancers", "DescribeListeners", "DescribeSSLPolicies":
		return action
	}
	return "Unknown"
}

func (e *ELB) apply(w http.ResponseWriter, r *http.Request) {
	form := queryForm(r)
	var result any
	var refusal *apiError
	action := form.Get("Action")
	switch action {
	case "DescribeLoadBalancers":
		result, refusal = e.describeLoadBalancers(form)
	case "DescribeListeners":
		result, refusal = e.describeListeners(form)
	case "DescribeSSLPolicies":
		result, refusal = e.describeSSLPolicies(form)
	default:
		refusal = invalidAction(action)
	}
	elbQuery.reply(w, r, action, result, refusal)
}

func invalidELB(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...)}
}

// page cuts the part out of a list that a request asks for. Markers are the
// stand-in's own; a client must not look into them.
func page[T any](e *ELB, form url.Values, list []T) ([]T, string, *apiError) {
	size := e.pageSize
	if text := form.Get("PageSize"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxELBPage {
			return nil, "", invalidELB("Value '%s' at 'pageSize' failed to satisfy constraint: Member must be between 1 and %d", text, maxELBPage)
		}
		size = min(size, n)
	}
	start := 0
	if marker := form.Get("Marker"); marker != "" {
		number, ok := strings.CutPrefix(marker, "after:")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 1 || n > len(list) {
			return nil, "", invalidELB("The marker '%s' is not valid", marker)
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

// describeLoadBalancers handles DescribeLoadBalancers: of all, or of those that
// ARNs or names say, which must be there.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeLoadBalancers.html
func (e *ELB) describeLoadBalancers(form url.Values) (any, *apiError) {
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
	e.mu.Lock()
	defer e.mu.Unlock()
	arns, names := queryList(form, "LoadBalancerArns"), queryList(form, "Names")
	switch {
	case len(arns) > 0 && len(names) > 0:
		return nil, invalidELB("Load balancer ARNs and names cannot be given together")
	case len(arns) > maxELBARNs:
		return nil, invalidELB("At most %d load balancer ARNs can be given", maxELBARNs)
	}
	chosen := e.loadBalancers
	if wanted := slices.Concat(arns, names); len(wanted) > 0 {
		chosen = nil
		for _, want := range wanted {
			i := slices.IndexFunc(e.loadBalancers, func(lb LoadBalancer) bool {
				return len(names) > 0 && lb.name() == want || len(arns) > 0 && e.arn("loadbalancer", lb.Path) == want
			})
			if i < 0 {
				return nil, noLoadBalancer(want)
			}
			chosen = append(chosen, e.loadBalancers[i])
		}
	}
	result := struct {
		XMLName    xml.Name `xml:"DescribeLoadBalancersResult"`
		Members    []member `xml:"LoadBalancers>member"`
		NextMarker string   `xml:",omitempty"`
	}{}
	list, next, refusal := page(e, form, chosen)
	if refusal != nil {
		return nil, refusal
	}
	result.NextMarker = next
	for _, lb := range list {
		result.Members = append(result.Members, member{
			ARN: e.arn("loadbalancer", lb.Path), Name: lb.name(), Type: lb.kind(), Scheme: "internet-facing", State: state{"active"},
			DNSName: lb.name() + "." + e.region + ".elb.amazonaws.com", CreatedTime: time.Unix(0, 0).UTC().Format(time.RFC3339),
		})
	}
	return result, nil
}

func noLoadBalancer(name string) *apiError {
	return &apiError{http.StatusBadRequest, "LoadBalancerNotFound", "Load balancers '[" + name + "]' not found"}
}

// describeListeners handles DescribeListeners of a load balancer.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeListeners.html
func (e *ELB) describeListeners(form url.Values) (any, *apiError) {
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
	e.mu.Lock()
	defer e.mu.Unlock()
	arn := form.Get("LoadBalancerArn")
	if arn == "" {
		if listeners := queryList(form, "ListenerArns"); len(listeners) > 0 {
			return nil, &apiError{http.StatusBadRequest, "ListenerNotFound", "One or more listeners not found"} // the stand-in goes by load balancer
		}
		return nil, invalidELB("You must specify either listener ARNs or a load balancer ARN")
	}
	if !strings.HasPrefix(arn, "arn:") || strings.Count(arn, ":") != 5 {
		return nil, invalidELB("'%s' is not a valid load balancer ARN", arn)
	}
	i := slices.IndexFunc(e.loadBalancers, func(lb LoadBalancer) bool { return e.arn("loadbalancer", lb.Path) == arn })
	if i < 0 {
		return nil, noLoadBalancer(arn)
	}
	result := struct {
		XMLName    xml.Name `xml:"DescribeListenersResult"`
		Members    []member `xml:"Listeners>member"`
		NextMarker string   `xml:",omitempty"`
	}{}
	list, next, refusal := page(e, form, e.loadBalancers[i].Listeners)
	if refusal != nil {
		return nil, refusal
	}
	result.NextMarker = next
	for _, l := range list {
		m := member{
			ListenerARN:     e.arn("listener", fmt.Sprintf("%s/%016x", e.loadBalancers[i].Path, l.Port)),
			LoadBalancerARN: arn, Port: l.Port, Protocol: l.Protocol, SSLPolicy: l.SSLPolicy,
		}
		if l.CertificateARN != "" {
			m.Certificates = []certificate{{l.CertificateARN}}
		}
		result.Members = append(result.Members, m)
	}
	return result, nil
}

// describeSSLPolicies handles DescribeSSLPolicies: of all, or of those that
// have the names, which must be there.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeSSLPolicies.html
func (e *ELB) describeSSLPolicies(form url.Values) (any, *apiError) {
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
	e.mu.Lock()
	defer e.mu.Unlock()
	chosen := slices.Clone(e.policies)
	if names := queryList(form, "Names"); len(names) > 0 {
		chosen = nil
		for _, name := range names {
			i := slices.IndexFunc(e.policies, func(p SSLPolicy) bool { return p.Name == name })
			if i < 0 {
				return nil, &apiError{http.StatusBadRequest, "SSLPolicyNotFound", "SSL policy '" + name + "' not found"}
			}
			chosen = append(chosen, e.policies[i])
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
	list, next, refusal := page(e, form, chosen)
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
