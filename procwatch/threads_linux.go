package procwatch

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// settle waits until the threads are there that the runtime has ordered: one of its
// threads makes them, and what it makes late, on a busy machine, may find the limit
// reached. With cgo the runtime counts one that has no thread, hence the bound.
func settle() {
	for range 20 {
		var tasks unix.Stat_t
		ordered, _ := runtime.ThreadCreateProfile(nil)
		if unix.Stat("/proc/self/task", &tasks) != nil || int(tasks.Nlink)-2 >= ordered {
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
}
