//go:build unix

package lambda

import (
	"os"
	"os/exec"
	"syscall"
)

// isolate puts the process into a group of its own, so that signals reach its
// descendants too and a Ctrl-C at the terminal does not reach it.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func terminate(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGTERM) }

func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
