package procwatch_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"berth/procwatch"
)

// TestGone: the end of a process is told when it comes, with and without a pidfd, and a pid
// that another process has now is none of it.
func TestGone(t *testing.T) {
	for name, gone := range map[string]func(procwatch.ID) (<-chan struct{}, error){
		"pidfd": procwatch.ID.Gone, "poll": procwatch.PollGone,
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, nil, "sleep", "1000")
			ended, err := gone(c.ID())
			if err != nil {
				t.Fatal(err)
			}
			other := c.ID()
			other.Start++
			if _, err := gone(other); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("of a reused pid: %v", err)
			}
			select {
			case <-ended:
				t.Error("it lives")
			default:
			}
			if err := c.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("its end was not told")
			}
			exit(t, c)
			if _, err := gone(c.ID()); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("after its end: %v", err)
			}
		})
	}
}

// TestGoneWhenStopped: a process that is stopped is not gone.
func TestGoneWhenStopped(t *testing.T) {
	c := start(t, nil, "sleep", "1000")
	if err := c.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "it is stopped", func() bool { return c.ID().State() == procwatch.Stopped })
	if _, err := c.ID().Gone(); err != nil {
		t.Error(err)
	}
}
