//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// TryAcquire implements lease.Store.
func (s *Store) TryAcquire(ctx context.Context, r lease.Request) (h lease.Holding, v lease.Verdict, err error) {
	if err := checkWeight(r.Weight); err != nil {
		return nil, v, err
	}
	p, err := s.pool(r.Pool, true)
	if err != nil {
		return nil, v, err
	}
	var got *holding
	err = p.locked(ctx, func(ix *index) error {
		ahead, err := p.countAhead(ix, r)
		if err != nil {
			return err
		}
		got, v, err = p.take(ix, candidate{Request: r, ahead: ahead}, everySlot(), true)
		if got == nil {
			return err
		}
		return p.commit(ix, got, nil)
	})
	if err != nil || got == nil {
		p.close()
		return nil, v, err // a nil interface, not a nil *holding in one
	}
	return got, v, nil
}

// ownFiles is how many descriptors this process has open besides those of its slots.
const ownFiles = 32

// checkWeight refuses to take more slots than this process can have open: each is a lock on a
// file of its own. Otherwise we would find out only after making hundreds of files.
func checkWeight(weight int) error {
	var may unix.Rlimit
	if weight == 1 || unix.Getrlimit(unix.RLIMIT_NOFILE, &may) != nil {
		return nil
	}
	if most := uint64(may.Cur) - min(ownFiles, uint64(may.Cur)); uint64(weight) > most {
		return fmt.Errorf("a weight of %d takes as many open files, and this process may have %d (ulimit -n): at most %d", weight, may.Cur, most)
	}
	return nil
}

// candidate is a request that is to be decided on.
type candidate struct {
	lease.Request
	ahead     int // waiters that go first
	clearance lease.Clearance
}

// take decides, and takes the slots if the answer is yes. Those of scan are checked
// first: they may be free though the index does not say so. With lazily they
// are checked only if the request would be refused.
func (p *pool) take(ix *index, c candidate, scan *slotScan, lazily bool) (*holding, lease.Verdict, error) {
	own, err := p.ownSettings()
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	starts, err := p.starts(ix)
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	decide := func() lease.Verdict {
		used, asked := ix.used()
		return lease.Decide(lease.PoolState{
			Own: own, Used: used, RequestedLimit: asked, Ahead: c.ahead, Starts: starts, Clock: p.s.Clock(),
		}, c.Request, c.clearance)
	}
	v := decide()
	var bad *lease.DamagedError
	if !lazily || v.Reason == lease.Full || v.Limit < lease.Smallest(own.Limit, c.LimitIn(own.Limit)) {
		bad = p.checkSlots(ix, scan)
		v = decide()
	}
	granted := c.Request
	granted.Conditions = lease.Conditions{Need: c.Needs(own)} // paces and gates matter only until the start
	for try := 0; v.Reason == lease.Ready && try <= len(ix.limits)+c.Weight; try++ {
		h, err := p.grant(ix, granted, own, v.Limit)
		if err == nil && h != nil {
			h.lease.Start, err = p.recordStart(ix, &starts, c.Paces(own)...)
		}
		if err != nil {
			return nil, v, p.revoke(ix, h, err)
		}
		if h != nil {
			return h, v, nil
		}
		scan.all = true // a slot was in use after all, and is marked so now
		bad = p.checkSlots(ix, scan)
		v = decide()
	}
	if v.Reason == lease.Ready { // slots came and went, and none could be locked
		v.Reason = lease.Full
	}
	if v.Reason == lease.Full && bad != nil {
		return nil, v, bad
	}
	p.recordRefusal(&starts, v)
	return nil, v, nil
}

// grant locks r.Weight free slots, the lowest first, and writes the lease into each. It
// returns nil, nil if it found a slot that is or may be in use, and marks it so in the index.
func (p *pool) grant(ix *index, r lease.Request, own lease.Settings, inForce int) (_ *holding, err error) {
	h := &holding{pool: p}
	defer func() {
		if err != nil || len(h.files) < r.Weight {
			_ = p.revoke(ix, h, nil)
		}
	}()
	if err := p.lockFree(ix, h, &r); err != nil || len(h.files) < r.Weight {
		return nil, err
	}
	ix.token++
	h.lease = lease.Lease{
		Version: lease.Version, Request: r, Slots: h.lease.Slots, Token: ix.token,
		InForce: inForce, RequestedLimit: r.Limit, State: lease.Reserved, SlotNames: own.NamesOf(h.lease.Slots), Since: time.Now(),
	}
	for i, f := range h.files {
		if err := p.s.writeLease(f, &h.lease); err != nil {
			return nil, err
		}
		h.files[i] = aboveCaller(f)
	}
	if r.IdleTimeout > 0 {
		if err := p.writeKeepalive(&h.lease, 0); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// lockFree locks free slots for h, and stops at one that is or may be in use.
func (p *pool) lockFree(ix *index, h *holding, r *lease.Request) error {
	mark := r.Limit
	if mark == 0 {
		mark = noLimit
	}
	for i := ix.nextFree(0); len(h.files) < r.Weight; i = ix.nextFree(i + 1) {
		f, st := p.lockSlot(i)
		if st.err != nil && !st.damaged() {
			return st.err
		}
		if f == nil {
			ix.mark(i, st.limit())
			return nil
		}
		h.files, h.lease.Slots = append(h.files, f), append(h.lease.Slots, i)
		if r.Kept { // no other process tries this lock now
			if got, err := flockNB(f, unix.LOCK_SH); err != nil || !got {
				return errors.Join(err, fmt.Errorf("cannot keep the lock of slot %d of pool %s", i, p.name))
			}
		}
		ix.mark(i, mark) // and saved before the child can start
	}
	return nil
}

// commit saves the index before the caller learns of the grant. After err, or if that fails,
// it revokes the grant under the lock that it was made under, and so its start counts
// for no pace.
func (p *pool) commit(ix *index, h *holding, err error) error {
	if err == nil {
		err = ix.save()
	}
	if err == nil {
		return nil
	}
	return p.revoke(ix, h, errors.Join(err, p.undoStart(ix, h.lease.Start)))
}

// revoke gives back the slots of a grant, if there is one, and returns err.
func (p *pool) revoke(ix *index, h *holding, err error) error {
	if h != nil {
		for i, f := range h.files {
			_ = writeFreeMark(f)
			ix.mark(h.lease.Slots[i], 0)
			_ = unlock(f) // explicitly: a child of ours may have inherited it by now
			f.Close()
		}
	}
	return err
}

// lockSlot locks slot i. Without a file, the state says why not.
func (p *pool) lockSlot(i int) (*os.File, slotState) {
	f, err := p.openSlot(i, creating)
	if err != nil {
		return nil, slotState{err: err}
	}
	got, err := tryLock(f)
	if err != nil || !got {
		f.Close()
		return nil, slotState{locked: err == nil, err: err}
	}
	st := p.checkUnlocked(f)
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
