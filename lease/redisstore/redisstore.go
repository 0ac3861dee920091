// Package redisstore keeps pools on a Redis or Valkey server: lease.Store for
// machines that share nothing else.
//
// Every step is one script, which decides and writes at once; the client only waits.
// Whoever gives slots back also grants them to the head of the line. A waiter is woken
// through a list of its own: a push lasts until it is read, whatever happens to
// connections meanwhile. What it reads there is only a hint; it asks the script.
//
// Leases end by the server's clock, which can be set; see life in common.lua for why that breaks
// no promise. What the server may forget (it was restarted, a replica that lagged was
// promoted) is registered again by those who hold it, and nobody new starts for
// Timings.Recover meanwhile, or for the longest TTL that is known. It must not evict keys (maxmemory-policy), and says so to the caller if it does.
package redisstore

import (
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
	client  redis.UniversalClient
	name    string // without passwords
	dial    remote.Address
	at      address
	clock   serverClock
	timings Timings
	fresh   string // "1": nobody else has ever used this server
	unsaved client.Unsaved[*holding]
	noted   sync.Map // what was told already
}

// Timings are the store's own; the zero value of each has a default.
type Timings struct {
	Call    time.Duration // how long a step may take before it counts as lost: 3s
	Release time.Duration // how long a release or a Leave goes on through an outage: client.ReleaseFor
	Aside   time.Duration // how long StepAside does: client.AsideFor
	Undo    time.Duration // how long a step that failed may be undone: 1s
	// Recover is how long nobody new starts, at least, when the server may have
	// forgotten who holds slots: lease.DefaultTTL. Longer than the TTL of any lease
	// there may be; a longer one of the caller's own counts as well.
	Recover time.Duration
	Forget  time.Duration // a pool without settings goes when nobody has used it for so long: 7 days
	Sweep   time.Duration // a release looks for such pools so often: 1 day
}

func (t Timings) orDefault() Timings {
	def := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	def(&t.Call, 3*time.Second)
	def(&t.Release, client.ReleaseFor)
	def(&t.Aside, client.AsideFor)
	def(&t.Undo, time.Second)
	def(&t.Recover, lease.DefaultTTL)
	def(&t.Forget, 7*24*time.Hour)
	def(&t.Sweep, 24*time.Hour)
	return t
}

var _ lease.Store = (*Store)(nil)

// Open makes a store of redis://, rediss://, unix:// or redis+sentinel://. It does
// not connect yet: the first step does, and fails with *lease.UnreachableError.
func Open(d remote.Address) (*Store, error) { return OpenWith(d, Timings{}) }

// OpenWith is Open with other timings.
func OpenWith(d remote.Address, t Timings) (*Store, error) {
	logging.Disable() // what goes wrong is said by whoever asked
	client, at, err := connect(d)
	if err != nil {
		return nil, err
	}
	return &Store{client: client, name: d.Name(), dial: d, at: at, timings: t.orDefault(), fresh: flag(d.Settings.Has("fresh"))}, nil
}

// Close ends its connections. What is held stays held until its TTL is over.
func (s *Store) Close() error { return s.client.Close() }

// Clock goes on like the boot clock, from the server's time at the first step.
func (s *Store) Clock() clock.Instant { return s.clock.now() }

// serverClock translates instants of the server's clock, which can be set, into ones of
// a clock that only goes on.
type serverClock struct {
	mu   sync.Mutex
	base time.Duration // our clock is so much ahead of the boot clock
	skew time.Duration // the server's clock is so much ahead of ours
	set  bool

	last   clock.Instant // what the server's clock said last
	lastAt clock.Instant // and when, on the boot clock; 0: never
}

// hasMet reports whether the server has ever answered. Until then it is more likely that
// it was named wrongly than that it has an outage.
func (c *serverClock) hasMet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastAt > 0
}

// jump is how far the server's clock may be from where it was expected before it
// was set: answers can take a while.
const jump = time.Second

// saw learns that the server's clock was at t a moment ago.
func (c *serverClock) saw(t clock.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.lastAt = t, clock.Now()
	if !c.set {
		c.base, c.set = t.Sub(clock.Now()), true
	}
	if d := t.Sub(clock.Now().Add(c.base)) - c.skew; d > jump || d < -jump {
		c.skew += d
	}
}

// guess is what the server's clock says now: not more than that, or as long as it has said
// nothing what this machine's says.
func (c *serverClock) guess() clock.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastAt == 0 {
		return timeOfDay()
	}
	return c.last.Add(clock.Now().Sub(c.lastAt))
}

func (c *serverClock) now() clock.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.set {
		c.base, c.set = timeOfDay().Sub(clock.Now()), true
	}
	return clock.Now().Add(c.base)
}

func timeOfDay() clock.Instant { return clock.Instant(time.Now().UnixNano()) }

// local is an instant of the server's clock on ours, 0 for none.
func (c *serverClock) local(t clock.Instant) clock.Instant {
	if t == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(-c.skew)
}

// server is the other way.
func (c *serverClock) server(t clock.Instant) clock.Instant {
	if t == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(c.skew)
}
