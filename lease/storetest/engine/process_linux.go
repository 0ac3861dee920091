package engine

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes has the server die with the test: one that is killed, as by go test's
// own timeout, runs no Cleanup. See forker.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
}

// stopped returns when the last thread of p has stopped; kill(2) returns before.
// With a process that ends instead it returns too.
func stopped(p *os.Process) error {
	for {
		err := unix.Waitid(unix.P_PID, p.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}
