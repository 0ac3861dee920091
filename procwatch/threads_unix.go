//go:build unix

package procwatch

import (
	"runtime"
	"sync"
)

// processors is enough for a process that mostly waits. With more of them the
// runtime, above all its garbage collector, may want a thread for each at any moment.
const processors = 2

// reserved is how many threads may be wanted at once while a child runs: one for each
// processor, one in which reap blocks, and two for calls that block on a disk or a
// full pipe: a heartbeat, a word to stderr.
const reserved = processors + 1 + 2

// Reserve makes the threads that this process will want to look after a child. The
// Go runtime ends a program that cannot have one more, and a job at its limit of
// processes, which a time-out is to end, leaves room for none. The runtime keeps
// threads that have nothing to do, so it is enough to want them all at once. A bound
// child keeps one thread more.
//
// Start does it, unless it was done before, when there was time.
func Reserve(bound bool) { reserving.Do(func() { reserve(bound) }) }

var reserving sync.Once

func reserve(bound bool) {
	n := reserved - 1 // one more is wanted to go on here
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
	settle()
}

// boundProcessors keeps the runtime to the reserved threads. That stops the world, so
// it waits until the child has started; the first collection of garbage comes later.
func boundProcessors() {
	if runtime.GOMAXPROCS(0) > processors {
		runtime.GOMAXPROCS(processors)
	}
}
