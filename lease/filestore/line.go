//go:build unix

package filestore

import (
	"slices"

	"berth/lease"
)

// The line is read from a place to its front, and only as far as the nearest waiter that has to
// be waited for.

// front is what stands before a place in the line.
type front struct {
	pred         string // the nearest waiter that has to be waited for, "" if there is none
	ahead        int    // tickets from the first of the line to pred, also those that are passed
	passedFrozen bool   // a waiter behind pred is stopped, and was passed
}

// scanLine reads the line before name, from there to its first, up to a waiter that has to
// be waited for. It removes the tickets of the dead on the way. With checkFrozen, it
// finds out for itself which waiters are stopped, and passes them.
func (p *pool) scanLine(ix *index, name string, checkFrozen bool) (f front, err error) {
	tickets, err := p.tickets()
	if err != nil {
		return f, err
	}
	left, swept := len(tickets), 0
	before := slices.DeleteFunc(tickets, func(n string) bool { return n >= name })
	for scanned := 0; f.pred == "" && len(before) > 0; scanned++ {
		if scanned == sortAfter {
			slices.Sort(before)
		}
		n := takeGreatest(&before, scanned >= sortAfter)
		t, err := p.readTicket(n, checkFrozen)
		if err != nil {
			return front{}, err
		}
		switch t.state {
		case standing:
			f.pred, f.ahead = n, len(before)+1
		case frozen:
			_ = p.noteAside(n, p.asideNow(false))
			f.passedFrozen = true
		case frozenPassed:
			f.passedFrozen = true
		case kept:
			_ = p.noteAside(n, p.asideNow(true)) // from now on its grace is counted
		case dead:
			if swept++; swept == 1 {
				err = p.announceRemoval(ix)
			}
			if err == nil {
				err = p.removeTicket(n)
			}
			if err != nil {
				return front{}, err
			}
		}
	}
	left -= swept
	if left != ix.line && swept == 0 {
		ix.change++ // a ticket was removed by hand
	}
	ix.line = left
	return f, nil
}

// sortAfter is how many tickets are searched for one by one. Most often the first ticket
// scanned is the one to wait for, so finding the greatest name costs less than sorting.
const sortAfter = 16

// takeGreatest takes the greatest name out.
func takeGreatest(names *[]string, sorted bool) string {
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

// announceRemoval says in the index that a ticket other than the head's is about to be removed. It
// comes first: if we removed the ticket and were killed before the index is saved, the waiter
// behind it would find it gone and nothing changed, and take itself for the head.
func (p *pool) announceRemoval(ix *index) error {
	ix.change++
	return ix.save()
}

func (p *pool) removeTicket(name string) error {
	return p.remove(line, name)
}

// lastName sorts behind every ticket.
const lastName = "~"

// countAhead returns how many waiters go before a request that has no ticket.
func (p *pool) countAhead(ix *index, r lease.Request) (int, error) {
	if ix.line == 0 {
		return 0, nil
	}
	f, err := p.scanLine(ix, ticketName(r.Priority, ix.ticket+1, ""), false)
	if err == nil && f.pred == "" && ix.line > 0 {
		// Tickets that dead waiters of a lower priority left are behind every
		// newcomer, and each would scan the line because of them.
		_, err = p.scanLine(ix, lastName, false)
	}
	return f.ahead, err
}
