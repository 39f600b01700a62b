// Package command has what every subcommand needs: exit statuses, checks of arguments
// and flags, shell completion, and messages.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
	exitLimit  = 3 // a limit that the user set is exceeded

	ExitInterrupted = 130 // by Ctrl-C, with a partial result
)

// Run runs a root command and returns the exit status. It writes errors to stderr.
func Run(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(flagError)
	root.PersistentPreRunE = checkFlags
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		for _, cmd := range All(root) {
			PlainUsage(cmd)
		}
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.InitDefaultCompletionCmd() // after SetOut, which it reads
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			Group(c)
		}
	}
	cmd, err := root.ExecuteContextC(ctx)
	status := Status(err)
	if err != nil {
		Complain(stderr, "%v", err)
	}
	if status == ExitUsage {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return status
}

// All returns a command and all below it.
func All(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		list = append(list, All(c)...)
	}
	return list
}

// Status returns the exit status for the error of a command.
func Status(err error) int {
	if err == nil {
		return ExitOK
	}
	// Errors from before the command ran are about usage; cobra has no type for them.
	if f, ok := errors.AsType[*failure](err); ok {
		return f.status
	}
	return ExitUsage
}

// A failure is any error that is not about usage.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// Interrupted is the error of a command that Ctrl-C ended.
func Interrupted(text string) error { return &failure{ExitInterrupted, errors.New(text)} }

// TooMany is the error of a command whose result exceeds a limit that the user set.
func TooMany(text string) error { return &failure{exitLimit, errors.New(text)} }

// A usageError is wrong usage that the command itself finds.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// Usage marks err as an error about usage.
func Usage(err error) error { return &usageError{err} }

// Usagef returns an error about usage.
func Usagef(format string, args ...any) error { return Usage(fmt.Errorf(format, args...)) }

// Runs adapts a function for cobra. Its errors end the command with exit status 1,
// unless they are about usage, or say that Ctrl-C ended a request.
func Runs(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := withOutput(cmd, func() error { return f(cmd, args) })
		switch {
		case err == nil || errors.As(err, new(*failure)):
			return err
		case cmd.Context().Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(cmd.Context()))):
			return Interrupted("interrupted")
		case errors.As(err, new(*usageError)):
			return err
		}
		return &failure{ExitFailed, err}
	}
}
