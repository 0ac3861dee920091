package tty

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// SuspendSelf suspends this process as the terminal would have, and returns after it was
// resumed. Not by TSTP, which we catch. The signal goes to this thread: one sent to the
// process may be taken by another thread, and this one would run on for a moment, into a
// lock for example, and be suspended there.
func SuspendSelf() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), STOP)
}
