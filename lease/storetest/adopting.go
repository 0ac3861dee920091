package storetest

import (
	"errors"
	"os"
	"sync"
	"testing"

	"berth/lease"
)

// keptRequest is that of a keeper.
func keptRequest() lease.Request {
	return with(Request("p", 1), func(r *lease.Request) { r.Kept = true })
}

// adopter is the nth process that runs something under a lease. It lives as long as the test.
func adopter(nth int) lease.Process {
	return lease.Process{PID: os.Getpid(), Start: uint64(1000 + nth)}
}

func (s *suite) adopt(id string, nth int) lease.Holding {
	s.Helper()
	a, err := s.another.Adopt(s.ctx, id, adopter(nth))
	if err != nil {
		s.Fatalf("Adopt(%s): %v", id, err)
	}
	return a
}

// notAdopted wants Adopt to fail with that error.
func (s *suite) notAdopted(id string, want error) {
	s.Helper()
	if a, err := s.another.Adopt(s.ctx, id, adopter(9)); a != nil || !errors.Is(err, want) {
		s.Errorf("Adopt(%q): %v, %v; want %v", id, a, err, want)
	}
}

// isAdopted wants err to be an AdoptedError that names the nth adopter, and the child.
func (s *suite) isAdopted(err error, nth int, child *lease.Process) {
	s.Helper()
	var adopted *lease.AdoptedError
	switch {
	case !errors.As(err, &adopted) || adopted.Adopter != adopter(nth):
		s.Errorf("%v; want an AdoptedError that names %+v", err, adopter(nth))
	case (adopted.Child == nil) != (child == nil) || child != nil && *adopted.Child != *child:
		s.Errorf("%+v; want the child %+v", adopted, child)
	}
}

// holder is the only holder of the pool.
func (s *suite) holder() lease.Entry {
	s.Helper()
	pools, err := s.List(s.ctx, "p")
	if err != nil || len(pools) != 1 || len(pools[0].Holders) != 1 {
		s.Fatalf("List: %+v, %v; want one holder", pools, err)
	}
	return pools[0].Holders[0]
}

// isState wants that state of the holder, and these processes in its record.
func (s *suite) isState(want lease.State, adopter, child *lease.Process) {
	s.Helper()
	same := func(a, b *lease.Process) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
	if l := s.holder().Lease; l.State != want || !same(l.Adopter, adopter) || !same(l.Child, child) {
		s.Errorf("List: %s, adopter %+v, child %+v; want %s, %+v, %+v", l.State, l.Adopter, l.Child, want, adopter, child)
	}
}

// alive is a child that lives as long as the test.
var alive = lease.Process{PID: os.Getpid(), Start: 7}

// adopting: reserved, running, and reserved again, any number of times.
func adopting(t *testing.T, s *suite) {
	h := s.take(keptRequest())
	id := h.Lease().ID
	s.isState(lease.Reserved, nil, nil)
	for nth := range 2 {
		by := adopter(nth)
		a := s.adopt(id, nth)
		l, kept := a.Lease(), h.Lease()
		if l.ID != id || l.Token != kept.Token || l.Slots[0] != kept.Slots[0] || !l.Kept || l.Adopter == nil || *l.Adopter != by {
			t.Errorf("adopted %+v, want the lease %+v", l, kept)
		}
		s.isState(lease.Reserved, &by, nil)
		if err := a.Running(s.ctx, alive); err != nil {
			t.Fatal(err)
		}
		s.isState(lease.Running, &by, &alive)
		if _, err := a.Renew(s.ctx, 0); err != nil {
			t.Errorf("Renew of the adopter: %v", err)
		}
		if err := map[bool]func() error{
			false: func() error { return a.Release(s.ctx) },
			true:  func() error { return a.Unused(s.ctx) },
		}[nth == 1](); err != nil {
			t.Errorf("the end of the adoption: %v", err)
		}
		s.isState(lease.Reserved, nil, nil)
		s.refused(Request("p", 1), lease.Full)
	}
	s.release(h)
	empty(t, s, "p")
}

// adoptingAll: all slots of a lease are adopted and given back.
func adoptingAll(t *testing.T, s *suite) {
	h := s.take(with(keptRequest(), func(r *lease.Request) { r.Limit, r.Weight = 3, 3 }))
	a := s.adopt(h.Lease().ID, 1)
	if l := a.Lease(); len(l.Slots) != 3 {
		t.Errorf("slots %v, want three", l.Slots)
	}
	if err := a.Running(s.ctx, alive); err != nil {
		t.Fatal(err)
	}
	if l := s.holder().Lease; len(l.Slots) != 3 || l.State != lease.Running {
		t.Errorf("List: %s in slots %v, want it to run in three", l.State, l.Slots)
	}
	s.release(a)
	s.release(h)
	empty(t, s, "p")
}

func secondAdopter(t *testing.T, s *suite) {
	h := s.take(keptRequest())
	id := h.Lease().ID
	a := s.adopt(id, 1)
	_, err := s.Adopt(s.ctx, id, adopter(2))
	s.isAdopted(err, 1, nil)
	if err := a.Running(s.ctx, alive); err != nil {
		t.Fatal(err)
	}
	_, err = s.Adopt(s.ctx, id, adopter(2))
	s.isAdopted(err, 1, &alive)
	by := adopter(1)
	s.isState(lease.Running, &by, &alive)
	s.release(a)
	s.release(s.adopt(id, 2))
	s.release(h)
}

// notAdoptable: what is no kept lease cannot be adopted, and nothing changes.
func notAdoptable(t *testing.T, s *suite) {
	h := s.take(Request("p", 1))
	p := s.line(keptRequest())
	s.notAdopted(h.Lease().ID, lease.ErrNotKept)
	s.isState(lease.Reserved, nil, nil)
	s.notAdopted(p.Ticket().ID, lease.ErrNotFound)
	if err := p.Leave(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.release(h)
	kept := s.take(keptRequest())
	s.release(kept)
	for _, id := range []string{kept.Lease().ID, "p/000000000000", "nopool/000000000000", "nonsense", ""} {
		s.notAdopted(id, lease.ErrNotFound)
	}
	empty(t, s, "p")
}

// releaseWhileAdopted: the keeper cannot give the lease back, and that it tried changes nothing.
func releaseWhileAdopted(t *testing.T, s *suite) {
	h := s.take(keptRequest())
	by := adopter(1)
	a := s.adopt(h.Lease().ID, 1)
	s.isAdopted(h.Release(s.ctx), 1, nil)
	s.isAdopted(h.Unused(s.ctx), 1, nil)
	s.isState(lease.Reserved, &by, nil)
	if err := a.Running(s.ctx, alive); err != nil {
		t.Fatal(err)
	}
	s.isAdopted(h.Release(s.ctx), 1, &alive)
	s.isState(lease.Running, &by, &alive)
	for _, held := range []lease.Holding{h, a} {
		if _, err := held.Renew(s.ctx, 0); err != nil {
			t.Errorf("Renew: %v", err)
		}
	}
	s.refused(Request("p", 1), lease.Full)
	p := s.line(Request("p", 1))
	s.notYet(p, lease.Full)
	s.release(a)
	s.notYet(p, lease.Full)
	s.release(h)
	s.release(s.get(p)) // which was woken
	empty(t, s, "p")
}

// keeperIsTold: the keeper's renewal tells it of the adopter, and to give the lease back.
func keeperIsTold(t *testing.T, s *suite) {
	h := s.take(keptRequest())
	told := func(want *lease.Process, release bool) {
		t.Helper()
		in, err := h.Renew(s.ctx, 0)
		if err != nil || (in.Adopter == nil) != (want == nil) || want != nil && *in.Adopter != *want || in.Release != release {
			t.Errorf("Renew: %+v, %v; want the adopter %+v, and to release it: %t", in, err, want, release)
		}
	}
	told(nil, false)
	by := adopter(1)
	a := s.adopt(h.Lease().ID, 1)
	told(&by, false)
	if e, err := s.another.Tell(s.ctx, h.Lease().ID, lease.Message{Kind: lease.MessageRelease}); err != nil || e.Lease == nil || !e.Lease.Kept {
		t.Errorf("Tell: %+v, %v; want its record", e, err)
	}
	told(&by, true)
	if in, err := a.Renew(s.ctx, 0); err != nil || in.Release || in.Adopter != nil || in.Stop != nil {
		t.Errorf("Renew of the adopter: %+v, %v; want nothing that is for the keeper", in, err)
	}
	s.release(a)
	told(nil, true)
	s.release(h)
}

// bothAreTold: a stop and a keepalive are for the keeper and for what runs under its lease.
func bothAreTold(t *testing.T, s *suite) {
	h := s.take(keptRequest())
	a := s.adopt(h.Lease().ID, 1)
	before := s.Clock()
	for _, m := range []lease.Message{stopWith(lease.Stop{Reason: "enough", TimeLimit: "--timeout"}), busy} {
		if _, err := s.another.Tell(s.ctx, h.Lease().ID, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, held := range []lease.Holding{h, a, a, h} {
		in, err := held.Renew(s.ctx, 0)
		if err != nil || in.Stop == nil || in.Stop.Reason != "enough" || in.Stop.TimeLimit != "--timeout" || in.Keepalive < before {
			t.Errorf("Renew: %+v, %v; want the stop, and a keepalive from %v on", in, err, before)
		}
	}
	s.release(a)
	next := s.adopt(h.Lease().ID, 2) // the lease is to end, whichever process runs under it
	if in, err := next.Renew(s.ctx, 0); err != nil || in.Stop == nil {
		t.Errorf("Renew of the next adopter: %+v, %v; want the stop", in, err)
	}
	s.release(next)
	s.release(h)
}

// adopterReleasesTwice: a late call ends neither the next adoption nor another lease.
func adopterReleasesTwice(t *testing.T, s *suite) {
	h := s.take(keptRequest())
	a := s.adopt(h.Lease().ID, 1)
	s.release(a)
	b := s.adopt(h.Lease().ID, 2)
	s.release(a)
	by := adopter(2)
	s.isState(lease.Reserved, &by, nil)
	if _, err := a.Renew(s.ctx, 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew of an adoption that has ended: %v, want ErrLost", err)
	}
	if err := a.Running(s.ctx, alive); err == nil {
		t.Error("an adopter has started something after its adoption")
	}
	s.isState(lease.Reserved, &by, nil)
	s.isAdopted(h.Release(s.ctx), 2, nil)
	s.release(b)
	s.release(h)
	s.release(b)
	next := s.take(Request("p", 1))
	s.release(a)
	s.release(b)
	s.refused(Request("p", 1), lease.Full)
	s.release(next)
	empty(t, s, "p")
}

// racingAdopters: of several at once, exactly one has the lease.
func racingAdopters(t *testing.T, s *suite) {
	h := s.take(keptRequest())
	for range 10 {
		got := make([]lease.Holding, 8)
		var wg sync.WaitGroup
		for i := range got {
			store := []lease.Store{s.Store, s.another}[i%2]
			wg.Go(func() {
				var err error
				got[i], err = store.Adopt(s.ctx, h.Lease().ID, adopter(i))
				if err != nil && !errors.As(err, new(*lease.AdoptedError)) {
					t.Errorf("Adopt: %v, want an AdoptedError", err)
				}
			})
		}
		wg.Wait()
		adopted := 0
		for _, a := range got {
			if a != nil {
				adopted++
				s.release(a)
			}
		}
		if adopted != 1 {
			t.Errorf("%d of %d processes have adopted the lease, want one", adopted, len(got))
		}
	}
	s.release(h)
}

// racingRelease: either the keeper gives the lease back, or a process adopts it.
func racingRelease(t *testing.T, s *suite) {
	for range 20 {
		h := s.take(keptRequest())
		var a lease.Holding
		var released, adopted error
		var wg sync.WaitGroup
		wg.Go(func() { released = h.Release(s.ctx) })
		wg.Go(func() { a, adopted = s.another.Adopt(s.ctx, h.Lease().ID, adopter(1)) })
		wg.Wait()
		switch {
		case a != nil && adopted == nil && errors.As(released, new(*lease.AdoptedError)):
			s.release(a)
			s.release(h)
		case a == nil && errors.Is(adopted, lease.ErrNotFound) && released == nil:
		default:
			t.Fatalf("Release: %v, Adopt: %v, %v; want one of them to succeed", released, a, adopted)
		}
		empty(t, s, "p")
	}
}
