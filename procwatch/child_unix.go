//go:build unix

package procwatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// eventRoom is more changes than a person at a terminal makes before the caller reads
// them; what does not fit is dropped, see emit.
const eventRoom = 64

// busy is set while a reaper runs: two would collect each other's children.
var busy atomic.Bool

// Child is a started command. Its methods may be called from any goroutine, at
// any time, also after its end.
type Child struct {
	id        ID
	events    chan Event
	watch     watch
	inherited map[key]bool // children we had before: not of this tree

	mu   sync.Mutex // held while reaping, so that a pid under it is still ours
	gone bool       // the child is reaped: its pid may belong to another process

	ended chan struct{} // closed when the child is reaped
	empty chan struct{} // closed when nothing of the tree is left
}

// Start runs argv with env (nil: ours), looked up as execvp(3) does it. The
// child gets descriptors 0, 1 and 2 as they are, all others that are not
// close-on-exec, our process group, session, working directory and limits.
//
// It returns once the command runs. After an error nothing was started; the
// error wraps ErrNotFound or ErrCannotExec if the command is to blame. One
// child runs at a time: Start fails until nothing of the one before is left.
//
// From then on the calling process uses two processors at most, see Reserve, and is,
// on Linux, a subreaper.
func Start(argv, env []string) (*Child, error) { return startOnce(argv, env, false) }

// StartBound is Start of a child that is killed when we end, however we end, where the
// kernel can do that (Linux). Its descendants are not killed.
func StartBound(argv, env []string) (c *Child, err error) {
	// The kernel kills the child when the THREAD that forked it ends. So that is not a
	// thread which the runtime may end, but one that is locked until the child is gone.
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c, err = startOnce(argv, env, true)
		close(done)
		if err == nil {
			<-c.ended
		}
	}()
	<-done
	return c, err
}

func startOnce(argv, env []string, bound bool) (*Child, error) {
	if !busy.CompareAndSwap(false, true) {
		return nil, errors.New("cannot start a command: descendants of the one before are left")
	}
	c, err := start(argv, env, bound)
	if err != nil {
		busy.Store(false)
		return nil, err
	}
	go boundProcessors()
	go c.reap()
	return c, nil
}

func start(argv, env []string, bound bool) (*Child, error) {
	if env == nil {
		env = syscall.Environ()
	}
	Reserve(bound)
	w, inherited, err := newWatch()
	if err != nil {
		return nil, fmt.Errorf("cannot watch over a command: %w", err)
	}
	pid := 0
	attr := &syscall.ProcAttr{Env: env, Files: stdio(), Sys: &syscall.SysProcAttr{}}
	if bound {
		attr.Sys = dieWithThread()
	}
	err = launch(argv, env, func(path string, argv []string) error {
		// Finding out by exec would cost a fork for each directory of PATH.
		var st syscall.Stat_t
		if err := statCandidate(path, &st); err != nil {
			return err
		}
		pid, err = syscall.ForkExec(path, argv, attr)
		return err
	})
	if err != nil {
		w.stop()
		return nil, err
	}
	// The pid is ours until the reaper runs. Without a readable /proc the child
	// runs too, and Start is 0 in its ID.
	id, err := Identify(pid)
	if err != nil {
		id = ID{PID: pid}
	}
	return &Child{
		id: id, events: make(chan Event, eventRoom), watch: w, inherited: inherited,
		ended: make(chan struct{}), empty: make(chan struct{}),
	}, nil
}

// Replace turns the calling process into argv, looked up as Start does it. It
// returns only when that failed, with the errors of Start.
func Replace(argv, env []string) error {
	if env == nil {
		env = syscall.Environ()
	}
	return launch(argv, env, func(path string, argv []string) error {
		return syscall.Exec(path, argv, env)
	})
}

// stdio lists what the child gets as 0, 1 and 2. A descriptor that was closed since
// we started stays closed, and so does one that is close-on-exec: the caller
// cannot have passed that on, so it is a file of our own, which
// ForkExec would open to the child. (One that the caller had closed is
// /dev/null by now: the Go runtime opens that before any of our code runs.)
func stdio() []uintptr {
	files := []uintptr{0, 1, 2}
	for i, fd := range files {
		flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			files[i] = ^uintptr(0)
		}
	}
	return files
}

// ID names the child. Start is 0 where /proc could not be read.
func (c *Child) ID() ID { return c.id }

// Events sends the changes of the child in their order. Exited is the last one;
// the channel stays open after it. It need not be read: Exited always fits, and
// stops that do not fit are dropped.
func (c *Child) Events() <-chan Event { return c.events }

// Signal sends sig to the child alone. Once the child is gone it does nothing: the pid
// may already belong to another process.
func (c *Child) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil
	}
	if err := syscall.Kill(c.id.PID, sig); err != nil {
		return fmt.Errorf("cannot signal pid %d: %w", c.id.PID, err)
	}
	return nil
}

// CanWaitTree reports whether WaitTree works on this system.
func CanWaitTree() bool { return isSubreaper }

// WaitTree returns nil when no descendant is left. If ctx ends first it returns that
// error, and has changed nothing.
func (c *Child) WaitTree(ctx context.Context) error {
	if !isSubreaper {
		return fmt.Errorf("cannot wait for a tree on this system: %w", errors.ErrUnsupported)
	}
	select {
	case <-c.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot wait for the tree of pid %d: %w", c.id.PID, ctx.Err())
	}
}

// reap collects every process that ends below us until none is left. Orphans
// that became our children are collected like the child: no other process will do it,
// and a zombie would occupy a pid for as long as we live.
//
// Waiting and collecting are two steps, because the lock may not be held while
// blocking, and without it Signal could hit the next process with that pid.
func (c *Child) reap() {
	defer busy.Store(false)
	defer c.watch.stop()
	for more := true; more; {
		c.watch.wait()
		more = c.collect()
		if isClosed(c.ended) && !isClosed(c.empty) && (len(c.inherited) > 0 || sides.any()) && c.onlyOthersLeft() {
			close(c.empty)
		}
		// Watchers of side commands are collected by those who have started them.
		more = more && !(isClosed(c.empty) && len(c.inherited) == 0)
	}
	if !isClosed(c.empty) {
		close(c.empty)
	}
}

// collect takes all changes that are due. It returns false when no child is left.
func (c *Child) collect() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(waitPID(c.id.PID), &ws, syscall.WNOHANG|syscall.WUNTRACED|syscall.WCONTINUED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return false
		case pid == 0:
			return true
		case pid == c.id.PID && !c.gone:
			// Once it is gone, an orphan may come to us that has its pid.
			c.report(ws)
		}
	}
}

func (c *Child) report(ws syscall.WaitStatus) {
	switch {
	case ws.Stopped():
		c.emit(Event{Kind: Stopped, Signal: ws.StopSignal()})
	case ws.Continued():
		c.emit(Event{Kind: Continued})
	case ws.Signaled():
		c.exit(Event{Kind: Exited, Signal: ws.Signal(), Code: 128 + int(ws.Signal())})
	default:
		c.exit(Event{Kind: Exited, Code: ws.ExitStatus()})
	}
}

// exit needs the lock, because Signal reads gone.
func (c *Child) exit(e Event) {
	c.gone = true
	c.events <- e // never blocks: emit leaves room
	close(c.ended)
}

// emit keeps the last place free for Exited. The reaper is the only sender, so
// the room that it sees can only grow.
func (c *Child) emit(e Event) {
	if len(c.events) < cap(c.events)-1 {
		c.events <- e
	}
}

// onlyOthersLeft reports whether nothing of the tree is left. It is needed where the
// kernel's "no child left" cannot come: a shell that had started something in the
// background replaced itself by us, or a side command runs.
func (c *Child) onlyOthersLeft() bool {
	// Twice: one scan may miss a process that got a new parent during it, if it was read
	// before that and its old parent was gone before it could be read.
	t := c.tree()
	for range 2 {
		if left, err := t.living(); err != nil || len(left) > 0 {
			return false
		}
	}
	return true
}

// tree is everything that End is to end.
func (c *Child) tree() *tree {
	t := &tree{pid: c.id.PID, excluded: c.inherited, beside: sides.has}
	if isSubreaper {
		t.root = os.Getpid()
		t.empty = c.empty
		t.stopNewOrphans = c.stopNewOrphans
	} else {
		t.known = map[key]bool{{c.id.PID, c.id.Start}: true}
	}
	return t
}

// stopNewOrphans stops the orphans that came to us and are not in stopped yet, without a scan,
// and reports whether there were any. In a chain where each process forks the next and
// ends, every process is gone before a scan reaches it; but the kernel makes it our child
// when its parent ends, and lists our children at once. Six such chains outran End for
// longer than a test would wait.
func (c *Child) stopNewOrphans(stopped map[int]bool) (found bool) {
	for more, n := true, 0; more && n < orphanPasses; n++ {
		more = c.stopChildren(stopped)
		found = found || more
	}
	return found
}

// stopChildren holds the lock, so that no pid of a child can pass to another process
// before the signal is sent.
func (c *Child) stopChildren(stopped map[int]bool) (fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sides.mu.Lock() // before the list is read, so that no watcher is in it that is not known
	defer sides.mu.Unlock()
	for _, pid := range children() {
		if !stopped[pid] && !c.isInherited(pid) && !sides.hasPID(pid) {
			stopped[pid], fresh = true, true
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
	}
	return fresh
}

func (c *Child) isInherited(pid int) bool {
	for k := range c.inherited {
		if k.pid == pid {
			return true
		}
	}
	return false
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
