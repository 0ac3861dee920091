//go:build unix

package procwatch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Side is a command that runs beside the child and is no part of its tree: End does not end
// it, WaitTree does not wait for it, and Left does not name it. Any number may run, with or
// without a child.
//
// A subreaper gets all orphans, and cannot tell whose they were. So a side command runs below
// a watcher: this program once more (see BeSide), which is a subreaper itself. It ends the
// command with everything that it has started, and it does so as well when we are killed.
// If the watcher alone is killed, what is in the command's process group is ended. The rest
// comes to us, and counts as the child's.
type Side struct {
	Argv, Env []string      // as for Start; Env is not nil
	Timeout   time.Duration // of its running time; TERM ends it then
	// Grace is the time from TERM to KILL for the command that has run into its Timeout, or
	// whose context has ended, and for what it leaves behind; 0: KILL at once.
	Grace  time.Duration
	Output io.Writer // gets what the command writes to 1 and 2, on another goroutine
}

// SideEnd is how a side command ended. Nothing of it is left.
type SideEnd struct {
	Signal   syscall.Signal // that ended it, else 0
	Code     int            // its exit code, or 128+Signal
	TimedOut bool           // it was ended, because its Timeout was over
	Left     int            // how many processes it has left behind, which were ended
}

const (
	// outputAfter is how long output is waited for after the end of the watcher. Only a
	// process that could not be ended still has the pipe.
	outputAfter = 100 * time.Millisecond
	// watcherSays is how long it may take to read what the watcher has said long ago.
	watcherSays = time.Second
	// watcherLate is how much longer than its command a watcher may take. One that takes
	// longer does not work (it is stopped again and again).
	watcherLate = 10 * time.Second
	// watcherLook is how often a watcher is looked at, which its command may have stopped.
	watcherLook = time.Second / 2
)

// Run runs the command to its end, or ends it when ctx ends: that is no error. It reads
// /dev/null, is in a process group of its own, and has no other descriptors of ours. The
// error wraps ErrNotFound or ErrCannotExec like that of Start, or says that the watcher did
// not work.
func (s Side) Run(ctx context.Context) (SideEnd, error) {
	w, err := s.watcher()
	if err != nil {
		return SideEnd{}, fmt.Errorf("cannot start %q beside the command: %w", s.Argv[0], err)
	}
	defer w.control.Close()
	copied := make(chan struct{})
	go func() {
		_, _ = io.Copy(s.Output, w.output) // an error is the end of it
		close(copied)
	}()
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(w.control).ReadString('\n') // "" says that the watcher is gone
		said <- line
	}()
	line := w.await(ctx, s.Timeout+2*s.Grace+watcherLate, said)
	if line == "" {
		w.endGroup()
	}
	w.collect()
	_ = w.output.SetReadDeadline(time.Now().Add(outputAfter))
	<-copied
	w.output.Close()
	return parseSaid(line)
}

// watcher is that of a side command which runs.
type watcher struct {
	id      ID
	output  *os.File
	control *os.File // our end: when it is closed, the watcher ends all
}

// sideWord is the first argument of a watcher: no word that anyone types.
const sideWord = "(beside)"

func (s Side) watcher() (_ *watcher, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	output, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	ours, control, err := controlPair()
	if err != nil {
		output.Close()
		return nil, err
	}
	defer control.Close()
	argv := append([]string{os.Args[0], sideWord, s.Timeout.String(), s.Grace.String()}, s.Argv...)
	id, err := sides.start(argv, &syscall.ProcAttr{
		Env: s.Env, Files: []uintptr{null.Fd(), theirs.Fd(), theirs.Fd(), control.Fd()},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		output.Close()
		ours.Close()
		return nil, err
	}
	return &watcher{id, output, ours}, nil
}

// controlPair is a pair of sockets: a watcher says on one of them how its command ended, and
// ends the command when the other one says so, or is gone.
func controlPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	_ = syscall.SetNonblock(fds[0], true) // else a read would keep a thread
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// await returns what the watcher says. A watcher that says nothing in that time is ended
// together with its command.
func (w *watcher) await(ctx context.Context, atMost time.Duration, said <-chan string) string {
	late := time.NewTimer(atMost)
	defer late.Stop()
	look := time.NewTicker(watcherLook)
	defer look.Stop()
	over := ctx.Done()
	for {
		select {
		case line := <-said:
			return line
		case <-over:
			over = nil
			_, _ = w.control.Write([]byte{0}) // an error means that the watcher is gone
		case <-look.C:
			if w.id.State() == Stopped {
				_ = w.id.Send(syscall.SIGCONT)
			}
		case <-late.C:
			select {
			case line := <-said: // it was us who were frozen
				return line
			case <-time.After(watcherSays):
			}
			ctx, cancel := context.WithTimeout(context.Background(), watcherLate)
			defer cancel()
			_ = EndOrphans(ctx, []ID{w.id}, syscall.SIGKILL, 0)
			return ""
		}
	}
}

// endGroup ends what is in the process group of the watcher, as background jobs of the command
// are. If another process has the watcher's pid by now, the watcher was collected and its group is
// empty: nothing is ended.
func (w *watcher) endGroup() {
	if now, err := Identify(w.id.PID); errors.Is(err, os.ErrProcessDone) || err == nil && now == w.id {
		_ = syscall.Kill(-w.id.PID, syscall.SIGKILL)
	}
}

// collect waits for the end of the watcher, which is about to come. The reaper of a child may
// have collected it already.
func (w *watcher) collect() {
	for pause, end := 50*time.Microsecond, time.Now().Add(watcherLate); time.Now().Before(end); pause = min(2*pause, 10*time.Millisecond) {
		switch pid, err := syscall.Wait4(w.id.PID, nil, syscall.WNOHANG, nil); {
		case err == syscall.EINTR:
		case pid != 0: // collected, by us or before
			sides.ended(w.id.PID)
			return
		}
		time.Sleep(pause) // and no wait that blocks, which would need a thread
	}
}

// parseSaid reads the words of a watcher: see sideSays.
func parseSaid(line string) (e SideEnd, err error) {
	line, whole := strings.CutSuffix(line, "\n")
	f := strings.Split(line, " ")
	switch {
	case whole && f[0] == "ended" && len(f) == 5:
		e.Code, _ = strconv.Atoi(f[1])
		sig, _ := strconv.Atoi(f[2])
		e.Signal = syscall.Signal(sig)
		e.TimedOut = f[3] == "true"
		e.Left, _ = strconv.Atoi(f[4])
		return e, nil
	case whole && f[0] == "absent":
		return e, &sideError{strings.TrimPrefix(line, "absent "), ErrNotFound}
	case whole && f[0] == "unfit":
		return e, &sideError{strings.TrimPrefix(line, "unfit "), ErrCannotExec}
	case whole:
		return e, errors.New(line)
	}
	return e, errors.New("the process that watches over it was killed or does not go on")
}

// sideError is an error of Start in a watcher.
type sideError struct {
	text string
	is   error
}

func (e *sideError) Error() string { return e.text }
func (e *sideError) Unwrap() error { return e.is }

// sides are the watchers that run: children of ours that do not belong to the child's tree.
var sides sideSet

type sideSet struct {
	mu      sync.Mutex // held during a fork, so that no process is seen before it is known what it is
	running map[int]uint64
}

func (s *sideSet) start(argv []string, attr *syscall.ProcAttr) (ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec(thisProgram(), argv, attr)
	if err != nil {
		return ID{}, err
	}
	id, err := Identify(pid)
	if err != nil {
		id = ID{PID: pid}
	}
	if s.running == nil {
		s.running = map[int]uint64{}
	}
	s.running[pid] = id.Start
	return id, nil
}

func (s *sideSet) ended(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, pid)
}

func (s *sideSet) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.running) > 0
}

// has reports whether k is a watcher.
func (s *sideSet) has(k key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, is := s.running[k.pid]
	return is && start == k.start
}

// hasPID needs the lock.
func (s *sideSet) hasPID(pid int) bool {
	_, is := s.running[pid]
	return is
}
