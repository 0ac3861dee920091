//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// slotState is what a look at one slot found.
type slotState struct {
	locked bool    // somebody holds it
	record *record // nil: empty, or not readable
	orphan bool    // not locked, but the recorded child lives
	err    error   // it cannot be opened, or its record not be read
}

// leaving: its release is under way, or it died in there. No job has such a slot:
// marks are made, and leases written, under the pool's lock or at the end.
func (st slotState) leaving() bool { return st.locked && st.record == nil }

func (st slotState) free() bool { return !st.locked && !st.orphan && st.err == nil }

// damaged: what is there may stand for a job, and nobody can tell.
func (st slotState) damaged() bool {
	var foreign notOursError
	return errors.As(st.err, &foreign) || errors.Is(st.err, errGarbage) || errors.Is(st.err, errNewer)
}

// asks is what the index says of a slot in use.
func (st slotState) asks() int {
	if st.record != nil && st.record.lease != nil {
		if asks := st.record.lease.Asks; asks > 0 && asks <= mostSlots {
			return asks
		}
	}
	return noLimit
}

// look finds out what slot i is in truth. It opens the file for reading, so
// that its own close does not wake the head of the line.
func (p *pool) look(i int) slotState {
	f, err := p.openSlot(i, reading)
	if errors.Is(err, fs.ErrNotExist) {
		return slotState{}
	}
	if err != nil {
		return slotState{err: err}
	}
	defer f.Close()
	// Asked as who would take it asks: a shared lock of somebody is in the way,
	// too. We have the pool's lock, so nobody else asks now.
	got, err := tryLock(f)
	if err != nil {
		return slotState{err: err}
	}
	if got {
		return p.judge(f)
	}
	// The lock says it all. Whether its child lives is a look at /proc, and before
	// there is a child one at all of it: 150 callers at once took ten times as long.
	r, _ := readRecord(f)
	return slotState{locked: true, record: r}
}

// judge reads the record of a slot whose lock is free.
func (p *pool) judge(f *os.File) slotState {
	r, err := readRecord(f)
	switch {
	case errors.Is(err, errGarbage) && p.elder && p.olderThanBoot(f):
		return slotState{} // torn by a power cut: no process is left from then
	case err != nil:
		return slotState{err: err}
	case r == nil:
		return slotState{}
	case r.lease == nil:
		return slotState{err: errGarbage}
	}
	// A child that closed what it inherited (sudo does) does not hold the
	// lock, and is a job of the pool all the same. When its berth was killed
	// before it could record it, its environment tells.
	st := slotState{record: r}
	if r.child != nil {
		st.orphan = p.s.o.Alive(*r.child)
	} else {
		st.orphan = p.s.o.Started(r.lease.ID) != nil
	}
	return st
}

// verify checks slots that the index has in use against their locks, and frees
// in the index those whose jobs are gone: their owners were killed. When none is
// left in use but such that cannot be judged, the first of these is returned:
// waiting for it could last for ever.
func (p *pool) verify(ix *index, v *survey) *lease.DamagedError {
	var bad *lease.DamagedError
	sound := false
	for i, limit := range ix.limits {
		if limit == 0 {
			continue
		}
		if !v.checks(i) {
			sound = true // as far as is known: it was looked at before
			continue
		}
		st := p.look(i)
		if st.err != nil && bad == nil {
			bad = &lease.DamagedError{Pool: p.name, Path: p.slotPath(i), Slot: i, Err: st.err}
		}
		if st.free() {
			ix.mark(i, 0)
		} else {
			v.note(i, st)
		}
		sound = sound || st.locked || st.orphan
	}
	if sound {
		return nil
	}
	return bad
}

// asking is a request with what it may say for itself: how many waiters go
// first, and which gates have been asked and are open.
type asking struct {
	lease.Request
	ahead int
	asked lease.Asked
}

// take decides, and takes the slots if the answer is yes. look checks the slots
// that may have been given back without a word in the index; with lazily set it
// does so only when something is in the way.
func (p *pool) take(ix *index, r asking, look *survey, lazily bool) (lease.Holding, lease.Verdict, error) {
	own, err := p.own()
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	starts, err := p.starts(ix)
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	want := r.Request
	decide := func() lease.Verdict {
		used, asked := ix.used()
		return lease.Decide(lease.PoolState{
			Own: own, Used: used, Asked: asked, Ahead: r.ahead, Starts: starts, Clock: p.s.Clock(),
		}, want, r.asked)
	}
	v := decide()
	var bad *lease.DamagedError
	if !lazily || v.Reason == lease.Full || v.Limit < lease.Smallest(own.Limit, r.Ask(own.Limit)) {
		bad = p.verify(ix, look)
		v = decide()
	}
	paces := r.Paces(own)
	r.Terms = lease.Terms{Need: r.Needs(own)} // the rest is over with the start
	for try := 0; v.Reason == lease.Ready && try <= len(ix.limits)+r.Weight; try++ {
		h, err := p.grab(ix, r.Request, v.Limit)
		if err == nil && h != nil {
			h.lease.Start, err = p.started(ix, &starts, paces...)
		}
		if err != nil {
			return nil, v, p.ungrab(ix, h, err)
		}
		if h != nil {
			return h, v, nil
		}
		look.all = true // a slot was taken after all, and is marked now
		bad = p.verify(ix, look)
		v = decide()
	}
	if v.Reason == lease.Ready { // slots came and went, and none was had
		v.Reason = lease.Full
	}
	if v.Reason == lease.Full && bad != nil {
		return nil, v, bad
	}
	return nil, v, nil
}

// grab locks r.Weight free slots, the lowest first, and writes the lease into
// each. It returns nil, nil after it found (and marked in the index) a slot
// that somebody holds, or may hold.
func (p *pool) grab(ix *index, r lease.Request, inForce int) (_ *holding, err error) {
	h := &holding{pool: p}
	defer func() {
		if err != nil || len(h.files) < r.Weight {
			_ = p.ungrab(ix, h, nil)
		}
	}()
	mark := r.Limit
	if mark == 0 {
		mark = noLimit
	}
	for i := ix.nextFree(0); len(h.files) < r.Weight; i = ix.nextFree(i + 1) {
		f, st := p.lockSlot(i)
		if st.err != nil && !st.damaged() {
			return nil, st.err
		}
		if f == nil {
			ix.mark(i, st.asks())
			return nil, nil
		}
		h.files, h.lease.Slots = append(h.files, f), append(h.lease.Slots, i)
		ix.mark(i, mark) // and saved before the child can start
	}
	ix.token++
	h.lease = lease.Lease{
		Version: lease.Version, Request: r, Slots: h.lease.Slots, Token: ix.token,
		InForce: inForce, Asks: r.Limit, State: lease.Reserved, Since: time.Now(),
	}
	for i, f := range h.files {
		if err := p.s.writeLease(f, &h.lease); err != nil {
			return nil, err
		}
		h.files[i] = aboveCaller(f)
	}
	return h, nil
}

// ungrab gives back what grab took, if it did, after err.
func (p *pool) ungrab(ix *index, h *holding, err error) error {
	if h != nil {
		for i, f := range h.files {
			_ = markFree(f)
			ix.mark(h.lease.Slots[i], 0)
			f.Close()
		}
	}
	return err
}

// lockSlot locks slot i, or says why not: the state then is in use or damaged.
func (p *pool) lockSlot(i int) (*os.File, slotState) {
	f, err := p.openSlot(i, making)
	if err != nil {
		return nil, slotState{err: err}
	}
	got, err := tryLock(f)
	if err != nil || !got {
		f.Close()
		return nil, slotState{locked: err == nil, err: err}
	}
	st := p.judge(f)
	if st.free() && !p.hasSlot(i, f) {
		st.err = errors.New("the file was replaced while it was being locked")
	}
	if st.free() {
		return f, st
	}
	f.Close()
	return nil, st
}

// firstOwnFD is where descriptors that a child inherits from us are put. 0 to
// 9 are the caller's and the shell's redirections, bash uses 10 and up and 255
// for itself; a script that opens its own 3 must not close our slot with it.
const firstOwnFD = 100

// aboveCaller moves f out of the way and lets children inherit it: so the
// kernel keeps the slot for the child when we are killed. It stays where it is
// when so high a number is not allowed.
func aboveCaller(f *os.File) *os.File {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, firstOwnFD)
	if err != nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETFD, 0)
		return f
	}
	defer f.Close()
	return os.NewFile(uintptr(fd), f.Name())
}

// Inherits reports whether this process was started with a descriptor that
// holds the lock of l's first slot.
func (s *Store) Inherits(l *lease.Lease) bool {
	p, err := s.pool(l.Pool, false)
	if err != nil {
		return false
	}
	defer p.close()
	slot, err := p.stat(slots, strconv.Itoa(l.Slots[0]))
	if err != nil {
		return false
	}
	var st unix.Stat_t
	for fd := 3; fd < 256; fd++ { // firstOwnFD, or where it went when that was not allowed
		if unix.Fstat(fd, &st) == nil && st.Dev == slot.Dev && st.Ino == slot.Ino {
			return holdsFlock(fd)
		}
	}
	return false
}

// poke wakes the head of the line, which watches for closed slot files.
func (p *pool) poke(slot string) error {
	f, err := p.openFile(slots, slot, making)
	if err != nil {
		return err
	}
	return f.Close()
}

// abandon gives back slots that nothing was started in, after err.
func abandon(h lease.Holding, err error) error {
	if h, ok := h.(*holding); ok && h != nil {
		_ = h.letGo()
	}
	return err
}

// letGo gives the slots back.
func (h *holding) letGo() (err error) {
	for _, step := range h.goes() {
		err = errors.Join(err, step())
	}
	h.files = nil
	return err
}

// goes are the steps of a release: it marks the slots free, wakes the head of the
// line and unlocks them. It unlocks explicitly: a daemon that the command left
// behind still has the descriptor, and closing ours would leave the slot locked.
//
// The head finds them marked and locked, and looks until they are free. Woken
// after the unlock, it would sleep beside a free slot when we are stopped in
// between, or killed while such a daemon keeps the file from being closed.
func (h *holding) goes() (steps []func() error) {
	add := func(step func() error) { steps = append(steps, step) }
	for _, f := range h.files {
		add(func() error { _ = markFree(f); return nil }) // unlocked, it is free without
	}
	for i := range h.files { // each: the head looks only at what was named
		add(func() error { return h.pool.poke(strconv.Itoa(h.lease.Slots[i])) })
	}
	for i, f := range h.files {
		var failed error
		add(func() error { failed = unlock(f); return nil }) // closed as well, it is ours no more
		add(f.Close)
		add(func() error { return h.kept(h.lease.Slots[i], failed) })
	}
	return steps
}

// kept is the error of a slot that could not be unlocked, when something that the
// command left behind has its lock.
func (h *holding) kept(slot int, failed error) error {
	if failed == nil || !h.pool.leftLocked(slot) {
		return nil
	}
	return fmt.Errorf("cannot unlock slot %d of pool %s, which stays taken until what the command left behind has ended: %w", slot, h.pool.name, failed)
}

// holding is a lease of ours.
type holding struct {
	pool  *pool
	lease lease.Lease
	files []*os.File // one per slot, locked; nil after Release
	later func()     // what had better wait until the child runs, once; nil: nothing
	signs lease.Signs
}

func (h *holding) Lease() lease.Lease { return h.lease }

// Running records the child in every slot. It needs no lock: nobody else
// writes these bytes.
func (h *holding) Running(_ context.Context, child lease.Process) error {
	line, err := childLine(&child)
	if err != nil {
		return err
	}
	for _, f := range h.files {
		if _, err := f.WriteAt(line, childAt); err != nil {
			return err
		}
	}
	h.lease.Child, h.lease.State = &child, lease.Running
	if h.later != nil {
		time.AfterFunc(afterStart, h.later)
	}
	return nil
}

const (
	// afterStart is how long a started child has the machine to itself before what
	// was put off is done: it needs 0.3 ms, and on two busy cores that would come
	// out of the child's start.
	afterStart = time.Millisecond
	// putOffAtMost: a lease may stay reserved for long.
	putOffAtMost = 50 * time.Millisecond
)

// putOff has f called once: when the child has started, and soon in any case.
// Nobody may have to wait for it: we can be stopped, or end, before that.
func (h *holding) putOff(f func()) {
	h.later = sync.OnceFunc(f)
	time.AfterFunc(putOffAtMost, h.later)
}

// Renew writes the heartbeat. ErrLost when a slot's file is no longer the one
// that everybody else sees: somebody removed the store under us.
//
// The kernel holds the slot, however long nobody renews it.
func (h *holding) Renew(context.Context, time.Duration) (lease.Signs, error) {
	inPlace := h.pool.inPlace()
	for i, f := range h.files {
		if !inPlace || !h.pool.hasSlot(h.lease.Slots[i], f) {
			return h.signs, fmt.Errorf("%w: %s was removed or replaced", lease.ErrLost, f.Name())
		}
		if err := h.pool.s.beat(f); err != nil {
			return h.signs, err
		}
	}
	f := h.files[0]
	r, err := readRecord(f)
	if err != nil {
		return h.signs, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	if r != nil && r.pulse != nil {
		h.signs.Keepalive = time.Duration(r.pulse.Keepalive)
	}
	if at := h.pool.keptAlive(&h.lease); at > h.signs.Keepalive {
		h.signs.Keepalive = at
		// Into the record, which is what people read.
		if _, err := f.WriteAt(fmt.Appendf(nil, "%20d", at), keepaliveAt); err != nil {
			return h.signs, err
		}
	}
	if r != nil && r.stop != nil {
		h.signs.Stop = r.stop
	}
	return h.signs, nil
}

// leftLocked reports whether the slot is locked and says that it is free: nobody has
// taken it since. Who takes it just now says so after a moment.
func (p *pool) leftLocked(i int) bool {
	st := p.look(i)
	for try := 0; st.locked && st.record == nil && try < 5; try++ {
		time.Sleep(2 * time.Millisecond)
		st = p.look(i)
	}
	return st.locked && st.record == nil
}

// Expires implements lease.Holding.
func (h *holding) Expires() time.Duration { return 0 }

// Unused implements lease.Holding. Somebody who is frozen in the pool's lock holds it
// up no longer than a release; the start counts then.
func (h *holding) Unused(ctx context.Context) error {
	if h.files == nil {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, h.pool.s.o.Release)
	defer cancel()
	err := h.pool.locked(short, func(ix *index) error { return h.pool.undo(ix, h.lease.Start) })
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return errors.Join(err, h.Release(ctx))
}

// Release gives the slots back, before it takes the pool's lock, which the head of
// the line, woken by that, may have by then.
//
// The order matters when we are killed in between. Marked free but locked: the
// lock goes with the last process that has it. Unlocked but in use in the
// index: the next who needs the room checks that against the lock.
func (h *holding) Release(ctx context.Context) error {
	if h.files == nil {
		return nil
	}
	err := h.letGo()
	defer h.pool.s.sweep()
	defer h.pool.close()
	if lineHint(h.pool.file) > 0 {
		return err // whoever was woken checks the mark, and would wait for us here
	}
	// The job is over. If somebody is frozen in the pool's lock, it must not
	// hold us up for ever; the index is then left for others to check.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.pool.s.o.Release)
	defer cancel()
	lerr := h.pool.locked(ctx, func(ix *index) error {
		for _, i := range h.lease.Slots {
			if i < len(ix.limits) && ix.limits[i] != 0 && h.pool.look(i).free() { // nobody has it again
				ix.mark(i, 0)
			}
		}
		return nil
	})
	if errors.Is(lerr, context.DeadlineExceeded) {
		lerr = nil // the slots are free all the same, and who is stuck in the lock is no news of this job
	}
	return errors.Join(err, lerr)
}
