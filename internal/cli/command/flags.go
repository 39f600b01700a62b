package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A flag that several commands have means the same in each. Its usage begins with
// the same words, and may end with what the command does with it.
const (
	CertificateUsage  = "`KIND` of certificate on the listener, rsa or ecdsa; repeatable"
	CipherUsage       = "`CIPHER` suite, by any of its names or its number"
	ConcurrencyUsage  = "run up to `N` invocations at the same time"
	DryRunUsage       = "show what would be sent, and send nothing"
	FunctionUsage     = "`NAME` or ARN of the deployed function"
	LoadBalancerUsage = "load balancer, by `NAME`, app/NAME, app/NAME/ID or ARN, in any case; * and ? are wildcards"
	PolicyUsage       = "security `POLICY` of the listeners"
	ProtocolUsage     = "TLS `PROTOCOL`, such as TLSv1.2 or 1.2"
	QueueUsage        = "`URL` of an SQS queue"
	SinceUsage        = "only from this `TIME` on"
	ToUsage           = "new security `POLICY`"
	TopUsage          = "show at most `N` rows of each list; 0 for all"
	UntilUsage        = "only up to this `TIME`"
)

// PlainUsage takes the quotes out of the usages of a command's own flags, for
// readers that do not take them for the mark of a value.
func PlainUsage(cmd *cobra.Command) {
	plain := func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) }
	cmd.LocalNonPersistentFlags().VisitAll(plain)
	cmd.PersistentFlags().VisitAll(plain)
}

// Group makes cmd a command that only has subcommands. Alone it shows its help.
func Group(cmd *cobra.Command) {
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			var names []string
			for _, c := range cmd.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return fmt.Errorf("unknown command %q%s", args[0], Suggestion(args[0], names))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// AddFormat adds the flags --format, with completion, and --output to a command and
// those below it. The first choice is the default.
func AddFormat(cmd *cobra.Command, format *string, choices ...string) {
	addOutput(cmd)
	AddChoice(cmd, "format", format, "output `FORMAT`: "+orList(choices), choices...)
}

// AddChoice adds a flag with several possible values, and their completion. The first
// one is the default.
func AddChoice(cmd *cobra.Command, name string, value *string, usage string, choices ...string) {
	*value = choices[0]
	cmd.PersistentFlags().Var(&choice{value, choices}, name, usage)
	CompleteFlag(cmd, name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
}

// A choice is a flag with several possible values.
type choice struct {
	value   *string
	choices []string
}

func (c *choice) String() string { return *c.value }

func (c *choice) Type() string { return "string" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.choices, s) {
		return choiceError(c.choices)
	}
	*c.value = s
	return nil
}

// A choiceError lists the values that a flag may have.
type choiceError []string

func (e choiceError) Error() string { return "want " + orList(e) }

// orList writes "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// CompleteFlag sets the completion of an existing flag.
func CompleteFlag(cmd *cobra.Command, name string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(name, f); err != nil {
		panic(err)
	}
}

// CompleteWith completes an existing flag with words.
func CompleteWith(cmd *cobra.Command, name string, words ...string) {
	CompleteFlag(cmd, name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// StdinPath means standard input on a command line.
const StdinPath = "-"
