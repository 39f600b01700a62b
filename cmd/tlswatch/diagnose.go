package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"tlswatch/pkg/config"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/report"
	"tlswatch/pkg/secpolicy"
)

// policyFlags say by which security policies failures are judged.
type policyFlags struct {
	data   policyData
	policy string
	region string // of --policy live
}

func (o *policyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.policy, "policy", "", "say why negotiations failed, judged by the listeners' security policy: its name, 443=NAME,8443=NAME by port, or live to ask Elastic Load Balancing")
	cmd.Flags().StringVar(&o.region, "region", "", "AWS region of the load balancers, for --policy live (default: that of the environment)")
	o.data.addFlag(cmd)
	completeFlag(cmd, "policy", func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
		names, directive := completePolicies(&o.data, 0)(cmd, args, text)
		return append(names, livePolicy), directive
	})
}

// A judge knows the policies of listeners.
type judge struct {
	set    *secpolicy.Set
	policy string                               // as people are told
	named  pipeline.ListenerPolicies            // for all load balancers
	live   map[string]pipeline.ListenerPolicies // by load balancer, app/NAME/ID

	mu      sync.Mutex
	unknown map[string]bool // what keeps live from judging
}

// load returns the judge that the flags ask for, or nil.
func (o *policyFlags) load(ctx context.Context) (*judge, error) {
	if o.policy == "" {
		return nil, nil
	}
	set, err := o.data.load()
	if err != nil {
		return nil, err
	}
	j := &judge{set: set, policy: o.policy, unknown: make(map[string]bool)}
	if o.policy == livePolicy {
		j.policy = "the policies that the listeners have now"
		if j.live, err = livePolicies(ctx, o.region); err != nil {
			err = fmt.Errorf("--policy live: %w", err)
		}
		return j, err
	}
	names, err := config.ParseListenerPolicies(o.policy)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--policy: %w", err)}
	}
	for port, name := range names {
		p, err := lookupPolicy(set, name)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--policy: %w", err)}
		}
		if names[port] = p.Name; len(names) == 1 && port == 0 {
			j.policy = p.Name
		}
	}
	j.named = names
	return j, nil
}

// at returns the policy of a listener, nil if it is not known.
func (j *judge) at(loadBalancer string, port uint16) *secpolicy.Policy {
	name := j.named.At(port)
	if j.live != nil {
		name = j.live[loadBalancer].At(port)
	}
	p, err := j.set.Lookup(name)
	if err == nil {
		return p
	}
	if j.live != nil && loadBalancer != "" {
		j.mu.Lock()
		defer j.mu.Unlock()
		switch {
		case name != "":
			j.unknown[fmt.Sprintf("nothing is known of %s: refresh with `tlswatch policy update`", name)] = true
		case j.live[loadBalancer] == nil:
			j.unknown[fmt.Sprintf("there is no %s: is it gone, or in another region (--region)?", loadBalancer)] = true
		default:
			j.unknown[fmt.Sprintf("%s has no TLS listener on port %d now", loadBalancer, port)] = true
		}
	}
	return nil
}

// remarks are what a user should know of failures that were not judged.
func (j *judge) remarks() (list []string) {
	if j == nil {
		return nil
	}
	const most = 10
	for i, why := range slices.Sorted(maps.Keys(j.unknown)) {
		if i == most {
			return append(list, fmt.Sprintf("--policy live: and %d more such", len(j.unknown)-most))
		}
		list = append(list, "--policy live: "+why)
	}
	return list
}

// why returns the likeliest cause of a failure.
func (j *judge) why(f report.Failure) report.Diagnosis {
	e := connlog.Entry{Protocol: f.Protocol, Cipher: f.Cipher, Status: f.Status, ListenerPort: f.Port, LoadBalancer: f.LoadBalancer}
	list := j.set.Diagnose(&e, j.at(f.LoadBalancer, f.Port))
	if len(list) == 0 {
		return report.Diagnosis{ID: "unknown", Cause: "The log does not tell."}
	}
	d := list[0]
	return report.Diagnosis{ID: string(d.ID), Cause: d.Cause, Remedy: strings.TrimSpace(d.Remedy + " " + d.Advice)}
}
