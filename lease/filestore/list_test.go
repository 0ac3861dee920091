//go:build unix

package filestore

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"berth/lease"
)

// TestListIsBounded: what one list reads is bounded by its sum, too: forged records of a
// size that one may have took the memory of the machine. One that is too long is none.
func TestListIsBounded(t *testing.T) {
	ticket := `{"v":1,"id":"p/%012x","pool":"p","command":["%s"],"weight":1,"priority":0,"owner":{"pid":1,"start":7},"uid":0,"seq":1,"key":"k","grace_ns":1}` + "\n"
	held := `{"v":1,"id":"p/%012x","pool":"p","command":["%s"],"weight":1,"priority":0,"owner":{"pid":1,"start":7},"uid":0,"slots":[0],"token":1,"state":"reserved"}` + "\n"
	for where, text := range map[string]string{line: ticket, slots: held} {
		s := newStore(t)
		s.opts.Started = func(string) *lease.Process { return &lease.Process{PID: 1} }
		giveBack(t, takeSlot(t, s, request(1, 1)))
		put := func(n, size int) {
			t.Helper()
			name := strconv.Itoa(n)
			if where == line {
				name = ticketName(0, uint64(n), "k")
			}
			b := fmt.Appendf(nil, text, n, strings.Repeat("x", size))
			if err := os.WriteFile(s.path("p", where, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		const each = maxRecord - 1000
		for n := range 4 {
			put(n, each)
		}
		put(4, maxRecord) // too long for a record
		pools, err := s.List(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		if got := len(pools[0].Waiters); where == line && got != 4 {
			t.Errorf("%d waiters", got)
		}
		if got := pools[0].Holders; where == slots && (len(got) != 5 || got[3].Lease.State == lease.Damaged || got[4].Lease.State != lease.Damaged) {
			t.Errorf("%d holders: %+v", len(got), got)
		}
		for n := range maxListed/each + 1 {
			put(n, each)
		}
		want := s.path("p", where) + ": has records of more than 32 MB"
		if _, err := s.List(t.Context(), "p"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}
