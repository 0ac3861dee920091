//go:build unix && !linux

package cmd

import (
	"os"
	"syscall"
	"time"
)

// stopSelf stops this process as the terminal would have, and returns after
// somebody continued it. There is no signal to a thread here that Go offers;
// the pause lets whichever thread got it stop all others.
func stopSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	time.Sleep(10 * time.Millisecond)
}
