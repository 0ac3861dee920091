package redisstore_test

import (
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/storetest/engine"
)

// lossTTL is longer than a server needs to come back while many tests run: a lease that
// ends before that would rightly be lost.
const lossTTL = 5 * time.Second

// A server forgets all or nothing while its pool is full and waiters stand in line.
func TestStateLost(t *testing.T) {
	crash := func(_ *testing.T, s *engine.Server) { s.Kill(); s.Start() }
	for _, c := range []struct {
		name string
		args []string
		lose func(*testing.T, *engine.Server)
	}{
		{"NoPersistence", nil, crash},
		{"EverySecond", []string{"--appendonly", "yes", "--appendfsync", "everysec"}, crash},
		{"Always", []string{"--appendonly", "yes", "--appendfsync", "always"}, crash},
		{"EmptiedByHand", nil, func(t *testing.T, s *engine.Server) { command(t, s, "FLUSHALL") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := known(t, c.args...)
			survive(t, server.Addr, func() { c.lose(t, server) })
		})
	}
}

// survive checks that a full pool and a line stay what they are while the store at addr
// fails.
func survive(t *testing.T, addr string, fail func()) {
	t.Helper()
	const limit = 3
	r, req := record(t, limit), func() lease.Request { return job(limit, lossTTL) }
	at := func() lease.Store { return openAt(t, addr, nil, redisstore.Timings{Call: time.Second}) }
	var held []func()
	for range limit {
		held = append(held, r.keep(try(t, at(), req()), lossTTL))
	}
	q, shared := &queue{}, at()
	for range 4 {
		q.wait(r, shared, req())
	}
	look := at()
	stop := r.push(at(), req)
	fail()
	eventually(t, "all have registered again", func() bool {
		pools, err := look.List(within(t), "p")
		return err == nil && len(pools[0].Holders) == limit && len(pools[0].Waiters) == len(q.ids)
	})
	// A slot that comes free moves the line, but not before all have had the time to
	// register.
	held[0]()
	q.served(r)
	stop()
	for _, end := range held {
		end()
	}
	empty(t, look)
}
