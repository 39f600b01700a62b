package policy

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/text"
	"tlswatch/pkg/elbpolicy"
	"tlswatch/pkg/secpolicy"
)

// An updateJSON says what a new data file changed.
type updateJSON struct {
	File      string   `json:"file"`
	Retrieved string   `json:"retrieved"`
	Policies  int      `json:"policies"`
	New       []string `json:"new"`     // not known before
	Changed   []string `json:"changed"` // protocols, cipher suites or their order
	Missing   []string `json:"missing"` // known, and not in the data
}

func (p *flags) newUpdate() *cobra.Command {
	var input, output string
	cmd := &cobra.Command{
		Use:   "update [--input FILE]",
		Short: "Save the security policies that AWS has now",
		Long: `update asks Elastic Load Balancing for its security policies and saves them to a
file. With --input, it takes them from the saved output of 'aws elbv2
describe-ssl-policies --load-balancer-type application'. It shows what is new
compared with the built-in policies. All commands use the file from then on. The
function uses it if the file is in its package or in a layer, and POLICY_FILE
names it.

Without --input, it needs the permission
elasticloadbalancing:DescribeSSLPolicies, and takes credentials and the Region
from your AWS configuration.`,
		Example: `  tlswatch policy update --region eu-west-2
  aws elbv2 describe-ssl-policies --load-balancer-type application | tlswatch policy update --input -`,
		Args: command.AtMost(0),
	}
	f := cmd.Flags()
	f.StringVar(&input, "input", "", "`FILE` with the output of 'aws elbv2 describe-ssl-policies', or - for standard input (default: asks AWS)")
	command.Renamed(cmd, "from", "input")
	command.AddAWS(cmd)
	f.StringVarP(&output, "output", "o", "", "`FILE` to write (default: --policy-file, $TLSWATCH_POLICIES, or policies.json in your configuration directory)")
	cmd.RunE = command.Runs(func(cmd *cobra.Command, _ []string) error {
		if input != "" && command.AWSOf(cmd.Context()) != (command.AWS{}) {
			return command.Usagef("--input excludes --region and --profile")
		}
		descriptions, retrieved, err := readDescriptions(cmd.Context(), input, cmd.InOrStdin())
		if err != nil {
			return err
		}
		if retrieved == "" {
			retrieved = time.Now().UTC().Format(time.DateOnly)
		}
		result, err := p.update(output, retrieved, descriptions)
		if err != nil {
			return err
		}
		if p.format == "json" {
			return command.WriteJSON(cmd.OutOrStdout(), result)
		}
		return result.write(cmd.OutOrStdout())
	})
	return cmd
}

// readDescriptions reads policies from a file, or asks AWS for them.
func readDescriptions(ctx context.Context, input string, stdin io.Reader) ([]secpolicy.Description, string, error) {
	switch input {
	case "":
		client, _, err := cloud.ELB(ctx)
		if err != nil {
			return nil, "", err
		}
		descriptions, err := elbpolicy.Policies(ctx, client)
		return descriptions, "", cloud.Explain(err)
	case "-":
		return secpolicy.Read(command.Interruptible(ctx, stdin))
	}
	f, err := command.OpenFile(ctx, input)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", input, err)
	}
	defer f.Close()
	descriptions, retrieved, err := secpolicy.Read(f)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", input, err)
	}
	return descriptions, retrieved, nil
}

// update writes the data file.
func (p *flags) update(output, retrieved string, descriptions []secpolicy.Description) (updateJSON, error) {
	if output == "" {
		var err error
		if output, _, err = p.file.Path(); err != nil {
			return updateJSON{}, fmt.Errorf("%w; use --output FILE", err)
		}
	}
	before := secpolicy.Builtin()
	after, err := before.With(retrieved, descriptions)
	if err != nil {
		return updateJSON{}, err
	}
	u := updateJSON{File: output, Retrieved: retrieved, Policies: len(descriptions), New: []string{}, Changed: []string{}, Missing: []string{}}
	described := make(map[string]bool)
	for _, d := range descriptions {
		described[d.Name] = true
		now, err := after.Lookup(d.Name)
		if err != nil {
			return updateJSON{}, err
		}
		if old, err := before.Lookup(d.Name); err != nil {
			u.New = append(u.New, d.Name)
		} else if change := secpolicy.Compare(old, now); !change.Same() || len(now.Unrecognized) > 0 {
			u.Changed = append(u.Changed, d.Name)
		}
	}
	for _, old := range before.Policies() {
		if !described[old.Name] {
			u.Missing = append(u.Missing, old.Name)
		}
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o777); err != nil {
		return updateJSON{}, err
	}
	return u, command.ReplaceFile(output, func(w io.Writer) error { return secpolicy.Write(w, retrieved, descriptions) })
}

func (u *updateJSON) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s as of %s %s in %s\n", text.Counted(u.Policies, "policy", "policies"), u.Retrieved, yesNo(u.Policies == 1, "is", "are"), u.File)
	for _, part := range []struct {
		heading string
		names   []string
	}{
		{"New", u.New},
		{"Changed since the built-in data ('tlswatch policy show' shows the new versions)", u.Changed},
		{"Not in the new data; the built-in versions stay", u.Missing},
	} {
		if len(part.names) > 0 && err == nil {
			_, err = fmt.Fprintf(w, "\n%s\n", part.heading)
		}
		for _, name := range part.names {
			if err == nil {
				_, err = fmt.Fprintf(w, "  %s\n", name)
			}
		}
	}
	return err
}
