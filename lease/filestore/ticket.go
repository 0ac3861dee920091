//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"berth/lease"
)

// ticketName sorts by priority, then arrival. A key is part of it as a hash,
// so that its owner finds the ticket without opening all of them.
func ticketName(priority int, seq uint64, key string) string {
	name := fmt.Sprintf("%02d-%012d", priority+20, seq)
	if key != "" {
		name += "-" + keyHash(key)
	}
	return name
}

func keyHash(key string) string {
	h := fnv.New64a()
	h.Write([]byte(key))
	return strconv.FormatUint(h.Sum64(), 16)
}

// seqOf returns the number in a ticket's name, 0 if it is no ticket.
func seqOf(name string) uint64 {
	parts := strings.Split(name, "-")
	if len(parts) < 2 || len(parts[0]) != 2 || len(parts[1]) != 12 {
		return 0
	}
	n, _ := strconv.ParseUint(parts[1], 10, 64)
	return n
}

func (p *pool) openTicket(name string, create, readOnly bool) (*os.File, error) {
	return p.openFile(line, name, create, readOnly)
}

func (p *pool) ticketLock(name string) (*fileLock, error) {
	d, err := p.in(line, false)
	if err != nil {
		return nil, err
	}
	l := d.lock(name)
	return l, l.open()
}

// ticketState is what a look at one ticket found.
type ticketState struct {
	standing bool // its waiter lives and waits for its turn
	kept     bool // nobody waits for it now, but its place is kept
	orphan   bool // its waiter is gone: it belongs to its key
	noted    bool // and somebody has noted since when
	passed   bool // somebody found it frozen before: others need not wait to find out
	ticket   *lease.Ticket
	stop     *lease.Stop
}

// lookTicket finds out what a ticket is in truth. A ticket that is neither
// standing nor kept is left over from a waiter that was killed; one that cannot
// be looked at is an error, because its waiter may live.
func (p *pool) lookTicket(name string) (st ticketState, err error) {
	f, err := p.openTicket(name, false, true)
	var foreign notOursError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return st, nil
	case errors.As(err, &foreign):
		return ticketState{kept: true}, nil // nobody's place, and it blocks nobody
	case err != nil:
		return st, err
	}
	defer f.Close()
	if st.standing, err = lockedByAnother(f); err != nil {
		return st, err
	}
	r, err := readRecord(f)
	if errors.Is(err, errNewer) {
		st.kept = !st.standing // not ours to judge, and it blocks nobody
		return st, nil
	}
	if err != nil || r == nil || r.ticket == nil {
		return st, nil // killed before it had written it
	}
	st.ticket, st.stop = r.ticket, r.stop
	st.passed = r.aside != nil && !r.aside.Back
	if !st.standing {
		p.judgeTicket(&st, r)
	}
	return st, nil
}

// judgeTicket decides whether an unlocked ticket keeps its place: its waiter
// stepped aside and lives, or it has a key and the grace is not over.
func (p *pool) judgeTicket(st *ticketState, r *record) {
	a := r.aside
	st.noted = a != nil && a.Gone
	st.orphan = st.noted || !p.s.o.Alive(r.ticket.Owner)
	switch {
	case !st.orphan && a != nil && !a.Back:
		st.kept = true
	case r.ticket.Key == "" || r.stop != nil: // or it is just dying
	case !st.noted:
		st.kept = true // the grace begins when somebody notes it
	default:
		st.kept = p.inGrace(r)
	}
}

func (p *pool) inGrace(r *record) bool {
	a := r.aside
	return a.Boot == p.s.o.Boot && p.s.Clock()-time.Duration(a.Left) < r.ticket.Grace
}

// note appends to a ticket. One that cannot be written is noted by the next
// who finds it.
func (p *pool) note(name string, a *aside) error {
	f, err := p.openTicket(name, false, false)
	if err != nil {
		return err
	}
	defer f.Close()
	return appendLine(f, note{Aside: a})
}

// asideNow is a note of this moment; gone: its waiter will not come back itself.
func (p *pool) asideNow(gone bool) *aside {
	return &aside{Left: int64(p.s.Clock()), Boot: p.s.o.Boot, Gone: gone}
}
