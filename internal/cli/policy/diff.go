package policy

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsclient"
)

// A differenceJSON is what changes between two policies.
type differenceJSON struct {
	A    string `json:"a"`
	B    string `json:"b"`
	Same bool   `json:"same"` // in all that AWS documents
	policyflags.Changes
	Reordered      bool     `json:"reordered"`
	PostQuantum    [2]bool  `json:"postQuantum"`
	FIPS           [2]bool  `json:"fips"`
	WeaknessesGone []string `json:"weaknessesGone"`
	WeaknessesNew  []string `json:"weaknessesNew"`
	GroupsRemoved  []string `json:"groupHintsRemoved"`
	GroupsAdded    []string `json:"groupHintsAdded"`
	SchemesRemoved []string `json:"signatureHintsRemoved"`
	SchemesAdded   []string `json:"signatureHintsAdded"`
	Caveats        []string `json:"caveats"`

	Roles   [2][]string `json:"roles"`   // what AWS uses the policies for, or recommends them for
	Targets [2]string   `json:"targets"` // the policies that the load balancer uses towards targets

	// Known programs in their default settings.
	ClientsLost   []clientChangeJSON `json:"clientsLost"`
	ClientsGained []clientChangeJSON `json:"clientsGained"`
	ClientsOther  []clientChangeJSON `json:"clientsOther"` // hints or doubts about the policies come or go
}

// A clientChangeJSON is what a change of policy does to a program.
type clientChangeJSON struct {
	Client      string `json:"client"`
	Certificate string `json:"certificate"` // RSA or ECDSA; any if it makes no difference
	From        string `json:"from"`        // accepted, refused, may-fail, unknown
	To          string `json:"to"`
}

func (p *flags) newDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff A B",
		Example: `  tlswatch policy diff ELBSecurityPolicy-2016-08 ELBSecurityPolicy-TLS13-1-2-2021-06
  tlswatch policy diff TLS13-1-2-2021-06 TLS13-1-2-Res-PQ-2025-09 --format json`,
		Short:             "Compare two security policies",
		Args:              command.Takes("A and B: two security policies, see 'tlswatch policy list'", "B: the policy to compare with"),
		ValidArgsFunction: policyflags.Complete(&p.file, 2),
		RunE: p.runs(func(set *secpolicy.Set, args []string) (any, func(*console.Writer), error) {
			a, err := policyflags.Lookup(set, args[0])
			if err != nil {
				return nil, nil, err
			}
			b, err := policyflags.Lookup(set, args[1])
			if err != nil {
				return nil, nil, err
			}
			d := secpolicy.Compare(a, b)
			result := differenceJSON{
				A: a.Name, B: b.Name, Same: d.Same(),
				Changes: policyflags.NewChanges(&d), Reordered: d.Reordered,
				PostQuantum: [2]bool{a.PostQuantum, b.PostQuantum}, FIPS: [2]bool{a.FIPS, b.FIPS},
				WeaknessesGone: command.Names(d.Strengthens()), WeaknessesNew: command.Names(d.Weakens()),
				GroupsRemoved: command.Names(d.GroupsRemoved), GroupsAdded: command.Names(d.GroupsAdded),
				SchemesRemoved: command.Names(d.SchemesRemoved), SchemesAdded: command.Names(d.SchemesAdded),
				Caveats: append([]string{}, secpolicy.Caveats(a, b)...),
				Roles:   [2][]string{command.Names(a.Roles()), command.Names(b.Roles())},
			}
			result.Targets[0], _ = a.Targets()
			result.Targets[1], _ = b.Targets()
			changes := tlsclient.Changes(a, b)
			result.ClientsLost, result.ClientsGained, result.ClientsOther = clientChanges(changes)
			return result, func(w *console.Writer) { writeDifference(w, &d, result.Caveats, changes) }, nil
		}),
	}
}

// clientChanges sorts changes by their effect.
func clientChanges(changes []tlsclient.Change) (lost, gained, other []clientChangeJSON) {
	lost, gained, other = []clientChangeJSON{}, []clientChangeJSON{}, []clientChangeJSON{}
	for _, c := range changes {
		into := &other
		switch {
		case c.Lost():
			into = &lost
		case c.Gained():
			into = &gained
		}
		*into = append(*into, clientChangeJSON{c.Client.String(), certificateName(c.Certificates), string(c.From), string(c.To)})
	}
	return lost, gained, other
}

// clientNames names the programs of the changes with an effect, one for each line.
func clientNames(changes []tlsclient.Change, effect func(tlsclient.Change) bool) []string {
	var names []string
	for _, kind := range []secpolicy.KeyKinds{0, secpolicy.RSA, secpolicy.ECDSA} {
		var list []*tlsclient.Client
		for _, c := range changes {
			if c.Certificates == kind && effect(c) {
				list = append(list, c.Client)
			}
		}
		for _, name := range tlsclient.Names(list) {
			if kind != 0 {
				name += fmt.Sprintf(", if the listener has an %s certificate", kind)
			}
			names = append(names, name)
		}
	}
	return names
}

func writeDifference(w io.Writer, d *secpolicy.Difference, caveats []string, changes []tlsclient.Change) {
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
		for _, role := range p.Roles() {
			if !slices.Contains(q.Roles(), role) {
				list = append(list, role.Text())
			}
		}
		return list
	}
	section("Properties", properties(d.A, d.B), properties(d.B, d.A))
	if from, to := policyflags.TargetsText(d.A), policyflags.TargetsText(d.B); from != to {
		section("Policy towards targets", []string{from}, []string{to})
	}
	section("Key-exchange groups (a hint, from s2n-tls)", command.Names(d.GroupsRemoved), command.Names(d.GroupsAdded))
	section("Signature schemes (a hint, from s2n-tls)", command.Names(d.SchemesRemoved), command.Names(d.SchemesAdded))
	section("Known programs in their default settings, lost and gained", clientNames(changes, tlsclient.Change.Lost), clientNames(changes, tlsclient.Change.Gained))
	section("Known programs that may be lost, by hints from s2n-tls or where sources differ", clientNames(changes, tlsclient.Change.AtRisk), nil)
	if d.Reordered {
		fmt.Fprintln(w, "\nThe common cipher suites are in a different order.")
	}
	if d.Same() {
		fmt.Fprintln(w, "\nNo difference in what AWS documents.")
	}
	section("Weaknesses", weaknessTexts(d.Strengthens()), weaknessTexts(d.Weakens()))
	for i, c := range caveats {
		fmt.Fprintf(w, "%s%s\n", yesNo(i == 0, "\nNot confirmed\n", ""), c)
	}
}

func weaknessTexts(list []secpolicy.Weakness) (texts []string) {
	for _, weakness := range list {
		texts = append(texts, weakness.Text())
	}
	return texts
}
