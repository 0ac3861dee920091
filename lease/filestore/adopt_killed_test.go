//go:build unix

package filestore

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// adoptionSteps are those of one adoption from its begin to its end, as a process does them that
// has found the lease. The child is started at forked.
func adoptionSteps(h *holding) (steps []func() error, forked, ended int) {
	write := func(child, adopter *lease.Process) {
		for i := len(h.files) - 1; i >= 0; i-- {
			steps = append(steps, func() error {
				line, err := childLine(child, adopter)
				if err == nil {
					_, err = h.files[i].WriteAt(line, childAt)
				}
				return err
			})
		}
	}
	write(nil, &adopterOf)
	forked = len(steps)
	write(&childOf, &adopterOf)
	ended = len(steps)
	write(nil, nil)
	for i := range h.files {
		steps = append(steps, func() error { return h.pool.wakeHead(fmt.Sprint(h.lease.Slots[i])) })
	}
	for _, f := range h.files {
		steps = append(steps, func() error { return unlock(f) }, f.Close)
	}
	return steps, forked, ended
}

// killed closes what a process has open, as the kernel does. What it has started keeps the
// descriptors that are returned.
func killed(t *testing.T, h *holding, inherits bool) (inherited []*os.File) {
	t.Helper()
	for _, f := range h.files {
		if inherits {
			fd, err := unix.Dup(int(f.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			inherited = append(inherited, os.NewFile(uintptr(fd), f.Name()))
		}
		f.Close()
	}
	return inherited
}

// TestAdopterIsKilled: after each step, with a child that has what it inherited, that has closed
// it, or that is over. Whether the keeper lives or was killed as well: while the child lives, the
// lease is given neither to another adopter nor to another job, and then it can be.
func TestAdopterIsKilled(t *testing.T) {
	for last := 0; ; last++ {
		total := 0
		for _, keeperLives := range []bool{true, false} {
			for _, child := range []string{"inherits", "has closed", "is over"} {
				name := fmt.Sprintf("step %d, the child %s, the keeper lives: %t", last, child, keeperLives)
				t.Run(name, func(t *testing.T) {
					total = adopterIsKilled(t, last, child, keeperLives)
				})
			}
		}
		if last == total {
			return
		}
	}
}

func adopterIsKilled(t *testing.T, last int, child string, keeperLives bool) (total int) {
	live := living{keeperOf.PID: true, adopterOf.PID: true, nextToRun.PID: true}
	s := live.in(t)
	keeper := takeSlot(t, s, keptRequest(2, 2))
	id := keeper.lease.ID
	a, err := s.Adopt(t.Context(), id, adopterOf)
	if err != nil {
		t.Fatal(err)
	}
	h := a.(adoption).holding
	if err := h.clearProcesses(); err != nil {
		t.Fatal(err)
	}
	steps, forked, ended := adoptionSteps(h)
	for _, step := range steps[:last] {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	runs := forked <= last && last <= ended && child != "is over"
	if runs {
		live[childOf.PID] = true
		if child == "has closed" { // it has become its command, so its environment tells
			s.opts.Started = func(string) *lease.Process {
				if !live[childOf.PID] {
					return nil
				}
				return &childOf
			}
			s.opts.RunBy = func(by lease.Process) *lease.Process {
				if !live[childOf.PID] || by.PID != adopterOf.PID {
					return nil
				}
				return &childOf
			}
		}
	}
	delete(live, adopterOf.PID)
	inherited := killed(t, h, runs && child == "inherits")
	if !keeperLives {
		delete(live, keeperOf.PID)
		killed(t, keeper, false)
	}
	if runs {
		s.isTaken(t, keeper, keeperLives)
		delete(live, childOf.PID)
		for _, f := range inherited {
			f.Close()
		}
	}
	s.isOver(t, keeper, keeperLives)
	return len(steps)
}

// isTaken: something runs under the lease.
func (s *Store) isTaken(t *testing.T, keeper *holding, keeperLives bool) {
	t.Helper()
	if keeperLives {
		if _, err := keeper.Renew(t.Context(), 0); err != nil {
			t.Errorf("Renew of the keeper: %v", err)
		}
		if err := keeper.Release(t.Context()); !errors.As(err, new(*lease.AdoptedError)) {
			t.Errorf("Release of the keeper: %v, want an AdoptedError", err)
		}
	}
	if a, err := s.Adopt(t.Context(), keeper.lease.ID, nextToRun); !errors.As(err, new(*lease.AdoptedError)) {
		t.Errorf("another adopter has %v, %v; want an AdoptedError", a, err)
	}
	if g, v, err := s.TryAcquire(t.Context(), request(2, 1)); g != nil || err != nil || v.Reason != lease.Full {
		t.Errorf("another job has %v, %+v, %v; want it full", g, v, err)
	}
	pools, err := s.List(t.Context(), "p")
	if err != nil || len(pools[0].Holders) != 1 || pools[0].Used != 2 {
		t.Fatalf("List: %+v, %v; want one holder of two slots", pools, err)
	}
}

// isOver: nothing runs under the lease, so that can be adopted again, or is gone with its keeper.
func (s *Store) isOver(t *testing.T, keeper *holding, keeperLives bool) {
	t.Helper()
	if keeperLives {
		in, err := keeper.Renew(t.Context(), 0)
		if err != nil || in.Adopter != nil {
			t.Errorf("Renew of the keeper: %+v, %v; want no adopter", in, err)
		}
		pools, err := s.List(t.Context(), "p")
		if err != nil || len(pools[0].Holders) != 1 || pools[0].Holders[0].Lease.State != lease.Reserved || len(pools[0].Holders[0].Lease.Slots) != 2 {
			t.Errorf("List: %+v, %v; want it reserved", pools, err)
		}
		a, err := s.Adopt(t.Context(), keeper.lease.ID, nextToRun)
		if err != nil {
			t.Fatalf("another adopter: %v", err)
		}
		giveBack(t, a)
		giveBack(t, keeper)
	} else if a, err := s.Adopt(t.Context(), keeper.lease.ID, nextToRun); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("a lease without an owner is adopted: %v, %v", a, err)
	}
	giveBack(t, takeSlot(t, s, request(2, 2)))
}

// TestKeeperIsKilled: the slots stay taken while the adopter lives, also before it has a child
// and after it, and it can still be told to stop. It frees them.
func TestKeeperIsKilled(t *testing.T) {
	live := living{keeperOf.PID: true, adopterOf.PID: true}
	s := live.in(t)
	keeper := takeSlot(t, s, keptRequest(2, 2))
	a, err := s.Adopt(t.Context(), keeper.lease.ID, adopterOf)
	if err != nil {
		t.Fatal(err)
	}
	delete(live, keeperOf.PID)
	killed(t, keeper, false)
	s.isTaken(t, keeper, false)
	live[childOf.PID] = true
	if err := a.Running(t.Context(), childOf); err != nil {
		t.Fatal(err)
	}
	s.isTaken(t, keeper, false)
	if pools, err := s.List(t.Context(), "p"); err != nil || pools[0].Holders[0].Lease.State != lease.Running || !strings.Contains(pools[0].Holders[0].Note, "keeper (pid 4194304) is gone") {
		t.Errorf("List: %+v, %v; want it to run, and a word of its keeper", pools, err)
	}
	delete(live, childOf.PID)
	s.isTaken(t, keeper, false)
	if _, err := s.Tell(t.Context(), keeper.lease.ID, lease.Message{Kind: lease.MessageStop}); err != nil {
		t.Error(err)
	}
	if in, err := a.Renew(t.Context(), 0); err != nil || in.Stop == nil {
		t.Errorf("Renew: %+v, %v; want the stop", in, err)
	}
	giveBack(t, a)
	s.isOver(t, keeper, false)
}

// TestKeeperIsKilledInItsRelease: after each step, while it has the pool's lock. No process has the
// lease then, and its slots are free.
func TestKeeperIsKilledInItsRelease(t *testing.T) {
	for last := 0; ; last++ {
		live := living{keeperOf.PID: true, nextToRun.PID: true}
		s := live.in(t)
		keeper := takeSlot(t, s, keptRequest(2, 2))
		steps := keeper.releaseSteps()
		for _, step := range steps[:last] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		delete(live, keeperOf.PID)
		killed(t, keeper, false)
		s.isOver(t, keeper, false)
		if last == len(steps) {
			return
		}
	}
}

// TestEnvironmentKeepsAKeptLease: any process may run something under it, and what is recorded is
// only the last of these.
func TestEnvironmentKeepsAKeptLease(t *testing.T) {
	live := living{keeperOf.PID: true, adopterOf.PID: true}
	s := live.in(t)
	keeper := takeSlot(t, s, keptRequest(1, 1))
	a, err := s.Adopt(t.Context(), keeper.lease.ID, adopterOf)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Running(t.Context(), childOf); err != nil { // which is over
		t.Fatal(err)
	}
	s.opts.Started = func(id string) *lease.Process {
		if id == keeper.lease.ID && live[nextToRun.PID] {
			return &nextToRun
		}
		return nil
	}
	live[nextToRun.PID] = true
	delete(live, keeperOf.PID)
	delete(live, adopterOf.PID)
	killed(t, a.(adoption).holding, false)
	killed(t, keeper, false)
	if g, v, err := s.TryAcquire(t.Context(), request(1, 1)); g != nil || err != nil || v.Reason != lease.Full {
		t.Errorf("%v, %+v, %v; want it full", g, v, err)
	}
	if pools, err := s.List(t.Context(), "p"); err != nil || len(pools[0].Holders) != 1 || pools[0].Holders[0].Lease.State != lease.Orphaned {
		t.Errorf("List: %+v, %v; want an orphan", pools, err)
	}
	delete(live, nextToRun.PID)
	giveBack(t, takeSlot(t, s, request(1, 1)))
}
