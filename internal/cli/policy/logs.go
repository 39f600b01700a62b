package policy

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/secpolicy"
)

// A listenerJSON is which policies suit a listener, by its log.
type listenerJSON struct {
	LoadBalancer string            `json:"loadBalancer"`
	Port         uint16            `json:"port"`
	Policy       string            `json:"policy"`      // in force, "" if unknown
	Connections  uint64            `json:"connections"` // with TLS
	Failed       uint64            `json:"failed"`
	Of           uint64            `json:"of"`       // failures that the suggestions are for
	NotFixed     []incident.Cohort `json:"notFixed"` // clients with failures that the first suggestion does not fix
	suggestJSON

	suggestion *incident.Suggestion
	change     *secpolicy.Difference
	more       int
}

const maxNotFixed = 5 // cohorts in a table

// fromLogs suggests a policy for each listener in logs.
func (o *suggestFlags) fromLogs(cmd *cobra.Command, p *flags, paths []string) error {
	limits, err := o.constraints()
	if err != nil {
		return err
	}
	filter, err := o.filter.Filter(time.Now().UTC())
	if err != nil {
		return err
	}
	set, err := p.file.Load(cmd.Context())
	if err != nil {
		return err
	}
	judge, err := (&policyflags.Flags{File: p.file, Policy: o.current}).Judge(cmd.Context())
	if err != nil {
		return err
	}
	options := incident.Options{Policies: set}
	if judge != nil {
		options.Policy = judge.PolicyAt
	}
	c := incident.New(options)
	in := input.New(paths, cmd.InOrStdin(), console.NewProgress(cmd.ErrOrStderr(), "log"))
	in.Apply(filter)
	workers := make([]*incident.Worker, in.Workers)
	for i := range workers {
		workers[i] = c.Worker()
	}
	readErr := in.Scan(cmd.Context(), func(worker int, e *connlog.Entry) { workers[worker].Add(e) })
	for _, w := range workers {
		w.Close()
	}
	if readErr != nil && !errors.As(readErr, new(*input.ReadError)) {
		return in.Finish(cmd.Context(), readErr)
	}
	in.WriteLeftOut(cmd.ErrOrStderr())
	command.WriteRemarks(cmd.ErrOrStderr(), judge.Remarks())
	if cmd.Context().Err() == nil {
		filter.WarnNothing(cmd.ErrOrStderr())
	}
	listeners := []listenerJSON{}
	var none error
	for _, s := range c.Suggest(limits) {
		listeners = append(listeners, o.listener(&s))
		if len(s.Policies) == 0 {
			none = cmp.Or(none, fmt.Errorf("no policy is known to accept all that is negotiated at %s and meets the constraints", listenerName(&s)))
		}
	}
	if len(listeners) == 0 {
		none = errors.New("there are no TLS connections in the logs")
	}
	if p.format == "json" {
		err = command.WriteJSON(cmd.OutOrStdout(), listeners)
	} else {
		w := console.NewWriter(cmd.OutOrStdout())
		for i := range listeners {
			if i > 0 {
				fmt.Fprintln(w)
			}
			listeners[i].write(w)
		}
		err = w.Flush()
	}
	return cmp.Or(err, in.Finish(cmd.Context(), readErr), none)
}

func (o *suggestFlags) listener(s *incident.Suggestion) listenerJSON {
	l := listenerJSON{
		LoadBalancer: s.LoadBalancer, Port: s.Port, Connections: s.Connections, Failed: s.Failed, Of: s.Of, NotFixed: []incident.Cohort{},
		suggestJSON: suggestJSON{Suggestions: []suggestionJSON{}}, suggestion: s,
	}
	list := s.Policies
	if o.top > 0 && len(list) > o.top {
		list, l.more = list[:o.top], len(list)-o.top
	}
	for _, p := range list {
		suggestion := newSuggestion(p.Policy)
		suggestion.Fixes, suggestion.Hints = &p.Fixes, nil
		l.Suggestions = append(l.Suggestions, suggestion)
	}
	if s.InForce != nil {
		l.Policy = s.InForce.Name
	}
	if len(list) == 0 {
		l.NotFixed = append(l.NotFixed, s.Cohorts...)
		return l
	}
	for _, i := range list[0].Not {
		l.NotFixed = append(l.NotFixed, s.Cohorts[i])
	}
	if s.InForce != nil {
		change := secpolicy.Compare(s.InForce, list[0].Policy)
		l.change, l.SmallestChange = &change, newChange(&change)
	}
	return l
}

func listenerName(s *incident.Suggestion) string {
	return strings.TrimSpace(fmt.Sprintf("%s port %d", s.LoadBalancer, s.Port))
}

func (l *listenerJSON) write(w *console.Writer) {
	s := l.suggestion
	fmt.Fprintf(w, "%s: %s of %s failed\n", listenerName(s), text.Count(s.Failed), text.Plural(s.Connections, "connection"))
	if len(s.Policies) > 0 {
		l.writeBest(w, &s.Policies[0])
	}
	for i, c := range l.NotFixed {
		switch {
		case i == 0:
			fmt.Fprintln(w, "  No policy is known to help these, by failures")
		case i == maxNotFixed:
			fmt.Fprintf(w, "    and %s\n", text.Plural(len(l.NotFixed)-i, "more kind"))
		}
		if i < maxNotFixed {
			fmt.Fprintf(w, "    %s  %s\n", text.Count(c.Failures), cohortText(&c))
		}
	}
	if len(l.Suggestions) > 1 {
		fmt.Fprintln(w, "  Others that accept all that is negotiated, the best first")
		for _, p := range l.Suggestions[1:] {
			fmt.Fprintf(w, "    %s%s\n", p.Name, l.fewer(p))
		}
	}
	if l.more > 0 {
		fmt.Fprintf(w, "    and %d more; --top 0 shows all\n", l.more)
	}
}

// fewer says so if a policy fixes less than the first.
func (l *listenerJSON) fewer(p suggestionJSON) string {
	if *p.Fixes == *l.Suggestions[0].Fixes {
		return ""
	}
	return fmt.Sprintf(" (for %s of the failed connections)", text.Count(*p.Fixes))
}

func (l *listenerJSON) writeBest(w *console.Writer, best *incident.Suggested) {
	if l.change != nil && l.change.A == l.change.B {
		fmt.Fprintf(w, "  %s accepts all that a policy is known to accept: no change needed\n", best.Policy.Name)
		return
	}
	fmt.Fprintf(w, "  %s\n    accepts all that is negotiated now", best.Policy.Name)
	if best.Fixes > 0 {
		fmt.Fprintf(w, ", and %s of %s", text.Count(best.Fixes), text.Plural(l.Of, "failed connection"))
	}
	fmt.Fprintln(w)
	for _, line := range changeLines(best.Policy, l.change) {
		fmt.Fprintf(w, "    %s\n", line)
	}
}

// cohortText says how clients fail, and what they negotiated before.
func cohortText(c *incident.Cohort) string {
	reason := c.Reason
	if reason == "" {
		reason = "no reason"
	}
	parts := []string{text.Name(reason), text.Plural(c.Clients, "client")}
	if s := negotiatedText(c.Now); s != "" {
		parts = append(parts, "now "+s)
	}
	if c.Before != nil {
		parts = append(parts, "worked with "+negotiatedText(*c.Before))
	}
	return strings.Join(parts, ", ")
}

func negotiatedText(n incident.Negotiated) string {
	return text.Name(strings.Join(strings.Fields(n.Protocol+" "+n.Cipher+" "+n.KeyExchange), " "))
}
