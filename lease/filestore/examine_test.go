//go:build unix

package filestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/lease"
)

func TestExamineJudges(t *testing.T) {
	good := state{
		dir: "/srv/berth", owner: "root", group: "users", mode: 0o2770, mount: mount{"ext4", "/srv", "rw,relatime"},
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
