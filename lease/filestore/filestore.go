//go:build unix

// Package filestore keeps pools in a shared directory, without a daemon.
//
//	STORE/POOL/
//	  lock            held for one short decision at a time; content: the index
//	  limit           the pool's own settings, when someone set them
//	  pace, report    the starts that paces count; what the gates last said
//	  keepalive       when the jobs in the slots last called berth keepalive
//	  slots/0 1 2 …   a slot each: an exclusive flock on it IS holding it
//	  line/…          a ticket each, named so that sorting gives the order;
//	                  an exclusive flock on it: its waiter lives and waits
//
// The kernel's locks are the truth and die with their processes; the text in
// the files is for people, for the identity of the child, and (the index) to
// be fast. Nothing waits for anything while it holds the pool's lock, or asks the
// machine more than whether the process of a slot that nobody locks still lives.
//
// It is not for network file systems, whose locks fail with the network.
package filestore

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// Options are what the store needs to know from outside. The zero value works
// and treats every recorded process as gone.
type Options struct {
	// Create makes a directory that is missing. Without it, it has no pools.
	Create bool
	// Owner is the user whose directory this has to be; nil: any whom this user
	// trusts by itself, see Store.trust.
	Owner *uint32
	// Alive reports whether exactly this process still lives on this machine;
	// Frozen whether it lives and is stopped. Neither may block.
	Alive  func(lease.Process) bool
	Frozen func(lease.Process) bool
	// Ending reports whether it is gone, or on its way out and closing what it had
	// open; nil: what Alive does not report. It is asked outside of the pool's lock.
	Ending func(lease.Process) bool
	// Started returns a process that lives and was started with this lease id in
	// its environment; nil: there is none.
	Started func(id string) *lease.Process
	// SlotOf says in which slot the lease id may be, for who knows; a wrong answer
	// costs time. nil: nobody knows.
	SlotOf func(id string) (slot int, ok bool)
	// Boot identifies this boot of this machine, PIDNS the pid namespace we see.
	Boot  string
	PIDNS uint64
	// Slow is called once for a pool's lock that is not to be had for
	// Timings.Explain, with a *lease.LockHeldError.
	Slow func(error)
	Timings
}

// Timings are how long the store waits before it looks by itself. The zero
// value of each means the default; tests make them shorter.
type Timings struct {
	FrozenCheck time.Duration // how often a waiter checks whether those before it are frozen: 45s
	FullCheck   time.Duration // how often the head checks all slots: 3s
	Poll        time.Duration // the same where slots cannot be watched: 100ms
	Explain     time.Duration // the pool's lock is held so long: 2s
	Release     time.Duration // a release waits so long for the pool's lock: 5s
	Forget      time.Duration // a pool without settings goes when nobody has used it for so long: 7 days
	Sweep       time.Duration // somebody looks for such pools so often: 1 day
	// SweepFor is for how long, then: 50ms. It is in nobody's way but his own.
	SweepFor time.Duration
	// Again is when the head looks again after an event that found the slot
	// still locked: the event of a closed file can come 0.3 ms before its lock
	// is gone, and a dying process takes its time to close.
	FollowUps []time.Duration
}

func (t *Timings) fill() {
	for _, f := range []struct {
		d   *time.Duration
		def time.Duration
	}{
		{&t.FrozenCheck, 45 * time.Second}, {&t.FullCheck, 3 * time.Second}, {&t.Poll, 100 * time.Millisecond},
		{&t.Explain, 2 * time.Second}, {&t.Release, 5 * time.Second},
		{&t.Forget, 7 * 24 * time.Hour}, {&t.Sweep, 24 * time.Hour}, {&t.SweepFor, 50 * time.Millisecond},
	} {
		if *f.d <= 0 {
			*f.d = f.def
		}
	}
	if t.FollowUps == nil {
		t.FollowUps = []time.Duration{200 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond}
	}
}

// Store is a directory with pools in it.
type Store struct {
	dir       string
	isDefault bool
	made      bool // by us, just now
	opts      Options
	boot      uint64 // a hash of opts.Boot

	mu     sync.Mutex
	root   *dir   // nil: not there yet
	uid    uint32 // its owner
	gid    uint32
	shared bool // with a group

	lockOwner func(*os.File) int // flockOwner, but in tests
}

var _ lease.Store = (*Store)(nil)

// Open checks that the directory is fit to be a store, and whose it is
// (lease.ForeignStoreError). An empty dir means DefaultDir. After an error the
// directory may have been made.
func Open(dir string, o Options) (*Store, error) {
	isDefault := dir == ""
	if isDefault {
		dir = DefaultDir()
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	o.fill()
	if o.Alive == nil {
		o.Alive = func(lease.Process) bool { return false }
	}
	if o.Frozen == nil {
		o.Frozen = func(lease.Process) bool { return false }
	}
	if o.Ending == nil {
		o.Ending = func(p lease.Process) bool { return !o.Alive(p) }
	}
	if o.Started == nil {
		o.Started = func(string) *lease.Process { return nil }
	}
	if o.SlotOf == nil {
		o.SlotOf = func(string) (int, bool) { return 0, false }
	}
	if o.Slow == nil {
		o.Slow = func(error) {}
	}
	s := &Store{dir: abs, isDefault: isDefault, opts: o, boot: hash([]byte(o.Boot)), lockOwner: flockOwner}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	return s, checkMount(abs)
}

// Dir is the absolute path of the store.
func (s *Store) Dir() string { return s.dir }

// Made reports whether Open has made the directory.
func (s *Store) Made() bool { return s.made }

// Network returns the kind of network file system the store is on ("": none),
// and whether this is the first time anybody asked of this store.
func (s *Store) Network() (kind string, first bool) {
	kind = networkFS(s.dir)
	if kind == "" {
		return "", false
	}
	root, err := s.rootDir()
	if err != nil {
		return kind, false
	}
	fd, err := root.openat(".network-told", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, s.fileMode())
	if err == nil {
		unix.Close(fd)
	}
	return kind, err == nil
}
