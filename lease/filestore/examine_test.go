//go:build unix

package filestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/lease"
)

func TestExamineJudges(t *testing.T) {
	good := state{
		dir: "/srv/berth", at: "/srv/berth", owner: "root", group: "users", mode: 0o2770, mount: mount{"ext4", "/srv", "rw,relatime"},
		free: 1 << 40, files: 1 << 20, countsFiles: true, tried: true, excludes: true, frees: true,
	}
	with := func(change func(*state)) state {
		st := good
		change(&st)
		return st
	}
	for _, c := range []struct {
		name string
		state
		want string
	}{
		{"all is well", good, ""},
		{"it is not there", with(func(s *state) { *s = state{dir: s.dir, missing: true, free: s.free} }), ""},
		{"it cannot be made", with(func(s *state) { *s = state{dir: s.dir, missing: true, makeErr: errors.New("no parent"), free: s.free} }), "fail directory"},
		{"it cannot be used", state{dir: "/x", tryErr: errors.New("refused")}, "fail directory"},
		{"read-only", with(func(s *state) { s.mount.options = "ro,relatime" }), "fail file system"},
		{"rw is not ro", with(func(s *state) { s.mount.options = "rw,errors=remount-ro" }), ""},
		{"NFS", with(func(s *state) { s.network = "NFS" }), "warn file system"},
		{"locks exclude nobody", with(func(s *state) { s.excludes = false }), "fail locks"},
		{"locks stay", with(func(s *state) { s.frees = false }), "fail locks"},
		{"locks cannot be tried", with(func(s *state) { s.tryErr = errors.New("no space") }), "fail locks"},
		{"full", with(func(s *state) { s.free = 0 }), "fail space"},
		{"nearly full", with(func(s *state) { s.free = 1 << 20 }), "warn space"},
		{"no inodes", with(func(s *state) { s.files = 0 }), "fail space"},
		{"inodes are not counted", with(func(s *state) { s.files, s.countsFiles = 0, false }), ""},
		{"few inodes", with(func(s *state) { s.files = 10 }), "warn space"},
	} {
		var ill []string
		for _, f := range c.judge() {
			if f.Status != lease.OK {
				ill = append(ill, string(f.Status)+" "+f.Name)
			}
			if (f.Status == lease.OK) != (f.Remedy == "") {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if got := strings.Join(ill, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestExamineTriesLocks: what the second process gets decides, and nothing is left behind.
func TestExamineTriesLocks(t *testing.T) {
	real := func(_ context.Context, file string) (bool, error) { return TryLock(file) } // another open file, which counts alike
	for _, c := range []struct {
		name string
		try  func(context.Context, string) (bool, error)
		want lease.Status
	}{
		{"they exclude", real, lease.OK},
		{"they do not", func(context.Context, string) (bool, error) { return true, nil }, lease.Fail},
		{"they never free", func(context.Context, string) (bool, error) { return false, nil }, lease.Fail},
		{"there is no second process", func(context.Context, string) (bool, error) { return false, errors.New("no fork") }, lease.Fail},
	} {
		dir := filepath.Join(t.TempDir(), "store")
		s, err := Open(dir, Options{Create: true, TryLock: c.try})
		if err != nil {
			t.Fatal(err)
		}
		got := lease.Status("none")
		for _, f := range s.Examine(t.Context()) {
			if f.Name == "locks" {
				got = f.Status
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", c.name, left, err)
		}
	}
}

// TestExamineWhatCannotBeMade: a store that no run could make is not well.
func TestExamineWhatCannotBeMade(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]lease.Status{"new": lease.OK, "none/new": lease.Fail, "none/none/new": lease.Fail, "link": lease.Fail} {
		s, err := Open(filepath.Join(dir, name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Examine(t.Context())[0]; got.Name != "directory" || got.Status != want {
			t.Errorf("%s: %+v, want %s", name, got, want)
		} else if above, ok := strings.CutSuffix(name, "/new"); ok && got.Remedy != "mkdir -p "+filepath.Join(dir, above) {
			t.Errorf("%s: remedy %q", name, got.Remedy)
		}
	}
}

// TestExaminationsAtOnce: one is no fault of the store for another one.
func TestExaminationsAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	var s *Store
	within := false
	s, err := Open(dir, Options{Create: true, TryLock: func(ctx context.Context, file string) (bool, error) {
		if !within { // another one begins and ends while this one has its lock, and when it had it
			within = true
			_, other := s.look(ctx), s.look(ctx)
			if within = false; !other.excludes || !other.frees || other.tryErr != nil {
				t.Errorf("%+v", other)
			}
		}
		return TryLock(file)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.look(t.Context()); !got.excludes || !got.frees || got.tryErr != nil {
		t.Errorf("%+v", got)
	}
}

// TestKilledExamination: what it left behind is removed later.
func TestKilledExamination(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir, Options{Create: true, TryLock: func(context.Context, string) (bool, error) { return true, nil }})
	if err != nil {
		t.Fatal(err)
	}
	old, young := filepath.Join(dir, rivalFile+"OLD"), filepath.Join(dir, rivalFile+"YOUNG")
	for _, f := range []string{old, young} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*rivalsLast)); err != nil {
		t.Fatal(err)
	}
	s.Examine(t.Context())
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != filepath.Base(young) {
		t.Errorf("left: %v, %v", left, err)
	}
}
