package filestore

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
	"berth/lease/storetest"
)

// withLimit calls fn with a resource limit of this process lowered.
func withLimit(t *testing.T, resource int, limit uint64, fn func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(resource, &old); err != nil {
		t.Fatal(err)
	}
	lower := unix.Rlimit{Cur: limit, Max: old.Max}
	if err := unix.Setrlimit(resource, &lower); err != nil {
		t.Fatal(err)
	}
	fn()
	if err := unix.Setrlimit(resource, &old); err != nil {
		t.Fatal(err)
	}
}

// TestStopIsReadAgain: a stop was lost that could not be read at once, because no descriptor was free.
func TestStopIsReadAgain(t *testing.T) {
	s := newStore(t)
	p := inLine(t, s)
	m := lease.Message{Kind: lease.MessageStop, Stop: lease.Stop{Reason: "enough"}}
	if _, err := s.Tell(t.Context(), p.ticket.ID, m); err != nil {
		t.Fatal(err)
	}
	err := p.pool.locked(t.Context(), func(ix *index) (err error) {
		withLimit(t, unix.RLIMIT_NOFILE, 0, func() { err = p.readNotes(ix) })
		return err
	})
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("%v, want EMFILE: a grant would overtake the stop", err)
	}
	if h, v, err := p.TryAcquire(t.Context(), lease.Clearance{}); !errors.As(err, new(*lease.StoppedError)) {
		t.Errorf("%v, %+v, %v; want the stop", h, v, err)
	}
}

// TestEventBeforeAFailure: the check that it asks for is still due if the next try fails before
// any slot is checked.
func TestEventBeforeAFailure(t *testing.T) {
	s := eventsOnly(t)
	s.opts.FollowUps = []time.Duration{}
	h := takeSlot(t, s, request(1, 1))
	p := headOf(t, s, request(1, 1))
	giveBack(t, h)
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	limit := s.path("p", "limit")
	if err := os.WriteFile(limit, []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, v, err := p.TryAcquire(t.Context(), lease.Clearance{}); err == nil {
		t.Fatalf("%v, %+v: a limit that cannot be read is ignored", h, v)
	}
	if err := os.Remove(limit); err != nil {
		t.Fatal(err)
	}
	g, v, err := p.TryAcquire(t.Context(), lease.Clearance{})
	if err != nil || g == nil {
		t.Fatalf("%+v, %v: the event is forgotten", v, err)
	}
	giveBack(t, g)
}

// TestReturnBesideAStoppedWaiter: the waiter behind has our ticket's lock for a moment when it
// wakes up, and may be stopped in that moment.
func TestReturnBesideAStoppedWaiter(t *testing.T) {
	s := newStore(t)
	holder := takeSlot(t, s, request(1, 1))
	p, behind := inLine(t, s), inLine(t, s)
	if err := p.StepAside(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped, err := behind.pool.ticketLock(p.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := stopped.RLock(); err != nil {
		t.Fatal(err)
	}
	defer stopped.Unlock()
	ctx, stop := context.WithTimeout(t.Context(), storetest.Deadline)
	defer stop()
	if err := p.Return(ctx); err != nil {
		t.Fatal(err)
	}
	if h, v, err := behind.TryAcquire(t.Context(), lease.Clearance{}); h != nil || err != nil || v.Ahead != 1 {
		t.Errorf("%v, %+v, %v; want the one that returned ahead", h, v, err)
	}
	giveBack(t, holder)
	granted(t, p)
}

// TestLineThatIsNotSaved: when the index cannot be written after the ticket, the request has no
// place, and its ticket holds up no other.
func TestLineThatIsNotSaved(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	s := newStore(t)
	first := inLine(t, s)
	first.lock.Unlock() // as if it was killed: the next one finds out whether it lives
	full := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	s.opts.Alive = func(lease.Process) bool {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 0, Max: full.Max}); err != nil {
			t.Error(err)
		}
		return false
	}
	p, err := s.Line(t.Context(), request(1, 1))
	if serr := unix.Setrlimit(unix.RLIMIT_FSIZE, &full); serr != nil {
		t.Fatal(serr)
	}
	if !errors.Is(err, unix.EFBIG) {
		t.Fatalf("%v, %v; want EFBIG", p, err)
	}
	s.opts.Alive = func(lease.Process) bool { return false }
	giveBack(t, takeSlot(t, s, request(1, 1)))
	if left, err := first.pool.names(line); err != nil || len(left) > 0 {
		t.Errorf("left in the line: %v, %v", left, err)
	}
}
