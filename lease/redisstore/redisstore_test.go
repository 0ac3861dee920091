package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/remote"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

// open is a client of the server; no other test uses its database of that number.
func open(t testing.TB, server *engine.Server, settings string) *redisstore.Store {
	t.Helper()
	a, err := remote.ParseURL("redis://" + server.Addr + settings)
	if err != nil {
		t.Fatal(err)
	}
	s, err := redisstore.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fresh empties the server, and makes it one that has known berth for longer than any
// lease, so that there is no recovery hold-off.
func fresh(t testing.TB, server *engine.Server) {
	t.Helper()
	c := client(t, server)
	if err := c.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	info, err := c.InfoMap(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.HSet(t.Context(), "{berth}:epoch", "run", info["Server"]["run_id"], "at", "0").Err(); err != nil {
		t.Fatal(err)
	}
}

func client(t testing.TB, server *engine.Server) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestStore(t *testing.T) {
	for _, program := range engine.Redises() {
		t.Run(program, func(t *testing.T) {
			conforms(t, engine.RedisWith(t, engine.Options{Program: program}))
		})
	}
}

func conforms(t *testing.T, server *engine.Server) {
	storetest.Run(t, storetest.Shape{
		Open: func(t *testing.T) lease.Store {
			fresh(t, server)
			return open(t, server, "")
		},
		Another: func(t *testing.T, _ lease.Store) lease.Store { return open(t, server, "") },
		TTL:     2 * time.Second,
		Grants:  true,
		Forgets: func(t *testing.T, age time.Duration) (lease.Store, func(string) []string) {
			fresh(t, server)
			return openAt(t, server.Addr, nil, redisstore.Timings{Forget: age, Sweep: time.Microsecond}),
				func(pool string) []string { return left(t, server, pool) }
		},
	})
}

// left are the keys of a pool, and its name among those of all pools.
func left(t testing.TB, server *engine.Server, pool string) []string {
	t.Helper()
	c := client(t, server)
	defer c.Close()
	keys, err := c.Keys(within(t), "{berth}:*:"+pool).Result()
	if err != nil {
		t.Fatal(err)
	}
	named, err := c.SIsMember(within(t), "{berth}:pools", pool).Result()
	if err != nil {
		t.Fatal(err)
	}
	if named {
		keys = append(keys, "{berth}:pools")
	}
	return keys
}
