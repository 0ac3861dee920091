package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"berth/lease/clock"
)

// Keeper renews a lease in the background. Between two beats it is a timer and
// nothing else: most jobs end before the first.
//
// A lease that ends by a clock is given up early enough that its job can be ended
// before anybody else may have its slots: nobody tells whoever is cut off.
type Keeper struct {
	h     Holding
	beats Beats
	clock bootClock
	told  chan Renewal
	ctx   context.Context // of all that is done in the background
	end   context.CancelFunc
	busy  chan struct{} // has room while no Renew is under way
	timer *time.Timer

	mu      sync.Mutex
	failure error // of the last Renew
}

// Beats say how a lease is kept.
type Beats struct {
	Every time.Duration // less often than a HeartbeatBound holding allows: as often as that
	// Reserve is how long before its end a lease is given up.
	Reserve time.Duration
}

// Renewal is what one Renew learned, or that the lease is given up.
type Renewal struct {
	Inbox
	Err error
}

// bootClock is that of clock.Now, or a test's.
type bootClock struct {
	now   func() clock.Instant
	sleep func(ctx context.Context, until clock.Instant)
}

// Keep starts to renew h. An error does not end it: the next beat tries again,
// because a store that is out of reach for a moment must not cost a healthy job
// its lease; it comes sooner then, when time is short.
func Keep(h Holding, b Beats) *Keeper { return keep(h, b, bootClock{clock.Now, clock.SleepUntil}) }

// HeartbeatBound is a Holding that must be renewed more often than its TTL alone would need,
// because its store forgets.
type HeartbeatBound interface {
	// HeartbeatAtMost is the longest time between two heartbeats; more than 0.
	HeartbeatAtMost() time.Duration
}

func keep(h Holding, b Beats, c bootClock) *Keeper {
	if r, ok := h.(HeartbeatBound); ok {
		b.Every = min(b.Every, r.HeartbeatAtMost())
	}
	ctx, cancel := context.WithCancel(context.Background())
	k := &Keeper{h: h, beats: b, clock: c, told: make(chan Renewal, 1), ctx: ctx, end: cancel, busy: make(chan struct{}, 1)}
	k.busy <- struct{}{} // a first beat must find the timer
	k.timer = time.AfterFunc(k.first(), k.beat)
	<-k.busy
	if h.Expires() > 0 {
		go k.watch()
	}
	return k
}

// first is when the first beat is due. The last sign of life may have been one of a
// waiter, long ago: then sooner than the others.
func (k *Keeper) first() time.Duration {
	if k.h.Expires() > 0 {
		return max(0, min(k.next(), k.left()/2))
	}
	return k.beats.Every
}

// left is the time until the lease is given up.
func (k *Keeper) left() time.Duration { return k.h.Expires().Sub(k.clock.now()) - k.beats.Reserve }

// outage is what a lease has to outlive when its store is out of reach right after a
// beat would have been due: somewhat longer than a cluster mostly takes to choose another leader.
const outage = 3 * time.Second

// next is when the next beat is due after a good one: sooner where a lease is so short
// that otherwise an outage would end it.
func (k *Keeper) next() time.Duration {
	if k.h.Expires() == 0 {
		return k.beats.Every
	}
	return min(k.beats.Every, max(k.beats.Every/often, k.left()-outage))
}

// Renewals delivers what the last Renew learned; an older one that nobody
// read is dropped, for the signs only ever grow, and what is lost stays so.
func (k *Keeper) Renewals() <-chan Renewal { return k.told }

// Now renews without waiting for the next beat.
func (k *Keeper) Now() { k.timer.Reset(0) }

// Stop ends it. When it returns no Renew is under way and none will be.
func (k *Keeper) Stop() {
	k.end()
	k.timer.Stop()
	k.busy <- struct{}{}
}

// While renews the lease for ttl, calls f, which may stop this process, and renews it
// as usual then. No other Renew comes in between. The error is that of the first one.
func (k *Keeper) While(ttl time.Duration, f func()) error {
	k.busy <- struct{}{}
	ctx, cancel := context.WithTimeout(k.ctx, leastPatience)
	defer cancel()
	_, err := k.h.Renew(ctx, ttl)
	f()
	<-k.busy
	k.Now()
	return err
}

// often is how many times as often a lease is renewed after a failure.
const often = 4

func (k *Keeper) beat() {
	select {
	case k.busy <- struct{}{}:
		defer func() { <-k.busy }()
	case <-k.ctx.Done():
		return
	}
	ctx, cancel := k.ctx, context.CancelFunc(func() {})
	if k.h.Expires() > 0 { // a connection may be dead without anybody saying so
		ctx, cancel = context.WithTimeout(k.ctx, max(k.beats.Every, leastPatience))
	}
	defer cancel()
	begun := k.clock.now()
	signs, err := k.h.Renew(ctx, 0)
	if k.ctx.Err() != nil {
		return
	}
	k.tell(Renewal{signs, err})
	next := k.next()
	if err != nil && k.h.Expires() > 0 { // at once, when this one took long
		next = max(0, k.beats.Every/often-k.clock.now().Sub(begun))
	}
	k.timer.Reset(next)
}

// leastPatience is how long a Renew may take at least.
const leastPatience = time.Second

func (k *Keeper) tell(r Renewal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, given := r.Err.(*ExpiringError); !given {
		k.failure = r.Err
	}
	select {
	case old := <-k.told:
		if r.Err != nil && errors.Is(old.Err, ErrLost) {
			r.Err = old.Err
		}
	default:
	}
	k.told <- r
}

// watch gives the lease up when it was not renewed in time. It may wake late, after
// a suspend or when this process was frozen; so it has the lease renewed once more
// before: nobody else may have wanted it.
func (k *Keeper) watch() {
	given := clock.Instant(-1) // the end of the lease that is given up already
	for k.ctx.Err() == nil {
		expires, now := k.h.Expires(), k.clock.now()
		switch due := expires.Add(-k.beats.Reserve); {
		case expires == given: // until it is renewed after all
			k.clock.sleep(k.ctx, now.Add(k.beats.Every/often))
		case now < due: // no longer than a beat: it may be renewed for less than before
			k.clock.sleep(k.ctx, min(due, now.Add(k.beats.Every)))
		case k.tryOnce(expires):
			given = expires
			k.mu.Lock()
			why := k.failure
			k.mu.Unlock()
			k.tell(Renewal{Err: &ExpiringError{Left: expires.Sub(k.clock.now()), Err: why}})
		}
	}
}

// tryOnce has the lease renewed, and reports whether that came to nothing.
func (k *Keeper) tryOnce(expires clock.Instant) bool {
	k.Now()
	k.clock.sleep(k.ctx, k.clock.now().Add(k.beats.Reserve/lastTry))
	return k.h.Expires() == expires && k.ctx.Err() == nil
}

// lastTry is the part of the reserve that the last attempt may take.
const lastTry = 8

// ExpiringError says that a lease could not be renewed and is given up: it ends
// when Left is over. It is ErrLost.
type ExpiringError struct {
	Left time.Duration // negative: it may have ended so long ago
	Err  error         // of the last attempt; nil: there was none in time
}

func (e *ExpiringError) Error() string {
	msg := fmt.Sprintf("the lease could not be renewed, and ends in %v", e.Left.Round(time.Millisecond))
	if e.Left <= 0 {
		msg = fmt.Sprintf("the lease could not be renewed, and ended up to %v ago", -e.Left.Round(time.Millisecond))
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *ExpiringError) Is(target error) bool { return target == ErrLost }
func (e *ExpiringError) Unwrap() error        { return e.Err }
