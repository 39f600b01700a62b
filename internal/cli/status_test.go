package cli

import (
	"bytes"
	"strings"
	"testing"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
)

// The exit status tells wrong usage from failure.
func TestExitStatus(t *testing.T) {
	for _, test := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"--help"}, command.ExitOK, ""},
		{[]string{"--version"}, command.ExitOK, ""},
		{[]string{"local", "--help"}, command.ExitOK, ""},
		{nil, command.ExitOK, ""},
		{[]string{"policy"}, command.ExitOK, ""},
		{[]string{"version"}, command.ExitOK, ""},
		{[]string{"version", "x"}, command.ExitUsage, `unexpected argument "x"`},
		{[]string{"help", "local"}, command.ExitOK, ""},
		{[]string{"help", "policy", "nothing"}, command.ExitUsage, `unknown command "policy nothing"`},
		{[]string{"completion", "nosh"}, command.ExitUsage, `unknown command "nosh"`},
		{[]string{"locale"}, command.ExitUsage, "unknown command"},
		{[]string{"local"}, command.ExitUsage, "missing PATH"},
		{[]string{"local", "--colour", "x"}, command.ExitUsage, "unknown flag"},
		{[]string{"local", "--format", "xml", "."}, command.ExitUsage, "--format must be table or json, not \"xml\""},
		{[]string{"local", "--bootstrap", "no-such-file", "."}, command.ExitFailed, "make build"},
	} {
		var stdout, stderr bytes.Buffer
		status := clitest.RunIO(t.Context(), New(), test.args, strings.NewReader(""), &stdout, &stderr)
		if status != test.status || !strings.Contains(stderr.String(), test.stderr) || (stderr.Len() > 0) != (test.stderr != "") {
			t.Errorf("%q: exit status %d, want %d; standard error %q, want %q", test.args, status, test.status, &stderr, test.stderr)
		}
	}
}
