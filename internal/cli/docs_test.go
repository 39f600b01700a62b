package cli

import (
	"os"
	"regexp"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"tlswatch/internal/cli/clitest"
)

// docs/cli.md has a row for every command, and for nothing else.
func TestCommandPage(t *testing.T) {
	page, err := os.ReadFile(clitest.Path("docs/cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(tlswatch(?: [a-z]+\\b)+?)(?:`| [^a-z]| s3:)").FindAllStringSubmatch(string(page), -1) {
		got = append(got, row[1])
	}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.HasParent() && (!c.HasSubCommands() || c.Name() == "completion") {
			want = append(want, c.CommandPath())
			return
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "help" {
				visit(sub)
			}
		}
	}
	root := New()
	root.InitDefaultCompletionCmd()
	visit(root)
	slices.Sort(got)
	slices.Sort(want)
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("commands in docs/cli.md: -code +page\n%s", d)
	}
}
