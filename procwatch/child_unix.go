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

// eventRoom holds more changes than a person at a terminal makes before the
// caller looks; what does not fit is dropped, see emit.
const eventRoom = 64

// busy is set while a reaper runs: two would take each other's exits.
var busy atomic.Bool

// Child is a started command. Its methods may be called from any goroutine, at
// any time, also after its end.
type Child struct {
	id     ID
	events chan Event
	watch  watch
	others map[key]bool // children we had before: not of this tree

	mu   sync.Mutex // held while reaping, so that a pid under it is still ours
	gone bool       // the child is reaped: its pid may be somebody else's

	ended chan struct{} // closed when the child is reaped
	empty chan struct{} // closed when nothing of the tree is left
}

// Start runs argv with env (nil: ours), looked up as execvp(3) does it. The
// child gets descriptors 0, 1 and 2 as they are, any other that is not
// close-on-exec, our process group, session, working directory and limits.
//
// It returns once the command runs. After an error nothing was started; the
// error wraps ErrNotFound or ErrCannotExec when the command is to blame. One
// child runs at a time: Start fails until nothing of the one before is left.
//
// Afterwards the calling process runs on two processors at most, see Reserve, and is,
// on Linux, a subreaper.
func Start(argv, env []string) (*Child, error) { return startOnce(argv, env, false) }

// StartBound is Start of a child that does not outlive us, where the kernel can do
// that (Linux). What the child has started is not killed.
func StartBound(argv, env []string) (c *Child, err error) {
	// The kernel kills it when the THREAD ends that forked: not one of the runtime's,
	// which may end any of them, but this, which is kept until the child is gone.
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
	w, others, err := newWatch()
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
		if err := there(path, &st); err != nil {
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
	// runs all the same: its name then lacks a start time and says so by 0.
	id, err := Identify(pid)
	if err != nil {
		id = ID{PID: pid}
	}
	return &Child{
		id: id, events: make(chan Event, eventRoom), watch: w, others: others,
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

// stdio lists what the child's 0, 1 and 2 are to be. One that was closed since
// we started stays closed, and so does one that is close-on-exec: the caller
// cannot have passed that on, so a file of our own has landed there, and
// ForkExec would open it to the child. (One that the caller had closed is
// /dev/null by now: the Go runtime opens that before anything of ours runs.)
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

// Events tells the changes of the child in their order. Exited is the last one;
// the channel stays open after it. It need not be read: Exited always fits, and
// of more stops than anybody reads the later ones are dropped.
func (c *Child) Events() <-chan Event { return c.events }

// Signal sends sig to the child and to nobody else. Once the child is gone this
// does nothing: its pid may already belong to another process.
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

// WaitTree returns nil when no descendant is left, at once if so already. When
// ctx ends first it returns its error, and everything goes on as it was.
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

// reap collects whatever ends below us until there is nothing left that could.
// An orphan that came to us must be collected like the child: nobody else will,
// and its zombie would keep a pid for as long as we live.
//
// Waiting and collecting are two steps, for the lock may not be held while
// blocking, and without it Signal could hit the next owner of the pid.
func (c *Child) reap() {
	defer busy.Store(false)
	defer c.watch.stop()
	for more := true; more; {
		c.watch.wait()
		more = c.collect()
		if len(c.others) > 0 && !isClosed(c.empty) && isClosed(c.ended) && c.onlyOthersLeft() {
			close(c.empty)
		}
	}
	if !isClosed(c.empty) {
		close(c.empty)
	}
}

// collect takes every change that is there; false when no child is left.
func (c *Child) collect() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(reapable(c.id.PID), &ws, syscall.WNOHANG|syscall.WUNTRACED|syscall.WCONTINUED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return false
		case pid == 0:
			return true
		case pid == c.id.PID && !c.gone:
			// Once it is gone its number may come back to us with an orphan.
			c.note(ws)
		}
	}
}

func (c *Child) note(ws syscall.WaitStatus) {
	switch {
	case ws.Stopped():
		c.emit(Event{Kind: Stopped, Signal: ws.StopSignal()})
	case ws.Continued():
		c.emit(Event{Kind: Continued})
	case ws.Signaled():
		c.end(Event{Kind: Exited, Signal: ws.Signal(), Code: 128 + int(ws.Signal())})
	default:
		c.end(Event{Kind: Exited, Code: ws.ExitStatus()})
	}
}

// end is called with the lock held, as Signal reads gone.
func (c *Child) end(e Event) {
	c.gone = true
	c.events <- e // never blocks: emit leaves a place
	close(c.ended)
}

// emit keeps the last place free for Exited. The reaper is the only sender, so
// the room it sees can only grow.
func (c *Child) emit(e Event) {
	if len(c.events) < cap(c.events)-1 {
		c.events <- e
	}
}

// onlyOthersLeft is asked where "no child left" cannot come, because a shell
// that had started something in the background replaced itself by us.
func (c *Child) onlyOthersLeft() bool {
	// Twice: a process read before it changed parents, and whose old parent was
	// gone when its turn came, is in no tree for one scan.
	t := c.tree()
	for range 2 {
		if left, err := t.look(); err != nil || len(left) > 0 {
			return false
		}
	}
	return true
}

// tree is everything that End is to end.
func (c *Child) tree() *tree {
	t := &tree{name: c.id.PID, spare: c.others}
	if isSubreaper {
		t.root = os.Getpid()
		t.over = c.empty
		t.rush = c.rush
	} else {
		t.known = map[key]bool{{c.id.PID, c.id.Start}: true}
	}
	return t
}

// rush stops the orphans that came to us and are not in met yet, without a scan,
// and says whether there were any. Where each process forks the next and ends,
// every one is gone before a scan has come to it; but its parent being gone, it
// is our child, and those the kernel lists at once. Without this, six such chains
// outran End for longer than a test would wait.
func (c *Child) rush(met map[int]bool) (any bool) {
	for fresh, n := true, 0; fresh && n < rushes; n++ {
		fresh = c.stopChildren(met)
		any = any || fresh
	}
	return any
}

// stopChildren holds the lock, so no pid of a child can pass to somebody else
// before the signal is sent.
func (c *Child) stopChildren(met map[int]bool) (fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pid := range children() {
		if !met[pid] && !c.isOther(pid) {
			met[pid], fresh = true, true
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
	}
	return fresh
}

func (c *Child) isOther(pid int) bool {
	for k := range c.others {
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
