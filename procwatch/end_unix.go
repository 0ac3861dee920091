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
	// A killed process is gone within a millisecond, or is stuck in the kernel for
	// long, so the pauses between rounds grow fast.
	firstPause = 2 * time.Millisecond
	lastPause  = 200 * time.Millisecond
	// freezePasses bounds one round against a tree that forks faster than we scan. The
	// next round goes on from there.
	freezePasses = 50
	// orphanPasses bounds the passes over the new orphans before a scan. Each takes some
	// 20 µs.
	orphanPasses = 100
	// unseenRounds is how long (some 5 s of pauses) the kernel may report a tree as
	// alive of which no scan shows a member. A zombie of ours is there for a moment; one
	// that a debugger holds, or a process that /proc hides from us (hidepid), stays.
	unseenRounds = 30
)

// End sends sig to the child and all its descendants, and SIGKILL to those that
// are left killAfter later; with killAfter 0 it sends only SIGKILL. It returns
// nil when none is left. A descendant does not escape by a session or process group of
// its own, a double fork, or a signal handler.
//
// If ctx ends first, the error says how many are left; they go on running, and have
// received what was sent until then. If only processes are left that we may not
// signal (setuid programs), the error names them, and they go on running.
func (c *Child) End(ctx context.Context, sig syscall.Signal, killAfter time.Duration) error {
	t := c.tree()
	if t.empty != nil && isClosed(t.empty) {
		return nil
	}
	if _, err := t.living(); err != nil {
		return c.endWithoutTable(ctx, sig, killAfter, err)
	}
	return t.end(ctx, sig, killAfter)
}

// EndOrphans ends the trees of processes that are not our children, as End does. It
// does nothing to a pid that belongs to another process now, and returns nil when all
// are gone, even if they were gone before. Descendants are followed from the first scan on;
// one that had lost its parent before has another reaper and is not found. The
// calling process is never ended.
func EndOrphans(ctx context.Context, ids []ID, sig syscall.Signal, killAfter time.Duration) error {
	self, err := Self()
	if err != nil {
		return err
	}
	t := &tree{known: map[key]bool{}, excluded: map[key]bool{{self.PID, self.Start}: true}}
	for _, id := range ids {
		switch id.State() {
		case Gone:
			continue
		case Unknown:
			return fmt.Errorf("cannot end pid %d on host %q: it cannot be seen from here", id.PID, id.Host)
		}
		t.pid, t.known[key{id.PID, id.Start}] = id.PID, true
	}
	if len(t.known) == 0 {
		return nil
	}
	return t.end(ctx, sig, killAfter)
}

// Left names those of the processes that are not gone, as "pid 812 (state D)", with the
// letter that ps shows if it is known.
func Left(ids []ID) (left []string) {
	for _, id := range ids {
		if id.State() == Gone {
			continue
		}
		name := "pid " + strconv.Itoa(id.PID)
		if p, err := readProcess(id.PID); err == nil && p.state != 0 {
			name += " (state " + string(rune(p.state)) + ")"
		}
		left = append(left, name)
	}
	return left
}

// Send sends sig to the process. It does nothing if the process is gone.
func (id ID) Send(sig syscall.Signal) error {
	switch id.State() {
	case Gone:
		return nil
	case Unknown:
		return fmt.Errorf("cannot signal pid %d on host %q: it cannot be seen from here", id.PID, id.Host)
	}
	return send(proc{key: key{id.PID, id.Start}}, sig)
}

// endWithoutTable ends the child where the process table cannot be read. Its
// descendants cannot be found then, which is an error unless there are none.
func (c *Child) endWithoutTable(ctx context.Context, sig syscall.Signal, killAfter time.Duration, cause error) error {
	if killAfter == 0 {
		sig = syscall.SIGKILL
	}
	_ = c.Signal(sig) // a refusal counts only if KILL is refused, too
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
			case <-time.After(lastPause): // the reaper is about to find out
				return fmt.Errorf("cannot end the descendants of pid %d: %w", c.id.PID, cause)
			}
		}
	}
}

func (t *tree) end(ctx context.Context, sig syscall.Signal, killAfter time.Duration) error {
	if killAfter > 0 {
		if err := t.signalAll(sig); err != nil {
			return err
		}
		if over, err := t.wait(ctx, killAfter); over || err != nil {
			return err
		}
	}
	return t.kill(ctx)
}

// signalAll sends sig once to every member. There is no second pass for those that were
// forked during the first: it would also reach what a handler of sig starts in order to
// clean up. A stopped member is continued, or else sig would not reach it.
func (t *tree) signalAll(sig syscall.Signal) error {
	live, err := t.living()
	for _, p := range live {
		// A refusal counts only when nothing but refusals is left, see kill.
		_ = send(p, sig)
		if p.stopped() {
			_ = send(p, syscall.SIGCONT)
		}
	}
	return err
}

// wait returns true when the tree is empty, false after d. Where the kernel does not
// tell, because the members are not our children, it scans at growing intervals.
func (t *tree) wait(ctx context.Context, d time.Duration) (bool, error) {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var scan <-chan time.Time
		if t.empty == nil {
			scan = time.After(pause)
		}
		select {
		case <-t.empty:
			return true, nil
		case <-deadline.C:
			return false, nil
		case <-ctx.Done():
			return false, t.givenUp(ctx)
		case <-scan:
			if live, err := t.living(); err != nil || len(live) == 0 {
				return err == nil, err
			}
		}
	}
}

// kill repeats killFrozen until nothing is left. Once is not enough: the child of a fork
// that was under way may appear after it.
func (t *tree) kill(ctx context.Context) error {
	unseen := 0
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		live, refused, err := t.killFrozen()
		switch {
		case err != nil:
			return err
		case len(live) == 0 && t.empty == nil:
			return nil
		case len(live) > 0 && len(refused) == len(live):
			return fmt.Errorf("cannot end the tree of pid %d: we may not signal pid %s: %w", t.pid, pids(refused), syscall.EPERM)
		case len(live) > 0:
			unseen = 0
		case unseen >= unseenRounds:
			return fmt.Errorf("cannot end the tree of pid %d: a part of it is left that the process table does not show", t.pid)
		default:
			unseen++
		}
		if over, err := t.wait(ctx, pause); over || err != nil {
			return err
		}
	}
}

// killFrozen freezes the tree and then kills it. Without the freeze, a process that forks
// all the time would stay one child ahead of every scan.
func (t *tree) killFrozen() (live, refused []proc, err error) {
	live, err = t.freeze()
	// Also after an error: what was frozen must not stay so.
	for _, p := range live {
		if errors.Is(send(p, syscall.SIGKILL), syscall.EPERM) {
			refused = append(refused, p)
		}
	}
	return live, refused, err
}

// freeze stops all members until a pass finds no new one: stopped processes do not fork,
// so then there are no others. The caller kills them next, even if its ctx is over, so
// no half-stopped tree is left behind.
func (t *tree) freeze() (live []proc, err error) {
	seen, stopped := map[key]bool{}, map[int]bool{}
	for range freezePasses {
		fresh := t.stopNewOrphans != nil && t.stopNewOrphans(stopped)
		now, err := t.living()
		if err != nil {
			return live, err
		}
		live = now
		for _, p := range live {
			if !seen[p.key] {
				seen[p.key], fresh = true, true
				_ = send(p, syscall.SIGSTOP)
			}
		}
		if !fresh {
			break
		}
	}
	return live, nil
}

func (t *tree) givenUp(ctx context.Context) error {
	live, err := t.living()
	if err != nil {
		return fmt.Errorf("cannot end the tree of pid %d: %w", t.pid, ctx.Err())
	}
	return fmt.Errorf("cannot end the tree of pid %d: %d processes are left: %w", t.pid, len(live), ctx.Err())
}

func pids(list []proc) string {
	var names []string
	for _, p := range list {
		names = append(names, strconv.Itoa(p.pid))
	}
	return strings.Join(names, ", ")
}

// send sends sig to p, and does nothing if p is gone.
func send(p proc, sig syscall.Signal) error {
	err := signalExactly(p, sig)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// signalChecked is for kernels without pidfd, and for sandboxes that forbid it. Between
// the check and the kill the pid could be reused, if the process ended and all other pids
// were handed out within these microseconds.
func signalChecked(p proc, sig syscall.Signal) error {
	if now, err := readProcess(p.pid); err != nil || now.start != p.start {
		return err
	}
	return syscall.Kill(p.pid, sig)
}
