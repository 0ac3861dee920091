//go:build unix && !linux

package procwatch

import "syscall"

func dieWithThread() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
