package etcdstore

import (
	"errors"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest/engine"
)

// asUsual are etcd's own times, which a cluster has that nobody has tuned: a leader that
// hangs is replaced after one second or two.
var asUsual = []string{"--heartbeat-interval", "100", "--election-timeout", "1000"}

// keepers are jobs as 'berth run --ttl 5s' keeps them.
type keepers struct {
	t    *testing.T
	held map[lease.Holding]*lease.Keeper
}

const shortTTL = 5 * time.Second

func (k *keepers) keep(h lease.Holding) {
	r := lease.Keep(h, lease.Beats{Every: shortTTL / 3, Reserve: shortTTL/10 + shortTTL/3})
	k.held[h] = r
	k.t.Cleanup(func() {
		if k.held[h] != nil {
			r.Stop()
		}
	})
	go func() {
		for {
			select {
			case n := <-r.Renewals():
				if errors.Is(n.Err, lease.ErrLost) {
					k.t.Errorf("%s: %v", h.Lease().ID, n.Err)
				}
			case <-k.t.Context().Done():
				return
			}
		}
	}()
}

func (k *keepers) end(h lease.Holding) {
	k.held[h].Stop()
	delete(k.held, h)
	mustRelease(k.t, h)
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

// TestMemberHangs: one member of three is frozen for good. No lease is lost, whoever it
// was that its client talked to; who comes then starts, who waits gets his slots, and all
// give them back.
func TestMemberHangs(t *testing.T) {
	for _, who := range []string{"follower", "leader"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			servers := engine.EtcdCluster(t, 3, asUsual...)
			k := &keepers{t, map[lease.Holding]*lease.Keeper{}}
			var waits []<-chan got
			var holds []lease.Holding
			s := open(t, "", servers...)
			pool := func(name string) lease.Request {
				r := request(2, shortTTL)
				r.Pool, r.ID = name, lease.NewID(name)
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
