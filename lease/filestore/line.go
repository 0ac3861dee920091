//go:build unix

package filestore

import (
	"slices"

	"berth/lease"
)

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
