package cli

import (
	"strings"
	"tlswatch/internal/text"

	"github.com/spf13/cobra"
)

// Help begins with examples: most readers look for them.
const (
	helpTemplate = `{{with .Example}}{{.}}

{{end}}{{with (or .Long .Short)}}{{. | reflow}}

{{end}}{{.UsageString}}`

	usageTemplate = `Usage:
{{if and .HasParent .HasAvailableSubCommands}}  {{.CommandPath}} COMMAND
{{else}}  {{.UseLine}}
{{end}}{{if .HasAvailableSubCommands}}{{$all := .Commands}}{{range $group := .Groups}}
{{.Title}}{{range $all}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{else}}
Commands:{{range $all}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of every {{.Parent.Name}} command:
{{.InheritedFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableSubCommands}}
Run '{{.CommandPath}} COMMAND --help' for help on a command.
{{end}}`
)

func init() {
	cobra.AddTemplateFunc("reflow", func(s string) string { return strings.TrimSuffix(text.Reflow(80, s), "\n") })
}
