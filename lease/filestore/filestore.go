//go:build unix

// Package filestore is a lease.Store in a shared directory, without a daemon.
//
//	STORE/POOL/
//	  lock            held for one short decision at a time; content: the index
//	  limit           the pool's own settings, when someone set them
//	  pace, report    the starts that paces count; what the gates last said
//	  keepalive       when the jobs in the slots last called berth keepalive
//	  notes           what they said of themselves then
//	  slots/0 1 2 …   a file per slot: to hold the slot IS to have an exclusive flock
//	                  on it, and a child that inherits the descriptor holds it, too; the
//	                  flocks of a keeper and of the process that runs under its lease are
//	                  shared ones
//	  line/…          a file per ticket, named so that sorting gives the order;
//	                  an exclusive flock on it: its waiter lives and waits
//
// The kernel's locks are the truth and end with their processes. The text in the files
// is for people and for the identity of the child; the index saves reading a thousand
// files, and errs only towards "in use".
//
// So a slot is free as soon as the last process that holds it is gone, however that ended,
// and not before. A waiter sleeps in flock(2) on the ticket before its own: a
// hand-over wakes one process, and costs the same however long the line is. Only the
// head of the line watches the slots, by inotify. The pool's lock is held for one
// decision. Nothing sleeps under it, and it asks one question about other processes: do those
// live that are recorded in an unlocked slot, or in a lease that is adopted?
//
// A change of the order of steps has to be made in scripts/model, too, which searches all
// interleavings of them for a broken promise.
//
// To read the package, begin at the files:
//
//	root, dir, open        STORE, its directories and its files: what is trusted, and how
//	                       it is opened
//	pool, lock, flock      POOL and the file lock: one decision at a time
//	index, indexfile       the index in the file lock; rebuild makes it again
//	record, ticket         the text of a slot or a ticket, and the state of a ticket
//	settings, pace,        the files limit, pace, report (with smallfile, which reads and
//	report, keepalive      replaces them), keepalive and notes
//
// and go on with what uses them:
//
//	take, slot, holding    a request gets slots; what a slot is; a lease to its end
//	adopt                  a kept lease, under which others run something
//	join, place, line,     a waiter joins, is behind others and sleeps (wait), and is
//	wait, head, watch      first and watches the slots
//	list, tell, changes    what other processes read and say
//	forget                 pools that are not used any more
//
// The package is not for network file systems, whose locks fail with the network. It
// starts no command, signals no process and prints nothing.
package filestore

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
	"berth/lease/clock"
)

// Options are what the store has to be told. The zero value works, and takes every
// recorded process for gone.
type Options struct {
	// Create makes the directory if it is missing. Without Create a missing directory is
	// a store without pools.
	Create bool
	// Owner is the user that has to own the directory. If it is nil, we use a store of our
	// own and one of root's. We use one of another user only if it is shared with a group
	// of ours and lies where not everybody may make a directory, and never as root.
	Owner *uint32
	// Alive reports whether exactly this process still lives on this machine,
	// Frozen whether it lives and is stopped. Neither may block.
	Alive  func(lease.Process) bool
	Frozen func(lease.Process) bool
	// Ending reports whether the process is gone, or is exiting: the kernel is closing its
	// files. nil means not Alive. It is called without the pool's lock.
	Ending func(lease.Process) bool
	// Started returns a living process that was started with this lease id in its
	// environment, nil if there is none.
	Started func(id string) *lease.Process
	// RunBy returns a living process that this adopter of a lease has started, by its
	// environment, nil if there is none. Started would not do: with 'eval "$(berth acquire
	// --export)"' each command of a shell is started with the lease.
	RunBy func(adopter lease.Process) *lease.Process
	// SlotOf says in which slot the lease id probably is; a wrong answer costs time. It
	// may be nil.
	SlotOf func(id string) (slot int, ok bool)
	// Boot identifies this boot of this machine, PIDNS our pid namespace.
	Boot  string
	PIDNS uint64
	// TryLock has another process try to get the lock of a file: for Examine. nil: locks are
	// not tried.
	TryLock func(ctx context.Context, file string) (got bool, err error)
	// Slow is called, once per wait, when one process has held a pool's lock for
	// Timings.Explain. The error is a *lease.LockHeldError.
	Slow func(error)
	Timings
}

// Timings are the store's intervals. Zero means the default; tests make them shorter.
type Timings struct {
	FrozenCheck time.Duration // how often a waiter checks whether those before it are frozen: 45s
	FullCheck   time.Duration // how often the head checks all slots: 3s
	Poll        time.Duration // the same where slots cannot be watched: 100ms
	KeptCheck   time.Duration // how long a list waits until it tries the lock of a kept slot again: 1ms
	Explain     time.Duration // how long one process may hold the pool's lock before Slow is called: 2s
	Release     time.Duration // how long a release waits for the pool's lock: 5s
	Forget      time.Duration // how long a pool without settings stays when it is not used: 7 days
	Sweep       time.Duration // how often such pools are searched for: 1 day
	SweepFor    time.Duration // how long such a search may take; it delays only the process that does it: 50ms
	// FollowUps are the pauses after which the head checks again after an event that
	// found the slot still locked: the event of a closed file can come 0.3 ms before its lock
	// is gone, and a dying process takes time to close its files.
	FollowUps []time.Duration
}

func (t *Timings) fill() {
	for _, f := range []struct {
		d   *time.Duration
		def time.Duration
	}{
		{&t.FrozenCheck, 45 * time.Second}, {&t.FullCheck, 3 * time.Second}, {&t.Poll, 100 * time.Millisecond},
		{&t.KeptCheck, time.Millisecond}, {&t.Explain, 2 * time.Second}, {&t.Release, 5 * time.Second},
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
	made      bool // by Open
	opts      Options
	boot      uint64 // a hash of opts.Boot

	mu     sync.Mutex
	root   *dir   // nil: it does not exist yet
	uid    uint32 // its owner
	gid    uint32
	shared bool // with its group

	lockOwner func(*os.File) int // flockOwner, except in tests
}

var _ lease.Store = (*Store)(nil)

// Open checks that the directory can be a store, and that we may trust its owner (else the
// error is a lease.ForeignStoreError). An empty dir means DefaultDir. On an error, the
// directory may have been created nevertheless.
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
	if o.RunBy == nil {
		o.RunBy = func(lease.Process) *lease.Process { return nil }
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
	if err := s.checkMount(); err != nil {
		return nil, err
	}
	return s, nil
}

// Dir is the absolute path of the store.
func (s *Store) Dir() string { return s.dir }

// Made reports whether Open has made the directory.
func (s *Store) Made() bool { return s.made }

// Clock is the boot clock: it counts suspends, and does not change when the time is set.
func (s *Store) Clock() clock.Instant { return clock.Now() }

// isLocal reports whether p is of this boot of this machine, and of our pid namespace.
func (s *Store) isLocal(p lease.Process) bool {
	return p.Boot == s.opts.Boot && p.PIDNS == s.opts.PIDNS
}

// Network returns the kind of network file system that the store is on ("": none), and
// whether this is the first call for this store by any process. A file in the store remembers
// that.
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
