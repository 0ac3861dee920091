package procwatch

import "syscall"

// CanBind reports whether StartBound binds on this system.
func CanBind() bool { return true }

func dieWithThread() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
