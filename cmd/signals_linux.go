package cmd

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// stopSelf stops this process as the terminal would have, and returns after
// somebody continued it. Not with TSTP, which we catch. The signal goes to
// this thread: one sent to the process may be taken by another, and this one
// would run on for a moment, into a lock for example, and be stopped there.
func stopSelf() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGSTOP)
}
