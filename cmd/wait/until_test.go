//go:build unix

package wait

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
)

// held is a pool with a job for each of these ids, from slot 0 on. "" is a damaged record.
func held(ids ...string) *lease.Pool {
	p := &lease.Pool{Name: "p"}
	for i, id := range ids {
		if id != "-" {
			p.Holders = append(p.Holders, lease.Entry{Lease: &lease.Lease{Request: lease.Request{ID: id}, Slots: []int{i}}})
			p.Used++
		}
	}
	return p
}

func TestUntil(t *testing.T) {
	locked, recovering := held(), held()
	locked.LockHeldBy, recovering.RecoveringFor = "pid 1", time.Second
	waiting := held()
	waiting.Waiters = []lease.Entry{{Ticket: &lease.Ticket{}}}
	idle, fewer2, anyEnded := Until{}, Until{Fewer: 2}, Until{Any: true}
	for _, c := range []struct {
		name       string
		until      Until
		first, now *lease.Pool
		want       bool
	}{
		{"idle from the beginning", idle, held(), held(), true},
		{"in use", idle, held(), held("p/1"), false},
		{"a damaged record holds its slot", idle, held(), held(""), false},
		{"waiters of a drained pool", idle, held("p/1"), waiting, true},
		{"its lock is held", idle, held(), locked, false},
		{"its server may have forgotten holders", idle, held(), recovering, false},
		{"the same at the beginning", anyEnded, recovering, held(), false},
		{"--fewer 1 is idle", Until{Fewer: 1}, held("p/1"), held("p/1"), false},
		{"as many as N", fewer2, held(), held("p/1", "p/2"), false},
		{"fewer than N", fewer2, held(), held("p/1"), true},
		{"none has ended", anyEnded, held("p/1", "p/2"), held("p/1", "p/2"), false},
		{"one more", anyEnded, held("p/1"), held("p/1", "p/2"), false},
		{"one has ended, and another one has its slot", anyEnded, held("p/1", "p/2"), held("p/3", "p/2"), true},
		{"only one that came later has ended", anyEnded, held("p/1"), held("p/1", "-"), false},
		{"there was none", anyEnded, held(), held("p/1"), true},
		{"a record that cannot be read any more", anyEnded, held("p/1"), held(""), false},
		{"a record that can be read again", anyEnded, held(""), held("p/1"), false},
		{"a damaged record is gone", anyEnded, held("p/1", ""), held("p/1"), true},
	} {
		if got := c.until.Holds(c.first, c.now); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

// watchedStore answers with one pool or error after the other, and then with the last. Each
// change is announced; silent ones are not.
type watchedStore struct {
	lease.Store
	answers []any
	changes chan struct{}
	looks   int
}

func (s *watchedStore) Watch(context.Context, ...string) (<-chan struct{}, error) {
	return s.changes, nil
}

func (s *watchedStore) Summary(ctx context.Context, _ string, _ lease.Ticket) (lease.Pool, error) {
	if s.changes == nil {
		panic("a look before the watch misses what comes in between")
	}
	a := s.answers[min(s.looks, len(s.answers)-1)]
	s.looks++
	switch a := a.(type) {
	case error:
		return lease.Pool{}, a
	case *lease.Pool:
		return *a, nil
	}
	panic(fmt.Sprint(a))
}

func (s *watchedStore) wait(until Until, atMost time.Duration) error {
	w := Watcher{Store: s, Pool: "p", Until: until, AtMost: atMost, Trouble: func(error) {}, Recovering: func(time.Duration) {}, Seen: func(*lease.Pool) {}}
	return w.Wait(context.Background())
}

// TestWatcherLooksAtChangesAlone: no look without a change, one for each, and none after the
// condition holds.
func TestWatcherLooksAtChangesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &watchedStore{answers: []any{held("p/1"), held("p/1"), held()}, changes: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- s.wait(Until{}, -1) }()
		for n := 1; n <= 2; n++ {
			time.Sleep(time.Hour)
			synctest.Wait()
			if s.looks != n {
				t.Fatalf("%d looks after %d changes", s.looks, n-1)
			}
			s.changes <- struct{}{}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWatcherGivesUp(t *testing.T) {
	var out *lease.UnreachableError
	outage := &lease.UnreachableError{Store: "s", Err: errors.New("refused")}
	locked := held()
	locked.LockHeldBy = "the lock is held"
	recovering := held()
	recovering.RecoveringFor = 30 * time.Second
	for _, c := range []struct {
		name    string
		answers []any
		atMost  time.Duration
		want    any // what errors.As finds; nil: no error
		took    time.Duration
	}{
		{"in use", []any{held("p/1")}, 10 * time.Second, new(*NotYetError), 10 * time.Second},
		{"once", []any{held("p/1")}, 0, new(*NotYetError), 0},
		{"once, and it is idle", []any{held()}, 0, nil, 0},
		{"idle by the last look", []any{held("p/1"), held()}, 10 * time.Second, nil, 10 * time.Second},
		{"an outage passes", []any{outage, outage, held()}, time.Minute, nil, 60 * time.Millisecond},
		{"an outage does not pass", []any{outage}, 10 * time.Second, &out, 10 * time.Second},
		{"an outage at the only look", []any{outage}, 0, &out, 0},
		{"its lock is held for a while", []any{locked, locked, held()}, time.Minute, nil, 2 * time.Second},
		{"it recovers", []any{recovering, held()}, time.Minute, nil, 30 * time.Second},
		{"it recovers for longer", []any{recovering}, 10 * time.Second, new(*NotYetError), 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &watchedStore{answers: c.answers, changes: make(chan struct{})}
			begun := time.Now()
			err := s.wait(Until{}, c.atMost)
			if took := time.Since(begun); took != c.took {
				t.Errorf("%s: it took %v, want %v", c.name, took, c.took)
			}
			if c.want == nil && err != nil || c.want != nil && !errors.As(err, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

// TestWatcherWithoutItsPool: a pool whose directory was removed or replaced is not idle.
func TestWatcherWithoutItsPool(t *testing.T) {
	in := func(p *lease.Pool, id string) *lease.Pool {
		p.Dir = lease.Dir{Path: "/store/p", ID: id}
		return p
	}
	locked := in(held(), "1")
	locked.LockHeldBy = "the lock is held"
	unseen := held()
	unseen.LockHeldBy = "the lock is held"
	for _, c := range []struct {
		name    string
		answers []any
		gone    bool
	}{
		{"removed", []any{in(held("p/1"), "1"), held()}, true},
		{"replaced", []any{in(held("p/1"), "1"), in(held(), "2")}, true},
		{"removed before it could be read", []any{locked, held()}, true},
		{"not seen in between", []any{in(held("p/1"), "1"), unseen, in(held(), "1")}, false},
		{"never there", []any{held()}, false},
		{"made since", []any{unseen, in(held(), "1")}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			changes := make(chan struct{}, 1)
			changes <- struct{}{}
			err := (&watchedStore{answers: c.answers, changes: changes}).wait(Until{}, time.Minute)
			var gone *GoneError
			if errors.As(err, &gone) != c.gone || !c.gone && err != nil || c.gone && gone.Dir != "/store/p" {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}
