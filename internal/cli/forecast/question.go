// Package forecast predicts what another security policy would do to the connections
// of a log.
package forecast

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
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
	set, err := o.File.Load(ctx)
	if err != nil {
		return q, nil, err
	}
	if q.To, err = policyflags.Lookup(set, o.To); err != nil {
		return q, nil, err
	}
	if q.Certificates, err = policyflags.ParseCertificates(o.Certificates); err != nil {
		return q, nil, err
	}
	judge, err := o.Judge(ctx)
	if err != nil {
		return q, nil, err
	}
	known := map[string]*secpolicy.Policy{q.To.Name: q.To}
	if judge == nil {
		notes = append(notes, "The current policy is unknown. --policy would make the prediction more certain.")
	} else {
		q.From = func(l secpolicy.Listener) *secpolicy.Policy { return judge.PolicyAt(l.LoadBalancer, l.Port) }
		if o.Policy != policyflags.Live {
			o.Policy = judge.Policy
		}
		for _, name := range judge.Names() {
			if policy, err := set.Lookup(name); err == nil {
				known[policy.Name] = policy
			} else {
				notes = append(notes, fmt.Sprintf("Some listeners have the unknown policy %s: refresh with `tlswatch policy update`.", name))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if c := known[name].Caveat(); c != "" {
			notes = append(notes, fmt.Sprintf("Not confirmed about %s: %s.", name, c))
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
