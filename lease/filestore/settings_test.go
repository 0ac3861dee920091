//go:build unix

package filestore

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest"
)

func set(t *testing.T, s *Store, own lease.Settings) {
	t.Helper()
	if err := s.Set(t.Context(), "p", func(lease.Settings, error) (lease.Settings, error) { return own, nil }); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, s *Store, name string) string {
	t.Helper()
	b, err := os.ReadFile(s.path("p", name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// TestSettingsVersion: a berth that knows only limits refuses a file with more in it, and reads
// one without.
func TestSettingsVersion(t *testing.T) {
	s, four := newStore(t), 4
	set(t, s, lease.Settings{Limit: &four})
	if got := content(t, s, "limit"); !strings.HasPrefix(got, `{"v":1,"pool":"p","store":`) || !strings.HasSuffix(got, `,"limit":4}`+"\n") {
		t.Errorf("a limit alone is %q", got)
	}
	set(t, s, lease.Settings{Limit: &four, Conditions: lease.Conditions{Ramp: time.Second}})
	if got := content(t, s, "limit"); !strings.HasPrefix(got, `{"v":2,`) {
		t.Errorf("with terms it is %q", got)
	}
	set(t, s, lease.Settings{})
	if got := content(t, s, "limit"); got != "" {
		t.Errorf("no settings are %q", got)
	}
	for _, name := range []string{"limit.new", "pace.new"} {
		if content(t, s, name) != "" {
			t.Errorf("%s is left", name)
		}
	}
}

func TestSettingsThatAreNone(t *testing.T) {
	for text, want := range map[string]error{
		`{"v":3,"limit":4}`:                                 errNewer,
		`{"v":1}`:                                           errGarbage,
		`{"v":1,"limit":-1}`:                                errGarbage,
		`{"v":2,"ramp_ns":-1}`:                              errGarbage,
		`{"v":2,"rate":{"every_ns":5,"burst":0}}`:           errGarbage,
		`{"v":2,"rate":{"every_ns":5,"burst":9999}}`:        errGarbage,
		`{"v":2,"rate":{"every_ns":-5,"burst":1}}`:          errGarbage,
		`{"v":2,"min_slots":-1,"gates":"g"}`:                errGarbage,
		`{"v":2,"need":{"cpu":-1}}`:                         errGarbage,
		`{"v":2,"limit":0,"rate":{"every_ns":5,"burst":2}}`: nil,
	} {
		if _, err := parseSettings([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

// TestWhoSetIt: a file that others can write was set by no known user.
func TestWhoSetIt(t *testing.T) {
	s := newStore(t)
	set(t, s, lease.Settings{Conditions: lease.Conditions{Gates: "g"}})
	own := func() int {
		p, err := s.Summary(t.Context(), "p", lease.Ticket{})
		if err != nil {
			t.Fatal(err)
		}
		return p.Own.UID
	}
	if got := own(); got != os.Getuid() {
		t.Errorf("set by %d, want %d", got, os.Getuid())
	}
	s.shared = true // as in a store of mode 2770
	set(t, s, lease.Settings{Conditions: lease.Conditions{Gates: "h"}})
	if fi, err := os.Lstat(s.path("p", "limit")); err != nil || fi.Mode().Perm()&0o022 != 0 {
		t.Fatalf("%v, %v: others may write it", fi.Mode(), err)
	}
	if got := own(); got != os.Getuid() {
		t.Errorf("set by %d, want %d", got, os.Getuid())
	}
	if err := os.Chmod(s.path("p", "limit"), 0o660); err != nil {
		t.Fatal(err)
	}
	if got := own(); got != -1 {
		t.Errorf("set by %d, though others can write it", got)
	}
}

// TestSettingsAreMoved: the file's owner has set it, but not where it is now.
func TestSettingsAreMoved(t *testing.T) {
	s, other, four := newStore(t), newStore(t), 4
	gates := lease.Settings{Limit: &four, Conditions: lease.Conditions{Gates: "g"}}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	own := func(s *Store, pool string) (lease.Settings, error) {
		p, err := s.Summary(t.Context(), pool, lease.Ticket{})
		return p.Own, err
	}
	for _, at := range []*Store{s, other} {
		set(t, at, gates)
		set := func(old lease.Settings, err error) (lease.Settings, error) { return lease.Settings{Limit: &four}, err }
		if err := at.Set(t.Context(), "q", set); err != nil {
			t.Fatal(err)
		}
	}
	move(s.path("p", "limit"), s.path("q", "limit"))
	if got, err := own(s, "q"); err == nil || !strings.Contains(err.Error(), `it was set for pool "p"; 'berth limit --clear q' removes it`) {
		t.Errorf("in another pool: %+v, %v", got, err)
	}
	move(other.path("p", "limit"), s.path("p", "limit"))
	if got, err := own(s, "p"); err != nil || got.UID != -1 || got.Gates != "g" {
		t.Errorf("in another store: set by %d, %v; want nobody that is known", got.UID, err)
	}
	if err := os.WriteFile(s.path("p", "limit"), []byte(`{"v":2,"gates":"g"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := own(s, "p"); err != nil || got.UID != -1 || got.Gates != "g" {
		t.Errorf("of an older berth: set by %d, %v; want nobody that is known", got.UID, err)
	}
}

// TestRampAfterABoot: the clock of the last start began again. A wall clock that was set is not
// a boot.
func TestRampAfterABoot(t *testing.T) {
	s := newStore(t)
	r := storetest.Request("p", 9)
	r.Ramp = 1000 * time.Hour
	for _, why := range []string{"the first", "the first since"} {
		h, v, err := s.TryAcquire(t.Context(), r)
		if h == nil || err != nil {
			t.Fatalf("%s: %+v, %v", why, v, err)
		}
		old := time.Now().Add(-time.Duration(clock.Now()) - time.Hour)
		if err := os.Chtimes(s.path("p", "lock"), old, old); err != nil {
			t.Fatal(err)
		}
		if h, v, err := s.TryAcquire(t.Context(), r); h != nil || err != nil || v.Reason != lease.Paced {
			t.Fatalf("%v, %+v, %v; want paced", h, v, err)
		}
		s = afterABoot(t, s)
	}
}

// TestHeadLooksByItself: the end of an orphan that holds no lock is no event.
func TestHeadLooksByItself(t *testing.T) {
	var gone atomic.Bool
	s, err := Open(t.TempDir(), Options{
		Alive:   func(lease.Process) bool { return !gone.Load() },
		Timings: Timings{FullCheck: 20 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), storetest.Deadline)
	defer cancel()
	h, _, err := s.TryAcquire(ctx, storetest.Request("p", 1))
	if err != nil || h == nil {
		t.Fatal(err)
	}
	if err := h.Running(ctx, lease.Process{PID: 1 << 22, Start: 1}); err != nil {
		t.Fatal(err)
	}
	for _, f := range h.(*holding).files {
		unlock(f) // as a command does that closes what it inherited, when its berth is gone
	}
	p, err := s.Line(ctx, storetest.Request("p", 1))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // the checks that follow the beginning of a watch are over then
		if g, v, err := p.TryAcquire(ctx, lease.Clearance{}); g != nil || err != nil {
			t.Fatalf("%+v, %v: an orphan lives", v, err)
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		_ = p.Wait(short)
		cancel()
	}
	gone.Store(true)
	for {
		if g, _, err := p.TryAcquire(ctx, lease.Clearance{}); g != nil || err != nil {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		// ended again and again, as by a waiter that asks gates
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		_ = p.Wait(short)
		cancel()
		if ctx.Err() != nil {
			t.Fatal("it never looks")
		}
	}
}

// TestRampAfterADamagedLock: a start is not forgotten with the index.
func TestRampAfterADamagedLock(t *testing.T) {
	s := newStore(t)
	r := storetest.Request("p", 9)
	r.Ramp = time.Hour
	if h, _, err := s.TryAcquire(t.Context(), r); h == nil || err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path("p", "lock"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, v, err := s.TryAcquire(t.Context(), r); h != nil || err != nil || v.Reason != lease.Paced {
		t.Errorf("%v, %+v, %v; want paced", h, v, err)
	}
}

// TestFailedStart: when a start cannot be counted, there is none, and its slot is
// free again.
func TestFailedStart(t *testing.T) {
	s := newStore(t)
	h, _, err := s.TryAcquire(t.Context(), storetest.Request("p", 1))
	if err != nil || h == nil {
		t.Fatal(err)
	}
	if err := h.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", s.path("p", "pace")); err != nil {
		t.Fatal(err)
	}
	r := burst()
	r.Limit = 1
	if h, _, err := s.TryAcquire(t.Context(), r); h != nil || err == nil {
		t.Fatalf("%v, %v: started uncounted", h, err)
	}
	if err := os.Remove(s.path("p", "pace")); err != nil {
		t.Fatal(err)
	}
	if h, v, err := s.TryAcquire(t.Context(), r); h == nil || err != nil {
		t.Errorf("%+v, %v: the slot is lost", v, err)
	}
}

// TestFailedCount: the same when the disk is full by then. What could not be counted
// is not counted by half.
func TestFailedCount(t *testing.T) {
	s := newStore(t)
	giveBack(t, takeSlot(t, s, storetest.Request("p", 1)))
	p, err := s.pool("p", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	err = p.locked(t.Context(), func(ix *index) error {
		before := ix.start
		st, err := p.starts(ix)
		if err != nil {
			return err
		}
		if err := os.Symlink("nowhere", s.path("p", "pace")); err != nil {
			return err
		}
		if _, err := p.recordStart(ix, &st, burst().Rate); err == nil || ix.start != before {
			t.Errorf("%v, the last start was at %d, and now at %d", err, before, ix.start)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestGrantThatIsUndone: a grant that the caller never learned of counts for no pace.
func TestGrantThatIsUndone(t *testing.T) {
	for _, burst := range []int{1, 2} {
		s := newStore(t)
		r := storetest.Request("p", 9)
		r.Rate = lease.Pace{Every: time.Hour, Burst: burst}
		for range burst - 1 {
			giveBack(t, takeSlot(t, s, r))
		}
		before, err := s.Summary(t.Context(), "p", lease.Ticket{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Line(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		p := l.(*place).pool
		good := p.file
		if p.file, err = os.Open(s.path("p", "lock")); err != nil { // so that the index cannot be written
			t.Fatal(err)
		}
		if h, v, err := l.TryAcquire(t.Context(), lease.Clearance{}); h != nil || err == nil {
			t.Fatalf("%v, %+v, %v: started unseen", h, v, err)
		}
		p.file.Close()
		p.file = good
		if now, err := s.Summary(t.Context(), "p", lease.Ticket{}); err != nil || now.Starts.Last != before.Starts.Last || now.Starts.Count != before.Starts.Count || now.Used > 0 {
			t.Errorf("burst %d: %+v, %d in use, %v; it was %+v", burst, now.Starts, now.Used, err, before.Starts)
		}
		h, v, err := l.TryAcquire(t.Context(), lease.Clearance{})
		if h == nil || err != nil {
			t.Fatalf("burst %d: %+v, %v", burst, v, err)
		}
		giveBack(t, h)
	}
}

// TestReportOfTheFuture: it was written before the machine booted.
func TestReportOfTheFuture(t *testing.T) {
	s := newStore(t)
	set(t, s, lease.Settings{Conditions: lease.Conditions{Gates: "g"}})
	if err := os.WriteFile(s.path("p", "report"), []byte(`{"by":"p/1","why":"x","at_ns":9000000000000000000}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Summary(t.Context(), "p", lease.Ticket{}); err != nil || p.Report != nil {
		t.Errorf("%+v, %v", p.Report, err)
	}
}
