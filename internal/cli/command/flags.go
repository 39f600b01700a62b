package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Needs is for commands that want at least one argument, and says which.
func Needs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("want " + what)
		}
		return nil
	}
}

// Group makes cmd a command that does nothing by itself, only its subcommands.
func Group(cmd *cobra.Command) {
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown command %q", args[0])
		}
		return nil
	}
	cmd.RunE = func(*cobra.Command, []string) error { return Usagef("no command given") }
}

// AddFormat adds the flag --format to a command and those below it, with
// completion. The first choice is the default.
func AddFormat(cmd *cobra.Command, format *string, choices ...string) {
	AddChoice(cmd, "format", format, orList(choices), choices...)
}

// AddChoice adds a flag that has one of several values, with completion. The
// first is the default.
func AddChoice(cmd *cobra.Command, name string, value *string, usage string, choices ...string) {
	*value = choices[0]
	cmd.PersistentFlags().Var(&choice{value, choices}, name, usage)
	CompleteFlag(cmd, name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
}

// A choice is a flag that has one of several values.
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

// A choiceError is about a value that is none of these.
type choiceError []string

func (e choiceError) Error() string { return "want " + orList(e) }

// orList writes "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// CompleteFlag sets the completion of a flag, which exists.
func CompleteFlag(cmd *cobra.Command, name string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(name, f); err != nil {
		panic(err)
	}
}

// CompleteWith completes a flag with these words, which exists.
func CompleteWith(cmd *cobra.Command, name string, words ...string) {
	CompleteFlag(cmd, name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// StdinPath stands for standard input on a command line.
const StdinPath = "-"
