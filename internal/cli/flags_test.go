package cli

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
)

// A meaning is what a flag means in some commands: its usage begins with these
// words.
type meaning struct {
	commands string
	typ      string
	usage    string
}

// meanings has every flag of every command, but for --help and --version. A
// flag has one meaning and one type.
var meanings = map[string]meaning{
	"access-logs":         {"report", "stringArray", "access logs of the same load balancers and time"},
	"all":                 {"policy accept", "bool", "also show the policies that refuse the client"},
	"alarms":              {"cost", "float64", "N metrics that alarms watch"},
	"anonymize":           {"report", "bool", "replace client addresses and certificate subjects with hashes"},
	"as-is":               {"local", "bool", "keep the times of the logs"},
	"batch":               {"cost", "int", "the function takes up to N messages from the queue at once"},
	"bootstrap":           {"local", "string", "function binary FILE"},
	"by-subnet":           {"report", "string", "group clients by the first BITS of their addresses"},
	"captures":            {"report", "stringArray", "packet capture FILE"},
	"certificate":         {"hello, policy accept, policy clients, policy suggest, whatif", "stringArray", "KIND of certificate on the listener"},
	"cipher":              {"policy accept, policy suggest, report, tail, whatif", "stringArray", "CIPHER suite, by any of its names or its number"},
	"client":              {"hello, report, tail, whatif", "stringArray", "only this client, by ADDRESS or CIDR block"},
	"client-certificates": {"whatif", "stringArray", "PEM FILE of the certificates that clients present"},
	"compare":             {"report", "string", "compare with the same span this DURATION earlier"},
	"concurrency":         {"backfill, redrive", "int", "run up to N invocations at the same time"},
	"confirmed":           {"policy suggest", "bool", "only policies whose protocols and cipher suites are confirmed"},
	"dashboard":           {"cost", "bool", "include the dashboard"},
	"dry-run":             {"backfill, redrive", "bool", "show what would be sent, and send nothing"},
	"expiring":            {"report", "string", "list client certificates that expire within this DURATION of the last line"},
	"fail-if-breaking":    {"whatif", "string", "exit with status 3 if at least N clients, or P% of all, will break"},
	"failed":              {"report, tail, whatif", "bool", "only failed negotiations"},
	"fips":                {"policy suggest", "bool", "only FIPS policies"},
	"for":                 {"tail", "duration", "stop after this DURATION"},
	"format":              {"backfill, cipher, cost, hello, listeners, local, policy, policy accept, policy clients, policy diff, policy list, policy show, policy suggest, policy update, redrive, report, tail, whatif", "string", "output FORMAT: table"},
	"forward-secrecy":     {"policy suggest", "bool", "only policies with forward secrecy"},
	"free-tier":           {"cost", "bool", "subtract the free tier"},
	"function":            {"backfill, redrive", "string", "NAME or ARN of the deployed function"},
	"group":               {"policy accept, policy suggest", "stringArray", "key-exchange GROUP that the client offers"},
	"ignore":              {"policy suggest, report, tail, whatif", "stringArray", "count the connections of this ADDRESS, CIDR block or @FILE of them apart"},
	"ingest":              {"cost", "string", "HOW events reach the function"},
	"input":               {"policy update", "string", "FILE with the output of 'aws elbv2 describe-ssl-policies'"},
	"insight-rules":       {"cost", "float64", "N Contributor Insights rules"},
	"interval":            {"tail", "duration", "DURATION between listings"},
	"keep":                {"local", "bool", "keep the stand-ins running until Ctrl-C"},
	"key-exchange":        {"report, tail, whatif", "stringArray", "only this key-exchange GROUP"},
	"legacy":              {"policy suggest", "bool", "also suggest policies that AWS no longer lists"},
	"load-balancer":       {"hello, listeners, policy suggest, report, tail, whatif", "stringArray", "load balancer, by NAME, app/NAME, app/NAME/ID or ARN, in any case; * and ? are wildcards"},
	"local":               {"backfill, policy suggest, report, tail, whatif", "bool", "times are those of this computer's zone"},
	"log-days":            {"cost", "float64", "DAYS that the log bucket keeps logs"},
	"manifest":            {"backfill", "string", "write an S3 Batch Operations manifest to this FILE"},
	"max":                 {"redrive", "int", "take at most N messages"},
	"memory":              {"cost", "float64", "memory of the function in MB"},
	"min-protocol":        {"policy suggest", "string", "only policies that allow no PROTOCOL below this one"},
	"no-fips":             {"policy suggest", "bool", "only policies that are not FIPS policies"},
	"offer":               {"policy suggest", "stringArray", "OFFER of one more client"},
	"output":              {"backfill, cipher, cost, hello, listeners, local, policy, policy accept, policy clients, policy diff, policy list, policy show, policy suggest, policy update, redrive, report, tail, whatif", "string", "FILE to write"},
	"parameter":           {"local", "stringArray", "template parameter NAME=VALUE"},
	"policy":              {"hello, local, policy suggest, report, tail, whatif", "string", "security POLICY of the listeners"},
	"policy-file":         {"hello, listeners, local, policy, policy accept, policy clients, policy diff, policy list, policy show, policy suggest, policy update, report, tail, whatif", "string", "FILE of security policies"},
	"port":                {"hello, policy suggest, report, tail, whatif", "uintSlice", "only this listener PORT"},
	"post-quantum":        {"policy suggest", "bool", "only policies with post-quantum key exchange"},
	"profile":             {"backfill, cost, hello, listeners, policy suggest, policy update, redrive, report, tail, whatif", "string", "NAME of a profile"},
	"protocol":            {"policy accept, policy suggest, report, tail, whatif", "stringArray", "TLS PROTOCOL, such as TLSv1.2 or 1.2"},
	"queue":               {"redrive, tail", "string", "URL of an SQS queue"},
	"region":              {"backfill, cost, hello, listeners, policy suggest, policy update, redrive, report, tail, whatif", "string", "AWS REGION"},
	"requester-pays":      {"backfill, cost, policy suggest, report, tail, whatif", "bool", "agree to pay for requests"},
	"section":             {"report", "string", "LIST to write as csv"},
	"since":               {"backfill, policy suggest, report, tail, whatif", "string", "only from this TIME on"},
	"state":               {"backfill", "string", "FILE that records what is done"},
	"status":              {"report, tail, whatif", "stringArray", "only this STATUS"},
	"summary":             {"hello", "bool", "count how handshakes ended, and the sizes of ClientHellos by client, instead of showing each"},
	"template":            {"local", "string", "run what this template FILE deploys"},
	"times":               {"cost", "float64", "scale to N times the load balancers"},
	"to":                  {"listeners, report", "string", "new security POLICY"},
	"top":                 {"policy suggest, report, whatif", "int", "show at most N rows"},
	"until":               {"backfill, policy suggest, report, tail, whatif", "string", "only up to this TIME"},
	"utc":                 {"backfill, policy suggest, report, tail, whatif", "bool", "times are UTC"},
	"verbose":             {"local", "bool", "show the function's own log"},
	"wait":                {"redrive", "duration", "idle DURATION before the queue counts as empty"},
}

// repeated are the flags that have another type in one command, which asks about
// several policies at once.
var repeated = map[string]meaning{
	"policy": {"policy accept", "stringArray", "security POLICY of the listeners"},
	"to":     {"whatif", "stringArray", "new security POLICY"},
}

// oldNames are the flags under their old names, by command.
var oldNames = map[string]map[string]string{
	"hello":          {"policies": "policy-file"},
	"listeners":      {"policies": "policy-file"},
	"local":          {"function": "bootstrap", "policies": "policy-file"},
	"policy":         {"policies": "policy-file"},
	"policy accept":  {"policies": "policy-file"},
	"policy clients": {"policies": "policy-file"},
	"policy diff":    {"policies": "policy-file"},
	"policy list":    {"policies": "policy-file"},
	"policy show":    {"policies": "policy-file"},
	"policy suggest": {"client": "offer", "current": "policy", "policies": "policy-file"},
	"policy update":  {"from": "input", "policies": "policy-file"},
	"report":         {"listener-port": "port", "policies": "policy-file", "what-if": "to"},
	"tail":           {"listener-port": "port", "policies": "policy-file"},
	"whatif":         {"from": "policy", "listener-port": "port", "policies": "policy-file"},
}

// flagsOf calls f for each flag that a command takes, and names the command.
func flagsOf(root *cobra.Command, f func(name string, cmd *cobra.Command, flag *pflag.Flag)) {
	for _, cmd := range command.All(root) {
		name := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "tlswatch"), " ")
		cmd.InheritedFlags() // which merges them
		cmd.Flags().VisitAll(func(flag *pflag.Flag) { f(name, cmd, flag) })
	}
}

// A flag has one meaning and one type in all commands, and no command shows an
// old name.
func TestFlags(t *testing.T) {
	seen := make(map[string][]string)
	old := make(map[string]map[string]string)
	flagsOf(New(), func(name string, _ *cobra.Command, flag *pflag.Flag) {
		if now, is := strings.CutPrefix(flag.Usage, "old name of --"); is {
			if !flag.Hidden {
				t.Errorf("%s shows --%s", name, flag.Name)
			}
			if old[name] == nil {
				old[name] = make(map[string]string)
			}
			old[name][flag.Name] = now
			return
		}
		if flag.Name == "help" || flag.Name == "version" {
			return
		}
		want := meanings[flag.Name]
		if other := repeated[flag.Name]; name == other.commands {
			want = other
		} else {
			seen[flag.Name] = append(seen[flag.Name], name)
		}
		value, usage := pflag.UnquoteUsage(flag)
		if flag.Value.Type() != want.typ {
			t.Errorf("%s: --%s is a %s, want %s", name, flag.Name, flag.Value.Type(), want.typ)
		}
		more, ok := strings.CutPrefix(usage, want.usage)
		if !ok || more != "" && !strings.ContainsAny(more[:1], ";:,( ") {
			t.Errorf("%s: --%s: %q does not begin with %q", name, flag.Name, usage, want.usage)
		}
		if flag.Value.Type() != "bool" && strings.ToUpper(value) != value {
			t.Errorf("%s: the usage of --%s does not mark a word for its value: %s", name, flag.Name, flag.Usage)
		}
	})
	for name, m := range meanings {
		slices.Sort(seen[name])
		if got := strings.Join(seen[name], ", "); got != m.commands {
			t.Errorf("--%s is in %s, want %s", name, got, m.commands)
		}
	}
	for name := range seen {
		if meanings[name].usage == "" {
			t.Errorf("--%s in %s is not in the table", name, seen[name])
		}
	}
	for name, want := range oldNames {
		if !maps.Equal(old[name], want) {
			t.Errorf("%s has the old names %v, want %v", name, old[name], want)
		}
		delete(old, name)
	}
	if len(old) > 0 {
		t.Errorf("more old names: %v", old)
	}
}

// docs/cli.md explains the flags that several commands have, and names the old
// ones.
func TestFlagPage(t *testing.T) {
	page, err := os.ReadFile(clitest.Path("docs/cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Flags\n")
	section, _, _ = strings.Cut(section, "\n## ")
	table, rest, _ := strings.Cut(section, "\n\nIf help calls")
	_, old, _ := strings.Cut(rest, "Until the next version")
	for name, m := range meanings {
		several := strings.Contains(m.commands, ", ")
		if documented := regexp.MustCompile("`--" + name + "[ `]").MatchString(table); documented != several {
			t.Errorf("--%s in the table: %v; in several commands: %v", name, documented, several)
		}
	}
	for command, flags := range oldNames {
		for name := range flags {
			if !strings.Contains(old, "--"+name+"`") {
				t.Errorf("the page does not name %s --%s", command, name)
			}
		}
	}
}

// An old name sets the flag, and says the new name.
func TestOldNamesWork(t *testing.T) {
	for name, flags := range oldNames {
		for old, now := range flags {
			root := New()
			var stderr bytes.Buffer
			root.SetErr(&stderr)
			cmd, _, err := root.Find(strings.Fields(name))
			if err == nil {
				err = cmd.ParseFlags([]string{"--" + old, "443"})
			}
			if flag := cmd.Flags().Lookup(now); err != nil || !strings.Contains(flag.Value.String(), "443") || !flag.Changed {
				t.Errorf("%s --%s: --%s is %q, %v", name, old, now, flag.Value, err)
			}
			if want := "tlswatch: --" + old + " is now called --" + now + "\n"; stderr.String() != want {
				t.Errorf("%s --%s says %q, not %q", name, old, &stderr, want)
			}
		}
	}
}

// Neither help nor completion offers an old name.
func TestOldNamesAreHidden(t *testing.T) {
	for name, flags := range oldNames {
		path := strings.Fields(name)
		_, help, _ := clitest.Run(t.Context(), New(), append(path, "--help")...)
		for old := range flags {
			_, completed, _ := clitest.Run(t.Context(), New(), append(append([]string{cobra.ShellCompRequestCmd}, path...), "--"+old)...)
			if shown := regexp.MustCompile(`--` + old + `\b(?:[^-]|$)`); shown.MatchString(help) || shown.MatchString(completed) {
				t.Errorf("%s offers --%s:\n%s\n%s", name, old, help, completed)
			}
		}
	}
}

// Descriptions in a shell's completion have no marks for help.
func TestCompletionDescriptions(t *testing.T) {
	_, stdout, _ := clitest.Run(t.Context(), New(), cobra.ShellCompRequestCmd, "whatif", "--")
	if !strings.Contains(stdout, "--to\tnew security POLICY; repeatable\n") || strings.Contains(stdout, "`") {
		t.Error(stdout)
	}
}

// commandLine finds the command and the arguments of a command line that some
// text shows.
var commandLine = regexp.MustCompile("('?)\\btlswatch ((?:report|tail|whatif|hello|policy|cipher|listeners|local|backfill|redrive|cost)\\b[^`|;&\\n]*)")

// The command lines in documents, alerts and elsewhere in the repository use
// flags that the commands have, under their present names.
func TestCommandLines(t *testing.T) {
	root := filepath.Dir(clitest.Path("go.mod"))
	list, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("SKIPPED: git does not list the files: %v", err)
	}
	known := map[string]bool{"--help": true, "--template-url": true} // the latter of the AWS CLI
	flagsOf(New(), func(name string, _ *cobra.Command, flag *pflag.Flag) {
		if !strings.HasPrefix(flag.Usage, "old name of ") {
			known["--"+flag.Name], known[name+" --"+flag.Name] = true, true
		}
	})
	flag := regexp.MustCompile(`(?:^|[ '(\[])(--[a-z][a-z-]*)`)
	lines, alerts := 0, 0
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "\\\n", " ") // lines that continue
		for _, m := range commandLine.FindAllStringSubmatch(text, -1) {
			line, _, _ := strings.Cut(m[2], " tlswatch ")
			if m[1] != "" { // it ends with the quotation
				line, _, _ = strings.Cut(line, "'")
			}
			words := strings.Fields(line)
			cmd := strings.TrimRight(words[0], ",")
			if cmd == "policy" && len(words) > 1 && !strings.HasPrefix(words[1], "-") {
				cmd += " " + words[1]
			}
			for _, f := range flag.FindAllStringSubmatch(line, -1) {
				lines++
				if strings.HasPrefix(name, "pkg/notice/testdata/") {
					alerts++
				}
				if !known[cmd+" "+f[1]] && f[1] != "--help" {
					t.Errorf("%s: %s has no %s: %s", name, cmd, f[1], m[0])
				}
			}
		}
		if strings.HasSuffix(name, ".md") {
			before, old, _ := strings.Cut(text, "\nUntil the next version, former names of flags")
			_, after, _ := strings.Cut(old, "\n\n")
			text = before + after
			for _, m := range regexp.MustCompile("`(--[a-z][a-z-]*)").FindAllStringSubmatch(text, -1) {
				if !known[m[1]] {
					t.Errorf("%s: no command has %s", name, m[1])
				}
			}
		}
	}
	if lines < 300 || alerts < 10 {
		t.Errorf("only %d flags found, %d of them in alerts", lines, alerts)
	}
}
