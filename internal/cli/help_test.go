package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
)

// Every command's help opens with two examples or more, and they are of the
// command, with flags that it has.
func TestExamples(t *testing.T) {
	seen := 0
	for _, cmd := range command.All(New()) {
		path := strings.Fields(cmd.CommandPath())
		_, stdout, _ := clitest.Run(t.Context(), New(), append(path[1:], "--help")...)
		examples := strings.Split(strings.ReplaceAll(cmd.Example, "\\\n", " "), "\n")
		if !strings.HasPrefix(stdout, cmd.Example+"\n\n") || len(examples) < 2 {
			t.Errorf("%s: the help does not open with examples:\n%s", cmd.CommandPath(), stdout)
			continue
		}
		for _, example := range examples {
			_, command, ok := strings.Cut(" "+example, " tlswatch ") // the environment may stand before it, or a pipe
			if !ok {
				t.Errorf("%s: %q is no example", cmd.CommandPath(), example)
				continue
			}
			command, _, _ = strings.Cut(command, " && ")
			command, _, _ = strings.Cut(command, " | ")
			root := New()
			found, args, err := root.Find(strings.Fields(command))
			if err == nil {
				err = found.ParseFlags(args)
			}
			if err != nil {
				t.Errorf("%s: %q: %v", cmd.CommandPath(), example, err)
			} else if !strings.HasPrefix(found.CommandPath(), cmd.CommandPath()) {
				t.Errorf("%s: %q is of %s", cmd.CommandPath(), example, found.CommandPath())
			}
			seen++
		}
	}
	if seen < 20 {
		t.Errorf("%d examples", seen)
	}
}

// Help fits 80 columns, but for examples.
func TestHelpWidth(t *testing.T) {
	for _, cmd := range command.All(New()) {
		_, help, _ := clitest.Run(t.Context(), New(), append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		for line := range strings.Lines(strings.TrimPrefix(help, cmd.Example)) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
	}
}

// There is a manual page for every command, with its examples and flags, that
// man reads without complaint.
func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pages")
	if status, _, stderr := clitest.Run(t.Context(), New(), "man", dir); status != command.ExitOK {
		t.Fatal(stderr)
	}
	again := t.TempDir()
	if err := writeMan(again); err != nil {
		t.Fatal(err)
	}
	man, manErr := exec.LookPath("man")
	for _, cmd := range command.All(New()) {
		if cmd.Hidden {
			continue
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		page, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		second, err := os.ReadFile(filepath.Join(again, name))
		if err != nil || !bytes.Equal(page, second) {
			t.Errorf("%s differs from one time to the next, %v", name, err)
		}
		if manErr != nil {
			continue
		}
		read := exec.Command(man, "-l", "--warnings", "-E", "UTF-8", filepath.Join(dir, name))
		read.Env = append(os.Environ(), "MANWIDTH=300", "LC_ALL=C.UTF-8", "MANPAGER=cat")
		var text, complaints bytes.Buffer
		read.Stdout, read.Stderr = &text, &complaints
		if err := read.Run(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, &complaints)
		}
		if complaints.Len() > 0 {
			t.Errorf("%s: %s", name, &complaints)
		}
		flat := strings.Join(strings.Fields(text.String()), " ")
		for example := range strings.SplitSeq(cmd.Example, "\n") {
			example = strings.TrimSuffix(example, "\\")
			if !strings.Contains(flat, strings.Join(strings.Fields(example), " ")) {
				t.Errorf("%s lacks the example %q:\n%s", name, example, &text)
			}
		}
		if words := strings.Join(strings.Fields(cmd.Long), " "); !strings.Contains(flat, words[:min(len(words), 40)]) {
			t.Errorf("%s lacks %q", name, words)
		}
	}
	if manErr != nil {
		t.Log("SKIPPED: man is not on PATH: what it makes of the pages was not looked at")
	}
}

// Completion is made for each shell, and knows commands, flags and values.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		status, script, stderr := clitest.Run(t.Context(), New(), "completion", shell)
		if status != command.ExitOK || !strings.Contains(script, "tlswatch") {
			t.Errorf("%s: %s", shell, stderr)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("SKIPPED: %s is not on PATH: its completion was not read by it", shell)
			continue
		}
		read := exec.Command(path, "-n")
		read.Stdin = strings.NewReader(script)
		if out, err := read.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
	for line, want := range map[string][]string{
		"re":                                  {"report", "redrive"},
		"report --format ":                    {"table", "json", "csv", "html"},
		"report --section fail":               {"failed-clients", "failed-negotiations", "failed-objects"},
		"report --policy li":                  {"live"},
		"report --status ClientCertE":         {"ClientCertExpired"},
		"report --protocol TLSv1.3":           {"TLSv1.3"},
		"whatif --to ELBSecurityPolicy-2016-": {"ELBSecurityPolicy-2016-08"},
	} {
		words := strings.Split(line, " ")
		_, stdout, _ := clitest.Run(t.Context(), New(), append([]string{cobra.ShellCompNoDescRequestCmd}, words...)...)
		got := strings.Fields(stdout)
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%q is completed by %q, not by %s", line, got, w)
			}
		}
	}
}
