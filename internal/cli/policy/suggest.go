package policy

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A suggestionJSON is a policy that accepts all clients.
type suggestionJSON struct {
	Name        string   `json:"name"`
	GivesUp     []string `json:"givesUp"`
	PostQuantum bool     `json:"postQuantum"`
	FIPS        bool     `json:"fips"`
	Confirmed   bool     `json:"confirmed"`
	Hints       []string `json:"hints,omitzero"` // without logs: always empty, for one more version
	Caveat      string   `json:"caveat"`
	Fixes       *uint64  `json:"fixes,omitempty"` // with logs: failures
}

func newSuggestion(p *secpolicy.Policy) suggestionJSON {
	return suggestionJSON{Name: p.Name, GivesUp: command.Names(p.Weaknesses()), PostQuantum: p.PostQuantum, FIPS: p.FIPS, Confirmed: p.Confirmed(), Hints: []string{}, Caveat: p.Caveat()}
}

type changeJSON struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Weakens []string `json:"weakens"`
	Adds    []string `json:"adds"` // protocols and cipher suites
	Caveat  string   `json:"caveat"`
}

func newChange(d *secpolicy.Difference) *changeJSON {
	return &changeJSON{
		From: d.A.Name, To: d.B.Name, Weakens: command.Names(d.Weakens()),
		Adds: append(command.Names(d.ProtocolsAdded), command.Names(d.CiphersAdded)...), Caveat: d.B.Caveat(),
	}
}

type suggestJSON struct {
	Suggestions    []suggestionJSON `json:"suggestions"`
	SmallestChange *changeJSON      `json:"smallestChange,omitempty"`
}

// suggestFlags are the flags of policy suggest.
type suggestFlags struct {
	offer   offerFlags
	offered []string
	current string
	lowest  string
	top     int
	limits  secpolicy.Constraints
	filter  input.FilterFlags // with logs
}

func (p *flags) newSuggest() *cobra.Command {
	var o suggestFlags
	cmd := &cobra.Command{
		Use:   "suggest {PATH... | --protocol P --cipher C}",
		Short: "Suggest policies that accept your clients, in logs or given",
		Long: `suggest PATH... reads connection logs, and suggests one policy for each listener:
it accepts all that is negotiated now and as many of the failing clients as
possible, by protocol, cipher suite and key exchange, by what they negotiated
before and try now. Of several such policies it is the one that newly allows
least. --policy names the policies that the listeners have: POLICY,
443=POLICY,8443=POLICY by port, or live to ask AWS.

Without PATH, it lists the policies that accept all given clients, strictest
first, with their weaknesses. --protocol and --cipher describe one client;
--offer adds others, each with its protocols and cipher suites in quotes. With
--policy, it lists those that accept these clients and everything that the
current policy accepts, smallest change first.

` + input.PathHelp,
		Example: `  tlswatch policy suggest --policy TLS13-1-2-2021-06 conn_log_*.log.gz
  tlswatch policy suggest --protocol TLSv1.2 --cipher ECDHE-RSA-AES256-SHA
  tlswatch policy suggest --policy ELBSecurityPolicy-TLS13-1-2-2021-06 \
    --offer 'TLSv1.2 ECDHE-RSA-AES256-SHA' --offer 'TLSv1 AES128-SHA'`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				return p.runs(func(set *secpolicy.Set, _ []string) (any, func(*console.Writer), error) { return o.suggest(set) })(cmd, nil)
			}
			if len(o.offered)+len(o.offer.protocols)+len(o.offer.ciphers)+len(o.offer.groups)+len(o.offer.certificates) > 0 {
				return command.Usagef("--protocol, --cipher, --group, --certificate and --offer describe clients in place of PATH")
			}
			return command.Runs(func(cmd *cobra.Command, paths []string) error { return o.fromLogs(cmd, p, paths) })(cmd, paths)
		},
	}
	o.offer.addFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.offered, "offer", nil, "`OFFER` of one more client: 'PROTOCOL... CIPHER...'; repeatable")
	command.Renamed(cmd, "client", "offer")
	f.StringVar(&o.current, "policy", "", command.PolicyUsage+", 443=POLICY,8443=POLICY by port, or with PATH live to ask AWS; suggests the smallest change")
	command.Renamed(cmd, "current", "policy")
	f.StringVar(&o.lowest, "min-protocol", "", "only policies that allow no `PROTOCOL` below this one")
	f.BoolVar(&o.limits.ForwardSecrecy, "forward-secrecy", false, "only policies with forward secrecy")
	f.BoolVar(&o.limits.PostQuantum, "post-quantum", false, "only policies with post-quantum key exchange")
	f.BoolVar(&o.limits.OnlyFIPS, "fips", false, "only FIPS policies")
	f.BoolVar(&o.limits.NoFIPS, "no-fips", false, "only policies that are not FIPS policies")
	f.BoolVar(&o.limits.Confirmed, "confirmed", false, "only policies whose protocols and cipher suites are confirmed")
	f.BoolVar(&o.limits.Legacy, "legacy", false, "also suggest policies that AWS no longer lists for Application Load Balancers")
	f.IntVar(&o.top, "top", 5, command.TopUsage)
	o.filter.RegisterListeners(cmd)
	command.AddAWS(cmd)
	command.AddRequesterPays(cmd)
	command.CompleteFlag(cmd, "policy", policyflags.Complete(&p.file, 0))
	return cmd
}

// constraints reads the flags that restrict the policies.
func (o *suggestFlags) constraints() (secpolicy.Constraints, error) {
	limits := o.limits
	switch {
	case limits.OnlyFIPS && limits.NoFIPS:
		return limits, command.Usagef("--fips and --no-fips exclude each other")
	case o.top < 0:
		return limits, command.Usagef("--top must be 0 or more, not %d", o.top)
	}
	if o.lowest != "" {
		version, err := tlsname.ParseVersion(o.lowest)
		if err != nil {
			return limits, command.Usagef("--min-protocol: %w", err)
		}
		limits.MinVersion = version
	}
	return limits, nil
}

func (o *suggestFlags) suggest(set *secpolicy.Set) (any, func(*console.Writer), error) {
	offers, err := clientOffers(o.offer, o.offered)
	if err != nil {
		return nil, nil, err
	}
	limits, err := o.constraints()
	if err != nil {
		return nil, nil, err
	}
	var clients []secpolicy.Client
	for _, offer := range offers {
		clients = append(clients, secpolicy.Client{Offers: []secpolicy.Offer{offer}, Weight: 1})
	}
	needs := secpolicy.Needs{Clients: clients, Constraints: limits}
	if o.current != "" {
		policies, err := policyflags.ParseListeners(set, o.current)
		if err != nil {
			return nil, nil, err
		}
		names := slices.Compact(slices.Sorted(maps.Values(policies)))
		if len(names) > 1 {
			return nil, nil, command.Usagef("--policy must name the one policy to change, not %s; ask for each listener", strings.Join(names, " and "))
		}
		needs.Current, _ = set.Lookup(names[0])
	}
	var list []*secpolicy.Policy
	for _, r := range set.Recommend(needs) {
		if len(r.Refused) == 0 {
			list = append(list, r.Policy)
		}
	}
	var change *secpolicy.Difference
	result := suggestJSON{Suggestions: []suggestionJSON{}}
	if needs.Current != nil && len(list) > 0 {
		smallest := secpolicy.Compare(needs.Current, list[0])
		change, result.SmallestChange = &smallest, newChange(&smallest)
	}
	more := 0
	if o.top > 0 && len(list) > o.top {
		list, more = list[:o.top], len(list)-o.top
	}
	for _, p := range list {
		result.Suggestions = append(result.Suggestions, newSuggestion(p))
	}
	if len(list) == 0 {
		err = errors.New("no policy is known to accept these clients and meets the constraints")
	}
	return result, func(w *console.Writer) { writeSuggestions(w, list, more, change) }, err
}

// clientOffers reads the client of --protocol and --cipher, and those of
// --offer.
func clientOffers(o offerFlags, offered []string) ([]secpolicy.Offer, error) {
	var offers []secpolicy.Offer
	if len(o.protocols)+len(o.ciphers) > 0 || len(offered) == 0 {
		if len(o.protocols) == 0 || len(o.ciphers) == 0 {
			return nil, command.Usagef("missing --protocol PROTOCOL and --cipher CIPHER, or --offer 'PROTOCOL... CIPHER...'")
		}
		offer, err := o.offer()
		if err != nil {
			return nil, err
		}
		offers = append(offers, offer)
	}
	for _, text := range offered {
		one := offerFlags{flag: "offer", certificates: o.certificates}
		for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
			if v, err := tlsname.ParseVersion(name); err == nil && v.Known() {
				one.protocols = append(one.protocols, name)
			} else {
				one.ciphers = append(one.ciphers, name)
			}
		}
		offer, err := one.offer()
		if err != nil {
			return nil, err
		}
		if len(offer.Versions) == 0 || len(offer.Suites) == 0 {
			return nil, command.Usagef("--offer needs at least one protocol and one cipher suite, not %q", text)
		}
		offers = append(offers, offer)
	}
	return offers, nil
}

func writeSuggestions(w io.Writer, list []*secpolicy.Policy, more int, change *secpolicy.Difference) {
	if change != nil {
		if change.A == change.B {
			fmt.Fprintf(w, "%s accepts these clients: no change needed\n", change.A.Name)
		} else {
			fmt.Fprintf(w, "Smallest change from %s\n  %s\n", change.A.Name, change.B.Name)
		}
		for _, line := range changeLines(change.B, change) {
			fmt.Fprintf(w, "  %s\n", line)
		}
		if list = list[1:]; len(list) > 0 {
			fmt.Fprintln(w, "\nOther policies that accept these clients, smallest change first")
		}
	}
	for _, p := range list {
		fmt.Fprintln(w, p.Name)
		for _, line := range changeLines(p, nil) {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
	if more > 0 {
		fmt.Fprintf(w, "and %d more; --top 0 shows all\n", more)
	}
}

// changeLines says what is weak about a policy, or what a change to it weakens and adds,
// and what is not confirmed.
func changeLines(p *secpolicy.Policy, change *secpolicy.Difference) (lines []string) {
	weaknesses, what := p.Weaknesses(), "weakness: "
	if change != nil {
		weaknesses, what = change.Weakens(), "new weakness: "
	}
	for _, weakness := range weaknesses {
		lines = append(lines, what+weakness.Text())
	}
	if change != nil {
		if added := append(command.Names(change.ProtocolsAdded), command.Names(change.CiphersAdded)...); len(added) > 0 {
			lines = append(lines, "adds: "+strings.Join(added, " "))
		}
	}
	if c := p.Caveat(); c != "" {
		lines = append(lines, "not confirmed: "+c)
	}
	return lines
}
