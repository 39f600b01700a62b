// Package policy is the command policy: it answers questions about security policies.
package policy

import (
	"cmp"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/pkg/secpolicy"
)

// flags are the flags of all subcommands.
type flags struct {
	file   policyflags.File
	format string
}

// New returns the command.
func New() *cobra.Command {
	p := &flags{}
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Look up and compare ELB security policies",
		Example: `  tlswatch policy show ELBSecurityPolicy-TLS13-1-2-2021-06
  tlswatch policy accept --protocol TLSv1.2 --cipher ECDHE-RSA-AES256-SHA`,
		Long: `policy shows which protocols and cipher suites the security policies of
Application and Network Load Balancers have, and in which order. It marks what
AWS does not confirm.

` + policyflags.FileHelp,
	}
	command.Group(cmd)
	p.file.AddFlag(cmd)
	command.AddFormat(cmd, &p.format, "table", "json")
	cmd.AddCommand(p.newList(), p.newShow(), p.newDiff(), p.newAccept(), p.newClients(), p.newSuggest(), p.newUpdate())
	return cmd
}

// runs adapts the function of a subcommand. It writes the result as JSON, or calls text.
func (p *flags) runs(f func(set *secpolicy.Set, args []string) (result any, text func(*console.Writer), err error)) func(*cobra.Command, []string) error {
	return command.Runs(func(cmd *cobra.Command, args []string) error {
		set, err := p.file.Load(cmd.Context())
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
