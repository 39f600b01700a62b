// Package cli is the command tlswatch. Each subcommand is a package of its own; this
// one puts them together and writes help and manual pages.
//
// Rules of the user interface:
//
//   - Results go to standard output, everything else to standard error, where
//     errors begin with "tlswatch: ".
//   - Exit status 0 means done, 1 failed, 2 wrong usage, 130 interrupted.
//   - The JSON of --format json is stable: members are added, not changed.
package cli

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/backfill"
	"tlswatch/internal/cli/cipher"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/cost"
	"tlswatch/internal/cli/hello"
	"tlswatch/internal/cli/listeners"
	"tlswatch/internal/cli/local"
	"tlswatch/internal/cli/policy"
	"tlswatch/internal/cli/redrive"
	"tlswatch/internal/cli/report"
	"tlswatch/internal/cli/tail"
	"tlswatch/internal/cli/whatif"
)

// Run runs the command and returns its exit status.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return command.Run(ctx, New(), args, stdin, stdout, stderr)
}

// New returns the root command.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:   "tlswatch COMMAND [flags] [PATH...]",
		Short: "Find out why clients fail the TLS negotiation with a load balancer",
		Example: `  tlswatch report --policy live --since 2h s3://my-logs/AWSLogs/123456789012/
  tlswatch whatif --to ELBSecurityPolicy-TLS13-1-2-2021-06 conn_log_*.log.gz`,
		Long: `tlswatch reads the connection logs of AWS Application Load Balancers and shows
which clients fail the TLS negotiation, how often, and why.`,
		Version: version(),
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	command.Group(root)
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageTemplate)
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"logs", "Logs:", []*cobra.Command{report.New(), tail.New(), whatif.New()}},
		{"captures", "Packet captures:", []*cobra.Command{hello.New()}},
		{"policies", "Security policies:", []*cobra.Command{policy.New(), listeners.New(), cipher.New()}},
		{"operation", "The function:", []*cobra.Command{local.New(), backfill.New(), redrive.New(), cost.New()}},
		{othersGroup, "Others:", []*cobra.Command{newVersion(), newMan()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.SetHelpCommand(newHelp(root))
	root.SetHelpCommandGroupID(othersGroup)
	root.SetCompletionCommandGroupID(othersGroup)
	return root
}

const othersGroup = "others"

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version, the commit and the version of Go",
		Example: `  tlswatch version
  tlswatch version | cut -d' ' -f2`,
		Args: command.AtMost(0),
		Run:  func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "tlswatch", version()) },
	}
}

func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help for a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("unknown command %q", strings.Join(args, " "))
			}
			return cmd.Help()
		},
	}
}

// version returns the module's version, the commit with its date, and the version of Go.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	parts := []string{info.Main.Version}
	if commit := settings["vcs.revision"]; commit != "" {
		if settings["vcs.modified"] == "true" {
			commit += " with changes"
		}
		parts = append(parts, "commit "+commit, settings["vcs.time"])
	}
	return strings.Join(append(parts, info.GoVersion), ", ")
}
