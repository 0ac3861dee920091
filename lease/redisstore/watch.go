package redisstore

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
)

const (
	// watchPause is how long changes collect before the next one is passed on.
	watchPause = 100 * time.Millisecond
	// watchRetry is how long a watcher waits before it connects again.
	watchRetry = time.Second
)

// Watch implements lease.Store. Steps publish that they change something, whether anyone listens or
// not, so a watcher costs the server one connection.
func (s *Store) Watch(ctx context.Context, pools ...string) (<-chan struct{}, error) {
	for _, p := range pools {
		if err := lease.CheckPool(p); err != nil {
			return nil, err
		}
	}
	heard, changed := make(chan struct{}, 1), make(chan struct{}, 1)
	go func() {
		defer close(changed)
		for ctx.Err() == nil {
			select {
			case <-heard:
				send(changed)
				pause(ctx, watchPause)
			case <-ctx.Done():
			}
		}
	}()
	go func() {
		for ctx.Err() == nil {
			again := watchRetry
			if refused := redis.Error(nil); errors.As(s.watch(ctx, pools, heard), &refused) { // it lists without that right
				again = s.timings.Watch
				send(heard)
			}
			pause(ctx, again)
		}
	}()
	return changed, nil
}

// watch passes on what it hears until ctx or its connection ends. It also sends when it has
// subscribed, because it has not heard what came before; and after Timings.Watch without word,
// because nobody may have published what has changed: a lease has expired, or the step was of an
// older berth.
func (s *Store) watch(ctx context.Context, pools []string, heard chan<- struct{}) error {
	subscription := s.subscribe(ctx, pools)
	defer subscription.Close()
	defer context.AfterFunc(ctx, func() { subscription.Close() })() // it ends a read
	for silent := false; ; {
		got, err := subscription.ReceiveTimeout(ctx, s.timings.Watch)
		switch timeout := net.Error(nil); {
		case err == nil:
			silent = false
		case errors.As(err, &timeout) && timeout.Timeout() && !silent:
			silent = true
			if err := subscription.Ping(ctx); err != nil {
				return err
			}
		default: // also a connection on which even the ping was not answered
			return err
		}
		if _, answer := got.(*redis.Pong); !answer {
			send(heard)
		}
	}
}

// subscribe listens to these pools, or to all. It connects with the first read.
func (s *Store) subscribe(ctx context.Context, pools []string) *redis.PubSub {
	if len(pools) == 0 {
		return s.client.PSubscribe(ctx, prefix+"changed:*")
	}
	channels := make([]string, len(pools))
	for i, p := range pools {
		channels[i] = prefix + "changed:" + p
	}
	return s.client.Subscribe(ctx, channels...)
}

func send(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default: // the last one has not been received yet
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
