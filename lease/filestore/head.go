//go:build unix

package filestore

import (
	"context"
	"time"

	"berth/lease"
)

// head is what the first waiter of the line knows about the slots. It sleeps until
// something tells it that a slot may be free:
//
//   - An event: a process that could write the slot's file has closed it. The kernel
//     sends the event BEFORE it drops the lock. A release sends one on purpose before
//     it unlocks: if it were stopped between its unlock and a later event, it would leave the
//     head asleep beside a free slot. So after an event the head checks again a few
//     times. For as long as a slot is locked that should be free, it then checks
//     with growing pauses.
//   - The end of a process, by pidfd: for an event that came before there was a watch,
//     and for a slot without an event, because the job closed what it inherited.
//   - Timings.FullCheck, for what none of these tells.
//
// The zero value is that of a waiter behind others, with no slot to check.
type head struct {
	watch     *watch // nil: there is none, or none yet
	unwatched bool   // no watch is available

	scan      slotScan       // which slots the next check covers, and what the last one found
	checks    int            // since the last event
	releasing bool           // a slot is locked that should be free: it is being released, or its processes are gone
	goneLease map[int]string // by slot: the lease whose processes are known to be gone

	fullCheck  time.Time // when all slots are due to be checked
	pacedUntil time.Time // when the pool's paces let us start; zero: they do not delay us
}

// phase is what the head does between two checks.
type phase int

const (
	polling   phase = iota // it cannot watch: it checks every Timings.Poll
	following              // after an event: it checks after each of Timings.FollowUps
	draining               // those are over: it checks with growing pauses
	watching               // it waits for an event
)

func (h *head) phase(o *Timings) phase {
	switch {
	case h.watch == nil:
		return polling
	case h.checks < len(o.FollowUps):
		return following
	case h.releasing:
		return draining
	default:
		return watching
	}
}

// timeout is how long the head sleeps without an event. A Wait that the caller ends
// again and again does not put off the full check.
func (h *head) timeout(o *Timings) time.Duration {
	d := time.Until(h.fullCheck)
	switch h.phase(o) {
	case polling:
		d = o.Poll
	case following:
		d = o.FollowUps[h.checks]
	case draining:
		d = min(d, 20*time.Millisecond<<min(h.checks-len(o.FollowUps), 10))
	}
	if !h.pacedUntil.IsZero() { // max 0: it may already be over
		d = min(d, max(0, time.Until(h.pacedUntil)))
	}
	return d
}

// onChecked takes in what a check of the slots has found.
func (h *head) onChecked(o *Timings, v lease.Verdict) {
	now := time.Now()
	if h.scan.all {
		h.fullCheck = now.Add(o.FullCheck)
	}
	h.pacedUntil = time.Time{}
	if v.After > 0 {
		h.pacedUntil = now.Add(v.After)
	}
	suspects := map[int]bool{}
	for i, st := range h.scan.inUse {
		if st.beingReleased() {
			suspects[i] = true
		}
	}
	h.releasing = len(suspects) > 0
	if p := h.phase(o); p == draining || p == watching {
		h.scan.all, h.scan.some = false, suspects // from now on events name the slots
	}
}

// onEvents has the next checks cover these slots, too (-1: all).
func (h *head) onEvents(slots []int) {
	h.checks = 0
	for _, i := range slots {
		if i < 0 {
			h.scan.all = true
		}
		h.scan.add(i)
	}
}

// onTimeout: nothing came for as long as timeout said.
func (h *head) onTimeout(o *Timings) {
	if p := h.phase(o); p == following || p == draining {
		h.checks++
	}
	if !time.Now().Before(h.fullCheck) {
		h.scan.all = true
	}
}

// followProcesses has the watch report the end of the processes that give a slot back
// without an event. It reads /proc, so it does not run under the pool's lock.
func (h *head) followProcesses(p *pool) {
	for i, st := range h.scan.inUse {
		if st.record == nil || st.record.lease == nil {
			continue
		}
		ends := p.silentEnds(st)
		if len(ends) == 0 || h.watch.follow(i, ends, p.s.opts.Alive) {
			continue
		}
		// All of them are gone, or cannot be followed: the slot is free or about to
		// be, unless a daemon that the job left behind has it.
		if id := st.record.lease.ID; h.goneLease[i] != id {
			if h.goneLease == nil {
				h.goneLease = map[int]string{}
			}
			h.goneLease[i], h.checks = id, 0
		}
		h.scan.add(i)
		h.releasing = true
	}
	clear(h.scan.inUse)
}

// silentEnds are the processes whose end may free a slot without an event, the likeliest
// first. There are none if the slot's berth lives, which will send one, or cannot be
// seen from here.
func (p *pool) silentEnds(st slotState) (all []lease.Process) {
	s, l := p.s, st.record.lease
	a := st.record.adopter
	if !s.isLocal(l.Owner) || st.locked && (!s.opts.Ending(l.Owner) || a != nil && !s.opts.Ending(*a)) {
		return nil
	}
	all = append(all, l.Owner)
	if a != nil {
		all = append(all, *a)
	}
	if c := st.record.child; c != nil {
		all = append(all, *c)
	} else if c := p.processOf(l.ID); c != nil { // its berth was killed before it could record it
		all = append(all, *c)
	}
	return all
}

func (t *place) waitHead(ctx context.Context) error {
	h, o := &t.head, &t.pool.s.opts.Timings
	if h.watch == nil && !h.unwatched && h.startWatch(t.pool) {
		return nil // check once more: something may have happened before the watch began
	}
	if h.watch != nil {
		h.followProcesses(t.pool)
	}
	slots, err := h.sleep(ctx, o)
	switch {
	case len(slots) > 0: // also when ctx is over: an event comes only once
		h.onEvents(slots)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil: // of the watch: check all slots, then try another one
		h.close()
		h.scan.all = true
	default:
		h.onTimeout(o)
	}
	return nil
}

// startWatch reports whether there is a watch now.
func (h *head) startWatch(p *pool) bool {
	d, err := p.in(slots, true)
	if err == nil {
		h.watch, err = newWatch(d)
	}
	h.unwatched = err != nil
	h.checks = len(p.s.opts.FollowUps)
	h.scan.all = true
	return err == nil
}

// sleep returns the slots whose files were closed, or none at the timeout.
func (h *head) sleep(ctx context.Context, o *Timings) ([]int, error) {
	if h.watch != nil {
		return h.watch.wait(ctx, h.timeout(o))
	}
	select {
	case <-time.After(h.timeout(o)):
	case <-ctx.Done():
	}
	return nil, nil
}

// close closes the watch in the background, which takes 10 to 20 ms. A head that has
// its slot calls it only once the child runs: a fork in between would make the
// child's close-on-exec the last close, and the child would wait for it.
func (h *head) close() {
	if h.watch != nil {
		go h.watch.close()
		h.watch = nil
	}
}
