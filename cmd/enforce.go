package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/cmd/job"
	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
	"berth/procwatch"
)

// How 'berth stop' sees to it that what it asked for is done. A record is what
// somebody wrote who may use the store, and may name any process: what it says is
// done to nobody who does not show by himself that he is meant.

const (
	// patience is what a stop may take beyond the grace it was given.
	patience = 5 * time.Second
	// unwoken is how long a waiter may need that we cannot wake: another user's.
	unwoken = time.Minute
	// asking is how long a store may take to note down a request. One on a server
	// says itself that it is out of reach.
	askTime = 10 * time.Second
	// leastLook and mostLook bound the pauses between two looks at the pools, and
	// lookShare is how much longer one is than the look took.
	leastLook, mostLook = time.Millisecond, time.Second
	lookShare           = 20
)

// asking bounds a request to a directory: somebody who is frozen there may hold the
// pool's lock.
func asking(st *open.Store) (context.Context, context.CancelFunc) {
	if st.Remote {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeoutCause(context.Background(), askTime, fmt.Errorf("no answer in %v", askTime))
}

// chase is one job or waiter that was asked to end.
type chase struct {
	id     string
	until  time.Time
	wake   time.Time     // when its owner is woken next: it may not have listened yet
	pause  time.Duration // and how much later again
	ending chan error    // its tree is being ended from here
	tree   []procwatch.ID
	killed time.Time // by then KILL has ended them, unless nothing can
}

// enforce sees to it that requests to stop are followed, until neither a line nor a
// slot has one of them any more: it wakes their owners, and ends the tree itself where
// the owner is gone. One look at the pools serves all.
func enforce(st *open.Store, asked []lease.Entry, stop lease.Stop) (errs []error) {
	var left []*chase
	var pools []string
	for _, e := range asked {
		c := &chase{id: words.IDOf(e), until: time.Now().Add(unwoken), pause: leastLook}
		if e.Lease != nil {
			// One that nobody is there to end frees its slot when its lease has ended.
			c.until = time.Now().Add(graceOf(e.Lease, stop) + 3*e.Lease.Heartbeat + 2*e.Lease.TTL + patience)
		}
		left = append(left, c)
		if pool, err := lease.PoolOf(c.id); err == nil && !slices.Contains(pools, pool) {
			pools = append(pools, pool)
		}
	}
	for pause := leastLook; len(left) > 0; {
		before := time.Now()
		found, err := st.List(context.Background(), pools...)
		if err != nil {
			return append(errs, err)
		}
		now := entries(found)
		left = slices.DeleteFunc(left, func(c *chase) bool {
			over, err := follow(st, c, now[c.id], stop)
			if err != nil {
				errs = append(errs, err)
			}
			return over
		})
		pause = max(min(2*pause, mostLook/10), min(lookShare*time.Since(before), mostLook))
		if len(left) > 0 {
			time.Sleep(pause)
		}
	}
	return errs
}

func entries(pools []lease.Pool) map[string]*lease.Entry {
	all := map[string]*lease.Entry{}
	for _, p := range pools {
		for _, e := range slices.Concat(p.Waiters, p.Holders) {
			all[words.IDOf(e)] = &e
		}
	}
	return all
}

// follow does what is to be done now for c, which was found as e, and reports whether
// that is over.
func follow(st *open.Store, c *chase, e *lease.Entry, stop lease.Stop) (over bool, err error) {
	late := time.Now().After(c.until)
	switch {
	case c.ending != nil:
		select {
		case err := <-c.ending:
			c.ending = nil
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
		c.rouse(e.Ticket.Owner)
	case late:
		return true, fmt.Errorf("job %s still holds slot %s of pool %s: something out of reach, or something it left behind, has the lock", c.id, text.SlotList(e.Lease.Slots), e.Lease.Pool)
	case (e.Lease.State == lease.Orphaned || e.Lease.Heartbeat == 0) && !st.Remote:
		// Nobody is there to do it, or it is the command itself (--exec). With a server
		// the lease ends by its clock.
		return chaseOrphan(st, c, e.Lease, stop)
	case e.Lease.Heartbeat > 0:
		c.rouse(e.Lease.Owner)
	}
	return false, nil
}

// stuck says what KILL does not end: who waits in the kernel for a disk or a server
// (state D) dies when that answers, which may be never.
func (c *chase) stuck() error {
	left := procwatch.Left(c.tree)
	if len(left) == 0 {
		left = []string{"what it has started"}
	}
	return fmt.Errorf("job %s: KILL does not end %s", c.id, strings.Join(left, ", "))
}

// rouse sends CONT to the berth of c, which makes it read what was left for it, and
// lets a stopped one act, too. Not to anybody else that a record names: CONT lets
// somebody go on who was stopped on purpose.
func (c *chase) rouse(owner lease.Process) {
	if time.Now().Before(c.wake) {
		return
	}
	c.wake = time.Now().Add(c.pause)
	c.pause = min(2*c.pause, time.Second)
	if p := procwatch.ID(owner); p.Marked(job.Mark(c.id)) {
		_ = p.Send(tty.CONT)
	}
}

// chaseOrphan ends those processes of a job that show that they are its: they were
// started with its BERTH_LEASE, in this store, by the user whose job it is, or have
// an ancestor that was. Nobody can put that into the environment of somebody else's.
func chaseOrphan(st *open.Store, c *chase, l *lease.Lease, stop lease.Stop) (over bool, err error) {
	shown, err := procwatch.StartedBy(l.UID, "BERTH_", isOfJob(st, l.ID))
	shown = slices.DeleteFunc(shown, func(p procwatch.ID) bool { return p.PID == st.Self.PID })
	switch {
	case len(shown) > 0:
		c.ending, c.tree, c.killed = make(chan error, 1), shown, time.Now().Add(graceOf(l, stop)+patience)
		go func() {
			c.ending <- procwatch.EndOrphans(context.Background(), shown, syscall.Signal(l.Signal), graceOf(l, stop))
		}()
	case l.Child != nil && isHere(*l.Child) && !procwatch.ID(*l.Child).Ending():
		return true, &strangerError{l, err, st.Where} // one that is about to end shows nothing any more
	}
	return false, nil
}

func isHere(p lease.Process) bool {
	s := procwatch.ID(p).State()
	return s == procwatch.Alive || s == procwatch.Stopped
}

func isOfJob(st *open.Store, id string) func(env []string) bool {
	return func(env []string) bool {
		return slices.Contains(env, "BERTH_LEASE="+id) && slices.ContainsFunc(env, func(e string) bool {
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

// strangerError says that a record names a process as the command of a job, and that
// nothing else does.
type strangerError struct {
	lease *lease.Lease
	err   error // why nothing can be found out; nil: it can
	where string
}

// hidden reports whether others could find it out: whose job it is, and root.
func (e *strangerError) hidden() bool {
	return os.Geteuid() != 0 && procwatch.ID(*e.lease.Child).Hidden()
}

func (e *strangerError) Error() string {
	owner := view.UserName(e.lease.UID)
	why := "it was not started with BERTH_LEASE and BERTH_STORE of this job by " + owner + ", or has cleared them"
	switch {
	case errors.Is(e.err, errors.ErrUnsupported):
		why = e.err.Error()
	case e.hidden() && e.lease.UID == os.Geteuid():
		return fmt.Sprintf("job %s: only root can end it: the environment of pid %d cannot be read", e.lease.ID, e.lease.Child.PID)
	case e.hidden():
		return fmt.Sprintf("job %s: only %s or root can end it: the environment of pid %d cannot be read", e.lease.ID, owner, e.lease.Child.PID)
	}
	return fmt.Sprintf("job %s: only its record says that pid %d is its command, so it was not ended: %s", e.lease.ID, e.lease.Child.PID, why)
}

func (e *strangerError) hint() string {
	words := []string{"berth", "stop", "--store", e.where, e.lease.ID}
	switch owner := view.UserName(e.lease.UID); {
	case !e.hidden() && e.lease.Child.PID == 1:
		return "ps -fp 1"
	case !e.hidden():
		return fmt.Sprintf("check with ps -fp %d; if it is the job: kill %d", e.lease.Child.PID, e.lease.Child.PID)
	case e.lease.UID == os.Geteuid():
		words = append([]string{"sudo"}, slices.Insert(words, 4, "--store-owner", owner)...)
	case owner == strconv.Itoa(e.lease.UID): // it has no name here
		words = append([]string{"sudo", "-u", "#" + owner}, words...)
	default:
		words = append([]string{"sudo", "-u", owner}, words...)
	}
	return strings.Join(text.Quoted(words), " ")
}

// graceOf is the time from the first signal to KILL.
func graceOf(l *lease.Lease, stop lease.Stop) time.Duration {
	if stop.KillAfter != nil {
		return *stop.KillAfter
	}
	return l.KillAfter
}
