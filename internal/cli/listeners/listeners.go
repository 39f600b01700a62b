// Package listeners is the command listeners: it shows the listeners of live load
// balancers.
package listeners

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/elbpolicy"
	"tlswatch/pkg/secpolicy"
)

type options struct {
	names  []string
	to     string
	data   policyflags.File
	format string
}

// New returns the command.
func New() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "listeners",
		Short: "Show the listeners of live load balancers and what they accept",
		Long: `listeners shows the listeners of the load balancers in an account and Region:
their security policies, what these accept, and their weaknesses.

With --to, it shows for each TLS listener what another policy would change, and
prints the commands that make and undo the change. It changes nothing itself.
Test a change on your logs first: see 'tlswatch whatif'.

It needs the permissions elasticloadbalancing:DescribeLoadBalancers and
elasticloadbalancing:DescribeListeners, and takes credentials and the Region
from your AWS configuration.

` + policyflags.FileHelp,
		Example: `  tlswatch listeners
  tlswatch listeners --region eu-west-2 --load-balancer shop --to ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09`,
		Args: command.AtMost(0),
		RunE: command.Runs(func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		}),
	}
	f := cmd.Flags()
	command.AddAWS(cmd)
	f.StringArrayVar(&o.names, "load-balancer", nil, command.LoadBalancerUsage+"; shows only its listeners; repeatable")
	f.StringVar(&o.to, "to", "", command.ToUsage+"; shows what it would change, and the commands")
	command.AddFormat(cmd, &o.format, "table", "json")
	o.data.AddFlag(cmd)
	command.CompleteFlag(cmd, "to", policyflags.Complete(&o.data, 0))
	return cmd
}

func (o options) run(ctx context.Context, stdout io.Writer) error {
	set, err := o.data.Load(ctx)
	if err != nil {
		return err
	}
	var to *secpolicy.Policy
	if o.to != "" {
		if to, err = policyflags.Lookup(set, o.to); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
	}
	wanted, err := input.ParseLoadBalancers(o.names)
	if err != nil {
		return err
	}
	client, region, err := cloud.ELB(ctx)
	if err != nil {
		return err
	}
	var paths []string
	list, err := elbpolicy.LoadBalancers(ctx, client, func(path string) bool {
		paths = append(paths, path)
		return wanted.Match(path) || len(wanted) == 0
	})
	if err != nil {
		return cloud.Explain(err)
	}
	for _, miss := range wanted.Missing(paths) {
		return fmt.Errorf("there is no load balancer %s in this account and Region; there are: %s", miss.Value, cmp.Or(miss.Nearest, "none"))
	}
	result := newResult(region, list, set, to)
	if o.format == "json" {
		return command.WriteJSON(stdout, result)
	}
	return result.write(stdout)
}

// result is what --format json prints.
type result struct {
	Region        string              `json:"region"`
	To            string              `json:"to"` // policy of --to, or ""
	LoadBalancers []loadBalancerEntry `json:"loadBalancers"`

	set *secpolicy.Set
}

type loadBalancerEntry struct {
	LoadBalancer string          `json:"loadBalancer"` // "app/NAME/ID", as in logs and metrics
	Name         string          `json:"name"`
	ARN          string          `json:"arn"`
	DNSName      string          `json:"dnsName"`
	Type         string          `json:"type"` // application or network
	Listeners    []listenerEntry `json:"listeners"`
	Warnings     []string        `json:"warnings"` // about the change to the policy of --to
}

type listenerEntry struct {
	Port            uint16   `json:"port"`
	Protocol        string   `json:"protocol"`
	ARN             string   `json:"arn"`
	CertificateARNs []string `json:"certificateArns"`
	MutualTLS       string   `json:"mutualTls"` // off, passthrough, verify, or ""

	// Without TLS, Policy is "" and Accepts null. Accepts is also null for an unknown
	// policy.
	Policy  string                  `json:"policy"`
	Accepts *policyflags.PolicyJSON `json:"accepts"`
	Problem string                  `json:"problem"` // why Accepts is null although there is a policy
	Change  *listenerChange         `json:"change"`  // null if there is none to make

	policy *secpolicy.Policy
}

// A listenerChange is what the policy of --to would change, and the commands.
type listenerChange struct {
	Command string `json:"command"`
	Undo    string `json:"undo"`
	policyflags.Changes
	Weakens     []string `json:"weakens"`     // new weaknesses
	Strengthens []string `json:"strengthens"` // weaknesses that it removes
	Known       bool     `json:"known"`       // the current policy is known
	Caveats     []string `json:"caveats"`     // what is not confirmed about both policies, for people

	difference secpolicy.Difference
}

func newResult(region string, list []elbpolicy.LoadBalancer, set *secpolicy.Set, to *secpolicy.Policy) *result {
	result := &result{Region: region, LoadBalancers: []loadBalancerEntry{}, set: set}
	if to != nil {
		result.To = to.Name
	}
	for _, lb := range list {
		entry := loadBalancerEntry{
			LoadBalancer: lb.Path, Name: lb.Name, ARN: lb.ARN, DNSName: lb.DNSName, Type: lb.Type, Listeners: []listenerEntry{}, Warnings: []string{},
		}
		for _, l := range lb.Listeners {
			entry.Listeners = append(entry.Listeners, newListenerEntry(region, l, set, to))
		}
		if to != nil {
			entry.Warnings = append(entry.Warnings, mixedFIPS(entry.Listeners, to)...)
		}
		result.LoadBalancers = append(result.LoadBalancers, entry)
	}
	return result
}

func newListenerEntry(region string, l elbpolicy.Listener, set *secpolicy.Set, to *secpolicy.Policy) listenerEntry {
	e := listenerEntry{
		Port: l.Port, Protocol: l.Protocol, ARN: l.ARN, CertificateARNs: append([]string{}, l.CertificateARNs...), MutualTLS: l.MutualTLS, Policy: l.Policy,
	}
	if l.Policy == "" {
		return e
	}
	var err error
	if e.policy, err = set.Lookup(l.Policy); err != nil {
		e.Problem = err.Error()
	} else {
		accepts := policyflags.Describe(e.policy)
		e.Accepts = &accepts
	}
	if to == nil || to.Name == l.Policy {
		return e
	}
	modify := func(policy string) string {
		return fmt.Sprintf("aws elbv2 modify-listener --region %s --listener-arn %s --ssl-policy %s", region, l.ARN, policy)
	}
	e.Change = &listenerChange{Command: modify(to.Name), Undo: modify(l.Policy)}
	if e.policy != nil {
		e.Change.Known, e.Change.difference = true, secpolicy.Compare(e.policy, to)
	}
	d := &e.Change.difference
	e.Change.Changes = policyflags.NewChanges(d)
	e.Change.Weakens, e.Change.Strengthens = []string{}, []string{}
	e.Change.Caveats = append([]string{}, secpolicy.Caveats(e.policy, to)...)
	if e.Change.Known {
		e.Change.Weakens, e.Change.Strengthens = command.Names(d.Weakens()), command.Names(d.Strengthens())
	}
	return e
}

// mixedFIPS warns if AWS would refuse to change one listener at a time: either all TLS
// listeners of a load balancer have FIPS policies, or none.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
func mixedFIPS(listeners []listenerEntry, to *secpolicy.Policy) []string {
	var others []string
	for _, l := range listeners {
		if l.policy != nil && l.policy.FIPS != to.FIPS {
			others = append(others, strconv.Itoa(int(l.Port)))
		}
	}
	if len(others) == 0 {
		return nil
	}
	one, rest := "not a FIPS policy", "are"
	if to.FIPS {
		one, rest = "a FIPS policy", "are not"
	}
	return []string{fmt.Sprintf("%s is %s, but the policies on port %s %s; AWS does not allow both kinds on one load balancer",
		to.Name, one, strings.Join(others, ", "), rest)}
}

func (r *result) write(w io.Writer) error {
	b := console.NewWriter(w)
	if len(r.LoadBalancers) == 0 {
		fmt.Fprintf(b, "No application or network load balancers in %s.\n", r.Region)
	}
	for i, lb := range r.LoadBalancers {
		if i > 0 {
			fmt.Fprintln(b)
		}
		fmt.Fprintf(b, "%s  %s\n", lb.LoadBalancer, lb.DNSName)
		lb.write(b)
	}
	r.writePolicies(b)
	if r.To != "" {
		r.writeChanges(b)
	}
	return b.Flush()
}

func (lb *loadBalancerEntry) write(w *console.Writer) {
	if len(lb.Listeners) == 0 {
		fmt.Fprintln(w, "  no listeners")
		return
	}
	t := text.Table{Columns: "rlllrw"}
	t.Add("port", "protocol", "policy", "accepts", "ciphers", "remarks")
	for _, l := range lb.Listeners {
		port := strconv.Itoa(int(l.Port))
		switch {
		case l.Policy == "":
			t.Add(port, l.Protocol, "-", "", "", "")
		case l.policy == nil:
			t.Add(port, l.Protocol, l.Policy, "unknown", "", "refresh with 'tlswatch policy update'")
		default:
			t.Add(port, l.Protocol, l.Policy, policyflags.ProtocolSpan(l.policy), strconv.Itoa(len(l.policy.Ciphers)), l.remarks())
		}
	}
	w.Table(&t)
}

// writePolicies explains each policy once: load balancers often share one.
func (r *result) writePolicies(w *console.Writer) {
	var seen []string
	for _, lb := range r.LoadBalancers {
		for _, l := range lb.Listeners {
			if l.policy == nil || slices.Contains(seen, l.Policy) {
				continue
			}
			if seen = append(seen, l.Policy); len(seen) == 1 {
				fmt.Fprintf(w, "\nTHE POLICIES\n")
			}
			fmt.Fprintf(w, "\n  %s\n", l.Policy)
			for _, weakness := range l.policy.Weaknesses() {
				fmt.Fprintf(w, "    %s\n", weakness.Text())
			}
			for _, role := range l.policy.Roles() {
				fmt.Fprintf(w, "    %s\n", role.Text())
			}
			fmt.Fprintf(w, "    towards targets: %s\n", policyflags.TargetsText(l.policy))
		}
	}
	if len(seen) > 0 {
		policyflags.WriteDefaults(w, r.set)
	}
}

func (l *listenerEntry) remarks() string {
	var parts []string
	if l.policy.PostQuantum {
		parts = append(parts, "post-quantum")
	}
	if l.policy.FIPS {
		parts = append(parts, "FIPS")
	}
	if l.MutualTLS != "" && l.MutualTLS != "off" {
		parts = append(parts, "client certificates: "+l.MutualTLS)
	}
	if text := policyflags.Remarks(l.policy); text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// writeChanges shows what the policy of --to would change, and the commands.
func (r *result) writeChanges(w io.Writer) {
	fmt.Fprintf(w, "\nCHANGE TO %s\n", r.To)
	found := false
	for _, lb := range r.LoadBalancers {
		for _, l := range lb.Listeners {
			if l.Change == nil {
				continue
			}
			found = true
			fmt.Fprintf(w, "\n  %s port %d, from %s\n", lb.LoadBalancer, l.Port, l.Policy)
			l.Change.write(w)
			for _, caveat := range l.Change.Caveats {
				fmt.Fprintf(w, "    not confirmed: %s\n", caveat)
			}
			fmt.Fprintf(w, "    run   %s\n    undo  %s\n", l.Change.Command, l.Change.Undo)
		}
		for _, warning := range lb.Warnings {
			fmt.Fprintf(w, "\n  Warning: %s\n", warning)
		}
		if from := lb.from(); from != "" {
			fmt.Fprintf(w, "\n  Which clients in its logs would break:\n    tlswatch whatif --policy %s --to %s PATH...\n", from, r.To)
		}
	}
	if !found {
		fmt.Fprintf(w, "\n  No listener would change.\n")
		return
	}
	fmt.Fprintf(w, "\n  Nothing was changed.\n")
}

// from returns the current policies in the form of 'whatif --from', "" if none is
// known.
func (lb *loadBalancerEntry) from() string {
	var list []string
	for _, l := range lb.Listeners {
		if l.Change != nil && l.policy != nil {
			list = append(list, fmt.Sprintf("%d=%s", l.Port, l.Policy))
		}
	}
	return strings.Join(list, ",")
}

func (c *listenerChange) write(w io.Writer) {
	if !c.Known {
		fmt.Fprintln(w, "    The current policy is unknown, and so is what would change. The change may weaken the listener.")
		return
	}
	line := func(heading string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(w, "    %s %s\n", heading, strings.Join(names, " "))
		}
	}
	line("no longer accepted:", slices.Concat(c.ProtocolsRemoved, c.CiphersRemoved))
	line("newly accepted:", slices.Concat(c.ProtocolsAdded, c.CiphersAdded))
	for _, weakness := range c.difference.Weakens() {
		fmt.Fprintf(w, "    new weakness: %s\n", weakness.Text())
	}
	for _, weakness := range c.difference.Strengthens() {
		fmt.Fprintf(w, "    weakness removed: %s\n", weakness.Text())
	}
	if c.difference.Same() {
		fmt.Fprintln(w, "    accepts the same clients")
	}
}
