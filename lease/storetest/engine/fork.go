package engine

import (
	"runtime"
	"sync"
)

// forker runs what it is sent on one thread that lives as long as this process. The
// kernel ends a server when the THREAD that forked it ends, and the runtime ends
// threads as it likes, for example with a goroutine that was locked to one.
var forker = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})
