package redisstore_test

import (
	"net"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/remote"
	"berth/lease/storetest/engine"
)

// The master is killed, and Sentinel promotes the replica: that takes more than a second,
// so the leases are longer here.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	const limit, ttl = 2, 8 * time.Second
	master := known(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := engine.Redis(t, "--replicaof", host, port)
	sentinel := engine.RedisSentinel(t, master, "main")
	at := func() lease.Store {
		a, err := remote.ParseURL("redis+sentinel://" + sentinel.Addr + "/main")
		if err != nil {
			t.Fatal(err)
		}
		s, err := redisstore.OpenWith(a, redisstore.Timings{Call: time.Second, Recover: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	r, req := record(t, limit), func() lease.Request { return job(limit, ttl) }
	a, b := r.keep(try(t, at(), req()), ttl), r.keep(try(t, at(), req()), ttl)
	q, shared := &queue{}, at()
	for range 3 {
		q.wait(r, shared, req())
	}
	sees := watch(t, at(), "p")
	sees(limit)
	stop := r.push(at(), req)
	master.Kill()
	look := open(t, replica, "")
	eventually(t, "all have registered with the new master", func() bool {
		pools, err := look.List(within(t), "p")
		return err == nil && len(pools[0].Holders) == limit && len(pools[0].Waiters) == len(q.ids)
	})
	a()
	q.served(r)
	stop()
	b()
	sees(0)
	empty(t, look)
}
