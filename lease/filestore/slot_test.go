//go:build linux

package filestore

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// never is longer than the test: a head that misses an event would wait for its full check.
const never = time.Hour

// eventsOnly makes a store in which waiters do not check by themselves.
func eventsOnly(t *testing.T) *Store {
	s := newStore(t)
	s.opts.Timings.FullCheck, s.opts.Timings.FrozenCheck = never, never
	return s
}

// TestKeepaliveAfterTheEnd: a keepalive writes without a lock that a release
// waits for, so it may write into the mark of a slot that is free again. That one
// then counted as damaged, for good.
func TestKeepaliveAfterTheEnd(t *testing.T) {
	s := newStore(t)
	h := takeSlot(t, s, request(1, 1))
	f, err := os.OpenFile(s.path("p", "slots", "0"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	giveBack(t, h)
	if _, err := f.WriteAt(fmt.Appendf(nil, "%20d", s.Clock()), keepaliveAt); err != nil {
		t.Fatal(err)
	}
	giveBack(t, takeSlot(t, s, request(1, 1)))
}

// TestCheckOfALockedSlot: it does not find out whether the job lives, because that may read
// all of /proc under the pool's lock.
func TestCheckOfALockedSlot(t *testing.T) {
	s := newStore(t)
	asked := 0
	s.opts.Started = func(string) *lease.Process { asked++; return nil }
	h := takeSlot(t, s, request(2, 1)) // without a child yet
	g := takeSlot(t, s, request(2, 1))
	if h, _, err := s.TryAcquire(t.Context(), request(2, 1)); h != nil || err != nil {
		t.Fatalf("a third one: %v, %v", h, err)
	}
	if asked > 0 {
		t.Errorf("asked %d times for the process of a slot that is locked", asked)
	}
	giveBack(t, h)
	giveBack(t, g)
}

// TestRecordsDoNotGrow: notes in the record of a job, or of a kept ticket, do not stay in the
// file. A record that is too long to be read is no record.
func TestRecordsDoNotGrow(t *testing.T) {
	s := newStore(t)
	h := takeSlot(t, s, request(1, 1))
	long := lease.Message{Kind: lease.MessageStop, Stop: lease.Stop{Reason: strings.Repeat("\x01", lease.MaxReason)}} // 6 bytes each
	for range 20 {
		if _, err := s.Tell(t.Context(), h.Lease().ID, long); err != nil {
			break
		}
	}
	if pools, err := s.List(t.Context(), "p"); err != nil || pools[0].Holders[0].Lease.State == lease.Damaged {
		t.Errorf("the lease cannot be read any more: %v, %+v", err, pools)
	}
	giveBack(t, h)
	h = takeSlot(t, s, request(1, 1))
	if fi, err := h.files[0].Stat(); err != nil || fi.Size() > keptSize+1000 {
		t.Errorf("the slot's file has still %d bytes, %v", fi.Size(), err)
	}

	r := request(1, 1)
	r.Key, r.Grace = "k", time.Hour
	size := int64(0)
	for i := range 10 {
		r.ID = lease.NewID("p")
		p, err := s.Line(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(s.path("p", "line", p.(*place).name))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			size = fi.Size()
		}
		if p.Ticket().Seq != 1 || fi.Size() > size+10 {
			t.Fatalf("visit %d: place %d, %d bytes; want place 1 and about %d bytes", i+1, p.Ticket().Seq, fi.Size(), size)
		}
	}
	giveBack(t, h)
}

// TestTokensRiseWithoutAnIndex: a token that was handed out once would let a
// paused job write over what a later one did.
func TestTokensRiseWithoutAnIndex(t *testing.T) {
	s := newStore(t)
	var last uint64
	for range 3 {
		h := takeSlot(t, s, request(1, 1))
		if got := h.Lease().Token; got <= last {
			t.Errorf("token %d after %d", got, last)
		}
		last = h.Lease().Token
		giveBack(t, h)
		if err := os.Truncate(s.path("p", "lock"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLockIsReplaced: a lock that other processes do not see is none.
func TestLockIsReplaced(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, request(1, 1)))
	p, err := s.pool("p", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := os.Rename(p.path("lock"), p.path("old")); err != nil {
		t.Fatal(err)
	}
	h := takeSlot(t, s, request(1, 1)) // makes another
	ran := false
	err = p.locked(t.Context(), func(ix *index) error {
		ran = true
		if used, _ := ix.used(); used != 1 {
			t.Errorf("%d slots in use by the index of the old lock file, want 1", used)
		}
		return nil
	})
	if err != nil || !ran {
		t.Errorf("ran %v, %v", ran, err)
	}
	giveBack(t, h)
}

// TestPoolIsKept: cleaners of temporary files leave alone what is locked.
func TestPoolIsKept(t *testing.T) {
	s := newStore(t)
	h := takeSlot(t, s, request(1, 1))
	d, err := os.Open(s.path("p"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := tryLock(d); got || err != nil {
		t.Errorf("a cleaner may lock the directory of a pool in use: %v, %v", got, err)
	}
	giveBack(t, h)
	if got, err := tryLock(d); !got || err != nil {
		t.Errorf("a cleaner may not lock the directory of a pool that nobody uses: %v, %v", got, err)
	}
}

// TestSweepBehindNewcomers: the ticket of a dead waiter that is behind everybody
// would have every newcomer read the line.
func TestSweepBehindNewcomers(t *testing.T) {
	s := newStore(t)
	late := request(1, 1)
	late.Priority, late.Owner = 20, lease.Process{PID: 1 << 22, Start: 7}
	p, err := s.Line(t.Context(), late)
	if err != nil {
		t.Fatal(err)
	}
	p.(*place).lock.Unlock() // as if it was killed
	giveBack(t, takeSlot(t, s, request(1, 1)))
	if left, err := p.(*place).pool.names(line); err != nil || len(left) > 0 {
		t.Errorf("left in the line: %v, %v", left, err)
	}
}

// TestInheritsAnyDescriptor: a descriptor of any number may be the one that holds the lock.
func TestInheritsAnyDescriptor(t *testing.T) {
	s := newStore(t)
	h := takeSlot(t, s, request(1, 1))
	fd, err := unix.FcntlInt(h.files[0].Fd(), unix.F_DUPFD_CLOEXEC, 300)
	if err != nil {
		t.Skipf("no such descriptor may be had: %v", err)
	}
	defer unix.Close(fd)
	l := h.Lease()
	for _, f := range h.files {
		f.Close() // as if only the other one was inherited
	}
	if !s.Inherits(&l) {
		t.Errorf("descriptor %d, which has the lock, does not count", fd)
	}
}

// TestFreeMark: the mark that a release writes is as long as a heartbeat, and a
// keepalive does not touch what tells it.
func TestFreeMark(t *testing.T) {
	if len(freeMark) != len(fmt.Sprintf(heartbeatFmt, 0, 0)) || !strings.HasPrefix(freeMark, `{"free":true}`) || keepaliveAt < len(`{"free":true}`) {
		t.Errorf("%q", freeMark)
	}
	mark := []byte(freeMark)
	copy(mark[keepaliveAt:], bytes.Repeat([]byte("9"), 20))
	if r, err := parseRecord(mark); r != nil || err != nil {
		t.Errorf("%q reads as %+v, %v", mark, r, err)
	}
}
