package clitest

import (
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tlswatch/internal/dev/functiontest"
)

// Update is the flag by which tests rewrite golden files.
var Update = flag.Bool("update", false, "rewrite golden files")

// Main runs the tests of a package. In the processes that their scripts
// start as tlswatch, it calls run instead.
func Main(m *testing.M, run func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int) {
	testscript.Main(testMain{m}, map[string]func(){"tlswatch": func() {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// testMain runs the tests with a place for the function's binary.
type testMain struct{ m *testing.M }

func (t testMain) Run() int { return functiontest.Run(t.m) }

// Function returns the path of the function's binary.
func Function(t *testing.T) string {
	t.Helper()
	return functiontest.Bootstrap(t, "processor")
}

// Scripts runs the scripts in testdata/script, with these variables and those
// that name the checkout's files.
func Scripts(t *testing.T, env map[string]string) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *Update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("SAMPLE", Path("events/sample"))
			e.Setenv("CAPTURES", Path("pkg/clienthello/testdata/captures"))
			e.Setenv("CASES", Path("pkg/clienthello/testdata/cases"))
			e.Setenv("TEMPLATE", Path("template.yaml"))
			for name, value := range env {
				e.Setenv(name, value)
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "cut.log.gz"), []byte("\x1f\x8b\x08\x00"), 0o666)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": scriptStatus},
	})
}

// Path returns the path of a file of the checkout.
func Path(name string) string {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			panic("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, name)
}

// scriptStatus runs "status N tlswatch ARG...": a program that must end with
// exit status N. Its output is then in stdout and stderr as after exec.
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if ee, ok := err.(*exec.ExitError); ok {
		got = ee.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want || neg {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
