// Package forecast predicts what other security policies would do to the connections
// of a log.
package forecast

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tlswatch/internal/cli/policyflags"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/whatif"
)

// A Change is a change of security policy, from flags.
type Change struct {
	policyflags.Flags  // the current policies
	To                 []string
	Certificates       []string // of the listeners
	ClientCertificates []string // PEM files
	questions          []whatif.Question
	certificates       *clientCertificates
	notes              []string // about the question
	live               time.Time
}

// Prepare turns the flags into questions.
func (o *Change) Prepare(ctx context.Context, now time.Time) error {
	set, err := o.File.Load(ctx)
	if err != nil {
		return err
	}
	q := whatif.Question{Policies: set}
	known := make(map[string]*secpolicy.Policy)
	for _, name := range o.To {
		to, err := policyflags.Lookup(set, name)
		if err != nil {
			return err
		}
		if known[to.Name] != nil {
			continue // named twice
		}
		known[to.Name] = to
		q.To = to
		o.questions = append(o.questions, q)
	}
	certificates, err := parseCertificates(o.Certificates)
	if err != nil {
		return err
	}
	if o.certificates, err = readClientCertificates(o.ClientCertificates); err != nil {
		return err
	}
	judge, err := o.Judge(ctx)
	if err != nil {
		return err
	}
	for i := range o.questions {
		q := &o.questions[i]
		q.Certificates, q.ClientCertificates = certificates, o.certificates.signatures
		if judge != nil {
			q.From = func(l whatif.Listener) *secpolicy.Policy { return judge.PolicyAt(l.LoadBalancer, l.Port) }
			q.Now = o.Policy == policyflags.Live
		}
	}
	if judge == nil {
		o.notes = append(o.notes, "The current policy is unknown. --policy would make the prediction more certain.")
	} else {
		if o.Policy == policyflags.Live {
			o.live = now
		} else {
			o.Policy = judge.Policy
		}
		for _, name := range judge.Names() {
			if policy, err := set.Lookup(name); err == nil {
				known[policy.Name] = policy
			} else {
				o.notes = append(o.notes, fmt.Sprintf("Some listeners have the unknown policy %s: refresh with `tlswatch policy update`.", name))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if c := known[name].Caveat(); c != "" {
			o.notes = append(o.notes, fmt.Sprintf("Not confirmed about %s: %s.", name, c))
		}
	}
	return nil
}
