//go:build unix

package filestore_test

import (
	"os"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/filestore"
	"berth/lease/storetest"
)

// open makes a store in which this process is the only one that lives.
func open(t testing.TB) *filestore.Store {
	s, err := filestore.Open(t.TempDir(), filestore.Options{
		Alive: func(p lease.Process) bool { return p.PID == os.Getpid() },
		// Events alone have to wake who waits.
		Timings: filestore.Timings{Head: time.Hour, Look: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) lease.Store { return open(t) })
}
