//go:build unix && !linux

package cmd

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// dieOf returns where this process does not die of sig. The runtime dies of these as
// if they had no handler, once nobody has asked for them; of others it prints a
// traceback.
func dieOf(sig syscall.Signal) {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL:
		signal.Reset(sig)
		_ = syscall.Kill(os.Getpid(), sig)
		time.Sleep(100 * time.Millisecond) // another thread may get it
	}
}
