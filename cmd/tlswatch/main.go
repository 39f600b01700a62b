// Command tlswatch answers questions about TLS negotiations with AWS
// Application Load Balancers from their connection logs.
//
// Rules of its user interface:
//
//   - Results go to standard output, everything else to standard error, where
//     errors begin with "tlswatch: ".
//   - Exit status 0 means done, 1 failed, 2 wrong usage, 130 interrupted.
//   - The JSON of --format json is stable: members are added, not changed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tlswatch/internal/text"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2

	exitInterrupted = 130 // by Ctrl-C, with a partial result
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main without the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	complain(stderr, "%v", err)
	// What fails before a command runs is wrong usage; cobra has no type for it.
	if failed, ok := errors.AsType[*failure](err); ok {
		return failed.status
	}
	fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	return exitUsage
}

// complain writes a message. What it names may be called by somebody else: it
// cannot steer the terminal, and only the message's own beginning is not
// indented.
func complain(stderr io.Writer, format string, args ...any) {
	lines := strings.Split(fmt.Sprintf(format, args...), "\n")
	for i, line := range lines {
		if lines[i] = text.Printable(line); i > 0 && !strings.HasPrefix(line, "  ") {
			lines[i] = "  " + lines[i]
		}
	}
	fmt.Fprintf(stderr, "tlswatch: %s\n", strings.Join(lines, "\n"))
}

// A failure is an error of a command that was used rightly.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// runs adapts the work of a command for cobra.
func runs(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		if err == nil || errors.As(err, new(*failure)) || errors.As(err, new(*usageError)) {
			return err
		}
		return &failure{exitFailed, err}
	}
}

// needs is for commands that want at least one argument, and says which.
func needs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("want " + what)
		}
		return nil
	}
}

// A usageError is wrong usage that a command finds itself.
type usageError struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tlswatch COMMAND [flags] [PATH...]",
		Short: "Why do clients fail the TLS negotiation with my load balancer?",
		Example: `  tlswatch report --policy live --since 2h s3://my-logs/AWSLogs/123456789012/
  tlswatch whatif --to ELBSecurityPolicy-TLS13-1-2-2021-06 conn_log_*.log.gz`,
		Long: `tlswatch reads the connection logs of AWS Application Load Balancers and says
which clients fail the TLS negotiation, how often, and why.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q", args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return &usageError{errors.New("no command given")} },
	}
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageTemplate)
	root.AddCommand(
		newReport(),
		newTail(),
		newWhatIf(),
		newHello(),
		newPolicy(),
		newCipher(),
		newListeners(),
		newLocal(),
		newBackfill(),
		newRedrive(),
		newCost(),
		newMan(),
	)
	return root
}

// writeJSON writes a result as --format json has it.
func writeJSON(w io.Writer, result any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(result)
}

// version is that of the module, or the revision it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && info.Main.Version == "(devel)" {
			return s.Value
		}
	}
	return info.Main.Version
}
