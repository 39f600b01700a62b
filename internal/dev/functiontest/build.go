package functiontest

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build builds a function for this machine with the flags of a deployment. It
// returns the path of the executable in dir.
func build(dir, name string) (string, error) {
	out, pkg := filepath.Join(dir, "bootstrap"), "tlswatch/functions/"+name
	if err := readSources(); err != nil {
		return "", fmt.Errorf("reading the sources of %s: %w", pkg, err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, output)
	}
	return out, nil
}

// readSources reads the sources of the binaries. The go command caches a test's
// result until a file changes that the test process itself has read. Files that a
// child process reads do not count.
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
