//go:build unix

package filestore

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/lease"
)

func in(pool string, limit int) lease.Request {
	r := request(limit, 1)
	r.ID, r.Pool = lease.NewID(pool), pool
	return r
}

// age makes files of the store as old as that.
func age(t *testing.T, s *Store, old time.Duration, names ...string) {
	t.Helper()
	at := time.Now().Add(-old)
	for _, n := range names {
		if err := os.Chtimes(s.path(n), at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func exists(s *Store, name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

const week = 7*24*time.Hour + time.Minute

// TestForget: a pool without settings that has not been used for a week is removed, and no
// other one.
func TestForget(t *testing.T) {
	s := newStore(t)
	s.opts.SweepFor = time.Hour
	use := func(pool string) { giveBack(t, takeSlot(t, s, in(pool, 1))) }
	for _, pool := range []string{"idle", "young", "set", "held", "orphan", "waiting", "junk", "paced", "kept-alive", "kept-junk"} {
		use(pool)
	}
	four := 4
	if err := s.Set(t.Context(), "set", func(lease.Settings, error) (lease.Settings, error) { return lease.Settings{Limit: &four}, nil }); err != nil {
		t.Fatal(err)
	}
	held := takeSlot(t, s, in("held", 1))
	unlock(held.pool.top.f) // as when its berth was killed, and its command has the slot
	orphan := takeSlot(t, s, in("orphan", 1))
	if err := orphan.Running(t.Context(), lease.Process{PID: os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	for _, f := range append(orphan.files, orphan.pool.top.f) {
		unlock(f) // and its command has closed that
	}
	l, err := s.Line(t.Context(), in("waiting", 1))
	if err != nil {
		t.Fatal(err)
	}
	unlock(l.(*place).pool.top.f)
	if err := os.WriteFile(s.path("junk", "letters"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := takeSlot(t, s, in("kept-alive", 1))
	if _, err := s.Tell(t.Context(), kept.lease.ID, lease.Message{Kind: lease.MessageKeepalive}); err != nil {
		t.Fatal(err)
	}
	giveBack(t, kept)
	if err := os.WriteFile(s.path("kept-junk", "keepalive"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := in("paced", 1)
	r.Rate = lease.Pace{Every: 20 * 24 * time.Hour, Burst: 2}
	giveBack(t, takeSlot(t, s, r))
	r = in("slow", 1)
	r.Rate = lease.Pace{Every: 30 * 24 * time.Hour, Burst: 1}
	giveBack(t, takeSlot(t, s, r))
	use("slow") // a request with it waits for a month after that one, too

	p, err := s.pool("idle", false)
	if err != nil {
		t.Fatal(err)
	}
	ahead := uint64(time.Now().Add(1000 * time.Hour).UnixMicro()) // the clock was, and is set back
	if err := p.locked(t.Context(), func(ix *index) error { ix.token = ahead; return nil }); err != nil {
		t.Fatal(err)
	}
	p.close()
	for _, pool := range []string{"idle", "set", "held", "orphan", "waiting", "junk", "paced", "slow", "kept-alive", "kept-junk"} {
		age(t, s, week, pool+"/lock", pool)
	}
	age(t, s, week-2*time.Minute, "young/lock")

	use("other")
	if !exists(s, "idle") {
		t.Error("forgotten before it was time to look")
	}
	runtime.GC() // a file that is not referred to is closed, and its lock goes with it
	runtime.GC()
	age(t, s, 25*time.Hour, sweepStamp)
	use("other")
	runtime.KeepAlive(held)
	runtime.KeepAlive(l)
	for pool, want := range map[string]bool{"idle": false, "young": true, "set": true, "held": true, "orphan": true, "waiting": true, "junk": true, "paced": true, "slow": true, "kept-alive": false, "kept-junk": false} {
		if exists(s, pool) != want {
			t.Errorf("%s is there: %v, want %v", pool, !want, want)
		}
	}
	if left, _ := filepath.Glob(s.path(gonePrefix+"*", "*")); len(left) != 1 || left[0] != s.path(gonePrefix+"kept-junk", "keepalive") {
		t.Errorf("%v is left, want what no berth has written", left)
	}
	h := takeSlot(t, s, in("idle", 1))
	if got := h.Lease().Token; got <= ahead {
		t.Errorf("token %d after %d", got, ahead)
	}
	giveBack(t, h)

	// Not again on the same day.
	age(t, s, week, "idle/lock")
	use("other")
	if !exists(s, "idle") {
		t.Error("looked twice on a day")
	}
}

// sweeper opens what is needed to forget a pool by hand.
func sweeper(t *testing.T, s *Store) (*dir, *os.File) {
	t.Helper()
	root, err := s.rootDir()
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.openFile(root, sweepStamp, creating)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return root, f
}

// TestSweepIsCutOff: one that has no time for more than a pool comes to all of them,
// by and by.
func TestSweepIsCutOff(t *testing.T) {
	s := newStore(t)
	for _, pool := range []string{"a", "b", "c", "d"} {
		giveBack(t, takeSlot(t, s, in(pool, 1)))
	}
	root, f := sweeper(t, s)
	found, err := root.names()
	if err != nil {
		t.Fatal(err)
	}
	last := found[len(found)-1]
	if last == sweepStamp {
		last = found[len(found)-2]
	}
	age(t, s, week, last+"/lock")
	for range 1000 {
		if s.sweepPools(root, f, time.Now()) {
			t.Fatal("it was not cut off")
		}
	}
	if exists(s, last) {
		t.Errorf("%s, behind others, is never looked at", last)
	}
}

// TestForgetAnother: another pool took the place of the one that was opened to be removed.
func TestForgetAnother(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, in("p", 1)))
	p, err := s.pool("p", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := os.Rename(s.path("p"), s.path("q")); err != nil {
		t.Fatal(err)
	}
	h := takeSlot(t, s, in("p", 1))
	age(t, s, week, "p/lock", "q/lock")
	p.forgetIfIdle(sweeper(t, s))
	if !exists(s, "p") || !exists(s, "q") {
		t.Error("the pool that has the name now was forgotten, with somebody in it")
	}
	giveBack(t, h)
}

// TestForgetNoRate: a pace without a burst looks back to the last start, so the pool stays
// for that long, even if that was the start of a job without a pace.
func TestForgetNoRate(t *testing.T) {
	s := newStore(t)
	s.opts.SweepFor = time.Hour
	month := lease.Conditions{Rate: lease.Pace{Every: 30 * 24 * time.Hour, Burst: 1}}
	pools := map[string]struct {
		lease.Conditions
		used, stays bool
	}{
		"evenly": {month, false, true},
		"ramped": {lease.Conditions{Ramp: 10 * 24 * time.Hour}, false, true},
		"tried":  {month, true, true},
		"quick":  {lease.Conditions{Ramp: time.Hour}, false, false},
	}
	try := func(pool string) bool {
		r := in(pool, 1)
		r.Conditions = pools[pool].Conditions
		h, v, err := s.TryAcquire(t.Context(), r)
		if err != nil || h == nil && v.Reason != lease.Paced {
			t.Fatalf("%s: %v, %+v, %v", pool, h, v, err)
		}
		if h != nil {
			giveBack(t, h)
		}
		return h != nil
	}
	for pool, c := range pools {
		if c.used {
			giveBack(t, takeSlot(t, s, in(pool, 1)))
		}
		if got := try(pool); got == c.used {
			t.Errorf("%s: started %v", pool, got)
		}
	}
	giveBack(t, takeSlot(t, s, in("other", 1)))
	for pool := range pools {
		age(t, s, week, pool+"/lock", pool)
	}
	age(t, s, 25*time.Hour, sweepStamp)
	giveBack(t, takeSlot(t, s, in("other", 1)))
	for pool, c := range pools {
		if got := exists(s, pool); got != c.stays {
			t.Errorf("%s is there: %v, want %v", pool, got, c.stays)
		}
		if c.stays && try(pool) {
			t.Errorf("%s: started before it was time", pool)
		}
	}
	// On the next boot nothing is known of the last start, and nothing keeps the pool.
	s = afterABoot(t, s)
	s.opts.SweepFor = time.Hour
	age(t, s, week, "evenly/lock", "evenly")
	age(t, s, 25*time.Hour, sweepStamp)
	giveBack(t, takeSlot(t, s, in("other", 1)))
	if exists(s, "evenly") {
		t.Error("evenly stays after a boot")
	}
}

// TestForgottenHalf: a process that is killed while it removes a pool leaves something that
// the next one removes, except for files that are not berth's.
func TestForgottenHalf(t *testing.T) {
	s := newStore(t)
	s.opts.SweepFor = time.Hour
	for pool, lost := range map[string]string{"a": "", "b": "slots/0", "c": "slots", "d": "lock"} {
		giveBack(t, takeSlot(t, s, in(pool, 1)))
		if lost != "" {
			if err := os.RemoveAll(s.path(pool, lost)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(s.path(pool), s.path(gonePrefix+pool)); err != nil {
			t.Fatal(err)
		}
	}
	kept := []string{"a/letters", "a/slots/0.bak", "b/line/20-000000000001"}
	for _, n := range kept {
		if err := os.WriteFile(s.path(gonePrefix+n), []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pools, err := s.List(t.Context()); err != nil || len(pools) > 0 {
		t.Errorf("%+v, %v; want no pools", pools, err)
	}
	age(t, s, 25*time.Hour, sweepStamp)
	giveBack(t, takeSlot(t, s, in("a", 1)))
	for _, n := range kept {
		if b, err := os.ReadFile(s.path(gonePrefix + n)); string(b) != "precious" {
			t.Errorf("%s is %q, %v", n, b, err)
		}
	}
	for _, pool := range []string{"c", "d"} {
		if exists(s, gonePrefix+pool) {
			t.Errorf("%s is left", gonePrefix+pool)
		}
	}
}

// TestForgottenWhileOpen: a process that has opened a pool and does not have its lock yet
// finds it removed, makes it again, and is alone in it.
func TestForgottenWhileOpen(t *testing.T) {
	s := newStore(t)
	s.opts.SweepFor = time.Hour
	giveBack(t, takeSlot(t, s, in("p", 1)))
	p, err := s.pool("p", false)
	if err != nil {
		t.Fatal(err)
	}
	sweep := func() {
		age(t, s, week, "p/lock")
		age(t, s, 25*time.Hour, sweepStamp)
		s.sweep()
	}
	if sweep(); !exists(s, "p") {
		t.Fatal("it was forgotten while somebody had it open")
	}
	unlock(p.top.f) // it did not get that lock, because of a sweep
	if sweep(); exists(s, "p") {
		t.Fatal("it was not forgotten")
	}
	err = p.locked(t.Context(), func(ix *index) error {
		h, _, err := p.take(ix, candidate{Request: in("p", 1)}, nil, true)
		if h == nil || err != nil {
			t.Errorf("%v, %v", h, err)
		}
		t.Cleanup(func() { giveBack(t, h) })
		return nil
	})
	if err != nil || !p.inPlace() {
		t.Errorf("%v; in place: %v", err, p.inPlace())
	}
	if g, v, err := s.TryAcquire(t.Context(), in("p", 1)); g != nil || err != nil || v.Reason != lease.Full {
		t.Errorf("%v, %+v, %v; a second one in the pool", g, v, err)
	}
}

// TestForgetStorm: pools that are forgotten all the time are still counted right.
func TestForgetStorm(t *testing.T) {
	s := newStore(t)
	s.opts.SweepFor = time.Hour
	s.opts.Forget, s.opts.Sweep = time.Nanosecond, time.Nanosecond
	var inside, rounds atomic.Int32
	var last atomic.Uint64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for rounds.Add(1) <= 400 {
				h, _, err := s.TryAcquire(t.Context(), in("p", 1))
				if err != nil {
					t.Error(err)
					return
				}
				if h == nil {
					continue
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d at once", n)
				}
				if token := h.Lease().Token; last.Swap(token) >= token {
					t.Errorf("token %d did not rise", token)
				}
				inside.Add(-1)
				if err := h.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
