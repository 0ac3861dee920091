//go:build linux

package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
	"berth/lease/storetest"
)

// victim makes a directory with files in it that have the names of tickets.
func victim(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range []string{"00-000000000001", "20-000000000007", "letters"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("precious\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func unharmed(t *testing.T, dir string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil || len(found) != 3 {
		t.Errorf("%d files are left, %v; want 3", len(found), err)
	}
	for _, e := range found {
		if b, err := os.ReadFile(filepath.Join(dir, e.Name())); string(b) != "precious\n" {
			t.Errorf("%s is %q, %v", e.Name(), b, err)
		}
	}
}

// TestReplacedByALink: a member that has the pool's lock puts a link in the place of one of the
// pool's directories after berth has checked it. What was behind the link was then swept as
// tickets of dead waiters.
func TestReplacedByALink(t *testing.T) {
	for _, what := range []string{line, slots} {
		for _, to := range []string{"a link", "a directory"} {
			t.Run(what+" by "+to, func(t *testing.T) {
				s, dir := newStore(t), victim(t)
				h := takeSlot(t, s, request(2, 1))
				l, err := s.Line(t.Context(), request(2, 1))
				if err != nil {
					t.Fatal(err)
				}
				where := s.path("p", what)
				if err := os.Rename(where, where+".old"); err != nil {
					t.Fatal(err)
				}
				if to == "a link" {
					err = os.Symlink(dir, where)
				} else {
					err = os.Rename(dir, where)
				}
				if err != nil {
					t.Fatal(err)
				}
				g, v, err := l.TryAcquire(t.Context(), lease.Clearance{})
				if to == "a link" && (err == nil || !strings.Contains(err.Error(), "is a symbolic link, not a directory")) {
					t.Errorf("%v, %+v, %v", g, v, err)
				}
				_ = l.Leave(t.Context())
				_, _ = h.Renew(t.Context(), 0)
				_ = h.Release(t.Context())
				if to == "a link" {
					unharmed(t, dir)
				} else {
					for _, n := range []string{"00-000000000001", "20-000000000007", "letters"} {
						if b, err := os.ReadFile(filepath.Join(where, n)); string(b) != "precious\n" {
							t.Errorf("%s is %q, %v", n, b, err)
						}
					}
				}
			})
		}
	}
}

// TestReplacedPool: a pool whose directory was replaced is another pool, and a lease
// in the old one is lost.
func TestReplacedPool(t *testing.T) {
	s := newStore(t)
	h := takeSlot(t, s, request(1, 1))
	if err := os.Rename(s.path("p"), s.path("q")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Renew(t.Context(), 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew: %v, want ErrLost", err)
	}
	giveBack(t, takeSlot(t, s, request(1, 1)))
	if _, err := h.Renew(t.Context(), 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew: %v, want ErrLost", err)
	}
}

// TestOnlyTicketsAreSwept: a file that no waiter of this pool has written stays, and blocks no
// waiter. What a waiter has left is swept, even if it is half written.
func TestOnlyTicketsAreSwept(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, request(1, 1)))
	ticket := `{"v":1,"id":"%s/0123456789ab","pool":"p","weight":1,"priority":0,"owner":{"pid":4194304,"start":7},"uid":0,"seq":1,"since":"2001-01-01T00:00:00Z"}`
	of := func(pool string) string { return fmt.Sprintf(ticket, pool) + "\n" }
	files := map[string]struct {
		text string
		left bool
	}{
		"letters":                      {"x", true},
		"20-1":                         {"", true},
		"20-000000000001-":             {"", true},
		"20-000000000001.bak":          {of("p"), true},
		"20-000000000002":              {"precious\n", true},
		"20-000000000003":              {of("other"), true},
		"20-000000000004":              {`{"v":1,"id":"p/0123456789ab","slots":[0]}` + "\n", true},
		"20-000000000005":              {`{"v":99,"id":"p/0123456789ab"}` + "\n", true},
		"20-000000000006":              {of("p"), false},
		"20-000000000007":              {"", false},
		"20-000000000008-0123456789ab": {"\x00\x00\x00", false},
		"20-000000000009":              {of("p")[:40], false},
	}
	for n, c := range files {
		if err := os.WriteFile(s.path("p", "line", n), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := request(1, 1)
	r.Priority = 20
	h := takeSlot(t, s, request(1, 1))
	l, err := s.Line(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, v, err := l.TryAcquire(t.Context(), lease.Clearance{}); err != nil || v.Reason != lease.Full {
		t.Errorf("%+v, %v; want the head of the line", v, err)
	}
	giveBack(t, h)
	g, v, err := l.TryAcquire(t.Context(), lease.Clearance{})
	if err != nil || g == nil {
		t.Fatalf("%+v, %v", v, err)
	}
	giveBack(t, g)
	for n, c := range files {
		b, err := os.ReadFile(s.path("p", "line", n))
		if left := err == nil && string(b) == c.text; left != c.left {
			t.Errorf("%s with %q: left is %v, want %v", n, c.text, left, c.left)
		}
	}
}

// TestNameOfATicketIsTaken: the next one's name can be guessed.
func TestNameOfATicketIsTaken(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, request(1, 1)))
	for i := range 9 {
		name := s.path("p", "line", ticketName(0, uint64(i), ""))
		if err := os.WriteFile(name, []byte("precious\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := takeSlot(t, s, request(1, 1))
	l, err := s.Line(t.Context(), storetest.Request("p", 1))
	if err != nil {
		t.Fatal(err)
	}
	if seq := l.Ticket().Seq; seq < 9 {
		t.Errorf("the ticket is number %d", seq)
	}
	if err := l.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	giveBack(t, h)
	for i := range 9 {
		name := ticketName(0, uint64(i), "")
		if b, err := os.ReadFile(s.path("p", "line", name)); string(b) != "precious\n" {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
}

// TestCrowdedLine: of many files that are no tickets each is read once.
func TestCrowdedLine(t *testing.T) {
	const crowd = 5000
	s := newStore(t)
	giveBack(t, takeSlot(t, s, request(1, 1)))
	p, err := s.pool("p", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for i := range crowd {
		if err := os.WriteFile(s.path("p", "line", ticketName(0, uint64(i), "")), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err = p.locked(t.Context(), func(ix *index) error {
		f, err := p.scanLine(ix, lastName, false)
		if f != (front{}) || ix.line != crowd {
			t.Errorf("%+v, %d in the line", f, ix.line)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPopLast: sorted or not, all of them come out, the greatest first.
func TestTakeGreatest(t *testing.T) {
	for _, sorted := range []bool{false, true} {
		names, out := []string{"c", "a", "d", "b"}, ""
		if sorted {
			slices.Sort(names)
		}
		for len(names) > 0 {
			out += takeGreatest(&names, sorted)
		}
		if out != "dcba" {
			t.Errorf("sorted %v: %s", sorted, out)
		}
	}
}

// TestBoundsOfSmallFiles: a file that is longer than what berth writes there is named.
func TestBoundsOfSmallFiles(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, request(1, 1)))
	for _, name := range []string{"limit", "pace"} {
		path := s.path("p", name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 1<<30); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s: has %d bytes, and what berth writes there at most %d", path, 1<<30, maxSmall)
		if h, _, err := s.TryAcquire(t.Context(), request(1, 1)); h != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want %s", h, err, want)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestThingsThatAreNoFiles: a socket or a device without a driver cannot be opened at
// all. One made the pool unusable without a word where it is.
func TestThingsThatAreNoFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a device")
	}
	for what, mode := range map[string]uint32{"a socket": unix.S_IFSOCK, "a device": unix.S_IFCHR, "a directory": unix.S_IFDIR} {
		put := func(path string) {
			t.Helper()
			err := os.Mkdir(path, 0o700)
			if mode != unix.S_IFDIR {
				_ = os.Remove(path)
				err = unix.Mknod(path, mode|0o600, int(unix.Mkdev(250, 250)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		names := func(err error, path string) bool {
			return err != nil && strings.Contains(err.Error(), path) && strings.Contains(err.Error(), "is "+what)
		}
		s := newStore(t)
		giveBack(t, takeSlot(t, s, request(1, 1)))
		put(s.path("p", "line", ticketName(0, 0, "")))
		put(s.path("p", "line", ticketName(0, 1, "k")))
		h := takeSlot(t, s, request(1, 1))
		r := request(1, 1)
		r.Key, r.Grace = "k", time.Hour
		l, err := s.Line(t.Context(), r)
		if err != nil {
			t.Fatalf("%s in the line: %v", what, err)
		}
		if _, v, err := l.TryAcquire(t.Context(), lease.Clearance{}); err != nil || v.Ahead > 0 {
			t.Errorf("%s in the line: %+v, %v; want the head", what, v, err)
		}
		if _, err := s.List(t.Context(), "p"); err != nil {
			t.Errorf("%s in the line: %v", what, err)
		}
		if _, err := s.Tell(t.Context(), l.Ticket().ID, lease.Message{Kind: lease.MessageStop}); err != nil { // so that no place is kept
			t.Error(err)
		}
		if err := l.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		for _, n := range []string{ticketName(0, 0, ""), ticketName(0, 1, "k")} {
			if err := os.Remove(s.path("p", "line", n)); err != nil {
				t.Fatal(err)
			}
		}
		giveBack(t, h)
		giveBack(t, takeSlot(t, s, request(1, 1))) // the line is empty now: the index says free

		slot := s.path("p", "slots", "0")
		if err := os.Remove(slot); err != nil {
			t.Fatal(err)
		}
		put(slot)
		if h, _, err := s.TryAcquire(t.Context(), request(1, 1)); h != nil || !names(err, slot) {
			t.Errorf("%s as the slot: %v, %v", what, h, err)
		}
		giveBack(t, takeSlot(t, s, request(2, 1))) // the next one is well
		if pools, err := s.List(t.Context(), "p"); err != nil || len(pools[0].Holders) != 1 || pools[0].Holders[0].Lease.State != lease.Damaged {
			t.Errorf("%s as the slot: %+v, %v", what, pools, err)
		}
		for _, name := range []string{"pace", "limit", "lock"} {
			path := s.path("p", name)
			_ = os.Remove(path)
			put(path)
			r := request(2, 1)
			r.Rate = lease.Pace{Every: time.Second, Burst: 2}
			if h, _, err := s.TryAcquire(t.Context(), r); h != nil || !names(err, path) {
				t.Errorf("%s as the file %s: %v, %v", what, name, h, err)
			}
			_ = os.Remove(path)
		}
	}
}
