//go:build unix

package open

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"berth/cmd/storename"
	"berth/lease"
	"berth/lease/filestore"
	"berth/procwatch"
)

// DefaultDir is the store of this user if none is named.
func DefaultDir() string { return filestore.DefaultDir() }

// Open opens the store of a URL or a directory, or the default one. For a URL berth replaces
// itself by berth-remote, and Open does not return.
func Open(o storename.Spec, with Options) (*Store, error) {
	self, err := procwatch.Self()
	if err != nil {
		return nil, err
	}
	if err := checkStore(o); err != nil {
		return nil, err
	}
	if storename.IsURL(o.Where) {
		return openServer(o, with, self)
	}
	return openDir(o, with, self)
}

func openServer(o storename.Spec, with Options, self procwatch.ID) (*Store, error) {
	if o.OwnerByFlag {
		return nil, fmt.Errorf("--store-owner %s: a store on a server is no directory; drop it", o.Owner)
	}
	s, err := openRemote(o, with)
	if err != nil {
		return nil, err
	}
	return &Store{suspendGuard: &suspendGuard{Store: s, server: true}, Where: o.Where, From: o.From, Remote: true, Self: self, Inherits: func(*lease.Lease) bool { return false }}, nil
}

func openDir(o storename.Spec, with Options, self procwatch.ID) (*Store, error) {
	owner, err := lookUp(o)
	if err != nil {
		return nil, err
	}
	dir := o.Where
	if uid, theirs := filestore.DefaultOf(dir); owner == nil && theirs && os.Geteuid() == 0 && !with.Create {
		owner = &uid // the name says whose it is
	}
	if o.From == storename.MachineFile && (with.Create || with.Exists) && missing(dir) {
		return nil, &NoMachineStoreError{dir}
	}
	s, err := filestore.Open(dir, dirOptions(with, self, owner))
	if errors.Is(err, filestore.ErrNoParent) && dir != "" {
		return nil, &NoParentError{err, filepath.Dir(dir), o.From}
	}
	if err != nil {
		return nil, err
	}
	if s.Made() && dir != "" {
		with.Note("created store %s", s.Dir())
	}
	if fs, first := s.Network(); first {
		with.Note("store %s is on %s: slots are then as reliable as its locks over the network, and an orphan is not seen from another machine", s.Dir(), fs)
	}
	return &Store{suspendGuard: &suspendGuard{Store: s}, Where: s.Dir(), From: o.From, Owner: o.Owner, Self: self, Inherits: s.Inherits}, nil
}

// dirOptions are what a store in a directory asks about processes.
func dirOptions(with Options, self procwatch.ID, owner *uint32) filestore.Options {
	return filestore.Options{
		Create: with.Create,
		Owner:  owner,
		Alive: func(p lease.Process) bool {
			return lives(p, false) || p.Start != 0 && p.Boot != "" && p.Boot == self.Boot && p.PIDNS == self.PIDNS &&
				procwatch.ID(p).State() == procwatch.Unknown // here, and hidden from us (hidepid)
		},
		Frozen: func(p lease.Process) bool { return lives(p, true) },
		Ending: func(p lease.Process) bool { return procwatch.ID(p).Ending() },
		Started: func(id string) *lease.Process {
			return startedWith(lease.EnvPrefix, func(env []string) bool { return lease.InEnv(env, id) })
		},
		RunBy: func(adopter lease.Process) *lease.Process {
			return startedWith(lease.EnvAdopter, func(env []string) bool { return lease.InEnvBy(env, adopter) })
		},
		SlotOf:  ownSlot,
		TryLock: tryLock,
		Boot:    self.Boot,
		PIDNS:   self.PIDNS,
		Slow:    func(err error) { with.Note("%v", err) },
	}
}

// startedWith is a process that was started with such an environment, nil: there is none.
func startedWith(prefix string, is func(env []string) bool) *lease.Process {
	p, ok := procwatch.StartedWith(prefix, is)
	if !ok {
		return nil
	}
	return (*lease.Process)(&p)
}

func missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// tryLock has another process of this program try to get the lock of a file. It opens no store,
// and --user-store keeps it from an error in the file that names that of the machine.
func tryLock(ctx context.Context, file string) (bool, error) {
	program, err := os.Executable()
	if err != nil {
		return false, err
	}
	env := append(os.Environ(), TryLockOf+"="+file)
	var said strings.Builder
	end, err := procwatch.Side{Argv: []string{program, "doctor", "--user-store"}, Env: env, Timeout: 5 * time.Second, Output: &said}.Run(ctx)
	switch {
	case err != nil:
		return false, err
	case end.Code == 0 || end.Code == 1:
		return end.Code == 0, nil
	}
	return false, fmt.Errorf("a second process ended with %d: %s", end.Code, strings.TrimSpace(said.String()))
}

// TryLock reports whether this process can lock a file now.
func TryLock(file string) (bool, error) { return filestore.TryLock(file) }

// lookUp returns the uid of the owner, nil if none was named.
func lookUp(o storename.Spec) (*uint32, error) {
	if o.Owner == "" && !o.OwnerByFlag { // as a variable that is not set
		return nil, nil
	}
	u, err := user.Lookup(o.Owner)
	if err != nil {
		u = &user.User{Uid: o.Owner}
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		from := "BERTH_STORE_OWNER"
		if o.OwnerByFlag {
			from = "--store-owner"
		}
		return nil, fmt.Errorf("%s: %q is neither a user of this machine nor a uid", from, o.Owner)
	}
	uid := uint32(id)
	return &uid, nil
}

// ownSlot is the slot of the job that this process runs in, if id is that job. It nearly
// always is.
func ownSlot(id string) (int, bool) {
	slot, err := strconv.Atoi(os.Getenv("BERTH_SLOT"))
	return slot, err == nil && id == os.Getenv("BERTH_LEASE")
}

// lives reports whether a recorded process lives on this machine, and with stopped set,
// whether it is stopped as well. A process that cannot be seen from here (on another machine,
// in another container) does not count: its kernel lock shows that it lives. With stopped set,
// a pid without a start time means the process that has it now; else it means none.
func lives(p lease.Process, stopped bool) bool {
	id := procwatch.ID(p)
	if id.Start == 0 && stopped {
		if known, err := procwatch.Identify(id.PID); err == nil {
			id = known
		}
	}
	st := id.State()
	return st == procwatch.Stopped || st == procwatch.Alive && (!stopped || id.Frozen())
}
