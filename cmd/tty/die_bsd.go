//go:build unix && !linux

package tty

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Die returns where this process does not die of sig. The runtime dies of these as
// if they had no handler, once nothing catches them; of others it prints a
// traceback.
func Die(sig syscall.Signal) {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL:
		signal.Reset(sig)
		_ = syscall.Kill(os.Getpid(), sig)
		time.Sleep(100 * time.Millisecond) // another thread may get it
	}
}
