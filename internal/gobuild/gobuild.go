// Package gobuild builds the project's binaries for tests that run them.
package gobuild

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Function builds the Lambda function for this machine, with the flags that a
// deployment uses, and returns the path of the executable in dir.
func Function(dir string) (string, error) {
	return build(filepath.Join(dir, "bootstrap"), "tlswatch/functions/processor", "-tags", "lambda.norpc")
}

// CLI builds the command tlswatch.
func CLI(dir string) (string, error) {
	return build(filepath.Join(dir, "tlswatch"), "tlswatch/cmd/tlswatch")
}

func build(out, pkg string, flags ...string) (string, error) {
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", out}, flags...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, output)
	}
	return out, nil
}
