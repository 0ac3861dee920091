//go:build unix

package procwatch

import (
	"runtime"
	"sync"
)

// processors is enough for a process that mostly waits. With more of them the
// runtime, above all its garbage collector, may need a thread for each at any moment.
const processors = 2

// reserved is how many threads may be needed at once while a child runs: one for each
// processor, one in which reap blocks, and two for calls that block on a disk or a
// full pipe: a heartbeat, a message to stderr.
const reserved = processors + 1 + 2

// Reserve makes the threads that this process will need to supervise a child. The Go
// runtime ends a program that cannot make another thread, and a job that has reached its
// limit of processes, which a time-out has to end, leaves room for none. The runtime keeps
// idle threads, so it is enough to use all of them once at the same time. A bound
// child needs one thread more.
//
// Start calls it. A caller that has to wait anyway can call it before.
func Reserve(bound bool) { reserving.Do(func() { reserve(bound) }) }

var reserving sync.Once

func reserve(bound bool) {
	n := reserved - 1 // this goroutine has one
	if bound {
		n++
	}
	var taken, free, over sync.WaitGroup
	taken.Add(n)
	free.Add(1)
	over.Add(n)
	for range n {
		go func() {
			defer over.Done()
			runtime.LockOSThread() // waiting then keeps the thread from all others
			defer runtime.UnlockOSThread()
			taken.Done()
			free.Wait()
		}()
	}
	taken.Wait()
	free.Done()
	over.Wait()
	awaitThreads()
}

// boundProcessors keeps the runtime to the reserved threads. That stops the world, so it
// comes after the child's start; the first garbage collection comes later still.
func boundProcessors() {
	if runtime.GOMAXPROCS(0) > processors {
		runtime.GOMAXPROCS(processors)
	}
}
