package cmd

import (
	"context"
	"os"
	"strings"
	"sync"

	"berth/cmd/storename"
	"berth/cmd/tty"
	"berth/lease"
	"berth/lease/remote"
	"berth/procwatch"
)

// store is an open store and who we are in it.
type store struct {
	*suspendGuard
	where  string // as BERTH_STORE says it
	owner  string // as BERTH_STORE_OWNER does
	remote bool   // leases end by a clock, and owners may be on other machines
	self   procwatch.ID
	// changes tells when there may be something new to list; nil: nothing does.
	changes func(ctx context.Context, pools []string) <-chan struct{}
	// inherits reports whether we hold the lock of a lease's slot by a
	// descriptor that a parent left us.
	inherits func(*lease.Lease) bool
}

// shown is where, for people: without the password of a URL.
func (st *store) shown() string {
	if !st.remote {
		return storename.DiscreetPath(st.where)
	}
	return remote.DiscreetURL(st.where)
}

// freshHint is how nobody waits for jobs that a new server cannot have forgotten, "" for
// a store that forgets none, or that was told so.
func (st *store) freshHint() string {
	d, err := remote.ParseURL(st.where)
	if err != nil || strings.HasPrefix(d.Scheme, "etcd") || d.Settings.Has("fresh") {
		return ""
	}
	return "if nobody else has ever used this server, ?fresh=1 behind its URL waits for nobody"
}

// suspendGuard lets Ctrl-Z suspend this process only between two calls to the store.
// Suspended inside one it could hold a pool's lock and block everyone. The calls that
// wait for slots are not guarded: a waiter is suspended between two attempts.
type suspendGuard struct {
	lease.Store
	server bool
	mu     sync.RWMutex
}

// suspend suspends this process. A call to a server keeps nobody else waiting.
func (s *suspendGuard) suspend() {
	if s.server {
		tty.SuspendSelf()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tty.SuspendSelf()
}

// handleSuspend makes Ctrl-Z safe for subcommands that have no signal loop.
func (s *suspendGuard) handleSuspend() *suspendGuard {
	signals := tty.NewSignals()
	signals.Catch([]os.Signal{tty.TSTP, tty.CONT})
	go signals.Run()
	go func() {
		var ctl tty.Suspension
		for sig := range signals.Next() {
			ctl.Follow(sig, signals.Next(), s.suspend)
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
