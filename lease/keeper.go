package lease

import (
	"context"
	"sync"
	"time"
)

// Keeper renews a lease in the background. Between two beats it is a timer and
// nothing else: most jobs end before the first.
type Keeper struct {
	h     Holding
	every time.Duration
	told  chan Renewal

	mu      sync.Mutex // held while a Renew is under way
	stopped bool
	timer   *time.Timer
}

// Renewal is what one Renew learned.
type Renewal struct {
	Signs
	Err error
}

// Keep starts to renew h every interval. An error does not end it: the next
// beat tries again, because a store that is out of reach for a moment must not
// cost a healthy job its heartbeat for good.
func Keep(h Holding, every time.Duration) *Keeper {
	k := &Keeper{h: h, every: every, told: make(chan Renewal, 1)}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(every, k.beat)
	return k
}

// Renewals delivers what the last Renew learned; an older one that nobody
// read is dropped, for the signs only ever grow.
func (k *Keeper) Renewals() <-chan Renewal { return k.told }

// Now renews without waiting for the next beat.
func (k *Keeper) Now() { k.timer.Reset(0) }

// Stop ends it. When it returns no Renew is under way and none will be.
func (k *Keeper) Stop() {
	k.timer.Stop()
	k.mu.Lock()
	k.stopped = true
	k.mu.Unlock()
}

func (k *Keeper) beat() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	signs, err := k.h.Renew(context.Background())
	select {
	case <-k.told:
	default:
	}
	k.told <- Renewal{signs, err}
	k.timer.Reset(k.every)
}
