package command

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Needs is for commands that take at least one argument, which what describes.
func Needs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("missing " + what)
		}
		return nil
	}
}

// Takes is for commands that take exactly these arguments.
func Takes(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return errors.New("missing " + names[len(args)])
		}
		return AtMost(len(names))(nil, args)
	}
}

// AtMost is for commands that take up to n arguments.
func AtMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return fmt.Errorf("unexpected argument %q", args[n])
		}
		return nil
	}
}

// Require makes flags mandatory.
func Require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
}

// checkFlags checks the flags of a command together, before it runs, and puts those about
// AWS into its context.
func checkFlags(cmd *cobra.Command, _ []string) (err error) {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if old, ok := f.Value.(*oldName); ok && err == nil {
			err = old.check()
		}
		if f.Annotations[cobra.BashCompOneRequiredFlag] != nil && !f.Changed {
			missing = append(missing, withValue(f))
		}
	})
	if len(missing) > 0 && err == nil {
		err = fmt.Errorf("missing %s", strings.Join(missing, " and "))
	}
	withAWS(cmd)
	return err
}

// withValue is how a flag is used: "--to POLICY".
func withValue(f *pflag.Flag) string {
	described := f
	if old, ok := f.Value.(*oldName); ok {
		described = old.now
	}
	value, _ := pflag.UnquoteUsage(described)
	return strings.TrimSpace("--" + f.Name + " " + value)
}

// flagError is an error of pflag in the words of this command.
func flagError(cmd *cobra.Command, err error) error {
	if usage, ok := errors.AsType[*usageError](err); ok {
		return usage
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return fmt.Errorf("unknown flag -%s", name)
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		return fmt.Errorf("unknown flag --%s%s", name, suggestion(name, names, "--"))
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return errors.New("missing " + withValue(missing.GetFlag()))
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		name := invalid.GetFlag().Name
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("--%s %s is too large", name, invalid.GetValue())
		}
		if want := wanted(invalid); want != "" {
			return fmt.Errorf("--%s must be %s, not %q", name, want, invalid.GetValue())
		}
	}
	return err
}

// wanted describes the values that a flag takes, "" if its type does not say.
func wanted(e *pflag.InvalidValueError) string {
	if choices, ok := errors.AsType[choiceError](e); ok {
		return orList(choices)
	}
	return map[string]string{
		"bool":      "true or false",
		"duration":  "a duration such as 30s or 5m",
		"float64":   "a number",
		"int":       "a whole number",
		"uintSlice": "a whole number",
	}[e.GetFlag().Value.Type()]
}
