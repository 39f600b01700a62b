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
	Caveat      string   `json:"caveat"`
}

type changeJSON struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Weakens []string `json:"weakens"`
	Adds    []string `json:"adds"` // protocols and cipher suites
	Caveat  string   `json:"caveat"`
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
}

func (p *flags) newSuggest() *cobra.Command {
	var o suggestFlags
	cmd := &cobra.Command{
		Use:   "suggest --protocol PROTOCOL --cipher CIPHER",
		Short: "Suggest the strictest policies that accept your clients",
		Long: `suggest lists the policies that accept all given clients, strictest first, with
their weaknesses. --protocol and --cipher describe one client; --offer adds
others, each with its protocols and cipher suites in quotes. With --policy, it
lists those that accept these clients and everything that the current policy
accepts, smallest change first.`,
		Example: `  tlswatch policy suggest --protocol TLSv1.2 --cipher ECDHE-RSA-AES256-SHA
  tlswatch policy suggest --policy ELBSecurityPolicy-TLS13-1-2-2021-06 \
    --offer 'TLSv1.2 ECDHE-RSA-AES256-SHA' --offer 'TLSv1 AES128-SHA'`,
		Args: command.AtMost(0),
		RunE: p.runs(func(set *secpolicy.Set, _ []string) (any, func(*console.Writer), error) { return o.suggest(set) }),
	}
	o.offer.addFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.offered, "offer", nil, "`OFFER` of one more client: 'PROTOCOL... CIPHER...'; repeatable")
	command.Renamed(cmd, "client", "offer")
	f.StringVar(&o.current, "policy", "", command.PolicyUsage+", or 443=POLICY for a listener; adds the smallest change from it")
	command.Renamed(cmd, "current", "policy")
	f.StringVar(&o.lowest, "min-protocol", "", "only policies that allow no `PROTOCOL` below this one")
	f.BoolVar(&o.limits.ForwardSecrecy, "forward-secrecy", false, "only policies with forward secrecy")
	f.BoolVar(&o.limits.PostQuantum, "post-quantum", false, "only policies with post-quantum key exchange")
	f.BoolVar(&o.limits.OnlyFIPS, "fips", false, "only FIPS policies")
	f.BoolVar(&o.limits.NoFIPS, "no-fips", false, "only policies that are not FIPS policies")
	f.BoolVar(&o.limits.Confirmed, "confirmed", false, "only policies whose protocols and cipher suites are confirmed")
	f.BoolVar(&o.limits.Legacy, "legacy", false, "also suggest policies that AWS no longer lists for Application Load Balancers")
	f.IntVar(&o.top, "top", 5, command.TopUsage)
	command.CompleteFlag(cmd, "policy", policyflags.Complete(&p.file, 0))
	return cmd
}

func (o *suggestFlags) suggest(set *secpolicy.Set) (any, func(*console.Writer), error) {
	offers, err := clientOffers(o.offer, o.offered)
	if err != nil {
		return nil, nil, err
	}
	limits := o.limits
	switch {
	case limits.OnlyFIPS && limits.NoFIPS:
		return nil, nil, command.Usagef("--fips and --no-fips exclude each other")
	case o.top < 0:
		return nil, nil, command.Usagef("--top must be 0 or more, not %d", o.top)
	}
	if o.lowest != "" {
		if limits.MinVersion, err = tlsname.ParseVersion(o.lowest); err != nil {
			return nil, nil, command.Usagef("--min-protocol: %w", err)
		}
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
		change = &smallest
		result.SmallestChange = &changeJSON{
			From: change.A.Name, To: change.B.Name, Weakens: command.Names(change.Weakens()),
			Adds: append(command.Names(change.ProtocolsAdded), command.Names(change.CiphersAdded)...), Caveat: change.B.Caveat(),
		}
	}
	more := 0
	if o.top > 0 && len(list) > o.top {
		list, more = list[:o.top], len(list)-o.top
	}
	for _, p := range list {
		result.Suggestions = append(result.Suggestions, suggestionJSON{p.Name, command.Names(p.Weaknesses()), p.PostQuantum, p.FIPS, p.Confirmed(), p.Caveat()})
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
		for _, weakness := range change.Weakens() {
			fmt.Fprintf(w, "  new weakness: %s\n", weakness.Text())
		}
		if added := append(command.Names(change.ProtocolsAdded), command.Names(change.CiphersAdded)...); len(added) > 0 {
			fmt.Fprintf(w, "  adds: %s\n", strings.Join(added, " "))
		}
		if c := change.B.Caveat(); c != "" {
			fmt.Fprintf(w, "  not confirmed: %s\n", c)
		}
		if list = list[1:]; len(list) > 0 {
			fmt.Fprintln(w, "\nOther policies that accept these clients, smallest change first")
		}
	}
	for _, p := range list {
		fmt.Fprintln(w, p.Name)
		for _, weakness := range p.Weaknesses() {
			fmt.Fprintf(w, "  weakness: %s\n", weakness.Text())
		}
		if c := p.Caveat(); c != "" {
			fmt.Fprintf(w, "  not confirmed: %s\n", c)
		}
	}
	if more > 0 {
		fmt.Fprintf(w, "and %d more; --top 0 shows all\n", more)
	}
}
