package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"tlswatch/internal/cli/command"
)

// newMan returns the hidden command that writes manual pages, for packages and 'make
// man'.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write manual pages",
		Hidden: true,
		Example: `  tlswatch man /usr/local/share/man/man1
  tlswatch man pages && man ./pages/tlswatch-report.1`,
		Args: command.Takes("DIR: where to write the pages"),
		RunE: command.Runs(func(_ *cobra.Command, args []string) error { return writeMan(args[0]) }),
	}
}

func writeMan(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root := New()
	root.InitDefaultCompletionCmd()
	date := buildTime()
	all := command.All(root)
	for _, cmd := range all {
		plain(cmd)
	}
	for _, cmd := range all {
		if cmd.Hidden || !cmd.IsAvailableCommand() && cmd.HasParent() {
			continue
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		err = doc.GenMan(cmd, &doc.GenManHeader{Section: "1", Date: &date, Source: "tlswatch", Manual: "tlswatch"}, f)
		if err := cmp.Or(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// plain keeps the texts of a command from being read as Markdown.
func plain(cmd *cobra.Command) {
	escape := strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`", "<", `\<`, "[", `\[`, "#", `\#`)
	cmd.DisableAutoGenTag = true
	cmd.Short, cmd.Long = escape.Replace(cmd.Short), escape.Replace(cmd.Long)
	flag := func(f *pflag.Flag) { f.Usage = escape.Replace(f.Usage) }
	command.PlainUsage(cmd)
	cmd.LocalNonPersistentFlags().VisitAll(flag)
	cmd.PersistentFlags().VisitAll(flag)
}

// buildTime returns the time of the commit, so that the same source gives the same
// pages.
func buildTime() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil && s.Key == "vcs.time" {
				return t
			}
		}
	}
	return time.Unix(0, 0).UTC()
}
