//go:build unix && !linux

package engine

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

func stopped(*os.Process) error { return nil }
