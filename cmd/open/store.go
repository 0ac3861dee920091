// Package open opens a store by its name, a directory or a URL. It prints nothing: notes go to
// functions of its caller, and its errors are typed.
package open

import (
	"context"
	"os"
	"sync"

	"berth/cmd/storename"
	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/remote"
	"berth/procwatch"
)

// Options are what Open needs of its caller.
type Options struct {
	Create  bool                             // create a missing directory
	Exists  bool                             // that of the machine has to exist, as for Create
	Note    func(format string, args ...any) // prints a note
	Trouble func(error)                      // prints that a server cannot be reached and is tried again
	Environ func() []string                  // the environment that berth-remote gets
}

// Store is an open store, and this process as it appears there.
type Store struct {
	*suspendGuard
	Where  string // its name, for BERTH_STORE
	From   string // what names it, as in storename.Spec
	Owner  string // for BERTH_STORE_OWNER
	Remote bool   // leases end by a clock, and owners may be on other machines
	Self   procwatch.ID
	// Inherits reports whether this process holds the lock of a lease's slot through a
	// descriptor that it inherited.
	Inherits func(*lease.Lease) bool
}

// Shown is the name of the store without a password.
func (st *Store) Shown() string {
	if !st.Remote {
		return storename.DiscreetPath(st.Where)
	}
	return remote.RedactURL(st.Where)
}

// suspendGuard lets Ctrl-Z suspend this process only between two calls to the store.
// Suspended inside one it could hold a pool's lock and block everyone. The calls that
// wait for slots are not guarded: a waiter is suspended between two attempts.
type suspendGuard struct {
	lease.Store
	server bool
	mu     sync.RWMutex
}

// Suspend suspends this process.
func (s *suspendGuard) Suspend() { s.SuspendIf(func() bool { return true }) }

// SuspendIf suspends this process if that is still wanted once no call to the store is under
// way, which may take as long as another process keeps the pool's lock. A call to a server
// keeps no other process waiting.
func (s *suspendGuard) SuspendIf(wanted func() bool) {
	if !s.server {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	if wanted() {
		tty.SuspendSelf()
	}
}

// HandleSuspend makes Ctrl-Z safe for subcommands that have no signal loop. It also has Ctrl-\
// end them as any other signal does, see tty.DieOfQuit.
func (s *suspendGuard) HandleSuspend() *suspendGuard {
	tty.DieOfQuit()
	signals := tty.NewSignals()
	signals.Start(nil, []os.Signal{tty.TSTP, tty.CONT}, nil)
	signals.Ready()
	go func() {
		var ctl tty.Suspension
		for sig := range signals.Next() {
			ctl.Follow(sig, signals.Next(), s.Suspend)
		}
	}()
	return s
}

func (s *suspendGuard) List(ctx context.Context, pools ...string) ([]lease.Pool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.List(ctx, pools...)
}

func (s *suspendGuard) Summary(ctx context.Context, pool string, t lease.Ticket) (lease.Pool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Summary(ctx, pool, t)
}

func (s *suspendGuard) Set(ctx context.Context, pool string, change func(lease.Settings, error) (lease.Settings, error)) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Set(ctx, pool, change)
}

func (s *suspendGuard) Tell(ctx context.Context, id string, m lease.Message) (lease.Entry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Tell(ctx, id, m)
}

func (s *suspendGuard) Adopt(ctx context.Context, id string, adopter lease.Process) (lease.Holding, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Store.Adopt(ctx, id, adopter)
}

// BehindSudo is the store of the process that called sudo, if sudo has cleared BERTH_STORE and
// that store is another one, and the variables that sudo would have to keep. Else both are "".
func (st *Store) BehindSudo() (theirs, pass string) {
	above, err := procwatch.Ancestors()
	if err != nil {
		return "", ""
	}
	for _, a := range above {
		theirs, ok := a.Started("BERTH_STORE")
		switch {
		case !ok || theirs == "":
			continue
		case theirs == st.Where:
			return "", ""
		}
		pass := "BERTH_STORE"
		if lease, _ := a.Started("BERTH_LEASE"); lease != "" {
			pass += ",BERTH_LEASE" // else it waits for the job that it is in
		}
		return storename.Discreet(theirs), pass
	}
	return "", ""
}
