package report_test

import (
	"testing"
	_ "time/tzdata" // the machine may have no data on zones

	"tlswatch/internal/cli"
	"tlswatch/internal/cli/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m, cli.Run) }

func TestScripts(t *testing.T) { clitest.Scripts(t, nil) }
