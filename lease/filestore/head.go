//go:build unix

package filestore

import (
	"context"
	"time"

	"berth/lease"
)

// head is what the first of the line knows of the slots. The zero value is for a
// place that has others before it: when it becomes the head, all are to be checked.
//
// It sleeps until something tells it that a slot may have become free:
//
//   - an event of the slot's file: it was closed by somebody who could write it.
//     The kernel sends that BEFORE the lock goes with the file, and a release
//     sends it on purpose before it unlocks. A releaser that is stopped between
//     an unlock and its event would leave us asleep beside a free slot.
//   - so after an event it looks again a few times, and goes on, more and more
//     rarely, for as long as a slot is locked that is marked free (its release is
//     under way), or whose processes are gone.
//   - the end of a process, by pidfd: where the event came before there was a
//     watch, or where there is none, because the job closed what it inherited.
//   - and every Timings.Head, for what none of these tells.
type head struct {
	watch     *watch
	unwatched bool // no watch is to be had

	survey  survey         // what the next look checks, or the last one found
	again   int            // how often it has looked again since the last event
	leaving bool           // a slot that should be free by now is still locked
	over    map[int]string // leases whose processes were seen to be gone, by slot

	lookAt     time.Time // when it checks all slots by itself
	pacedUntil time.Time // when the pool's paces let us start
}

// following: the last event is still being followed up.
func (h *head) following(o *Timings) bool { return h.leaving || h.again < len(o.Again) }

// looked is told what came of a look.
func (h *head) looked(o *Timings, v lease.Verdict) {
	now := time.Now()
	if h.survey.all {
		h.lookAt = now.Add(o.Head)
	}
	leaving := map[int]bool{}
	for i, st := range h.survey.held {
		if st.leaving() {
			leaving[i] = true
		}
	}
	h.leaving = len(leaving) > 0
	if h.watch != nil && h.again >= len(o.Again) {
		h.survey.all, h.survey.some = false, leaving // now events name them
	}
	h.pacedUntil = now.Add(v.After)
}

// suspect has the next looks check these slots, too (-1: all).
func (h *head) suspect(slots ...int) {
	h.again = 0
	for _, i := range slots {
		if i < 0 {
			h.survey.all = true
		}
		h.survey.add(i)
	}
}

// slept is told that nothing came for as long as patience said.
func (h *head) slept(o *Timings) {
	if h.following(o) {
		h.again++
	}
	if !time.Now().Before(h.lookAt) {
		h.survey.all = true
	}
}

// patience is how long the head sleeps without an event. A Wait that somebody
// ends again and again does not put off the look at all slots.
func (h *head) patience(o *Timings) time.Duration {
	d := time.Until(h.lookAt)
	switch {
	case h.watch == nil:
		d = o.Poll
	case h.again < len(o.Again):
		d = o.Again[h.again]
	case h.leaving: // a little longer each time: somebody may have stopped it
		d = min(d, 20*time.Millisecond<<min(h.again-len(o.Again), 10))
	}
	if paced := time.Until(h.pacedUntil); paced > 0 {
		d = min(d, paced)
	}
	return d
}

// expect has the watch tell of the end of processes that give a slot back
// without an event. It runs outside of the pool's lock, for it asks the machine.
func (h *head) expect(p *pool) {
	for i, st := range h.survey.held {
		if st.record == nil || st.record.lease == nil {
			continue
		}
		ends := p.ends(st)
		if len(ends) == 0 || h.watch.follow(i, ends, p.s.o.Alive) {
			continue
		}
		// All are gone, or cannot be followed: what they held is free, or is just
		// about to be, unless a daemon of theirs has it. Look more and more rarely.
		if id := st.record.lease.ID; h.over[i] != id {
			if h.over == nil {
				h.over = map[int]string{}
			}
			h.over[i], h.again = id, 0
		}
		h.survey.add(i)
		h.leaving = true
	}
	clear(h.survey.held)
}

// ends are the processes whose end may free a slot without an event, in the order
// in which they are likely to end; none when its berth lives, which will tell, or
// cannot be seen from here.
func (p *pool) ends(st slotState) (all []lease.Process) {
	s, l := p.s, st.record.lease
	if !s.here(l.Owner) || st.locked && !s.o.Ending(l.Owner) {
		return nil
	}
	all = append(all, l.Owner)
	if c := st.record.child; c != nil {
		all = append(all, *c)
	} else if c := p.startedFor(l.ID); c != nil { // its berth was killed before it could record it
		all = append(all, *c)
	}
	return all
}

// here: a process of this boot of this machine and of our pid namespace.
func (s *Store) here(p lease.Process) bool { return p.Boot == s.o.Boot && p.PIDNS == s.o.PIDNS }

func (t *place) waitHead(ctx context.Context) error {
	h, o := &t.head, &t.pool.s.o.Timings
	if h.watch == nil && !h.unwatched {
		var w *watch
		d, err := t.pool.in(slots, true)
		if err == nil {
			w, err = newWatch(d)
		}
		h.watch, h.unwatched = w, err != nil
		h.again = len(o.Again)
		h.survey.all = true
		if err == nil {
			return nil // look once more, for what happened before the watch began
		}
	}
	if h.watch != nil {
		h.expect(t.pool)
	}
	slots, err := h.await(ctx, o)
	switch {
	case len(slots) > 0: // before the end of ctx: nobody will tell us twice
		h.suspect(slots...)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil: // of the watch: look at all slots, then try another one
		h.close()
		h.survey.all = true
	default:
		h.slept(o)
	}
	return nil
}

// await sleeps until a slot is closed, or for as long as the head has patience.
func (h *head) await(ctx context.Context, o *Timings) ([]int, error) {
	if h.watch != nil {
		return h.watch.wait(ctx, h.patience(o))
	}
	select {
	case <-time.After(h.patience(o)):
	case <-ctx.Done():
	}
	return nil, nil
}

// close closes the watch on the side, for that takes 10 to 20 ms. A head that got
// its slot does so only once the child runs: a fork in between would make the
// child's close-on-exec the last close, and the child wait for it.
func (h *head) close() {
	if h.watch != nil {
		go h.watch.close()
		h.watch = nil
	}
}
