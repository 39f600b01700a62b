// Package forecast predicts what another security policy would do to the connections
// of a log.
package forecast

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/config"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/secpolicy"
)

// A Change is a change of security policy, from flags.
type Change struct {
	policyflags.Flags // the current policies
	To                string
	Certificates      []string
}

// Question turns the flags into a question, and returns notes about the policies in
// it.
func (o *Change) Question(ctx context.Context) (q secpolicy.Question, notes []string, err error) {
	set, err := o.File.Load()
	if err != nil {
		return q, nil, err
	}
	if q.To, err = policyflags.Lookup(set, o.To); err != nil {
		return q, nil, err
	}
	if q.Certificates, err = policyflags.ParseCertificates(o.Certificates); err != nil {
		return q, nil, err
	}
	known := map[string]*secpolicy.Policy{o.To: q.To}
	switch o.Policy {
	case "":
		notes = append(notes, "The current policy is unknown. --policy would make the prediction more certain.")
	case policyflags.Live:
		live, err := policyflags.LivePolicies(ctx, o.Region)
		if err != nil {
			return q, nil, fmt.Errorf("--policy live: %w", err)
		}
		missing := make(map[string]bool)
		for _, listeners := range live {
			for _, name := range listeners {
				if policy, err := set.Lookup(name); err != nil {
					missing[name] = true
				} else if policy != q.To {
					known[name] = policy
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(missing)) {
			notes = append(notes, fmt.Sprintf("Some listeners have the unknown policy %s: refresh with `tlswatch policy update`.", name))
		}
		q.From = func(l secpolicy.Listener) *secpolicy.Policy {
			policy, err := set.Lookup(live[l.LoadBalancer].At(l.Port))
			if err != nil {
				return nil
			}
			return policy
		}
	default:
		names, err := config.ParseListenerPolicies(o.Policy)
		if err != nil {
			return q, nil, command.Usagef("--policy: %w", err)
		}
		for _, name := range names {
			if known[name], err = policyflags.Lookup(set, name); err != nil {
				return q, nil, err
			}
			if len(names) == 1 && name == o.Policy {
				o.Policy = known[name].Name
			}
		}
		q.From = func(l secpolicy.Listener) *secpolicy.Policy {
			return known[pipeline.ListenerPolicies(names).At(l.Port)]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if c := known[name].Caveat(); c != "" {
			notes = append(notes, fmt.Sprintf("Not confirmed about %s: %s.", known[name].Name, c))
		}
	}
	return q, notes, nil
}

// Forecast answers the question.
func (o *Change) Forecast(q secpolicy.Question, folds []Observations, caveats []string) Forecast {
	all := folds[0]
	for _, f := range folds[1:] {
		all.merge(f)
	}
	f := q.WhatIf(all.each)
	if f.Contradicting > 0 {
		caveats = append(caveats, text.Plural(f.Contradicting, "connection")+" negotiated something that --policy does not allow: the listener had another policy then. For them, the current policy counts as unknown.")
	}
	if all.other > 0 {
		caveats = append(caveats, fmt.Sprintf("Client counts are too low: there are too many clients, and those of %s count as one, \"other\".", text.Plural(all.other, "connection")))
	}
	return newForecast(cmp.Or(o.Policy, "unknown"), q.To.Name, f, caveats)
}
