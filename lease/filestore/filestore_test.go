//go:build unix

package filestore_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/filestore"
	"berth/lease/storetest"
)

// open makes a store in which this process is the only one that lives.
func open(t testing.TB) *filestore.Store { return openAt(t, t.TempDir()) }

// Events alone have to wake the waiters.
func openAt(t testing.TB, dir string) *filestore.Store {
	return openWith(t, dir, filestore.Timings{FullCheck: time.Hour, FrozenCheck: time.Hour})
}

func openWith(t testing.TB, dir string, timings filestore.Timings) *filestore.Store {
	s, err := filestore.Open(dir, filestore.Options{
		Alive:   func(p lease.Process) bool { return p.PID == os.Getpid() },
		Timings: timings,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Shape{
		Open: func(t *testing.T) lease.Store { return open(t) },
		Another: func(t *testing.T, first lease.Store) lease.Store {
			return openAt(t, first.(*filestore.Store).Dir())
		},
		NoTTL:       "the kernel's lock is the lease, and goes with its owner",
		NoLostReply: "who takes a slot is who has its lock",
		Forgets: func(t *testing.T, age time.Duration) (lease.Store, func(string) []string) {
			dir := t.TempDir()
			return openWith(t, dir, filestore.Timings{FullCheck: time.Hour, FrozenCheck: time.Hour, Forget: age, Sweep: time.Nanosecond, SweepFor: time.Hour}),
				func(pool string) []string {
					found, err := filepath.Glob(filepath.Join(dir, "*"+pool))
					if err != nil {
						t.Fatal(err)
					}
					return found
				}
		},
	})
}
