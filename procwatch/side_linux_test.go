package procwatch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/procwatch"
)

// side is a shell command beside the child, with enough time.
func side(command string) procwatch.Side {
	return procwatch.Side{Argv: []string{"sh", "-c", command}, Env: append(os.Environ(), sideMark), Timeout: patience, Output: io.Discard}
}

var sideMark = fmt.Sprintf("PROCWATCH_TEST_SIDE=%d", os.Getpid())

// TestSidesLoseNoExit: the reaper of a child collects everything that ends below us. Beside a
// child that leaves orphans all the time, os/exec lost 8 of 20 exits.
func TestSidesLoseNoExit(t *testing.T) {
	c := start(t, nil, "sh", "-c", "while :; do (sleep 0.001 &) ; done")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			got, err := side(fmt.Sprintf("(true &); exit %d", i)).Run(within(t, patience))
			if err != nil || got.Code != i || got.Signal != 0 || got.TimedOut {
				t.Errorf("exit %d: got %+v, %v", i, got, err)
			}
		})
	}
	all.Wait()
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := exit(t, c); e.Signal != syscall.SIGKILL {
		t.Errorf("the child: %+v", e)
	}
}

// TestSideIsNoPartOfTheTree: the tree of the child is empty although a side command runs, it
// is not named as left, and the end of the tree does not end it.
func TestSideIsNoPartOfTheTree(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	c := start(t, nil, "sh", "-c", "sleep 1000 & exit 3")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan procwatch.SideEnd, 1)
	go func() {
		// The daemon has lost its parent, and has a session of its own.
		e, err := side("(setsid sh -c 'echo $$ >> " + file + "; exec sleep 1000' &) ; echo $$ $PPID >> " + file + "; exec sleep 1000").Run(ctx)
		if err != nil {
			t.Error(err)
		}
		ended <- e
	}()
	until(t, "the side command runs", func() bool { return len(lines(file)) == 3 })
	ids := idsIn(t, file)
	exit(t, c)
	if left := c.Left(); len(left) != 1 || !strings.HasPrefix(left[0], "sleep ") {
		t.Errorf("left of the child: %q", left)
	}
	if err := c.End(within(t, patience), syscall.SIGKILL, 0); err != nil {
		t.Error(err)
	}
	if err := c.WaitTree(within(t, patience)); err != nil {
		t.Error(err)
	}
	for _, id := range ids {
		if s := id.State(); s != procwatch.Alive {
			t.Errorf("pid %d of the side command is %v", id.PID, s)
		}
	}
	idle(t)
	next := start(t, nil, "true") // the reaper has left the side command to itself
	exit(t, next)
	if err := next.WaitTree(within(t, patience)); err != nil {
		t.Error(err)
	}
	cancel()
	if e := <-ended; e.Signal != syscall.SIGKILL {
		t.Errorf("got %+v", e)
	}
	for _, id := range ids {
		if s := id.State(); s != procwatch.Gone {
			t.Errorf("pid %d of the side command is %v after its end", id.PID, s)
		}
	}
}

// TestSideEnds: all ends that a side command can come to.
func TestSideEnds(t *testing.T) {
	short := side("trap 'exit 9' TERM; while :; do sleep 0.01; done")
	short.Timeout, short.Grace = 100*time.Millisecond, patience
	deaf := side("trap '' TERM; (setsid sleep 1000 &); while :; do sleep 1; done")
	deaf.Timeout, deaf.Grace = 100*time.Millisecond, 100*time.Millisecond
	for _, c := range []struct {
		why  string
		side procwatch.Side
		want procwatch.SideEnd
		err  error
	}{
		{"it exits", side("exit 7"), procwatch.SideEnd{Code: 7}, nil},
		{"a signal", side("kill -9 $$"), procwatch.SideEnd{Code: 137, Signal: syscall.SIGKILL}, nil},
		{"it leaves a daemon", side("(setsid sleep 1000 </dev/null >/dev/null 2>&1 &); exit 0"), procwatch.SideEnd{Left: 1}, nil},
		{"it leaves what keeps the pipe", side("sleep 1000 & exit 0"), procwatch.SideEnd{Left: 1}, nil},
		{"it hears TERM", short, procwatch.SideEnd{Code: 9, TimedOut: true}, nil},
		{"it does not", deaf, procwatch.SideEnd{Code: 137, Signal: syscall.SIGKILL, TimedOut: true}, nil},
		{"it reads", side("cat"), procwatch.SideEnd{}, nil},
		{"it stops itself", procwatch.Side{Argv: []string{"sh", "-c", "kill -STOP $$"}, Env: os.Environ(), Timeout: 100 * time.Millisecond, Output: io.Discard}, procwatch.SideEnd{Code: 137, Signal: syscall.SIGKILL, TimedOut: true}, nil},
		{"there is none", procwatch.Side{Argv: []string{"no-such-command"}, Env: os.Environ(), Timeout: patience, Output: io.Discard}, procwatch.SideEnd{}, procwatch.ErrNotFound},
		{"it is no program", procwatch.Side{Argv: []string{"/"}, Env: os.Environ(), Timeout: patience, Output: io.Discard}, procwatch.SideEnd{}, procwatch.ErrCannotExec},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, err := c.side.Run(within(t, patience))
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
			if id, is := procwatch.StartedWith(sideMark, func(env []string) bool { return slices.Contains(env, sideMark) }); is {
				t.Errorf("pid %d is left", id.PID)
			}
		})
	}
}

// TestSideOutput: a side command that prints a megabyte is read to its end.
func TestSideOutput(t *testing.T) {
	var out bytes.Buffer
	s := side("echo one; head -c 1000000 /dev/zero | tr '\\0' x >&2; echo two")
	s.Output = &out
	if _, err := s.Run(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); len(got) != 1000008 || !strings.HasPrefix(got, "one\nx") || !strings.HasSuffix(got, "xtwo\n") {
		t.Errorf("%d bytes: %.20q", len(got), got)
	}
}

// TestSideInheritsNothing: a descriptor that is open to all programs that we start, like the lock
// of a slot, is open neither in a side command nor in its watcher.
func TestSideInheritsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "locked")
	fd, err := unix.Open(file, unix.O_CREAT|unix.O_RDWR, 0o600) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var out bytes.Buffer
	s := side("ls -l /proc/$$/fd /proc/$PPID/fd")
	s.Output = &out
	if _, err := s.Run(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "locked") || !strings.Contains(out.String(), "/dev/null") {
		t.Errorf("it has:\n%s", out.String())
	}
}

// TestSideWatcherKilled: the command does not outlive its watcher, nor does what it has started
// in its process group, and the loss is an error.
func TestSideWatcherKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	failed := make(chan error, 1)
	go func() {
		_, err := side("sleep 1000 & echo $$ $PPID $! > " + file + "; exec sleep 1000").Run(t.Context())
		failed <- err
	}()
	until(t, "it runs", func() bool { return len(lines(file)) == 3 })
	ids := idsIn(t, file)
	if err := ids[1].Send(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("got %v", err)
	}
	until(t, "the command is gone", func() bool { return ids[0].State() == procwatch.Gone })
	until(t, "its background job is gone", func() bool { return ids[2].State() == procwatch.Gone })
}

// TestSideWatcherStopped: a command that suspends its watcher is heard of before its time-out.
func TestSideWatcherStopped(t *testing.T) {
	got, err := side("kill -STOP $PPID; exit 7").Run(t.Context())
	if want := (procwatch.SideEnd{Code: 7}); got != want || err != nil {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// TestSideDiesWithUs: when we are killed, nothing of a side command is left, not even what
// does not hear TERM and has a session of its own.
func TestSideDiesWithUs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	c := start(t, as("side"), self(), file)
	until(t, "it runs", func() bool { return len(lines(file)) == 2 })
	ids := idsIn(t, file)
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	exit(t, c)
	for _, id := range ids {
		until(t, "it is gone", func() bool { return id.State() == procwatch.Gone })
	}
}

func roleSide(args []string) {
	s := side("trap '' TERM; (setsid sh -c 'echo $$ >> " + args[0] + "; exec sleep 1000' &); echo $$ >> " + args[0] + "; while :; do sleep 1; done")
	_ = os.Unsetenv(roleVar)
	s.Env, s.Grace = os.Environ(), patience
	_, _ = s.Run(context.Background())
}
