//go:build unix

package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

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

// seqOf returns the number in a ticket's name; false: no ticket has such a name.
func seqOf(name string) (uint64, bool) {
	priority, rest, _ := strings.Cut(name, "-")
	number, key, keyed := strings.Cut(rest, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	_, perr := strconv.ParseUint(priority, 10, 8)
	_, kerr := strconv.ParseUint(key, 16, 64)
	return seq, err == nil && seq < mostTickets && perr == nil && len(priority) == 2 && len(number) == 12 && (kerr == nil || !keyed)
}

// mostTickets leaves room for all that are to come, in a name of that length.
const mostTickets = 900_000_000_000

// tickets lists the line, without sorting. What has another name is none of ours.
func (p *pool) tickets() ([]string, error) {
	found, err := p.names(line)
	return slices.DeleteFunc(found, func(n string) bool {
		_, ok := seqOf(n)
		return !ok
	}), err
}

func (p *pool) openTicket(name string, to purpose) (*os.File, error) {
	return p.openFile(line, name, to)
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
	size     int // of its file
}

// lookTicket finds out what a ticket is in truth. A ticket that is neither
// standing nor kept is left over from a waiter that was killed, and is removed by
// who finds it; what no waiter of this pool has written is nobody's place, and stays.
// One that cannot be looked at is an error, because its waiter may live.
func (p *pool) lookTicket(name string) (st ticketState, err error) {
	f, err := p.openTicket(name, reading)
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
	b, err := readAll(f)
	if err != nil {
		return st, err
	}
	st.size = len(b)
	r, err := parseRecord(b)
	if err != nil || r == nil || r.ticket == nil || !p.isOurs(r.ticket.ID) {
		// Of a newer berth, or no ticket: not ours to judge, and it blocks nobody.
		st.kept = !st.standing && (errors.Is(err, errNewer) || !p.unwritten(b))
		return st, nil
	}
	st.ticket, st.stop = r.ticket, r.stop
	st.passed = r.aside != nil && !r.aside.Back
	if !st.standing {
		p.judgeTicket(&st, r)
	}
	return st, nil
}

func (p *pool) isOurs(id string) bool { return strings.HasPrefix(id, p.name+"/") }

// unwritten: a waiter of this pool was killed before it had written its ticket, or
// a power cut or a full disk left a part of it, or NULs.
func (p *pool) unwritten(b []byte) bool {
	begin := fmt.Appendf(nil, `{"v":%d,"id":"%s/`, lease.Version, p.name)
	return len(bytes.Trim(b, "\x00")) == 0 || bytes.HasPrefix(b, begin) && !bytes.Contains(b, []byte("\n"))
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
	return a.Boot == p.s.o.Boot && p.s.Clock().Sub(a.Left) < r.ticket.Grace
}

// note appends to a ticket. One that cannot be written is noted by the next
// who finds it.
func (p *pool) note(name string, a *aside) error {
	f, err := p.openTicket(name, writing)
	if err != nil {
		return err
	}
	defer f.Close()
	if r, err := readRecord(f); err != nil || r == nil || r.ticket == nil || !p.isOurs(r.ticket.ID) {
		return fmt.Errorf("%s is no ticket of pool %s", f.Name(), p.name)
	}
	return appendLine(f, note{Aside: a})
}

// asideNow is a note of this moment; gone: its waiter will not come back itself.
func (p *pool) asideNow(gone bool) *aside {
	return &aside{Left: p.s.Clock(), Boot: p.s.o.Boot, Gone: gone}
}
