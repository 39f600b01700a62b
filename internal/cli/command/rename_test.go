package command

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// A flag can be given by its old name, repeated by both names if its values add
// up, and otherwise by one name only.
func TestRenamed(t *testing.T) {
	for args, want := range map[string]struct {
		to     string
		ports  []uint
		stderr string
	}{
		"--to a --port 1":                                       {"a", []uint{1}, ""},
		"--what-if a --listener-port 1":                         {"a", []uint{1}, "--what-if is now called --to\n--listener-port is now called --port\n"},
		"--to a --port 1 --listener-port=2 --port 3":            {"a", []uint{1, 2, 3}, "--listener-port is now called --port\n"},
		"--to a --listener-port 1,2 --listener-port 3 --port 4": {"a", []uint{1, 2, 3, 4}, "--listener-port is now called --port\n"},
		"--what-if a --what-if b":                               {"b", nil, "--what-if is now called --to\n"}, // as when --to is repeated
		"--what-if a --to b":                                    {"", nil, "--what-if is now called --to\n--what-if and --to are one flag: use only --to\n"},
		"--to b --what-if a":                                    {"", nil, "--what-if is now called --to\n--what-if and --to are one flag: use only --to\n"},
		"--port 1":                                              {"", nil, "missing --to POLICY\n"},
		"--to":                                                  {"", nil, "missing --to POLICY\n"},
		"--what-if":                                             {"", nil, "missing --what-if POLICY\n"},
		"--to a --port x":                                       {"", nil, "--port must be a whole number, not \"x\"\n"},
		"--to a --listener-port x":                              {"", nil, "--listener-port is now called --port\n--listener-port must be a whole number, not \"x\"\n"},
	} {
		var to string
		var ports []uint
		ran := false
		cmd := &cobra.Command{Use: "test", Args: AtMost(0), RunE: Runs(func(*cobra.Command, []string) error { ran = true; return nil })}
		cmd.Flags().StringVar(&to, "to", "", "new `POLICY`")
		cmd.Flags().UintSliceVar(&ports, "port", nil, "`PORT`")
		Renamed(cmd, "what-if", "to")
		Renamed(cmd, "listener-port", "port")
		Require(cmd, "to")
		root := &cobra.Command{Use: "tlswatch"}
		root.AddCommand(cmd)
		var stderr bytes.Buffer
		status := Run(t.Context(), root, append([]string{"test"}, strings.Fields(args)...), strings.NewReader(""), &bytes.Buffer{}, &stderr)
		said := strings.ReplaceAll(stderr.String(), "tlswatch: ", "")
		if !ran {
			want.stderr += "Run 'tlswatch test --help' for usage.\n"
		}
		if said != want.stderr {
			t.Errorf("%s: standard error has\n%swant\n%s", args, said, want.stderr)
		}
		if wantRun := want.to != ""; ran != wantRun || (status == ExitOK) != wantRun || status != ExitOK && status != ExitUsage {
			t.Errorf("%s: exit status %d, run: %v", args, status, ran)
		} else if ran && (to != want.to || !slices.Equal(ports, want.ports)) {
			t.Errorf("%s: %q, %v", args, to, ports)
		}
	}
}

// Faults in arguments and values are told in the words of this command, not in
// those of its libraries.
func TestUsageErrors(t *testing.T) {
	for args, want := range map[string]string{
		"tset":                                  `unknown command "tset"; did you mean test?`,
		"tst":                                   `unknown command "tst"; did you mean test?`,
		"hidden-one":                            `unknown command "hidden-one"`,
		"test":                                  "missing A: a first one",
		"test a":                                "missing B",
		"test a b c":                            `unexpected argument "c"`,
		"test a b --coun 1":                     "unknown flag --coun; did you mean --count?",
		"test a b --xxxx":                       "unknown flag --xxxx",
		"test a b -xc":                          "unknown flag -x",
		"test a b --count":                      "missing --count N",
		"test a b --count 1.5":                  `--count must be a whole number, not "1.5"`,
		"test a b --count 99999999999999999999": "--count 99999999999999999999 is too large",
		"test a b --port -1":                    `--port must be a whole number, not "-1"`,
		"test a b --rate one":                   `--rate must be a number, not "one"`,
		"test a b --wait 5":                     `--wait must be a duration such as 30s or 5m, not "5"`,
		"test a b --yes=maybe":                  `--yes must be true or false, not "maybe"`,
		"test a b --color red":                  `--color must be never, always or auto, not "red"`,
		"test a b":                              "missing --count N and --wait DURATION",
	} {
		root := &cobra.Command{Use: "tlswatch"}
		Group(root)
		cmd := &cobra.Command{Use: "test", Args: Takes("A: a first one", "B"), RunE: Runs(func(*cobra.Command, []string) error { return nil })}
		var color string
		f := cmd.Flags()
		f.Int("count", 0, "`N`")
		f.UintSlice("port", nil, "")
		f.Float64("rate", 0, "")
		f.Duration("wait", 0, "`DURATION`")
		f.Bool("yes", false, "")
		AddChoice(cmd, "color", &color, "", "never", "always", "auto")
		Require(cmd, "count", "wait")
		root.AddCommand(cmd, &cobra.Command{Use: "hidden", Hidden: true, Run: func(*cobra.Command, []string) {}})
		var stdout, stderr bytes.Buffer
		status := Run(t.Context(), root, strings.Fields(args), strings.NewReader(""), &stdout, &stderr)
		first, rest, _ := strings.Cut(stderr.String(), "\n")
		if status != ExitUsage || first != "tlswatch: "+want || !strings.HasPrefix(rest, "Run 'tlswatch") || stdout.Len() > 0 {
			t.Errorf("%s: exit status %d, %s, want %s", args, status, &stderr, want)
		}
	}
}
