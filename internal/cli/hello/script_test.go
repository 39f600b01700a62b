package hello_test

import (
	"testing"

	"tlswatch/internal/cli"
	"tlswatch/internal/cli/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m, cli.Run) }

func TestScripts(t *testing.T) {
	clitest.Scripts(t, map[string]string{"TESTDATA": clitest.Path("internal/cli/hello/testdata")})
}
