package policyflags

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
	"tlswatch/pkg/secpolicy"
)

// Flags name the security policies of listeners.
type Flags struct {
	File   File
	Policy string // POLICY, 443=POLICY,8443=POLICY, or Live
}

// Register adds the flags. The purpose of --policy ends its usage.
func (o *Flags) Register(cmd *cobra.Command, purpose string) {
	cmd.Flags().StringVar(&o.Policy, "policy", "", command.PolicyUsage+", 443=POLICY,8443=POLICY by port, or live to ask AWS; "+purpose)
	o.File.AddFlag(cmd)
	command.AddAWS(cmd)
	command.CompleteFlag(cmd, "policy", func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
		names, directive := Complete(&o.File, 0)(cmd, args, text)
		return append(names, Live), directive
	})
}

// A Judge knows the policies of listeners.
type Judge struct {
	Set    *secpolicy.Set
	Policy string                                // for people
	named  secpolicy.ListenerPolicies            // for all load balancers
	live   map[string]secpolicy.ListenerPolicies // by load balancer, app/NAME/ID

	mu      sync.Mutex
	unknown map[string]bool // why failures were not judged
}

// Judge returns the judge that the flags select, or nil.
func (o *Flags) Judge(ctx context.Context) (*Judge, error) {
	if o.Policy == "" {
		return nil, nil
	}
	set, err := o.File.Load(ctx)
	if err != nil {
		return nil, err
	}
	j := &Judge{Set: set, Policy: o.Policy, unknown: make(map[string]bool)}
	if o.Policy == Live {
		j.Policy = "the listeners' current policies"
		if j.live, err = livePolicies(ctx); err != nil {
			err = fmt.Errorf("--policy live: %w", err)
		}
		return j, err
	}
	if j.named, err = ParseListeners(set, o.Policy); err != nil {
		return nil, err
	}
	if name := j.named[0]; name != "" && len(j.named) == 1 {
		j.Policy = name
	}
	return j, nil
}

// One returns the policy that all listeners have, nil if it is not known or they may
// differ.
func (j *Judge) One() *secpolicy.Policy {
	if j == nil || len(j.named) != 1 {
		return nil
	}
	p, err := j.Set.Lookup(j.named[0])
	if err != nil {
		return nil
	}
	return p
}

// PolicyAt returns the policy of a listener, nil if it is not known.
func (j *Judge) PolicyAt(loadBalancer string, port uint16) *secpolicy.Policy {
	name := j.named.At(port)
	if j.live != nil {
		name = j.live[loadBalancer].At(port)
	}
	p, err := j.Set.Lookup(name)
	if err == nil {
		return p
	}
	if j.live != nil && loadBalancer != "" {
		j.mu.Lock()
		defer j.mu.Unlock()
		switch {
		case name != "":
			j.unknown[fmt.Sprintf("%s is an unknown policy: refresh with `tlswatch policy update`", name)] = true
		case j.live[loadBalancer] == nil:
			j.unknown[fmt.Sprintf("there is no %s; if it is in another Region, use --region", loadBalancer)] = true
		default:
			j.unknown[fmt.Sprintf("%s has no TLS listener on port %d now", loadBalancer, port)] = true
		}
	}
	return nil
}

// Names returns the names of the listeners' policies.
func (j *Judge) Names() []string {
	names := make(map[string]bool)
	for _, listeners := range append(slices.Collect(maps.Values(j.live)), j.named) {
		for _, name := range listeners {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// LoadBalancers returns the live load balancers as app/NAME/ID, and false without
// --policy live.
func (j *Judge) LoadBalancers() (paths []string, live bool) {
	return slices.Sorted(maps.Keys(j.live)), j.live != nil
}

// Remarks tells the user which failures were not judged.
func (j *Judge) Remarks() (list []string) {
	if j == nil {
		return nil
	}
	const most = 10
	for i, why := range slices.Sorted(maps.Keys(j.unknown)) {
		if i == most {
			return append(list, fmt.Sprintf("--policy live: and %d more", len(j.unknown)-most))
		}
		list = append(list, "--policy live: "+why)
	}
	return list
}

// Why returns the likeliest cause of a failure.
func (j *Judge) Why(f report.Failure) report.Diagnosis {
	e := connlog.Entry{Protocol: f.Protocol, Cipher: f.Cipher, Status: f.Status, ListenerPort: f.Port, LoadBalancer: f.LoadBalancer}
	list := j.Set.Diagnose(&e, j.PolicyAt(f.LoadBalancer, f.Port))
	if len(list) == 0 {
		return report.Diagnosis{ID: "unknown", Cause: "The log does not say."}
	}
	d := list[0]
	if d.Change != nil { // one policy for all causes, not one for each
		d.Advice = "`tlswatch policy suggest` on these logs names one policy for all clients."
	}
	return report.Diagnosis{ID: string(d.ID), Cause: d.Cause, Remedy: strings.TrimSpace(d.Remedy + " " + d.Advice)}
}
