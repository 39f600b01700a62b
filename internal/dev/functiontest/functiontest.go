// Package functiontest runs the real function binaries in tests, against the
// stand-ins for AWS.
package functiontest

import (
	"log"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/lambda"
)

var (
	dir string // of the binaries

	mu    sync.Mutex
	built = make(map[string]func() (string, error)) // by function
)

// Main runs the tests of a package, in its TestMain.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run runs tests with a folder for the binaries that they need, and returns
// their exit status.
func Run(m interface{ Run() int }) (status int) {
	var err error
	if dir, err = os.MkdirTemp("", "tlswatch"); err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	return m.Run()
}

// Bootstrap returns the path of a function's binary, which is built the first
// time. A function is named after its folder.
func Bootstrap(t testing.TB, function string) string {
	t.Helper()
	mu.Lock()
	path := built[function]
	if path == nil {
		path = sync.OnceValues(func() (string, error) {
			folder := filepath.Join(dir, function)
			if err := os.Mkdir(folder, 0o777); err != nil {
				return "", err
			}
			return build(folder, function)
		})
		built[function] = path
	}
	mu.Unlock()
	bootstrap, err := path()
	if err != nil {
		t.Fatal(err)
	}
	return bootstrap
}

// Start runs a function until the test ends. Its environment is the stack's
// with settings on top; what it prints goes to o.Output or else to the test's
// output.
func Start(t testing.TB, stack *localaws.Stack, function string, settings map[string]string, o lambda.Options) *lambda.Function {
	t.Helper()
	o.Name = "tlswatch-" + function
	o.Bootstrap = Bootstrap(t, function)
	o.Env = stack.Env()
	maps.Copy(o.Env, settings)
	if o.Output == nil {
		o.Output = t.Output()
	}
	f, err := lambda.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
