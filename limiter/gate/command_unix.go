//go:build unix && !linux

package gate

import (
	"os/exec"
	"syscall"
)

// own puts a command into a group of its own, to end it with what it started.
func own(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
}
