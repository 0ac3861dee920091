//go:build unix && !linux

package procwatch

import "syscall"

func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
