//go:build unix

package cmd

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"berth/cmd/tty"
	"berth/procwatch"
)

func TestFirstSignal(t *testing.T) {
	for after, want := range map[time.Duration]syscall.Signal{0: syscall.SIGKILL, 1: syscall.SIGUSR1, time.Hour: syscall.SIGUSR1} {
		if got := firstSignal(syscall.SIGUSR1, after); got != want {
			t.Errorf("with KILL after %v: %v, want %v", after, got, want)
		}
	}
}

// TestLateCont: berth gets its CONT of an fg, has not the time to look, and a
// Ctrl-Z stops the child anew. That one was undone, every second time.
func TestLateCont(t *testing.T) {
	c := exec.Command("job", "latecont", "-")
	c.Args[0] = "job"
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// jobLateCont is a process of its own, because a child that is watched takes the
// exits of all others.
func jobLateCont() int {
	child, err := procwatch.Start([]string{"sleep", "1000"}, nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() { _ = child.End(context.Background(), syscall.SIGKILL, 0) }()
	told := func() bool {
		for end := time.Now().Add(deadline); len(child.Events()) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				fmt.Println("no event in", deadline)
				return false
			}
		}
		return true
	}
	for range 20 {
		cont := make(chan time.Time, 1)
		cont <- time.Now()
		// As after the first stop, and a CONT that came since.
		s := &supervisor{runner: &runner{}, child: child, stopped: true, stops: 1, cont: cont, contStops: 1}
		_ = child.Signal(tty.STOP)
		if !told() {
			return 1
		}
		for len(cont)+len(child.Events()) > 0 {
			s.step()
		}
		if state := child.ID().State(); state != procwatch.Stopped {
			fmt.Println("the child is", state)
			return 1
		}
		_ = child.Signal(tty.CONT)
		if !told() {
			return 1
		}
		<-child.Events()
	}
	return 0
}
