package etcdstore

import (
	"context"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest/engine"
	"berth/limiter"
)

// asUsual are etcd's own times, which an untuned cluster has: a leader that
// hangs is replaced after one second or two.
var asUsual = []string{"--heartbeat-interval", "100", "--election-timeout", "1000"}

// keepers are jobs as 'berth run --ttl 8s' keeps them.
type keepers struct {
	t    *testing.T
	held map[lease.Holding]*limiter.Session
}

const shortTTL = 8 * time.Second // an election may take two rounds on a busy machine

func (k *keepers) keep(h lease.Holding) {
	s := limiter.NewSession(h)
	if err := s.Bind(soon(k.t), lease.Process{PID: 1, Start: 1}); err != nil {
		k.t.Fatal(err)
	}
	k.held[h] = s
	k.t.Cleanup(func() { // it renews no more
		if k.held[h] != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = s.Close(ctx)
		}
	})
	go func() {
		for {
			select {
			case n := <-s.Events():
				if n.Kind == limiter.Lost {
					k.t.Errorf("%s: %v", h.Lease().ID, n.Err)
				}
			case <-k.t.Context().Done():
				return
			}
		}
	}()
}

func (k *keepers) end(h lease.Holding) {
	if err := k.held[h].Close(soon(k.t)); err != nil {
		k.t.Errorf("Close: %v", err)
	}
	delete(k.held, h)
}

// outlive waits until each of them has been renewed so often that it outlived what
// happened now by far.
func (k *keepers) outlive() {
	k.t.Helper()
	until := clock.Now().Add(3 * shortTTL)
	for h := range k.held {
		eventually(k.t, "a lease is renewed after three TTLs", func() bool { return h.Expires() > until || k.t.Failed() })
	}
}

// TestMemberHangs: one member of three is frozen for good. No lease is lost, whichever
// member its client talked to; a newcomer starts, a waiter gets its slots, and all
// give them back.
func TestMemberHangs(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"follower", "leader"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			servers := engine.EtcdCluster(t, 3, asUsual...)
			k := &keepers{t, map[lease.Holding]*limiter.Session{}}
			var waits []<-chan got
			var holds []lease.Holding
			s := open(t, "", servers...)
			pool := func(name string) lease.Request {
				r := request(2, shortTTL)
				r.Pool, r.ID = name, lease.NewID(name)
				r.Heartbeat, r.KillAfter = shortTTL/3, shortTTL
				return r
			}
			for _, name := range []string{"a", "b", "c", "d", "e", "f"} { // each asks a member of its own
				own := open(t, "", servers...)
				k.keep(mustTry(t, own, pool(name)))
				h := mustTry(t, own, pool(name))
				k.keep(h)
				holds = append(holds, h)
				waits = append(waits, wait(t, mustLine(t, own, pool(name))))
			}
			leads := leaderOf(t, s, servers)
			hung := servers[leads]
			if who == "follower" {
				hung = servers[(leads+1)%3]
			}
			hung.Freeze()
			k.outlive()
			for i, h := range holds {
				k.end(h)
				next := mustGet(t, waits[i])
				mustRelease(t, next)
			}
			for range 2 * len(servers) {
				mustRelease(t, mustTry(t, open(t, "", servers...), pool("z")))
			}
		})
	}
}
