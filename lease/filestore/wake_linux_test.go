package filestore

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// mortal is a process that a test ends, with what the store is to think of it:
// dying is true once the kernel takes it apart.
type mortal struct {
	cmd   *exec.Cmd
	dying atomic.Bool
}

func bear(t *testing.T) *mortal {
	t.Helper()
	m := &mortal{cmd: exec.Command("sleep", "1h")}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.end)
	return m
}

func (m *mortal) process() lease.Process { return lease.Process{PID: m.cmd.Process.Pid} }

func (m *mortal) alive() bool { return unix.Kill(m.cmd.Process.Pid, 0) == nil }

func (m *mortal) end() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait() // until then it is a zombie, and alive says that it lives
}

// storeOf makes a store in which waiters do not check by themselves, and that knows these
// processes and ours.
func storeOf(t *testing.T, all ...*mortal) *Store {
	s := eventsOnly(t)
	s.opts.Alive = func(p lease.Process) bool {
		for _, m := range all {
			if p == m.process() {
				return m.alive()
			}
		}
		return p.PID == os.Getpid()
	}
	s.opts.Ending = func(p lease.Process) bool {
		for _, m := range all {
			if p == m.process() && m.dying.Load() {
				return true
			}
		}
		return !s.opts.Alive(p)
	}
	return s
}

// silently puts the lock of h's slot into a descriptor whose close is no event, as
// if h's own had been closed by an end and the lock not gone with it yet.
func silently(t *testing.T, s *Store, h *holding) *os.File {
	t.Helper()
	f, err := os.Open(s.path("p", "slots", "0"))
	if err != nil {
		t.Fatal(err)
	}
	for _, own := range h.files {
		_ = unlock(own)
		own.Close()
	}
	if ok, err := tryLock(f); !ok || err != nil {
		t.Fatalf("cannot lock it: %v, %v", ok, err)
	}
	return f
}

// TestLockGoesAfterItsEvent: a process closes its files when it ends, and the kernel sends the
// event before it drops the lock. A waiter that became the head in between had neither the
// event nor a reason to check.
func TestLockGoesAfterItsEvent(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(m *mortal, lock *os.File)
	}{
		{"its owner ends after that", func(m *mortal, lock *os.File) { lock.Close(); m.end() }},
		{"its owner is gone by then", func(m *mortal, lock *os.File) { m.end(); time.Sleep(time.Millisecond); lock.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := bear(t)
			s := storeOf(t, m)
			r := request(1, 1)
			r.Owner = m.process()
			h := takeSlot(t, s, r)
			if err := h.Running(t.Context(), m.process()); err != nil { // as with --exec
				t.Fatal(err)
			}
			lock := silently(t, s, h)
			m.dying.Store(true)
			p := headOf(t, s, request(1, 1))
			c.end(m, lock)
			granted(t, p)
		})
	}
}

// TestOrphanWithoutALockEnds: nothing is closed when a job ends that closed what it
// inherited.
func TestOrphanWithoutALockEnds(t *testing.T) {
	owner, child := bear(t), bear(t)
	s := storeOf(t, owner, child)
	r := request(1, 1)
	r.Owner = owner.process()
	h := takeSlot(t, s, r)
	if err := h.Running(t.Context(), child.process()); err != nil {
		t.Fatal(err)
	}
	silently(t, s, h).Close()
	owner.end()
	p := headOf(t, s, request(1, 1))
	child.end()
	granted(t, p)
}

// TestDaemonKeepsTheSlot: berth was killed, its command has ended, and a daemon of that has the
// lock. The head must not check without an end.
func TestDaemonKeepsTheSlot(t *testing.T) {
	m := bear(t)
	s := storeOf(t, m)
	s.opts.Timings.FollowUps = []time.Duration{time.Millisecond}
	r := request(1, 1)
	r.Owner = m.process()
	h := takeSlot(t, s, r)
	m.end()
	l, err := s.Line(t.Context(), request(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	p := l.(*place)
	for looks := 0; p.head.watch == nil || p.head.timeout(&s.opts.Timings) < time.Second; looks++ {
		if looks > 15 {
			t.Fatalf("%d looks, and the next is to come in %v", looks, p.head.timeout(&s.opts.Timings))
		}
		if g, v, err := p.TryAcquire(t.Context(), lease.Clearance{}); g != nil || err != nil {
			t.Fatalf("%v, %v, %v", g, v, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		_ = p.Wait(ctx)
		stop()
	}
	for _, f := range h.files {
		f.Close() // the daemon ends
	}
	granted(t, p)
}

// TestReleaserIsStopped: in a release, after each of its steps. A daemon has the
// slot's descriptor, too, so nothing is closed. When a step frees the slot, a head
// that slept since before that step hears of it, and so does one that came before
// the release began.
func TestReleaserIsStopped(t *testing.T) {
	const early, late = "a head from before the release", "a head from before the step"
	for _, head := range []string{early, late} {
		t.Run(head, func(t *testing.T) {
			freed := false
			for last := 0; !freed; last++ {
				s := eventsOnly(t)
				h := takeSlot(t, s, request(1, 1))
				daemon, err := unix.Dup(int(h.files[0].Fd()))
				if err != nil {
					t.Fatal(err)
				}
				defer unix.Close(daemon)
				var p *place
				for i, step := range h.releaseSteps()[:last+1] {
					if head == early && i == 0 || head == late && i == last {
						p = headOf(t, s, request(1, 1))
					}
					if err := step(); err != nil {
						t.Fatal(err)
					}
				}
				if freed = !p.pool.checkSlot(0).locked; freed {
					granted(t, p)
				}
			}
		})
	}
}

// TestLimitIsToldOfFirst: 'berth limit' wakes the head before it changes the limit, and the
// head waits for the pool's lock until that is done. Killed between the change and the
// wake-up, it left the head asleep beside free slots.
func TestLimitIsToldOfFirst(t *testing.T) {
	s, one, two := eventsOnly(t), 1, 2
	if err := setLimit(t.Context(), s, &one); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// One queue for both, so that it has the order in which they happened.
	said, err := unix.InotifyAddWatch(fd, s.path("p", "slots"), unix.IN_CLOSE_WRITE)
	if err != nil {
		t.Fatal(err)
	}
	done, err := unix.InotifyAddWatch(fd, s.path("p"), unix.IN_MOVED_TO)
	if err != nil {
		t.Fatal(err)
	}
	if err := setLimit(t.Context(), s, &two); err != nil {
		t.Fatal(err)
	}
	var order []int
	buf := make([]byte, 4096)
	for len(order) < 2 {
		n, err := unix.Read(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		for b := buf[:n]; len(b) > 0; b = b[unix.SizeofInotifyEvent+int(b[12]):] {
			order = append(order, int(b[0]))
		}
	}
	if order[0] != said || order[1] != done {
		t.Errorf("events %v, want that of the slots (%d) and then that of the limit (%d)", order, said, done)
	}
}

// TestKeepaliveWakesNobody: a keepalive was written into the slot's file, which wakes the head
// when it is closed, and under the pool's lock, after a check of every slot in use.
func TestKeepaliveWakesNobody(t *testing.T) {
	s := eventsOnly(t)
	defer giveBack(t, takeSlot(t, s, request(3, 1)))
	h := takeSlot(t, s, request(3, 1))
	s.opts.SlotOf = func(string) (int, bool) { return 1, true }
	d, err := h.pool.in(slots, false)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWatch(d)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	hog := h.pool.top.lockOf("lock")
	if err := hog.Lock(); err != nil {
		t.Fatal(err)
	}
	defer hog.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	before := s.Clock()
	for range 3 {
		if _, err := s.Tell(ctx, h.lease.ID, lease.Message{Kind: lease.MessageKeepalive}); err != nil {
			t.Fatal(err)
		}
	}
	signs, err := h.Renew(ctx, 0)
	if err != nil || signs.Keepalive < before {
		t.Errorf("Renew: %+v, %v; want a keepalive from %v on", signs, err, before)
	}
	if slots, err := w.wait(ctx, 0); len(slots) > 0 || err != nil {
		t.Errorf("events of slots %v, %v", slots, err)
	}
	// What people see, and what an earlier berth reads, has it since.
	if r, err := readRecord(h.files[0]); err != nil || r.heartbeat.Keepalive != signs.Keepalive {
		t.Errorf("the record: %+v, %v", r, err)
	}
}

// TestKeepaliveOfAnotherLease: one that comes too late is not the next job's.
func TestKeepaliveOfAnotherLease(t *testing.T) {
	s := newStore(t)
	h := takeSlot(t, s, request(1, 1))
	late := h.lease
	giveBack(t, h)
	h = takeSlot(t, s, request(1, 1))
	if err := h.pool.writeKeepalive(&late, s.Clock()); err != nil {
		t.Fatal(err)
	}
	if signs, err := h.Renew(t.Context(), 0); err != nil || signs.Keepalive != 0 {
		t.Errorf("Renew: %+v, %v", signs, err)
	}
}

// TestThreadsOfAFlappingWaiter: a waiter behind one that is stopped and continued again and again
// had a thread for each time.
func TestThreadsOfAFlappingWaiter(t *testing.T) {
	s := eventsOnly(t)
	h := takeSlot(t, s, request(1, 1))
	defer giveBack(t, h)
	a, b, p := inLine(t, s), inLine(t, s), inLine(t, s)
	before := runtime.NumGoroutine()
	for range 20 {
		for _, pred := range []*place{a, b} {
			p.at.pred = pred.name
			ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
			if err := p.Wait(ctx); err == nil {
				t.Error("it does not wait")
			}
			stop()
		}
	}
	extra := func() int { return runtime.NumGoroutine() - before }
	for late := time.Now().Add(20 * time.Second); extra() > 2 && time.Now().Before(late); {
		time.Sleep(time.Millisecond) // those of the contexts are about to end
	}
	if n := extra(); n > 2 {
		t.Errorf("%d goroutines for two waiters before it", n)
	}
	for _, pred := range []*place{a, b} { // and both are still heard
		p.at.pred = pred.name
		if err := pred.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := p.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func inLine(t *testing.T, s *Store) *place {
	t.Helper()
	l, err := s.Line(t.Context(), request(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	return l.(*place)
}

// TestUnseenWaiter: it cannot be found out whether a waiter of another pid namespace is stopped,
// so no other passes it. A list and those behind it say so.
func TestUnseenWaiter(t *testing.T) {
	s := eventsOnly(t)
	r := request(1, 1)
	r.Owner = lease.Process{PID: 812, PIDNS: 7, Host: "other"}
	first, err := s.Line(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	second := inLine(t, s)
	p, err := s.Summary(t.Context(), "p", second.Ticket())
	if err != nil || p.First == nil || p.First.Ticket.Owner != r.Owner || p.First.Note == "" {
		t.Errorf("Summary: %+v, %v", p.First, err)
	}
	pools, err := s.List(t.Context(), "p")
	if err != nil || pools[0].Waiters[0].Note == "" || pools[0].Waiters[1].Note != "" {
		t.Errorf("List: %+v, %v", pools[0].Waiters, err)
	}
	for _, l := range []lease.Place{first, second} {
		if err := l.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEndOfAnAdoptionWakes: the keeper was killed, so the adopter frees the slot, and a daemon that
// its command left behind has the slot's descriptor, so nothing is closed.
func TestEndOfAnAdoptionWakes(t *testing.T) {
	keeper := bear(t)
	s := storeOf(t, keeper)
	r := request(1, 1)
	r.Owner, r.Kept = keeper.process(), true
	h := takeSlot(t, s, r)
	a, err := s.Adopt(t.Context(), h.lease.ID, lease.Process{PID: os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	daemon, err := unix.Dup(int(a.(adoption).files[0].Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(daemon)
	keeper.end()
	for _, f := range h.files {
		f.Close()
	}
	p := headOf(t, s, request(1, 1))
	giveBack(t, a)
	granted(t, p)
}
