package redisstore_test

import (
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/limiter"
)

// A holder with a long TTL whose connection never failed registers again before another job
// new starts on a server that has forgotten it, however seldom its caller renews. (Both
// ran until its next heartbeat.)
func TestForgottenBetweenHeartbeats(t *testing.T) {
	t.Parallel()
	server := known(t)
	timings := redisstore.Timings{Recover: 6 * time.Second}
	r := job(1, time.Hour)
	r.Heartbeat = 20 * time.Minute
	h := limiter.NewSession(try(t, openAt(t, server.Addr, nil, timings), r))
	if err := h.Bind(within(t), lease.Process{PID: 1, Start: 1}); err != nil {
		t.Fatal(err)
	}
	command(t, server, "FLUSHALL")
	s := openAt(t, server.Addr, nil, timings)
	eventually(t, "the holder has registered again", func() bool {
		other, v, err := s.TryAcquire(within(t), job(1, time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if other != nil {
			t.Fatal("another job started beside a holder that was never cut off")
		}
		return v.Reason == lease.Full
	})
	if p := pool(t, s); len(p.Holders) != 1 || p.Holders[0].Lease.ID != h.Lease().ID {
		t.Errorf("%+v, want the holder there was", p.Holders)
	}
	if err := h.Close(within(t)); err != nil {
		t.Error(err)
	}
}
