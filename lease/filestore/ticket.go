//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

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
	if len(parts) < 2 || len(parts[0]) != 2 || len(parts[1]) < 12 {
		return 0
	}
	n, _ := strconv.ParseUint(parts[1], 10, 64)
	return n
}

func (p *pool) ticketPath(name string) string { return p.path("line", name) }

func (p *pool) ticketLock(name string) *flock.Flock {
	return flock.New(p.ticketPath(name), flock.SetFlag(unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC))
}

// ticketState is what a look at one ticket found.
type ticketState struct {
	standing bool // its waiter lives and waits for its turn
	kept     bool // nobody waits for it now, but its place is kept
	died     bool // kept for its key, and nobody has noted yet that its waiter is gone
	passed   bool // somebody found it frozen before: others need not wait to find out
	ticket   *lease.Ticket
	stop     *lease.Stop
}

// lookTicket finds out what a ticket is in truth. A ticket that is neither
// standing nor kept is left over from a waiter that was killed.
func (p *pool) lookTicket(name string) ticketState {
	f, err := p.s.openFile(p.ticketPath(name), false, true)
	if err != nil {
		return ticketState{}
	}
	defer f.Close()
	locked, err := lockedByAnother(f)
	if err != nil {
		return ticketState{}
	}
	st := ticketState{standing: locked}
	r, err := readRecord(f)
	if errors.Is(err, errNewer) {
		st.kept = !locked // not ours to judge, and it blocks nobody
		return st
	}
	if err != nil || r == nil || r.ticket == nil {
		return st // killed before it had written it
	}
	st.ticket, st.stop = r.ticket, r.stop
	st.passed = r.aside != nil && !r.aside.Back
	if !locked {
		st.kept = p.keeps(r)
		st.died = r.aside == nil || !r.aside.Gone
	}
	return st
}

// keeps decides whether the unlocked ticket of r keeps its place: its waiter
// stepped aside and lives, or it has a key and the grace is not over.
func (p *pool) keeps(r *record) bool {
	a := r.aside
	if a != nil && !a.Back && !a.Gone && p.s.o.Alive(r.ticket.Owner) {
		return true
	}
	if r.ticket.Key == "" {
		return false
	}
	if a == nil || a.Back {
		return true // died without a word; the grace begins when somebody notes it
	}
	return a.Boot == p.s.o.Boot && time.Duration(a.Left)+r.ticket.Grace > p.s.Clock()
}

// note appends to a ticket. One that cannot be written is noted by the next
// who finds it.
func (p *pool) note(name string, a *aside) error {
	f, err := p.s.openFile(p.ticketPath(name), false, false)
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
