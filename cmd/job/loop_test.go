//go:build unix

package job

import (
	"context"
	"testing"
	"time"

	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/clock"
	"berth/limiter"
	"berth/procwatch"
)

// TestCommandFirst: what the command did is handled before everything else. (berth
// got the CONT of an fg, had no time to look, and a Ctrl-Z suspended the command again: that
// one was undone, every second time.)
func TestCommandFirst(t *testing.T) {
	for range 100 {
		fromChild := make(chan procwatch.Event, 2)
		fromSession := make(chan limiter.Event, 1)
		l := newLoop(context.Background(), nil, plain, Inputs{Signals: tty.NewSignals(), Clock: clock.Now}, nil)
		l.fromChild, l.fromSessions = fromChild, fromSession
		l.due[contTimer] = time.Now().Add(-time.Second)
		l.tree <- nil
		fromSession <- limiter.Event{Stop: &lease.Stop{}}
		fromChild <- procwatch.Event{Kind: procwatch.Continued}
		fromChild <- procwatch.Event{Kind: procwatch.Exited}
		for i, want := range []eventKind{continued, exited} {
			if got := l.next().kind; got != want {
				t.Fatalf("event %d is %s, want %s", i, got, want)
			}
		}
		first := l.next().kind // one of the others
		fromChild <- procwatch.Event{Kind: procwatch.Continued}
		if got := l.next().kind; got != continued {
			t.Fatalf("%s comes before what the command did, after %s", got, first)
		}
		seen := map[eventKind]bool{first: true}
		for range 3 {
			seen[l.next().kind] = true
		}
		if !seen[contDue] || !seen[treeGone] || !seen[stopRequested] || !seen[renewed] {
			t.Fatalf("of the others came %v", seen)
		}
	}
}

// TestTimers: the one that is due first fires first, once.
func TestTimers(t *testing.T) {
	l := newLoop(context.Background(), nil, plain, Inputs{Signals: tty.NewSignals()}, nil)
	past := time.Now().Add(-time.Minute)
	l.due[idleTimer], l.due[timeoutTimer], l.due[contTimer] = past.Add(1), past.Add(3), past.Add(2)
	for _, want := range []eventKind{idleOver, contDue, timedOut} {
		if got := l.next().kind; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if _, fires := l.nextTimer(); fires != nil {
		t.Error("a timer fires twice")
	}
}

// TestWiring: each timer has an event of its own, and the loop performs each deed. The names
// are there for the failures of all the tests.
func TestWiring(t *testing.T) {
	of := map[eventKind]timer{}
	for tm := range timers {
		k := fires[tm]
		if k == nothing {
			t.Errorf("timer %d fires nothing", tm)
		}
		if other, taken := of[k]; taken {
			t.Errorf("timers %d and %d both fire %v", other, tm, k)
		}
		of[k] = tm
		if timerNames[tm] == "" {
			t.Errorf("timer %d has no name", tm)
		}
	}
	for d := range deeds {
		if performs[d] == nil {
			t.Errorf("the loop does not perform %v", effect{do: d})
		}
		if (effect{do: d}).String() == "" {
			t.Errorf("deed %d has no name", d)
		}
	}
	for k := started; k < eventKinds; k++ {
		if kindNames[k] == "" {
			t.Errorf("event kind %d has no name", k)
		}
		if ofLife[k] == nil && ofKept[k] == nil && ofControl[k] == nil {
			t.Errorf("neither life nor control handles %v", k)
		}
	}
	if ofLife[nothing] != nil || ofKept[nothing] != nil || ofControl[nothing] != nil {
		t.Error("something is done when nothing has happened")
	}
	for s := range states {
		if stateNames[s] == "" {
			t.Errorf("state %d has no name", s)
		}
	}
}
