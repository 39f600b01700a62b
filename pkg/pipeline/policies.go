package pipeline

import (
	"context"
	"maps"

	"tlswatch/pkg/logkey"
	"tlswatch/pkg/secpolicy"
)

// A PolicySource finds the security policies of listeners, which explain failures.
type PolicySource interface {
	// Policies returns the policies of the TLS listeners of a load balancer,
	// "app/NAME/ID". It must not take long. An error says why some are missing; it
	// is logged and fails no object.
	Policies(ctx context.Context, account, region, loadBalancer string) (secpolicy.ListenerPolicies, error)
}

// FixedPolicies are policies from the operator. For a port, they come before those
// that are looked up; their default comes after.
type FixedPolicies struct {
	Known secpolicy.ListenerPolicies
	Found PolicySource // looks policies up; may be nil
}

// Policies implements [PolicySource].
func (f FixedPolicies) Policies(ctx context.Context, account, region, loadBalancer string) (secpolicy.ListenerPolicies, error) {
	if f.Found == nil {
		return f.Known, nil
	}
	found, err := f.Found.Policies(ctx, account, region, loadBalancer)
	all := make(secpolicy.ListenerPolicies, len(found)+len(f.Known))
	maps.Copy(all, found)
	maps.Copy(all, f.Known)
	return all, err
}

// policies finds the security policies of a load balancer's listeners.
func (p *Pipeline) policies(ctx context.Context, key logkey.Key) (secpolicy.ListenerPolicies, error) {
	if p.Policies == nil {
		return nil, nil
	}
	return p.Policies.Policies(ctx, key.Account, key.Region, key.LoadBalancer)
}
