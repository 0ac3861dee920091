package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
)

// listen waits until a waiter is woken. A wake-up is only a hint, because anyone who can
// write to the server can send one. So listen then asks, on the same connection, what was
// granted (not with --redis-wait, where replicas confirm grants). It survives an interrupted
// Wait, so that no wake-up is lost; the next Wait uses it.
func (s *Store) listen(r lease.Request, atMost time.Duration) <-chan answer {
	woken := make(chan answer, 1)
	atMost = atMost.Truncate(time.Second)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), atMost+s.timings.Call)
		defer cancel()
		begun := time.Now()
		var grant *redis.Cmd
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.Do(ctx, "BLPOP", wakeKey(r.ID), int(atMost.Seconds()))
			if s.address.Replicas == 0 {
				grant = p.EvalSha(ctx, digest, keysOf(r.Pool), s.args("confirm", "0", r.TTL, r.ID)...)
			}
			return nil
		})
		// A server that is gone says so at once. The turn that Wait's caller asks for then is
		// retried with back-off, but not this.
		if err != nil && !errors.Is(err, redis.Nil) && time.Since(begun) < time.Second {
			time.Sleep(time.Second)
		}
		if grant == nil {
			woken <- nil
			return
		}
		got, _ := grant.Slice()
		woken <- answer(answer(got).list(0))
	}()
	return woken
}
