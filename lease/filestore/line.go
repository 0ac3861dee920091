//go:build unix

package filestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"berth/lease"
)

// The line is a chain: a waiter blocks in flock(2) on the ticket just before
// its own, so whatever happens in front of it wakes one process and the rest
// sleep in the kernel. Only the head watches the slots. (Watching only one's
// predecessor is how etcd's and ZooKeeper's lock recipes avoid the herd.)
//
// Waking means nothing but: look again, under the pool's lock.

// place is a ticket of ours. The zero predecessor means: we are the head.
type place struct {
	pool   *pool
	ticket lease.Ticket
	name   string
	own    *fileLock // held while we stand in the line

	listed  bool   // the line was read at index.change == change
	change  uint64 // then
	pred    string // the waiter before us then, "" for the head
	passing bool   // we passed a frozen waiter, who may go on at any moment

	slow   bool                     // the next look also asks whether the one before us is frozen
	blocks map[string]chan struct{} // tickets that we wait for, or once did and they still stand

	head head // of use once pred is ""

	size    int64 // of the ticket's file as far as we wrote or read it
	stopped bool  // somebody asked us to leave
}

// Line implements lease.Store.
func (s *Store) Line(ctx context.Context, r lease.Request) (lease.Place, error) {
	if err := checkWeight(r.Weight); err != nil {
		return nil, err
	}
	p, err := s.pool(r.Pool, true)
	if err != nil {
		return nil, err
	}
	t := &place{pool: p}
	enter := func(ix *index) error {
		if r.Key != "" {
			if ok, err := t.reclaim(ix, r); ok || err != nil {
				return err
			}
		}
		return t.join(ix, r)
	}
	err = p.locked(ctx, enter)
	for try := 0; errors.Is(err, errTicketHeld) && ctx.Err() == nil && try < 100; try++ {
		// Somebody who waited for a kept ticket has its lock for the moment
		// of waking up. The place is worth another try.
		time.Sleep(time.Millisecond)
		err = p.locked(ctx, enter)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	// The first time costs 90 µs. Here it delays nobody; at a hand-over it would.
	_, _ = json.Marshal(&lease.Lease{Request: r, Slots: []int{0}, Since: time.Now()})
	return t, nil
}

// join makes a ticket at the end of its priority.
func (t *place) join(ix *index, r lease.Request) error {
	p := t.pool
	ix.ticket++
	ix.line++
	t.ticket = lease.Ticket{Version: lease.Version, Request: r, Seq: ix.ticket, Since: time.Now()}
	t.name = ticketName(r.Priority, ix.ticket, r.Key)
	tickets, err := p.tickets()
	if err != nil {
		return err
	}
	for _, n := range tickets {
		if n > t.name {
			ix.change++ // others are behind us from the start
			break
		}
	}
	// Counted before it is made: a count that is too high costs a look, one
	// that is too low would let somebody overtake.
	if err := ix.save(); err != nil {
		return err
	}
	for step := uint64(1); ; step *= 2 {
		err := t.write(anew)
		if !errors.Is(err, fs.ErrExist) || step > 1<<20 {
			return err
		}
		// The name was taken by something that no berth put there: the index
		// counts up before a ticket is made. It is not ours to write over.
		ix.ticket += step
		t.ticket.Seq, t.name = ix.ticket, ticketName(r.Priority, ix.ticket, r.Key)
		if err := ix.save(); err != nil {
			return err
		}
	}
}

// write fills the ticket's file, locked by us. With writing it was there before:
// kept for its key.
func (t *place) write(to purpose) error {
	f, err := t.pool.openTicket(t.name, to)
	if err != nil {
		return err
	}
	defer f.Close()
	if r, err := readRecord(f); to == writing && (err != nil || r == nil || r.ticket == nil || r.ticket.Seq != t.ticket.Seq || r.ticket.Key != t.ticket.Key) {
		return fmt.Errorf("the ticket %s was replaced", f.Name())
	}
	ok := false
	if t.own, err = t.pool.ticketLock(t.name); err == nil {
		ok, err = t.own.TryLock()
	}
	switch {
	case err != nil:
		_ = t.pool.removeTicket(t.name)
		return fmt.Errorf("cannot lock the ticket %s: %w", f.Name(), err)
	case !ok:
		return fmt.Errorf("cannot lock the ticket %s: %w", f.Name(), errTicketHeld)
	}
	if err := t.fill(f); err != nil {
		_ = t.pool.removeTicket(t.name)
		t.own.Unlock()
		return err
	}
	return nil
}

// fill writes over what a kept ticket held, in one write, and cuts off the notes
// after it. Cut first, and killed in between, it would not keep its place any more.
func (t *place) fill(f *os.File) error {
	b, err := json.Marshal(t.ticket)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	b = append(b, '\n')
	t.size = int64(len(b))
	if rest := int(fi.Size() - t.size); rest > 0 { // a line of blanks is none
		b = append(append(b, bytes.Repeat([]byte(" "), rest-1)...), '\n')
	}
	if _, err = f.WriteAt(b, 0); err != nil || int64(len(b)) == t.size {
		return err
	}
	return f.Truncate(t.size)
}

var errTicketHeld = errors.New("somebody holds it")

// reclaim takes over a ticket that was kept for the request's key.
func (t *place) reclaim(ix *index, r lease.Request) (bool, error) {
	p := t.pool
	tickets, err := p.tickets()
	if err != nil {
		return false, err
	}
	slices.Sort(tickets) // of several, the first place
	for _, n := range tickets {
		if !strings.HasSuffix(n, "-"+keyHash(r.Key)) {
			continue
		}
		st, err := p.lookTicket(n)
		if err != nil {
			return false, err
		}
		// Not that of a waiter who is only stopped: he comes back for it.
		if !st.kept || !st.orphan || st.ticket == nil || st.ticket.Key != r.Key {
			continue
		}
		t.name = n
		t.ticket = *st.ticket
		r.Priority = st.ticket.Priority // the place is what was kept
		t.ticket.Request = r
		ix.change++ // whoever passed it is behind it again
		return true, t.write(writing)
	}
	return false, nil
}

// before reads the line and returns the waiter just before name that is to be
// waited for ("": none), and how many tickets come before name at all. Tickets
// of the dead are removed on the way. With frozen set, waiters that are
// stopped are passed, and passed says that there was one.
func (p *pool) before(ix *index, name string, frozen bool) (pred string, ahead int, passed bool, err error) {
	tickets, err := p.tickets()
	if err != nil {
		return "", 0, false, err
	}
	left, swept := len(tickets), 0
	front := slices.DeleteFunc(tickets, func(n string) bool { return n >= name })
	for looked := 0; pred == "" && len(front) > 0; looked++ {
		if looked == manyDead {
			slices.Sort(front)
		}
		n := popLast(&front, looked >= manyDead)
		st, err := p.lookTicket(n)
		switch {
		case err != nil:
			return "", 0, false, err
		case st.standing && (frozen || st.passed) && p.isFrozen(st):
			if !st.passed {
				_ = p.note(n, p.asideNow(false))
			}
			passed = true
		case st.standing:
			pred, ahead = n, len(front)+1
		case st.kept:
			if st.orphan && !st.noted {
				_ = p.note(n, p.asideNow(true)) // from now on its grace is counted
			}
		default:
			if swept++; swept == 1 {
				err = p.willRemove(ix)
			}
			if err == nil {
				err = p.removeTicket(n)
			}
			if err != nil {
				return "", 0, false, err
			}
		}
	}
	left -= swept
	if left != ix.line && swept == 0 {
		ix.change++ // somebody removed one who could not say so
	}
	ix.line = left
	return pred, ahead, passed, nil
}

// manyDead is after how many that need not be waited for the rest is sorted.
const manyDead = 16

// popLast takes the greatest name out. Nearly always the first one taken is the
// one that is waited for, so this is cheaper than sorting them all.
func popLast(names *[]string, sorted bool) string {
	n := *names
	last := len(n) - 1
	for i := 0; !sorted && i < len(n); i++ {
		if n[i] > n[last] {
			last = i
		}
	}
	name := n[last]
	n[last] = n[len(n)-1]
	*names = n[:len(n)-1]
	return name
}

func (p *pool) isFrozen(st ticketState) bool {
	return st.ticket != nil && p.s.o.Frozen(st.ticket.Owner)
}

// willRemove says that a ticket other than the head's goes. It comes before that:
// killed in between, whoever stood behind it would find it gone, nothing changed,
// and think himself the head.
func (p *pool) willRemove(ix *index) error {
	ix.change++
	return ix.save()
}

func (p *pool) removeTicket(name string) error {
	return p.remove(line, name)
}

// lastName sorts behind every ticket.
const lastName = "~"

// aheadOfNewcomer returns how many waiters go before a request without a ticket.
func (p *pool) aheadOfNewcomer(ix *index, r lease.Request) (int, error) {
	if ix.line == 0 {
		return 0, nil
	}
	pred, ahead, _, err := p.before(ix, ticketName(r.Priority, ix.ticket+1, ""), false)
	if err == nil && pred == "" && ix.line > 0 {
		// What dead waiters of a lower priority left is behind everybody, and
		// would have every newcomer read the line.
		_, _, _, err = p.before(ix, lastName, false)
	}
	return ahead, err
}
