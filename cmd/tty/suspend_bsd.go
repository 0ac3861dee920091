//go:build unix && !linux

package tty

import (
	"os"
	"syscall"
	"time"
)

// SuspendSelf suspends this process as the terminal would have, and returns after it was
// resumed. Go offers no signal to a thread here; the pause lets the thread that got it
// stop all others.
func SuspendSelf() {
	_ = syscall.Kill(os.Getpid(), STOP)
	time.Sleep(10 * time.Millisecond)
}
