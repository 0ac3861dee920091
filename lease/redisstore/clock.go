package redisstore

import (
	"sync"
	"time"

	"berth/lease/clock"
)

// serverClock translates instants of the server's clock, which can be set, into those of our
// clock, which cannot.
type serverClock struct {
	mu   sync.Mutex
	base time.Duration // our clock is so much ahead of the boot clock
	skew time.Duration // the server's clock is so much ahead of ours
	set  bool

	last   clock.Instant // what the server's clock said last
	lastAt clock.Instant // and when, on the boot clock; 0: never
}

// hasAnswered reports whether the server has ever answered. Until then a wrong address is
// more likely than an outage.
func (c *serverClock) hasAnswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastAt > 0
}

// clockJump is the least difference to what was expected that counts as a clock that was set:
// an answer can take a while.
const clockJump = time.Second

// saw learns that the server's clock was at t a moment ago.
func (c *serverClock) saw(t clock.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.lastAt = t, clock.Now()
	if !c.set {
		c.base, c.set = t.Sub(clock.Now()), true
	}
	if d := t.Sub(clock.Now().Add(c.base)) - c.skew; d > clockJump || d < -clockJump {
		c.skew += d
	}
}

// guess is at most what the server's clock says now. Before its first answer it is what this
// machine's says.
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

// local translates an instant of the server's clock into one of ours. 0 stays 0.
func (c *serverClock) local(t clock.Instant) clock.Instant {
	if t == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(-c.skew)
}

// server translates an instant of our clock into one of the server's. 0 stays 0.
func (c *serverClock) server(t clock.Instant) clock.Instant {
	if t == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(c.skew)
}
