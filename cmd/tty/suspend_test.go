//go:build unix

package tty

import (
	"syscall"
	"testing"
	"time"
)

// TestFollow: what signals that come one right after the other request of a process
// without a command. (The test assumes that no Ctrl-Z is typed at its terminal.)
func TestFollow(t *testing.T) {
	const i, tstp, cont, usr1, winch = syscall.SIGINT, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGUSR1, syscall.SIGWINCH
	for _, c := range []struct {
		name     string
		came     []syscall.Signal // the first one now, the others right after it
		suspends int
		ended    syscall.Signal
	}{
		{"Ctrl-Z", []syscall.Signal{tstp}, 1, 0},
		{"cancelled", []syscall.Signal{tstp, cont}, 0, 0},
		{"others come first", []syscall.Signal{tstp, winch, cont}, 0, 0},
		{"twice", []syscall.Signal{tstp, tstp}, 1, 0},
		{"ended instead", []syscall.Signal{tstp, i}, 0, i},
		{"ended", []syscall.Signal{usr1}, 0, usr1},
		{"nothing", []syscall.Signal{winch}, 0, 0},
		{"goes on", []syscall.Signal{cont}, 0, 0},
	} {
		next := make(chan syscall.Signal, len(c.came))
		for _, sig := range c.came[1:] {
			next <- sig
		}
		var s Suspension
		suspends := 0
		ended := s.Follow(c.came[0], next, func() { suspends++ })
		if suspends != c.suspends || ended != c.ended {
			t.Errorf("%s: suspended %d times and ended by %d, want %d and %d", c.name, suspends, ended, c.suspends, c.ended)
		}
		if ended == 0 && s.Requested() {
			t.Errorf("%s: a request is left", c.name)
		}
	}
}

// TestSuspension: what stands of a TSTP.
func TestSuspension(t *testing.T) {
	var s Suspension
	now := time.Now()
	if s.Requested() || s.Take() {
		t.Error("nothing was requested")
	}
	if !s.Request(now, false) || !s.Requested() || !s.RequestedSince(now) || s.RequestedSince(now.Add(1)) || !s.Take() || s.Take() {
		t.Error("a TSTP stands until it is taken")
	}
	s.Resume(now)
	if s.Request(now.Add(reorderWindow-1), false) || s.Requested() {
		t.Error("a TSTP that was sent before the CONT stands")
	}
	if !s.Request(now.Add(reorderWindow-1), true) {
		t.Error("a Ctrl-Z does not stand")
	}
	if !s.Request(now.Add(reorderWindow), false) {
		t.Error("a TSTP that was sent after the CONT does not stand")
	}
	s.Resume(now)
	if s.Requested() || s.Take() {
		t.Error("a CONT does not cancel it")
	}
}
