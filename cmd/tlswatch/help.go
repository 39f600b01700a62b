package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// The help of a command opens with what people look for: examples.
const (
	helpTemplate = `{{with .Example}}{{.}}

{{end}}{{with (or .Long .Short)}}{{. | wrapped}}

{{end}}{{.UsageString}}`

	usageTemplate = `Usage:
{{if .Runnable}}  {{.UseLine}}
{{end}}{{if .HasAvailableSubCommands}}  {{.CommandPath}} COMMAND
{{end}}{{if .HasAvailableSubCommands}}
Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of all its commands:
{{.InheritedFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableSubCommands}}
'{{.CommandPath}} COMMAND --help' has more.
{{end}}`
)

func init() { cobra.AddTemplateFunc("wrapped", func(s string) string { return wrapped(s, 80) }) }

// wrapped breaks paragraphs into lines of so many columns. Indented lines stay.
func wrapped(s string, width int) string {
	var b strings.Builder
	column := 0 // 0: at the start of a line
	for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		if line == "" || line[0] == ' ' {
			if column > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(line + "\n")
			column = 0
			continue
		}
		for word := range strings.FieldsSeq(line) {
			n := utf8.RuneCountInString(word)
			switch {
			case column == 0:
			case column+1+n > width:
				b.WriteByte('\n')
				column = 0
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// newMan writes the manual pages, for packages and for 'make man'.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write manual pages",
		Hidden: true,
		Example: `  tlswatch man /usr/local/share/man/man1
  tlswatch man pages && man ./pages/tlswatch-report.1`,
		Args: cobra.ExactArgs(1),
		RunE: runs(func(_ *cobra.Command, args []string) error { return writeMan(args[0]) }),
	}
}

func writeMan(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root := newRoot()
	root.InitDefaultCompletionCmd()
	date := buildTime()
	all := commands(root)
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

// commands returns a command and all below it.
func commands(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		list = append(list, commands(c)...)
	}
	return list
}

// plain keeps the texts of a command from being read as Markdown.
func plain(cmd *cobra.Command) {
	escape := strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`", "<", `\<`, "[", `\[`, "#", `\#`)
	cmd.DisableAutoGenTag = true
	cmd.Short, cmd.Long = escape.Replace(cmd.Short), escape.Replace(cmd.Long)
	flag := func(f *pflag.Flag) { f.Usage = escape.Replace(f.Usage) }
	cmd.LocalNonPersistentFlags().VisitAll(flag)
	cmd.PersistentFlags().VisitAll(flag)
}

// buildTime is that of the commit, so that the same source gives the same pages.
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
