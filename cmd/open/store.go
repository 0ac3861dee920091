// Package open turns the name of a store into the store: that of a directory or of a
// URL. It says nothing itself: what is worth a line goes to a function of its caller.
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

// Options are what opening a store needs of its program.
type Options struct {
	Create  bool                             // a directory that is missing
	Note    func(format string, args ...any) // of what is worth a line
	Trouble func(error)                      // of a server that is out of reach and tried again
	Environ func() []string                  // as our caller passed it, for berth-remote
}

// Store is an open store and who we are in it.
type Store struct {
	*suspendGuard
	Where  string // as BERTH_STORE says it
	Owner  string // as BERTH_STORE_OWNER does
	Remote bool   // leases end by a clock, and owners may be on other machines
	Self   procwatch.ID
	// changes tells when there may be something new to list; nil: nothing does.
	Changes func(ctx context.Context, pools []string) <-chan struct{}
	// inherits reports whether we hold the lock of a lease's slot by a
	// descriptor that a parent left us.
	Inherits func(*lease.Lease) bool
}

// Guarded is a store that is open already, as one in a directory.
func Guarded(s lease.Store) *Store {
	return &Store{suspendGuard: &suspendGuard{Store: s}, Inherits: func(*lease.Lease) bool { return false }}
}

// Shown is where, for people: without the password of a URL.
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

// Suspend suspends this process. A call to a server keeps nobody else waiting.
func (s *suspendGuard) Suspend() {
	if s.server {
		tty.SuspendSelf()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tty.SuspendSelf()
}

// HandleSuspend makes Ctrl-Z safe for subcommands that have no signal loop.
func (s *suspendGuard) HandleSuspend() *suspendGuard {
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

// BehindSudo is the store of our caller, where sudo has cleared BERTH_STORE and it is
// another one, and the variables that sudo would have to pass on; "" and "": it is not so.
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
