package procwatch

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// awaitThreads waits until the threads exist that the runtime has counted. One of its
// threads makes them, and on a busy machine a late one may find the limit reached.
// With cgo the runtime counts one that never exists, hence the bound.
func awaitThreads() {
	for range 20 {
		var tasks unix.Stat_t
		counted, _ := runtime.ThreadCreateProfile(nil)
		if unix.Stat("/proc/self/task", &tasks) != nil || int(tasks.Nlink)-2 >= counted {
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
}
