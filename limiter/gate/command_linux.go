package gate

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// own puts a command into a group of its own, to end it with what it started,
// and has it die with us: a waiter that is killed leaves no command behind. The
// signal comes when the THREAD that forked ends; see [run].
func own(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, unix.SIGKILL) }
}
