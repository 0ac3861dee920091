//go:build linux

package filestore_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/filestore"
)

// patience bounds every wait for a condition. It decides nothing unless the
// condition never comes.
const patience = 20 * time.Second

// frozenWaiter names the store in which the test binary plays a waiter; its
// arguments are the request's id and how often it checks by itself.
const frozenWaiter = "FILESTORE_TEST_WAITER"

func init() {
	if dir := os.Getenv(frozenWaiter); dir != "" {
		if err := waitIn(dir, os.Args[1], os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// stopsItself is the id of a waiter that stops once it has its slot.
const stopsItself = "stops-itself"

// waitIn stands in the line, says "standing", says "got" when it has the slot
// and gives it back when its stdin ends. Once it said "standing" it does not
// touch the pool's lock without a reason, so that it cannot be frozen in it.
func waitIn(dir, id, look string) error {
	ctx := context.Background()
	every, err := time.ParseDuration(look)
	if err != nil {
		return err
	}
	s, err := openFrozen(dir, every)
	if err != nil {
		return err
	}
	p, err := s.Line(ctx, frozenRequest(id))
	if err != nil {
		return err
	}
	standing := false
	for looks := 1; ; looks++ {
		h, v, err := p.TryAcquire(ctx, lease.Clearance{})
		if err != nil {
			return err
		}
		if h != nil {
			fmt.Println("got")
			if id == stopsItself {
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			}
			_, _ = io.Copy(io.Discard, os.Stdin)
			return h.Release(ctx)
		}
		// The head checks once more after it began to watch the slots.
		if !standing && (v.Ahead > 0 || looks == 2) {
			standing = true
			fmt.Println("standing")
		}
		if err := p.Wait(ctx); err != nil {
			return err
		}
	}
}

// openFrozen opens a store in which waiters check so often whether those before them are
// frozen. The head does not check by itself at all: only an event wakes it.
func openFrozen(dir string, look time.Duration) (*filestore.Store, error) {
	return filestore.Open(dir, filestore.Options{
		Alive:  func(p lease.Process) bool { s := stateOf(p); return s != 0 && s != 'Z' },
		Frozen: func(p lease.Process) bool { return stateOf(p) == 'T' },
		Boot:   "this one",
		Timings: filestore.Timings{
			FrozenCheck: look,
			FullCheck:   time.Hour,
		},
	})
}

// stateOf returns the letter that /proc has for a process, 0 if it is gone.
func stateOf(p lease.Process) byte {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/stat")
	_, rest, ok := strings.Cut(string(b), ") ")
	if err != nil || !ok {
		return 0
	}
	return rest[0]
}

func frozenRequest(id string) lease.Request {
	return lease.Request{ID: "p/" + id, Pool: "p", Fallback: 1, Weight: 1, Owner: lease.Process{PID: os.Getpid()}}
}

// waiterProcess is a waiter in a process of its own.
type waiterProcess struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	said  chan string
}

const (
	soon  = 50 * time.Millisecond
	never = time.Hour
)

// line starts a waiter and returns when it stands in the line.
func line(t *testing.T, dir, name string, look time.Duration) *waiterProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], name, look.String())
	cmd.Env = append(os.Environ(), frozenWaiter+"="+dir, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &waiterProcess{t: t, name: name, cmd: cmd, stdin: stdin, said: make(chan string, 10)}
	go func() {
		defer close(w.said)
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			w.said <- sc.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	w.says("standing")
	return w
}

func (w *waiterProcess) says(want string) {
	w.t.Helper()
	select {
	case got := <-w.said:
		if got != want {
			w.t.Fatalf("%s said %q, want %q", w.name, got, want)
		}
	case <-time.After(patience):
		w.t.Fatalf("%s did not say %q in %v", w.name, want, patience)
	}
}

// silent checks that w has not got the slot, at a moment when another has it.
func (w *waiterProcess) silent() {
	w.t.Helper()
	select {
	case got := <-w.said:
		w.t.Fatalf("%s said %q while another had the slot", w.name, got)
	default:
	}
}

// signal sends STOP or CONT and returns when it has come into effect.
func (w *waiterProcess) signal(sig syscall.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(sig); err != nil {
		w.t.Fatal(err)
	}
	for end := time.Now().Add(patience); (stateOf(lease.Process{PID: w.cmd.Process.Pid}) == 'T') != (sig == syscall.SIGSTOP); {
		if time.Now().After(end) {
			w.t.Fatalf("%v had no effect on %s in %v", sig, w.name, patience)
		}
		time.Sleep(time.Millisecond)
	}
}

// blocks returns when w waits in the kernel for a lock.
func (w *waiterProcess) blocks() {
	w.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile("/proc/locks")
		if err != nil {
			w.t.Fatal(err)
		}
		for l := range strings.Lines(string(b)) {
			// "3: -> FLOCK  ADVISORY  READ 812 fe:00:1234 0 EOF"
			if f := strings.Fields(l); len(f) > 5 && f[1] == "->" && f[5] == strconv.Itoa(w.cmd.Process.Pid) {
				return
			}
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s did not wait for a lock in %v", w.name, patience)
		}
	}
}

// release lets w give its slot back.
func (w *waiterProcess) release() { _ = w.stdin.Close() }

// TestFrozenWaiter: a waiter that was stopped with SIGSTOP could not step aside.
// The others pass it, and when it goes on it has its place again.
func TestFrozenWaiter(t *testing.T) {
	for _, where := range []string{"head", "middle"} {
		t.Run(where, func(t *testing.T) {
			ctx, dir := context.Background(), t.TempDir()
			s, err := openFrozen(dir, never)
			if err != nil {
				t.Fatal(err)
			}
			h, _, err := s.TryAcquire(ctx, frozenRequest("holder"))
			if err != nil || h == nil {
				t.Fatalf("TryAcquire = %v, %v", h, err)
			}
			var head *waiterProcess
			if where == "middle" {
				head = line(t, dir, "head", never)
			}
			frozen := line(t, dir, "frozen", never)
			second := line(t, dir, "second", soon)
			third := line(t, dir, "third", never)
			frozen.signal(syscall.SIGSTOP)
			if err := h.Release(ctx); err != nil {
				t.Fatal(err)
			}
			if head != nil {
				head.says("got")
				head.release()
			}
			second.says("got")

			frozen.signal(syscall.SIGCONT)
			frozen.silent()
			second.release()
			frozen.says("got")
			third.silent()
			frozen.release()
			third.says("got")
			third.release()
		})
	}
}

// TestFrozenWaitersAreAllPassed: the line is not held up once for each of them,
// and one that is killed while it is stopped is swept.
func TestFrozenWaitersAreAllPassed(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := openFrozen(dir, never)
	if err != nil {
		t.Fatal(err)
	}
	h, _, err := s.TryAcquire(ctx, frozenRequest("holder"))
	if err != nil || h == nil {
		t.Fatalf("TryAcquire = %v, %v", h, err)
	}
	var frozen []*waiterProcess
	for i := range 5 {
		w := line(t, dir, "frozen"+strconv.Itoa(i), never)
		w.signal(syscall.SIGSTOP)
		frozen = append(frozen, w)
	}
	last := line(t, dir, "last", soon)
	if err := h.Release(ctx); err != nil {
		t.Fatal(err)
	}
	last.says("got")

	pools, err := s.List(ctx, "p")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range pools[0].Waiters {
		if !e.Aside {
			t.Errorf("%s is shown as waiting, it is stopped", e.Ticket.ID)
		}
	}
	if n := len(pools[0].Waiters); n != len(frozen) {
		t.Errorf("%d waiters, want %d", n, len(frozen))
	}

	if err := frozen[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = frozen[0].cmd.Wait()
	for _, w := range frozen[1:] {
		w.signal(syscall.SIGCONT)
	}
	last.release()
	for i, w := range frozen[1:] {
		w.says("got")
		for _, later := range frozen[i+2:] {
			later.silent()
		}
		w.release()
	}
}

// TestWinnerIsStopped: right after its grant. It had its ticket until its command
// ran, and the next one waited for that beside a free slot.
func TestWinnerIsStopped(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := openFrozen(dir, never)
	if err != nil {
		t.Fatal(err)
	}
	two := 2
	err = s.Set(ctx, "p", func(lease.Settings, error) (lease.Settings, error) { return lease.Settings{Limit: &two}, nil })
	if err != nil {
		t.Fatal(err)
	}
	r := frozenRequest("holder")
	r.Weight = 2
	h, _, err := s.TryAcquire(ctx, r)
	if err != nil || h == nil {
		t.Fatalf("TryAcquire = %v, %v", h, err)
	}
	first := line(t, dir, stopsItself, never)
	second := line(t, dir, "second", never)
	second.blocks()
	if err := h.Release(ctx); err != nil {
		t.Fatal(err)
	}
	first.says("got")
	second.says("got")
	second.release()
}
