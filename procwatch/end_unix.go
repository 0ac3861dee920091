//go:build unix

package procwatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// A killed process is gone within a millisecond or stuck in the kernel for
	// long, so the pauses between rounds grow fast.
	firstPause = 2 * time.Millisecond
	lastPause  = 200 * time.Millisecond
	// freezePasses bounds one round against a tree that forks faster than we
	// scan; the next round goes on where it stopped.
	freezePasses = 50
	// rushes bounds the quick looks before a scan. Each takes some 20 µs.
	rushes = 100
	// unseenRounds is how long (some 5 s of pauses) a tree may be reported as
	// alive by the kernel without one member that can be seen. A zombie of ours
	// is there for a moment; one that a debugger holds, or a process that /proc
	// hides from us (hidepid), stays.
	unseenRounds = 30
)

// End sends sig to the child and all its descendants, and SIGKILL to those that
// are left killAfter later; with killAfter 0 there is only SIGKILL. It returns
// nil when none is left. Own sessions and process groups, double forks and
// handlers do not help a descendant.
//
// When ctx ends first it says how many are left; they go on running, and have
// had whatever was sent until then. When only processes are left that we may not
// signal (setuid programs) it names them and leaves them running.
func (c *Child) End(ctx context.Context, sig syscall.Signal, killAfter time.Duration) error {
	t := c.tree()
	if t.over != nil && isClosed(t.over) {
		return nil
	}
	if _, err := t.look(); err != nil {
		return c.endBlind(ctx, sig, killAfter, err)
	}
	return t.end(ctx, sig, killAfter)
}

// EndOrphans ends the trees of processes that are not our children, as End does. It
// does nothing to a pid that an id no longer names, and returns nil when all are gone,
// even if they were so before. Their descendants are followed from the first look on;
// one that had lost its parent before has gone to another reaper and is not found. The
// calling process is never ended.
func EndOrphans(ctx context.Context, ids []ID, sig syscall.Signal, killAfter time.Duration) error {
	self, err := Self()
	if err != nil {
		return err
	}
	t := &tree{known: map[key]bool{}, spare: map[key]bool{{self.PID, self.Start}: true}}
	for _, id := range ids {
		switch id.State() {
		case Gone:
			continue
		case Unknown:
			return fmt.Errorf("cannot end pid %d on host %q: it cannot be seen from here", id.PID, id.Host)
		}
		t.name, t.known[key{id.PID, id.Start}] = id.PID, true
	}
	if len(t.known) == 0 {
		return nil
	}
	return t.end(ctx, sig, killAfter)
}

// Left names those of the processes that are not gone, as "pid 812 (state D)" with the
// letter of ps where a look tells it.
func Left(ids []ID) (left []string) {
	for _, id := range ids {
		if id.State() == Gone {
			continue
		}
		name := "pid " + strconv.Itoa(id.PID)
		if p, err := look(id.PID); err == nil && p.state != 0 {
			name += " (state " + string(rune(p.state)) + ")"
		}
		left = append(left, name)
	}
	return left
}

// Send sends sig to the process, or to nobody when id no longer names one.
func (id ID) Send(sig syscall.Signal) error {
	switch id.State() {
	case Gone:
		return nil
	case Unknown:
		return fmt.Errorf("cannot signal pid %d on host %q: it cannot be seen from here", id.PID, id.Host)
	}
	return deliver(proc{key: key{id.PID, id.Start}}, sig)
}

// endBlind ends the child where the process table cannot be read. Its
// descendants cannot be found then, which is an error unless there are none.
func (c *Child) endBlind(ctx context.Context, sig syscall.Signal, killAfter time.Duration, blind error) error {
	if killAfter == 0 {
		sig = syscall.SIGKILL
	}
	_ = c.Signal(sig) // a refusal counts when KILL is refused, too
	kill := time.NewTimer(killAfter)
	defer kill.Stop()
	for {
		select {
		case <-kill.C:
			if err := c.Signal(syscall.SIGKILL); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("cannot end pid %d: %w", c.id.PID, ctx.Err())
		case <-c.ended:
			select {
			case <-c.empty:
				return nil
			case <-time.After(lastPause): // the reaper is about to look
				return fmt.Errorf("cannot end the descendants of pid %d: %w", c.id.PID, blind)
			}
		}
	}
}

func (t *tree) end(ctx context.Context, sig syscall.Signal, killAfter time.Duration) error {
	if killAfter > 0 {
		if err := t.ask(sig); err != nil {
			return err
		}
		if over, err := t.wait(ctx, killAfter); over || err != nil {
			return err
		}
	}
	return t.kill(ctx)
}

// ask sends sig once to everybody. There is no second pass for those that were
// forked during the first: what a handler of sig starts in order to clean up
// would get it as well. A stopped process would get sig only when continued.
func (t *tree) ask(sig syscall.Signal) error {
	live, err := t.look()
	for _, p := range live {
		// A refusal is judged when nothing but refusals is left, in kill.
		_ = deliver(p, sig)
		if p.stopped() {
			_ = deliver(p, syscall.SIGCONT)
		}
	}
	return err
}

// wait returns true when the tree is over, false after d. Where the kernel does
// not tell (nobody reports the end of another's child) it looks ever more rarely.
func (t *tree) wait(ctx context.Context, d time.Duration) (bool, error) {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var look <-chan time.Time
		if t.over == nil {
			look = time.After(pause)
		}
		select {
		case <-t.over:
			return true, nil
		case <-deadline.C:
			return false, nil
		case <-ctx.Done():
			return false, t.givenUp(ctx)
		case <-look:
			if live, err := t.look(); err != nil || len(live) == 0 {
				return err == nil, err
			}
		}
	}
}

// kill strikes until nothing is left. One blow is not enough: a fork that was
// under way may come to light after it.
func (t *tree) kill(ctx context.Context) error {
	unseen := 0
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		live, refused, err := t.strike()
		switch {
		case err != nil:
			return err
		case len(live) == 0 && t.over == nil:
			return nil
		case len(live) > 0 && len(refused) == len(live):
			return fmt.Errorf("cannot end the tree of pid %d: we may not signal pid %s: %w", t.name, pids(refused), syscall.EPERM)
		case len(live) > 0:
			unseen = 0
		case unseen >= unseenRounds:
			return fmt.Errorf("cannot end the tree of pid %d: some of it is left that the process table does not show", t.name)
		default:
			unseen++
		}
		if over, err := t.wait(ctx, pause); over || err != nil {
			return err
		}
	}
}

// strike freezes the tree and then kills it. Killing as it goes would let a
// process that forks all the time be one child ahead of every scan.
func (t *tree) strike() (live, refused []proc, err error) {
	live, err = t.freeze()
	// Also after an error: what is frozen must not be left so.
	for _, p := range live {
		if errors.Is(deliver(p, syscall.SIGKILL), syscall.EPERM) {
			refused = append(refused, p)
		}
	}
	return live, refused, err
}

// freeze stops everybody until a pass finds nobody new: those it has stopped do
// not fork, so then there are no others. What is frozen is killed next, whatever
// ctx says, so no half-stopped tree is left behind.
func (t *tree) freeze() (live []proc, err error) {
	seen, met := map[key]bool{}, map[int]bool{}
	for range freezePasses {
		fresh := t.rush != nil && t.rush(met)
		now, err := t.look()
		if err != nil {
			return live, err
		}
		live = now
		for _, p := range live {
			if !seen[p.key] {
				seen[p.key], fresh = true, true
				_ = deliver(p, syscall.SIGSTOP)
			}
		}
		if !fresh {
			break
		}
	}
	return live, nil
}

func (t *tree) givenUp(ctx context.Context) error {
	live, err := t.look()
	if err != nil {
		return fmt.Errorf("cannot end the tree of pid %d: %w", t.name, ctx.Err())
	}
	return fmt.Errorf("cannot end the tree of pid %d: %d processes are left: %w", t.name, len(live), ctx.Err())
}

func pids(list []proc) string {
	var names []string
	for _, p := range list {
		names = append(names, strconv.Itoa(p.pid))
	}
	return strings.Join(names, ", ")
}

// deliver sends sig to p, or to nobody if p is gone.
func deliver(p proc, sig syscall.Signal) error {
	err := signalExactly(p, sig)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// signalChecked is for kernels without pidfd, and for sandboxes that forbid it.
// Between the look and the kill the pid could be reused, if the process ended
// and all other pids were handed out in these microseconds.
func signalChecked(p proc, sig syscall.Signal) error {
	if now, err := look(p.pid); err != nil || now.start != p.start {
		return err
	}
	return syscall.Kill(p.pid, sig)
}
