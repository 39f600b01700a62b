// Package policy is the command policy: it answers questions about security policies.
package policy

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/policies"
	"tlswatch/internal/text"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// shared is what the subcommands of policy share.
type shared struct {
	data   policies.File
	format string
}

// New returns the command.
func New() *cobra.Command {
	p := &shared{}
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Answer questions about ELB security policies",
		Example: `  tlswatch policy show ELBSecurityPolicy-TLS13-1-2-2021-06
  tlswatch policy accept --protocol TLSv1.2 --cipher ECDHE-RSA-AES256-SHA`,
		Long: `policy knows which protocols and cipher suites each security policy of an
Application or Network Load Balancer has, in which order, and how sure that is:
what is not confirmed by AWS says so.

` + policies.FileHelp,
	}
	command.Group(cmd)
	p.data.AddFlag(cmd)
	command.AddFormat(cmd, &p.format, "table", "json")
	cmd.AddCommand(p.newList(), p.newShow(), p.newDiff(), p.newAccept(), p.newSuggest(), p.newUpdate())
	return cmd
}

// runs adapts the work of a subcommand. The result is written as JSON, or by
// text.
func (p *shared) runs(f func(set *secpolicy.Set, args []string) (result any, text func(*console.Writer), err error)) func(*cobra.Command, []string) error {
	return command.Runs(func(cmd *cobra.Command, args []string) error {
		set, err := p.data.Load()
		if err != nil {
			return err
		}
		result, text, err := f(set, args)
		if result == nil {
			return err
		}
		if p.format == "json" {
			return cmp.Or(command.WriteJSON(cmd.OutOrStdout(), result), err)
		}
		b := console.NewWriter(cmd.OutOrStdout())
		text(b)
		return cmp.Or(b.Flush(), err)
	})
}

func (p *shared) newList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the policies",
		Example: `  tlswatch policy list
  tlswatch policy list --format json`,
		Args: cobra.NoArgs,
		RunE: p.runs(func(set *secpolicy.Set, _ []string) (any, func(*console.Writer), error) {
			list := []policies.Description{}
			for i := range set.Policies() {
				list = append(list, policies.Describe(&set.Policies()[i]))
			}
			return list, func(w *console.Writer) {
				t := text.Table{Columns: "llrlllw"}
				t.Add("policy", "protocols", "ciphers", "forward secrecy", "post-quantum", "FIPS", "remarks")
				for _, p := range set.Policies() {
					t.Add(p.Name, policies.ProtocolSpan(&p), strconv.Itoa(len(p.Ciphers)), yesOrDash(p.ForwardSecrecy), yesOrDash(p.PostQuantum), yesOrDash(p.FIPS), policies.Remarks(&p))
				}
				w.Table(&t)
				fmt.Fprintf(w, "\n  As of %s. 'tlswatch policy update' reads newer data from AWS.\n", set.Retrieved)
			}, nil
		}),
	}
}

func yesOrDash(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func (p *shared) newShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME",
		Example: `  tlswatch policy show ELBSecurityPolicy-TLS13-1-2-2021-06
  tlswatch policy show FS-1-2-Res-2020-10 --format json`,
		Short:             "Show one policy",
		Long:              "show shows a policy. NAME may be without \"" + secpolicy.Prefix + "\".",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: policies.Complete(&p.data, 1),
		RunE: p.runs(func(set *secpolicy.Set, args []string) (any, func(*console.Writer), error) {
			policy, err := policies.Lookup(set, args[0])
			if err != nil {
				return nil, nil, err
			}
			return policies.Describe(policy), func(w *console.Writer) { writePolicy(w, policy) }, nil
		}),
	}
}

func writePolicy(w *console.Writer, p *secpolicy.Policy) {
	fmt.Fprintln(w, p.Name)
	t := text.Table{Columns: "lw"}
	t.Add("protocols", strings.Join(command.Names(p.Protocols), " "))
	t.Add("forward secrecy", yesNo(p.ForwardSecrecy, "with every cipher suite", "not with every cipher suite"))
	t.Add("post-quantum", yesNo(p.PostQuantum, "hybrid key exchange in TLS 1.3", "no"))
	t.Add("FIPS", yesNo(p.FIPS, "yes", "no"))
	if p.Legacy {
		t.Add("legacy", "AWS no longer names it for Application Load Balancers")
	}
	for i, weakness := range p.Weaknesses() {
		t.Add(firstOf(i, "gives up"), weakness.Text())
	}
	confirmed := "protocols, cipher suites and their order"
	if caveat := p.Caveat(); caveat != "" {
		confirmed = "not all: " + caveat
	}
	t.Add("confirmed", confirmed)
	for i, note := range p.Notes {
		t.Add(firstOf(i, "notes"), note)
	}
	w.Table(&t)
	fmt.Fprintln(w, "\n  Cipher suites, most preferred first")
	t = text.Table{Columns: "rllll"}
	for i, s := range p.Ciphers {
		iana := s.IANA()
		if iana == s.String() {
			iana = ""
		}
		t.Add(strconv.Itoa(i+1), s.String(), s.Strength().String(), s.Hex(), iana)
	}
	w.Table(&t)
	if len(p.Disputed) > 0 {
		fmt.Fprintf(w, "\n  Sources differ about\n  %s\n", strings.Join(command.Names(p.Disputed), " "))
	}
	if len(p.Groups) > 0 {
		fmt.Fprintf(w, "\n  Hints from s2n-tls, AWS's TLS library; AWS does not document them for load balancers%s\n", yesNo(p.PostQuantum, " but for the hybrid groups", ""))
		t = text.Table{Columns: "lw"}
		t.Add("groups", strings.Join(command.Names(p.Groups), " "))
		names := command.Names(p.SignatureSchemes)
		for i := 0; i < len(names); i += 4 {
			t.Add(firstOf(i, "signatures"), strings.Join(names[i:min(i+4, len(names))], " "))
		}
		w.Table(&t)
	}
}

// firstOf returns the heading for the first of several lines.
func firstOf(i int, heading string) string {
	if i > 0 {
		return ""
	}
	return heading
}

func yesNo(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// A differenceJSON is what changes between two policies.
type differenceJSON struct {
	A                string   `json:"a"`
	B                string   `json:"b"`
	Same             bool     `json:"same"` // in all that AWS documents
	ProtocolsRemoved []string `json:"protocolsRemoved"`
	ProtocolsAdded   []string `json:"protocolsAdded"`
	CiphersRemoved   []string `json:"ciphersRemoved"`
	CiphersAdded     []string `json:"ciphersAdded"`
	Reordered        bool     `json:"reordered"`
	PostQuantum      [2]bool  `json:"postQuantum"`
	FIPS             [2]bool  `json:"fips"`
	WeaknessesGone   []string `json:"weaknessesGone"`
	WeaknessesNew    []string `json:"weaknessesNew"`
	GroupsRemoved    []string `json:"groupHintsRemoved"`
	GroupsAdded      []string `json:"groupHintsAdded"`
	SchemesRemoved   []string `json:"signatureHintsRemoved"`
	SchemesAdded     []string `json:"signatureHintsAdded"`
	Caveats          []string `json:"caveats"`
}

func (p *shared) newDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff A B",
		Example: `  tlswatch policy diff ELBSecurityPolicy-2016-08 ELBSecurityPolicy-TLS13-1-2-2021-06
  tlswatch policy diff TLS13-1-2-2021-06 TLS13-1-2-Res-PQ-2025-09 --format json`,
		Short:             "Say what changes from one policy to another",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: policies.Complete(&p.data, 2),
		RunE: p.runs(func(set *secpolicy.Set, args []string) (any, func(*console.Writer), error) {
			a, err := policies.Lookup(set, args[0])
			if err != nil {
				return nil, nil, err
			}
			b, err := policies.Lookup(set, args[1])
			if err != nil {
				return nil, nil, err
			}
			d := secpolicy.Compare(a, b)
			result := differenceJSON{
				A: a.Name, B: b.Name, Same: d.Same(),
				ProtocolsRemoved: command.Names(d.ProtocolsRemoved), ProtocolsAdded: command.Names(d.ProtocolsAdded),
				CiphersRemoved: command.Names(d.CiphersRemoved), CiphersAdded: command.Names(d.CiphersAdded), Reordered: d.Reordered,
				PostQuantum: [2]bool{a.PostQuantum, b.PostQuantum}, FIPS: [2]bool{a.FIPS, b.FIPS},
				WeaknessesGone: command.Names(d.Strengthens()), WeaknessesNew: command.Names(d.Weakens()),
				GroupsRemoved: command.Names(d.GroupsRemoved), GroupsAdded: command.Names(d.GroupsAdded),
				SchemesRemoved: command.Names(d.SchemesRemoved), SchemesAdded: command.Names(d.SchemesAdded),
				Caveats: append([]string{}, secpolicy.Caveats(a, b)...),
			}
			return result, func(w *console.Writer) { writeDifference(w, &d, result.Caveats) }, nil
		}),
	}
}

func writeDifference(w io.Writer, d *secpolicy.Difference, caveats []string) {
	fmt.Fprintf(w, "--- %s\n+++ %s\n", d.A.Name, d.B.Name)
	section := func(heading string, removed, added []string) {
		if len(removed)+len(added) == 0 {
			return
		}
		fmt.Fprintf(w, "\n%s\n", heading)
		for _, name := range removed {
			fmt.Fprintf(w, "- %s\n", name)
		}
		for _, name := range added {
			fmt.Fprintf(w, "+ %s\n", name)
		}
	}
	section("Protocols", command.Names(d.ProtocolsRemoved), command.Names(d.ProtocolsAdded))
	section("Cipher suites", command.Names(d.CiphersRemoved), command.Names(d.CiphersAdded))
	properties := func(p, q *secpolicy.Policy) (list []string) {
		if p.PostQuantum && !q.PostQuantum {
			list = append(list, "post-quantum key exchange")
		}
		if p.FIPS && !q.FIPS {
			list = append(list, "FIPS")
		}
		return list
	}
	section("Properties", properties(d.A, d.B), properties(d.B, d.A))
	section("Key-exchange groups (a hint, from s2n-tls)", command.Names(d.GroupsRemoved), command.Names(d.GroupsAdded))
	section("Signature schemes (a hint, from s2n-tls)", command.Names(d.SchemesRemoved), command.Names(d.SchemesAdded))
	if d.Reordered {
		fmt.Fprintln(w, "\nThe cipher suites that both have are in another order.")
	}
	if d.Same() {
		fmt.Fprintln(w, "\nNo difference in what AWS documents.")
	}
	for i, weakness := range d.Strengthens() {
		fmt.Fprintf(w, "%s- %s\n", yesNo(i == 0, "\nNo longer\n", ""), weakness.Text())
	}
	for i, weakness := range d.Weakens() {
		fmt.Fprintf(w, "%s+ %s\n", yesNo(i == 0, "\nWeaker: now\n", ""), weakness.Text())
	}
	for i, c := range caveats {
		fmt.Fprintf(w, "%s%s\n", yesNo(i == 0, "\nNot confirmed\n", ""), c)
	}
}

// An acceptJSON says which policies accept a client.
type acceptJSON struct {
	Accepted bool          `json:"accepted"` // by one policy at least
	Policies []verdictJSON `json:"policies"`
}

type verdictJSON struct {
	Name     string   `json:"name"`
	Accepted bool     `json:"accepted"`
	Code     string   `json:"code"`
	Reason   string   `json:"reason"`
	Hints    []string `json:"hints"`
	Caveat   string   `json:"caveat"`
}

// unknownPolicy is the code of a policy that is not known.
const unknownPolicy = "unknown-policy"

func (p *shared) newAccept() *cobra.Command {
	var (
		offer offerFlags
		asked []string
		all   bool
	)
	cmd := &cobra.Command{
		Use:   "accept --protocol P --cipher C [--policy NAME]",
		Short: "Say which policies accept a client, by what it offers",
		Long: `accept names the policies that have a protocol and cipher suite in common with
a client. With --policy it says whether that policy has, and if not, which of
the two is missing. Exit status 0 means that a policy accepts the client, 1
that none does.

A server takes the highest protocol that both have, and then the first cipher
suite of its own list that the client offers too. So give all that the client
offers, or at least what it offers for its highest protocol.`,
		Example: `  tlswatch policy accept --protocol TLSv1.2 --cipher TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
  tlswatch policy accept --protocol TLSv1.2 --cipher 0xc014 --policy ELBSecurityPolicy-TLS13-1-2-2021-06`,
		Args: cobra.NoArgs,
		RunE: p.runs(func(set *secpolicy.Set, _ []string) (any, func(*console.Writer), error) {
			client, err := offer.offer()
			if err != nil {
				return nil, nil, err
			}
			result := acceptJSON{Policies: []verdictJSON{}}
			add := func(v verdictJSON) {
				result.Accepted = result.Accepted || v.Accepted
				result.Policies = append(result.Policies, v)
			}
			var unknown error
			for _, name := range asked {
				if policy, err := policies.Lookup(set, name); err != nil {
					unknown = cmp.Or(unknown, err)
					add(verdictJSON{Name: name, Code: unknownPolicy, Reason: err.Error(), Hints: []string{}})
				} else {
					add(newVerdictJSON(policy.Accepts(client)))
				}
			}
			for i := range set.Policies() {
				if v := newVerdictJSON(set.Policies()[i].Accepts(client)); len(asked) == 0 && (v.Accepted || all) {
					add(v)
				}
			}
			switch {
			case unknown != nil:
				err = unknown
			case result.Accepted:
			case len(asked) == 0:
				err = errors.New("no policy accepts that client")
			case slices.ContainsFunc(result.Policies, func(v verdictJSON) bool { return v.outcome() != "refused" }):
				err = errors.New("not known to be accepted")
			default:
				err = errors.New("refused")
			}
			return result, func(w *console.Writer) { writeVerdicts(w, result.Policies) }, err
		}),
	}
	offer.addFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&asked, "policy", nil, "ask this policy; repeat for several (default: all)")
	f.BoolVar(&all, "all", false, "with no --policy, show also those that refuse, and why")
	cmd.MarkFlagsMutuallyExclusive("policy", "all")
	cmd.MarkFlagRequired("protocol")
	cmd.MarkFlagRequired("cipher")
	command.CompleteFlag(cmd, "policy", policies.Complete(&p.data, 0))
	return cmd
}

func newVerdictJSON(v secpolicy.Verdict) verdictJSON {
	return verdictJSON{v.Policy.Name, v.Accepted, string(v.Code), v.Reason, append([]string{}, v.Hints...), v.Policy.Caveat()}
}

// outcome is the verdict in a word or two.
func (v *verdictJSON) outcome() string {
	switch {
	case v.Accepted:
		return "accepted"
	case v.Code == unknownPolicy:
		return "not known"
	case v.Code == string(secpolicy.CipherDisputed), v.Code == string(secpolicy.CipherListNotReadable):
		return "not certain"
	}
	return "refused"
}

func writeVerdicts(w io.Writer, list []verdictJSON) {
	for _, v := range list {
		fmt.Fprintf(w, "%s\n  %s: %s\n", v.Name, v.outcome(), v.Reason)
		for _, hint := range v.Hints {
			fmt.Fprintf(w, "  may fail: %s\n", hint)
		}
		if v.Caveat != "" {
			fmt.Fprintf(w, "  not confirmed: %s\n", v.Caveat)
		}
	}
}

// A suggestionJSON is a policy that accepts all clients.
type suggestionJSON struct {
	Name        string   `json:"name"`
	GivesUp     []string `json:"givesUp"`
	PostQuantum bool     `json:"postQuantum"`
	FIPS        bool     `json:"fips"`
	Confirmed   bool     `json:"confirmed"`
	Hints       []string `json:"hints"`
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

func (p *shared) newSuggest() *cobra.Command {
	var (
		offer   offerFlags
		clients []string
		current string
		lowest  string
		top     int
		c       secpolicy.Constraints
	)
	cmd := &cobra.Command{
		Use:   "suggest --protocol P --cipher C ...",
		Short: "Suggest the strictest policies that accept given clients",
		Long: `suggest lists the policies that accept all clients, strictest first, and what
each of them gives up. --protocol and --cipher describe one client; --client
adds others, each with its protocols and cipher suites in quotes. With --current
it also names the smallest change: the policy that accepts these clients and
all that the current one accepts, with the least in addition.`,
		Example: `  tlswatch policy suggest --protocol TLSv1.2 --cipher ECDHE-RSA-AES256-SHA
  tlswatch policy suggest --current ELBSecurityPolicy-TLS13-1-2-2021-06 \
    --client 'TLSv1.2 ECDHE-RSA-AES256-SHA' --client 'TLSv1 AES128-SHA'`,
		Args: cobra.NoArgs,
		RunE: p.runs(func(set *secpolicy.Set, _ []string) (any, func(*console.Writer), error) {
			offers, err := clientOffers(offer, clients)
			if err != nil {
				return nil, nil, err
			}
			if lowest != "" {
				if c.MinVersion, err = tlsname.ParseVersion(lowest); err != nil {
					return nil, nil, command.Usagef("--min-protocol: %w", err)
				}
			}
			var change *secpolicy.Difference
			result := suggestJSON{Suggestions: []suggestionJSON{}}
			if current != "" {
				policy, err := policies.Lookup(set, current)
				if err != nil {
					return nil, nil, err
				}
				if smallest, ok := set.SmallestChange(policy, offers); ok {
					change = &smallest
					result.SmallestChange = &changeJSON{
						From: policy.Name, To: change.B.Name, Weakens: command.Names(change.Weakens()),
						Adds: append(command.Names(change.ProtocolsAdded), command.Names(change.CiphersAdded)...), Caveat: change.B.Caveat(),
					}
				}
			}
			list := set.Suggest(offers, c)
			more := 0
			if top > 0 && len(list) > top {
				list, more = list[:top], len(list)-top
			}
			for _, s := range list {
				result.Suggestions = append(result.Suggestions, suggestionJSON{
					s.Policy.Name, command.Names(s.GivesUp), s.Policy.PostQuantum, s.Policy.FIPS, s.Policy.Confirmed(), append([]string{}, s.Hints...), s.Policy.Caveat(),
				})
			}
			if len(list) == 0 {
				err = errors.New("no policy accepts these clients and meets the constraints")
			}
			return result, func(w *console.Writer) { writeSuggestions(w, list, more, change) }, err
		}),
	}
	offer.addFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&clients, "client", nil, "one more client, as 'PROTOCOL... CIPHER...'; repeat for several")
	f.StringVar(&current, "current", "", "policy of the listener, for the smallest change")
	f.StringVar(&lowest, "min-protocol", "", "only policies that allow no lower protocol")
	f.BoolVar(&c.ForwardSecrecy, "forward-secrecy", false, "only policies with forward secrecy")
	f.BoolVar(&c.PostQuantum, "post-quantum", false, "only policies with post-quantum key exchange")
	f.BoolVar(&c.OnlyFIPS, "fips", false, "only FIPS policies")
	f.BoolVar(&c.NoFIPS, "no-fips", false, "no FIPS policies")
	f.BoolVar(&c.Confirmed, "confirmed", false, "only policies whose protocols and cipher suites are confirmed")
	f.BoolVar(&c.Legacy, "legacy", false, "also policies that AWS no longer names")
	f.IntVar(&top, "top", 5, "how many to show; 0 for all")
	cmd.MarkFlagsMutuallyExclusive("fips", "no-fips")
	command.CompleteFlag(cmd, "current", policies.Complete(&p.data, 0))
	return cmd
}

// clientOffers reads the client of --protocol and --cipher, and those of
// --client.
func clientOffers(o offerFlags, clients []string) ([]secpolicy.Offer, error) {
	var offers []secpolicy.Offer
	if len(o.protocols)+len(o.ciphers) > 0 || len(clients) == 0 {
		if len(o.protocols) == 0 || len(o.ciphers) == 0 {
			return nil, command.Usagef("want --protocol and --cipher, or --client")
		}
		offer, err := o.offer()
		if err != nil {
			return nil, err
		}
		offers = append(offers, offer)
	}
	for _, text := range clients {
		one := offerFlags{certificates: o.certificates}
		for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
			if v, err := tlsname.ParseVersion(name); err == nil && v.Known() {
				one.protocols = append(one.protocols, name)
			} else {
				one.ciphers = append(one.ciphers, name)
			}
		}
		offer, err := one.offer()
		if err == nil && (len(offer.Versions) == 0 || len(offer.Suites) == 0) {
			err = command.Usagef("want at least one protocol and one cipher suite")
		}
		if err != nil {
			return nil, command.Usagef("--client %q: %w", text, err)
		}
		offers = append(offers, offer)
	}
	return offers, nil
}

func writeSuggestions(w io.Writer, list []secpolicy.Suggestion, more int, change *secpolicy.Difference) {
	if change != nil {
		if change.A == change.B {
			fmt.Fprintf(w, "%s accepts these clients: no change is needed\n", change.A.Name)
		} else {
			fmt.Fprintf(w, "Smallest change from %s\n  %s\n", change.A.Name, change.B.Name)
		}
		for _, weakness := range change.Weakens() {
			fmt.Fprintf(w, "  weaker: %s\n", weakness.Text())
		}
		if added := append(command.Names(change.ProtocolsAdded), command.Names(change.CiphersAdded)...); len(added) > 0 {
			fmt.Fprintf(w, "  adds: %s\n", strings.Join(added, " "))
		}
		if c := change.B.Caveat(); c != "" {
			fmt.Fprintf(w, "  not confirmed: %s\n", c)
		}
		fmt.Fprintln(w, "\nStrictest policies that accept these clients")
	}
	for _, s := range list {
		fmt.Fprintln(w, s.Policy.Name)
		for _, weakness := range s.GivesUp {
			fmt.Fprintf(w, "  gives up: %s\n", weakness.Text())
		}
		for _, hint := range s.Hints {
			fmt.Fprintf(w, "  may fail: %s\n", hint)
		}
		if c := s.Policy.Caveat(); c != "" {
			fmt.Fprintf(w, "  not confirmed: %s\n", c)
		}
	}
	if more > 0 {
		fmt.Fprintf(w, "and %d more; --top 0 shows all\n", more)
	}
}
