//go:build unix

package filestore

import (
	"testing"
	"time"

	"berth/lease"
)

// TestStateOfATicket: a ticket is waited for, passed, kept or swept by what its record
// says, its lock, and its waiter.
func TestStateOfATicket(t *testing.T) {
	living := map[int]bool{1: true, 2: true} // 2 is stopped
	s, err := Open(t.TempDir(), Options{
		Boot:   "this one",
		Alive:  func(p lease.Process) bool { return living[p.PID] },
		Frozen: func(p lease.Process) bool { return p.PID == 2 },
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &pool{s: s, name: "p"}
	const grace = time.Hour
	now := s.Clock()
	away, back := &aside{Left: now}, &aside{Back: true}
	gone := func(ago time.Duration, boot string) *aside {
		return &aside{Left: now.Add(-ago), Boot: boot, Gone: true}
	}
	stop := &lease.Stop{Reason: "enough"}
	for _, c := range []struct {
		name        string
		owner       int
		key         string
		locked      bool
		note        *aside
		stop        *lease.Stop
		checkFrozen bool
		want        ticketState
	}{
		{name: "waits", owner: 1, locked: true, checkFrozen: true, want: standing},
		{name: "is stopped, and it is not asked", owner: 2, locked: true, want: standing},
		{name: "is stopped", owner: 2, locked: true, checkFrozen: true, want: frozen},
		{name: "was passed", owner: 2, locked: true, note: away, want: frozenPassed},
		{name: "was passed and runs again", owner: 1, locked: true, note: away, want: standing},
		{name: "has stepped aside and is back", owner: 2, locked: true, note: back, want: standing},
		{name: "has stepped aside", owner: 1, note: away, want: stoodAside},
		{name: "has stepped aside, with a key", owner: 1, key: "k", note: away, want: stoodAside},
		{name: "is dying", owner: 1, want: dead},
		{name: "was killed", owner: 9, want: dead},
		{name: "was killed aside", owner: 9, note: away, want: dead},
		{name: "was killed, with a key", owner: 9, key: "k", want: kept},
		{name: "was killed aside, with a key", owner: 9, key: "k", note: away, want: kept},
		{name: "was told to stop, and killed", owner: 9, key: "k", stop: stop, want: dead},
		{name: "left, in its grace", owner: 1, key: "k", note: gone(grace/2, "this one"), want: keptNoted},
		{name: "left long ago", owner: 1, key: "k", note: gone(2*grace, "this one"), want: dead},
		{name: "left before the boot", owner: 1, key: "k", note: gone(0, "another"), want: dead},
	} {
		r := &record{ticket: &lease.Ticket{}, aside: c.note, stop: c.stop}
		r.ticket.Owner.PID, r.ticket.Key, r.ticket.Grace = c.owner, c.key, grace
		if got := p.stateOf(r, c.locked, c.checkFrozen); got != c.want {
			t.Errorf("its waiter %s: %d, want %d", c.name, got, c.want)
		}
	}
}
