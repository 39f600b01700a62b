package policy

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/pkg/secpolicy"
)

// An acceptJSON says which policies accept a client.
type acceptJSON struct {
	Accepted bool          `json:"accepted"` // by one policy at least
	Policies []verdictJSON `json:"policies"`
}

type verdictJSON struct {
	Name string `json:"name"`
	Port uint16 `json:"port,omitempty"` // of the listener, if --policy has it
	policyflags.Verdict
}

func (p *flags) newAccept() *cobra.Command {
	var (
		offer offerFlags
		asked []string
		all   bool
	)
	cmd := &cobra.Command{
		Use:   "accept --protocol PROTOCOL --cipher CIPHER",
		Short: "Show which policies accept a client, by what it offers",
		Long: `accept lists the policies that have a protocol and a cipher suite in common with
a client. With --policy, it says whether those policies do, and if not, which of
the two is missing. The exit status is 0 if a policy accepts the client, and 1
if none does.

A server chooses the highest protocol that both sides have, and then the first
cipher suite in its own list that the client also offers. So give everything
that the client offers, or at least what it offers for its highest protocol.`,
		Example: `  tlswatch policy accept --protocol TLSv1.2 --cipher TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
  tlswatch policy accept --protocol TLSv1.2 --cipher 0xc014 --policy ELBSecurityPolicy-TLS13-1-2-2021-06`,
		Args: command.AtMost(0),
		RunE: p.runs(func(set *secpolicy.Set, _ []string) (any, func(*console.Writer), error) {
			if all && len(asked) > 0 {
				return nil, nil, command.Usagef("--all and --policy exclude each other")
			}
			client, err := offer.offer()
			if err != nil {
				return nil, nil, err
			}
			result := acceptJSON{Policies: []verdictJSON{}}
			add := func(v verdictJSON) {
				result.Accepted = result.Accepted || v.Accepted
				result.Policies = append(result.Policies, v)
			}
			for _, value := range asked {
				for _, item := range command.Split(value) {
					policies, err := policyflags.ParseListeners(set, item)
					if err != nil {
						return nil, nil, err
					}
					for port, name := range policies { // one
						policy, _ := set.Lookup(name)
						v := newVerdictJSON(policy.Accepts(client))
						v.Port = port
						add(v)
					}
				}
			}
			for i := range set.Policies() {
				if v := newVerdictJSON(set.Policies()[i].Accepts(client)); len(asked) == 0 && (v.Accepted || all) {
					add(v)
				}
			}
			switch {
			case result.Accepted:
			case len(asked) == 0:
				err = errors.New("no policy accepts the client")
			case slices.ContainsFunc(result.Policies, func(v verdictJSON) bool { return v.outcome() != "refused" }):
				err = errors.New("it is uncertain whether the client is accepted")
			default:
				err = errors.New("refused")
			}
			return result, func(w *console.Writer) { writeVerdicts(w, result.Policies) }, err
		}),
	}
	offer.addFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&asked, "policy", nil, command.PolicyUsage+", or 443=POLICY,8443=POLICY by port; repeatable (default: every policy)")
	f.BoolVar(&all, "all", false, "also show the policies that refuse the client, and why")
	command.Require(cmd, "protocol", "cipher")
	command.CompleteFlag(cmd, "policy", policyflags.Complete(&p.file, 0))
	return cmd
}

func newVerdictJSON(v secpolicy.Verdict) verdictJSON {
	return verdictJSON{Name: v.Policy.Name, Verdict: policyflags.NewVerdict(v)}
}

// outcome returns the verdict in a word or two.
func (v *verdictJSON) outcome() string {
	switch {
	case v.Accepted:
		return "accepted"
	case v.Code == string(secpolicy.CipherListNotReadable):
		return "uncertain"
	}
	return "refused"
}

func writeVerdicts(w io.Writer, list []verdictJSON) {
	for _, v := range list {
		listener := ""
		if v.Port != 0 {
			listener = fmt.Sprintf(" (port %d)", v.Port)
		}
		fmt.Fprintf(w, "%s%s\n  %s: %s\n", v.Name, listener, v.outcome(), v.Reason)
		for _, hint := range v.Hints {
			fmt.Fprintf(w, "  may fail: %s\n", hint)
		}
		if v.Caveat != "" {
			fmt.Fprintf(w, "  not confirmed: %s\n", v.Caveat)
		}
	}
}
