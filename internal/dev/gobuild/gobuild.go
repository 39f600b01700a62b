// Package gobuild builds the project's binaries for tests that run them.
package gobuild

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Function builds the Lambda function for this machine, with the flags that a
// deployment uses, and returns the path of the executable in dir.
func Function(dir string) (string, error) { return OtherFunction(dir, "processor") }

// OtherFunction is Function for one of the others, by the name of its folder.
func OtherFunction(dir, name string) (string, error) {
	return build(filepath.Join(dir, "bootstrap"), "tlswatch/functions/"+name, "-tags", "lambda.norpc")
}

// CLI builds the command tlswatch.
func CLI(dir string) (string, error) {
	return build(filepath.Join(dir, "tlswatch"), "tlswatch/cmd/tlswatch")
}

func build(out, pkg string, flags ...string) (string, error) {
	if err := readSources(); err != nil {
		return "", fmt.Errorf("reading the sources of %s: %w", pkg, err)
	}
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", out}, flags...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, output)
	}
	return out, nil
}

// readSources reads what the binaries are built from. The go command takes a
// test's result from its cache unless a file has changed that the test itself
// has read; what a process that it starts reads does not count.
func readSources() error {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return err
	}
	return filepath.WalkDir(filepath.Dir(strings.TrimSpace(string(mod))), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "build" || d.Name() == "testdata"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"), d.Name() == "go.mod", d.Name() == "go.sum":
			_, err = os.ReadFile(path)
		}
		return err
	})
}
