//go:build !unix

package lambda

import (
	"os"
	"os/exec"
)

func isolate(*exec.Cmd) {}

func terminate(p *os.Process) { p.Kill() }

func killGroup(p *os.Process) { p.Kill() }
