package elbpolicy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"tlswatch/pkg/logkey"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/secpolicy"
)

// Times of a Lookup.
const (
	// maxAge is how long an answer is used: security policies change rarely, and the
	// whole account shares the API's rate limit.
	maxAge = 15 * time.Minute

	// retryAfter is the time before a lookup that failed is tried again.
	retryAfter = 5 * time.Minute

	// timeout bounds one lookup, with all its pages and retries.
	timeout = 2 * time.Second
)

// maxKnown bounds the load balancers that a Lookup remembers.
const maxKnown = 1000

// A Lookup is a [pipeline.PolicySource] that looks up the listeners of load balancers and
// remembers the answers. Several goroutines may use it at once; they share a lookup of
// the same load balancer.
type Lookup struct {
	client  elb.DescribeListenersAPIClient
	now     func() time.Time
	timeout time.Duration

	mu     sync.Mutex
	known  map[string]*answer   // by ARN of the load balancer
	denied map[string]time.Time // by account: no lookup before this time
}

var _ pipeline.PolicySource = (*Lookup)(nil)

// An answer has the policies of a load balancer.
type answer struct {
	turn     chan struct{} // holds one token: its owner may ask AWS, or read the answer
	policies secpolicy.ListenerPolicies
	until    time.Time // when to ask again
}

// NewLookup returns a Lookup without any answers.
func NewLookup(client elb.DescribeListenersAPIClient, now func() time.Time) *Lookup {
	return &Lookup{client: client, now: now, timeout: timeout, known: make(map[string]*answer), denied: make(map[string]time.Time)}
}

// Policies implements [pipeline.PolicySource]. It returns a failure once, and then for a
// while the last answer, if any, without an error. A lack of permission is returned once
// for all load balancers of an account. The result is shared: do not change it.
func (l *Lookup) Policies(ctx context.Context, account, region, loadBalancer string) (secpolicy.ListenerPolicies, error) {
	arn := logkey.LoadBalancerARN(region, account, loadBalancer)
	a := l.answer(arn)
	select {
	case <-a.turn:
		defer func() { a.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, nil // the caller reports it
	}
	now := l.now()
	if now.Before(a.until) || now.Before(l.deniedUntil(account)) {
		return a.policies, nil
	}
	policies, err := l.ask(ctx, arn, region)
	switch {
	case err == nil:
		a.policies, a.until = policies, now.Add(maxAge)
	case denied(err):
		if !l.deny(account, now.Add(maxAge)) {
			err = nil
		}
	case ctx.Err() != nil: // out of time: no failure of the service
		return a.policies, nil
	default:
		a.until = now.Add(retryAfter)
	}
	return a.policies, err
}

// ask looks up the policies of the listeners of a load balancer.
func (l *Lookup) ask(ctx context.Context, arn, region string) (secpolicy.ListenerPolicies, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.timeout, errors.New("time-out"))
	defer cancel()
	list, err := listeners(ctx, l.client, arn, func(o *elb.Options) { o.Region = region })
	if err != nil {
		if context.Cause(ctx) != nil && !denied(err) {
			err = fmt.Errorf("listeners of %s: no answer within %v: %w", arn, l.timeout, err)
		}
		return nil, err
	}
	policies := make(secpolicy.ListenerPolicies)
	for _, listener := range list {
		if listener.Policy != "" {
			policies[listener.Port] = listener.Policy
		}
	}
	return policies, nil
}

// answer returns the answer for a load balancer, a new one if there is none.
func (l *Lookup) answer(arn string) *answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.known[arn]
	if a == nil {
		if len(l.known) >= maxKnown {
			clear(l.known)
		}
		a = &answer{turn: make(chan struct{}, 1)}
		a.turn <- struct{}{}
		l.known[arn] = a
	}
	return a
}

func (l *Lookup) deniedUntil(account string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.denied[account]
}

// deny stops lookups for an account until the given time, and reports whether this is the
// first time.
func (l *Lookup) deny(account string, until time.Time) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.denied[account]
	l.denied[account] = until
	return !known
}
