// Package redisstore keeps pools on a Redis or Valkey server: lease.Store for
// machines that share nothing else.
//
// Every step is one script, which decides and writes at once; the client only waits. The
// step that gives slots back also grants them to the head of the line. A waiter is woken
// through a list of its own: what is pushed there lasts until it is read, whatever happens
// to connections. It is only a hint, after which the waiter asks the script.
//
// Leases end by the server's clock, which can be set; liveness in common.lua says why that
// breaks no promise. A server may forget holders: it was restarted, or a replica that lagged
// was promoted. Then holders register again with their next heartbeat, and during this
// recovery hold-off no new job starts: for Timings.Recover, or for the longest TTL that is
// known. The server must not evict keys (maxmemory-policy); if it does, the caller is told.
package redisstore

import (
	"cmp"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/remote"
	"berth/lease/remote/client"
)

// Store is a client of one server, or of the master that Sentinels name.
type Store struct {
	client     redis.UniversalClient
	name       string // without passwords
	address    remote.Address
	endpoint   endpoint
	clock      serverClock
	timings    Timings
	fresh      string // "1": no other program has ever used this server
	unrecorded client.Unrecorded[*holding]
	noted      sync.Map // the notices that were given
}

// Timings are the store's own; the zero value of each has a default.
type Timings struct {
	Call    time.Duration // after this time a step counts as lost: 3s
	Release time.Duration // how long a release or a Leave is tried through an outage: client.ReleaseFor
	Aside   time.Duration // how long StepAside is tried: client.AsideFor
	Undo    time.Duration // how long undoing a failed step is tried: 1s
	// Recover is the least recovery hold-off: lease.DefaultTTL. It should not be shorter
	// than the TTL of any lease. A longer TTL that the server knows, or of the caller,
	// extends the hold-off.
	Recover time.Duration
	Forget  time.Duration // a pool without settings is forgotten after this time without use: 7 days
	Sweep   time.Duration // how often a release looks for such pools: 1 day
	Watch   time.Duration // a Watch sends after this time at the latest: 20s
}

func (t Timings) orDefault() Timings {
	return Timings{
		Call: cmp.Or(t.Call, 3*time.Second), Release: cmp.Or(t.Release, client.ReleaseFor), Aside: cmp.Or(t.Aside, client.AsideFor),
		Undo: cmp.Or(t.Undo, time.Second), Recover: cmp.Or(t.Recover, lease.DefaultTTL),
		Forget: cmp.Or(t.Forget, 7*24*time.Hour), Sweep: cmp.Or(t.Sweep, 24*time.Hour), Watch: cmp.Or(t.Watch, 20*time.Second),
	}
}

var _ lease.Store = (*Store)(nil)

// Open makes a store of redis://, rediss://, unix:// or redis+sentinel://. It does
// not connect yet: the first step does, and fails with *lease.UnreachableError.
func Open(a remote.Address) (*Store, error) { return OpenWith(a, Timings{}) }

// OpenWith is Open with other timings.
func OpenWith(a remote.Address, t Timings) (*Store, error) {
	logging.Disable() // an error is told by the caller
	c, endpoint, err := connect(a)
	if err != nil {
		return nil, err
	}
	return &Store{client: c, name: a.Name(), address: a, endpoint: endpoint, timings: t.orDefault(), fresh: flag(a.Settings.Has("fresh"))}, nil
}

// Close closes the connections. Leases last until their TTL is over.
func (s *Store) Close() error { return s.client.Close() }

// Clock implements lease.Store. It begins with the server's time at the first step, and goes
// on like the boot clock.
func (s *Store) Clock() clock.Instant { return s.clock.now() }
