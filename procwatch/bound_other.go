//go:build unix && !linux

package procwatch

import "syscall"

// CanBind reports whether StartBound binds on this system.
func CanBind() bool { return false }

func dieWithThread() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
