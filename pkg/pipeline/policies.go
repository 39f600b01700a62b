package pipeline

import (
	"context"
	"maps"

	"tlswatch/pkg/logkey"
)

// A PolicySource knows the security policies of listeners, so that failures
// can be judged by what a listener accepts.
type PolicySource interface {
	// Policies returns what is known about the TLS listeners of a load
	// balancer, "app/NAME/ID". It must not take long. An error says why less
	// is known than could be; it is for the log and fails no object.
	Policies(ctx context.Context, account, region, loadBalancer string) (ListenerPolicies, error)
}

// ListenerPolicies are names of security policies by listener port. Port 0
// stands for all ports that are not listed.
type ListenerPolicies map[uint16]string

// At returns the policy of a listener, "" if it is not known.
func (l ListenerPolicies) At(port uint16) string {
	if name, ok := l[port]; ok {
		return name
	}
	return l[0]
}

// FixedPolicies are policies that an operator has named. What they say about a
// port goes before what is found out, and that before what they say about all
// others.
type FixedPolicies struct {
	Known ListenerPolicies
	Found PolicySource // nil: nothing is found out
}

// Policies implements [PolicySource].
func (f FixedPolicies) Policies(ctx context.Context, account, region, loadBalancer string) (ListenerPolicies, error) {
	if f.Found == nil {
		return f.Known, nil
	}
	found, err := f.Found.Policies(ctx, account, region, loadBalancer)
	all := make(ListenerPolicies, len(found)+len(f.Known))
	maps.Copy(all, found)
	maps.Copy(all, f.Known)
	return all, err
}

// policies finds the security policies of a load balancer's listeners.
func (p *Pipeline) policies(ctx context.Context, key logkey.Key) (ListenerPolicies, error) {
	if p.Policies == nil {
		return nil, nil
	}
	return p.Policies.Policies(ctx, key.Account, key.Region, key.LoadBalancer)
}
