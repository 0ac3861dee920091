// Package stopping waits until jobs and waiters that were told to stop, or leases that were told
// to be given back, are gone, and ends orphaned jobs itself.
//
// Anyone who may use a store can write a record that names any process. So a signal goes
// only to a process that shows by itself that it belongs to the job.
package stopping

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"berth/cmd/text"
	"berth/lease"
	"berth/procwatch"
)

const (
	// patience is how long a stop may take beyond its grace period.
	patience = 5 * time.Second
	// waiterTime is how long a waiter may take. One of another user cannot be woken.
	waiterTime = time.Minute
	// maxTTL is how much of a TTL is waited for: twice.
	maxTTL = time.Hour
	// minPause and maxPause bound the pause between two reads of the pools. It is at
	// least pauseFactor times as long as the read took.
	minPause, maxPause = time.Millisecond, time.Second
	pauseFactor        = 20
)

// Store is the store in which jobs are to end.
type Store struct {
	lease.Store
	Remote bool   // leases end by a clock
	Where  string // as BERTH_STORE says it
	Self   procwatch.ID
	Mark   func(id string) string // that the berth of a job shows
}

// ending is one job or waiter that was told to stop.
type ending struct {
	id     string
	until  time.Time     // when it should be gone
	wake   time.Time     // when its owner is woken again: it may not have listened yet
	pause  time.Duration // until the wake after that
	done   chan error    // not nil: its processes are being ended from here
	tree   []procwatch.ID
	killed time.Time // by then KILL has ended them, unless they cannot be ended
}

// Enforce waits until neither the lines nor the slots have any of these entries, which were
// told to stop. It wakes their owners, and ends the processes of a job whose owner is gone.
// All entries share one read of the pools. It returns an error for each entry that remains.
func Enforce(st Store, asked []lease.Entry, stop lease.Stop) (errs []error) {
	var left []*ending
	for _, e := range asked {
		c := &ending{id: e.ID(), until: time.Now().Add(waiterTime), pause: minPause}
		if e.Lease != nil {
			c.until = time.Now().Add(graceOf(e.Lease, stop) + st.hearsWithin(e.Lease) + patience)
		}
		left = append(left, c)
	}
	return untilOver(st, left, maxPause/10, func(c *ending, e *lease.Entry) (bool, error) { return follow(st, c, e, stop) })
}

// untilOver does the next step for each of these, which the pools have as that entry (nil: they
// do not have it any more), until each step was the last. It returns the errors of the steps.
func untilOver(st Store, left []*ending, most time.Duration, next func(*ending, *lease.Entry) (over bool, err error)) (errs []error) {
	pools := poolsOf(left)
	for pause := minPause; len(left) > 0; {
		before := time.Now()
		found, err := st.List(context.Background(), pools...)
		if err != nil {
			return append(errs, err)
		}
		now := entries(found)
		left = slices.DeleteFunc(left, func(c *ending) bool {
			if e := now[c.id]; e != nil && e.Lease != nil {
				EndAdoption(context.Background(), st, c.id, e.Lease.Adopter, e.Lease.Child)
			}
			over, err := next(c, now[c.id])
			if err != nil {
				errs = append(errs, err)
			}
			return over
		})
		pause = max(min(2*pause, most), min(pauseFactor*time.Since(before), maxPause))
		if len(left) > 0 {
			time.Sleep(pause)
		}
	}
	return errs
}

// hearsWithin is how long it may take until the owner of a lease has heard what the lease was
// told, or the lease has expired because the owner is gone. The times in a record may be forged
// or damaged, so they count only up to a bound.
func (st Store) hearsWithin(l *lease.Lease) time.Duration {
	d := 3 * min(max(0, l.Heartbeat), waiterTime/3) // one of another user is not roused
	if st.Remote {
		d += 2 * min(max(0, l.TTL), maxTTL)
	}
	return d
}

func poolsOf(all []*ending) (pools []string) {
	for _, c := range all {
		if pool, err := lease.PoolOf(c.id); err == nil && !slices.Contains(pools, pool) {
			pools = append(pools, pool)
		}
	}
	return pools
}

func entries(pools []lease.Pool) map[string]*lease.Entry {
	all := map[string]*lease.Entry{}
	for _, p := range pools {
		for _, e := range slices.Concat(p.Waiters, p.Holders) {
			all[e.ID()] = &e
		}
	}
	return all
}

// follow does the next step for c, which the pools have as e, and reports whether it was the
// last.
func follow(st Store, c *ending, e *lease.Entry, stop lease.Stop) (over bool, err error) {
	late := time.Now().After(c.until)
	switch {
	case c.done != nil:
		select {
		case err := <-c.done:
			c.done = nil
			return err != nil, err
		default:
			if time.Now().After(c.killed) {
				return true, c.stuck()
			}
			return false, nil
		}
	case e == nil:
		return true, nil
	case e.Ticket != nil && late:
		return true, fmt.Errorf("waiter %s (pid %d on %s) does not react", c.id, e.Ticket.Owner.PID, e.Ticket.Owner.Host)
	case e.Ticket != nil:
		c.rouse(st.Mark(c.id), e.Ticket.Owner, nil)
	case late && procwatch.ID(e.Lease.Owner).State() == procwatch.Stopped:
		return true, &FrozenError{e.Lease}
	case late:
		return true, fmt.Errorf("job %s still holds slot %s of pool %s: something out of reach, or something it left behind, has the lock", c.id, text.SlotList(e.Lease.Slots), e.Lease.Pool)
	case (e.Lease.State == lease.Orphaned || hasBecome(e.Lease)) && !st.Remote:
		// On a server the lease expires instead.
		return endOrphan(st, c, e.Lease, stop)
	case e.Lease.State != lease.Orphaned:
		c.rouse(st.Mark(c.id), e.Lease.Owner, e.Lease.Adopter)
	}
	return false, nil
}

// hasBecome reports whether the berth of a job has become its command (--exec). Before that it
// can be told to stop: it may still wait for the slots of other pools.
func hasBecome(l *lease.Lease) bool { return l.Heartbeat == 0 && l.State != lease.Reserved }

// stuck names the processes that KILL does not end. A process that waits in the kernel for a
// disk or a server (state D) dies only when that answers.
func (c *ending) stuck() error {
	left := procwatch.Left(c.tree)
	if len(left) == 0 {
		left = []string{"what it has started"}
	}
	return fmt.Errorf("job %s: KILL does not end %s", c.id, strings.Join(left, ", "))
}

// rouse rouses the berth of c, and that which has adopted its lease.
func (c *ending) rouse(mark string, owner lease.Process, adopter *lease.Process) {
	if time.Now().Before(c.wake) {
		return
	}
	c.wake = time.Now().Add(c.pause)
	c.pause = min(2*c.pause, time.Second)
	RouseBerth(owner, mark)
	if adopter != nil {
		RouseBerth(*adopter, mark)
	}
}

// endOrphan ends the processes of an orphaned job that show that they belong to it: they, or
// an ancestor of theirs, were started with its id in BERTH_LEASE or BERTH_LEASES, in this store,
// by the user of the job. No user can put that into the environment of another user's process.
// The shell that an acquired lease was for goes on, even if it was started again with the lease.
func endOrphan(st Store, c *ending, l *lease.Lease, stop lease.Stop) (over bool, err error) {
	shown, err := procwatch.StartedBy(l.UID, "BERTH_", isOfJob(st, l.ID))
	shown = slices.DeleteFunc(shown, func(p procwatch.ID) bool { return p.PID == st.Self.PID })
	others := slices.DeleteFunc(slices.Clone(shown), func(p procwatch.ID) bool { return l.Tied != nil && p == procwatch.ID(*l.Tied) })
	tiedIsLeft := len(others) < len(shown)
	switch shown = others; {
	case len(shown) > 0:
		c.done, c.tree, c.killed = make(chan error, 1), shown, time.Now().Add(graceOf(l, stop)+patience)
		go func() {
			c.done <- procwatch.EndOrphans(context.Background(), shown, syscall.Signal(l.Signal), graceOf(l, stop))
		}()
	case tiedIsLeft:
		return true, fmt.Errorf("job %s: its keeper is gone, and pid %d, which it was acquired for, was started with it and keeps its slot; that is not ended", l.ID, l.Tied.PID)
	case l.Child != nil && isHere(*l.Child) && !procwatch.ID(*l.Child).Ending():
		return true, &StrangerError{l, err, st.Where} // one that is about to end shows nothing any more
	}
	return false, nil
}

func isHere(p lease.Process) bool {
	s := procwatch.ID(p).State()
	return s == procwatch.Alive || s == procwatch.Stopped
}

func isOfJob(st Store, id string) func(env []string) bool {
	return func(env []string) bool {
		return lease.InEnv(env, id) && slices.ContainsFunc(env, func(e string) bool {
			where, ok := strings.CutPrefix(e, "BERTH_STORE=")
			return ok && (where == st.Where || sameDir(where, st.Where))
		})
	}
}

func sameDir(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// FrozenError says that the berth of a job is stopped, and that this process may not resume it.
type FrozenError struct{ Lease *lease.Lease }

func (e *FrozenError) Error() string {
	return fmt.Sprintf("job %s still holds slot %s of pool %s: its berth (pid %d) is suspended, and only %s or root can resume it",
		e.Lease.ID, text.SlotList(e.Lease.Slots), e.Lease.Pool, e.Lease.Owner.PID, text.UserName(e.Lease.UID))
}

// StrangerError says that only a record shows that a process is the command of a job.
type StrangerError struct {
	Lease *lease.Lease
	err   error // why the process cannot be examined; nil: it can
	Where string
}

// Hidden reports whether only root or the user of the job can see what the process shows.
func (e *StrangerError) Hidden() bool {
	return os.Geteuid() != 0 && procwatch.ID(*e.Lease.Child).Hidden()
}

func (e *StrangerError) Error() string {
	owner := text.UserName(e.Lease.UID)
	why := "it was not started with BERTH_LEASE and BERTH_STORE of this job by " + owner + ", or has cleared them"
	switch {
	case errors.Is(e.err, errors.ErrUnsupported):
		why = e.err.Error()
	case e.Hidden() && e.Lease.UID == os.Geteuid():
		return fmt.Sprintf("job %s: only root can end it: the environment of pid %d cannot be read", e.Lease.ID, e.Lease.Child.PID)
	case e.Hidden():
		return fmt.Sprintf("job %s: only %s or root can end it: the environment of pid %d cannot be read", e.Lease.ID, owner, e.Lease.Child.PID)
	}
	return fmt.Sprintf("job %s: only its record says that pid %d is its command, so it was not ended: %s", e.Lease.ID, e.Lease.Child.PID, why)
}

// graceOf is the time from the first signal to KILL.
func graceOf(l *lease.Lease, stop lease.Stop) time.Duration {
	if stop.KillAfter != nil {
		return *stop.KillAfter
	}
	return l.KillAfter
}
