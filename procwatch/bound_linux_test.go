package procwatch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/procwatch"
)

// A bound child ends with the process that started it, and not with the thread that
// happened to: the kernel's signal follows the thread.
func TestStartBound(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("bound"), self(), out)
	until(t, "the thread is gone", func() bool { return len(lines(out)) >= 1 })
	child := idsIn(t, out)[0]
	if s := child.State(); s != procwatch.Alive {
		t.Fatalf("after the end of the thread that started it, the child is %v", s)
	}
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	exit(t, c)
	until(t, "the child is gone", func() bool { return child.State() == procwatch.Gone })
}

func roleBound(args []string) {
	type started struct {
		c      *procwatch.Child
		err    error
		thread int
	}
	told := make(chan started)
	var onThread func()
	onThread = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if unix.Gettid() == os.Getpid() {
			go onThread() // the first thread would only be parked
			select {}
		}
		c, err := procwatch.StartBound([]string{"sleep", "1000"}, nil)
		told <- started{c, err, unix.Gettid()}
	}
	go onThread()
	s := <-told
	if s.err != nil {
		panic(s.err)
	}
	for task := fmt.Sprintf("/proc/self/task/%d", s.thread); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(task); err != nil {
			break
		}
	}
	endThreads()
	// The kernel sends its signal before a thread has left /proc.
	say(args[0], fmt.Sprint(s.c.ID().PID))
	select {}
}

// endThreads ends all threads that the runtime could use for something else.
func endThreads() {
	const many = 40
	var all, free sync.WaitGroup
	all.Add(many)
	free.Add(1)
	for range many {
		go func() {
			runtime.LockOSThread() // and never unlocked
			all.Done()
			free.Wait()
		}()
	}
	all.Wait()
	free.Done()
	for {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			panic(err)
		}
		if len(tasks) < many {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
