// Package clitest runs commands in tests, with stand-ins for AWS.
package clitest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
)

// testRoot returns cmd if it is a root command, else a root command with cmd alone.
func testRoot(cmd *cobra.Command) *cobra.Command {
	if cmd.Name() == "tlswatch" {
		return cmd
	}
	root := &cobra.Command{Use: "tlswatch"}
	root.AddCommand(cmd)
	return root
}

// Run runs a command in this process. The arguments begin with its name.
func Run(ctx context.Context, cmd *cobra.Command, args ...string) (status int, stdout, stderr string) {
	var out, diag bytes.Buffer
	status = RunIO(ctx, cmd, args, strings.NewReader(""), &out, &diag)
	return status, out.String(), diag.String()
}

// RunIO runs a command in this process. The arguments begin with its name.
func RunIO(ctx context.Context, cmd *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return command.Run(ctx, testRoot(cmd), args, stdin, stdout, stderr)
}

// Want runs a command and fails the test unless it ends with the exit status want.
func Want(t *testing.T, want int, cmd *cobra.Command, args ...string) (stdout, stderr string) {
	t.Helper()
	status, stdout, stderr := Run(t.Context(), cmd, args...)
	if status != want {
		t.Fatalf("%q: exit status %d, want %d: %s", args, status, want, stderr)
	}
	return stdout, stderr
}
