package redisstore_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/remote"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

// A pair of servers, with proxies before the master and between the two.
type replicated struct {
	t               *testing.T
	master, replica *engine.Server
	clients, link   *engine.Proxy
}

func replicate(t *testing.T) *replicated {
	t.Helper()
	master := engine.Redis(t)
	link := engine.NewProxy(t, master.Addr)
	host, port, _ := net.SplitHostPort(link.Addr)
	replica := engine.Redis(t, "--replicaof", host, port)
	return &replicated{t, master, replica, engine.NewProxy(t, master.Addr), link}
}

// inStep returns when the replica has all that the master has.
func (r *replicated) inStep() {
	r.t.Helper()
	if n := command(r.t, r.master, "WAIT", 1, 1000*int(deadline.Seconds())); n != int64(1) {
		r.t.Fatalf("%v replicas are in step", n)
	}
	eventually(r.t, "the replica is in step", func() bool {
		a, b := r.offset(r.master, "master_repl_offset"), r.offset(r.replica, "slave_repl_offset")
		return a == b
	})
}

func (r *replicated) offset(s *engine.Server, name string) string {
	info, err := client(r.t, s).InfoMap(within(r.t), "replication").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return info["Replication"][name]
}

// promote ends the master and has the replica take over with what it has.
func (r *replicated) promote() {
	r.t.Helper()
	r.master.Kill()
	command(r.t, r.replica, "REPLICAOF", "NO", "ONE")
}

// fail is promote, and turns the clients to the new master.
func (r *replicated) fail() {
	r.t.Helper()
	r.promote()
	r.clients.TurnTo(r.replica.Addr)
}

func (r *replicated) store() lease.Store {
	return openAt(r.t, r.clients.Addr, nil, redisstore.Timings{Call: time.Second})
}

// The replica has missed a grant, a release, and a grant to a request that still waits
// there.
func TestLaggingReplicaIsPromoted(t *testing.T) {
	t.Parallel()
	s := replicate(t)
	fresh(t, s.master)
	const limit = 3
	r, req := record(t, limit), func() lease.Request { return job(limit, lossTTL) }
	stays := r.keep(try(t, s.store(), req()), lossTTL)
	goes := try(t, s.store(), req())
	r.enter(goes)
	full := r.keep(try(t, s.store(), req()), lossTTL)
	waiter := line(t, s.store(), req())
	s.inStep()
	s.link.TurnTo("")
	r.leave(goes)
	release(t, goes)
	had := get(t, waiter)
	granted := r.keep(had, lossTTL)
	full()
	unseen := try(t, s.store(), req())
	late := r.keep(unseen, lossTTL)

	q, shared := &queue{}, s.store()
	stop := r.push(s.store(), req)
	s.fail()
	q.wait(r, shared, req())
	q.wait(r, shared, req())
	look := s.store()
	eventually(t, "those that still hold have registered", func() bool {
		pools, err := look.List(within(t), "p")
		return err == nil && holds(pools[0], had) && holds(pools[0], unseen)
	})
	for _, w := range pool(t, look).Waiters {
		if w.Ticket.ID == had.Lease().ID {
			t.Error("a holder still stands in the line")
		}
	}
	stays()
	q.served(r)
	for _, h := range pool(t, look).Holders {
		if h.Lease.State == lease.Damaged {
			t.Errorf("holder %+v: %s", h.Lease, h.Note)
		}
	}
	stop()
	granted()
	late()
	eventually(t, "a holder that gave back what the replica had is dropped", func() bool {
		h, _, _ := look.TryAcquire(within(t), req())
		if h != nil {
			release(t, h)
		}
		return h != nil && pool(t, look).Used == 0
	})
}

// The replica has room where the master had none left; or the holder of the master's last
// token has given back, so that it registers nowhere.
func TestReplicaMissedGrants(t *testing.T) {
	t.Parallel()
	const limit = 3
	for _, missed := range []struct{ held, gone int }{{2, 0}, {1, 1}} {
		s := replicate(t)
		fresh(t, s.master)
		r, req := record(t, limit), func() lease.Request { return job(limit, lossTTL) }
		ends := []func(){r.keep(try(t, s.store(), req()), lossTTL)}
		look, pusher := s.store(), open(t, s.replica, "")
		s.inStep()
		s.link.TurnTo("")
		for range missed.held {
			ends = append(ends, r.keep(try(t, s.store(), req()), lossTTL))
		}
		for range missed.gone {
			h := try(t, s.store(), req())
			r.enter(h)
			r.leave(h)
			release(t, h)
		}
		s.promote()
		refused(t, pusher, req(), lease.Recovering) // before a holder can register
		stop := r.push(pusher, req)
		s.clients.TurnTo(s.replica.Addr)
		eventually(t, "all have registered", func() bool {
			pools, err := look.List(within(t), "p")
			return err == nil && len(pools[0].Holders) == len(ends)
		})
		if missed.gone > 0 {
			next := get(t, line(t, look, req()))
			r.enter(next)
			r.leave(next)
			release(t, next)
		}
		stop()
		for _, end := range ends {
			end()
		}
		empty(t, look)
	}
}

func holds(p lease.Pool, h lease.Holding) bool {
	for _, e := range p.Holders {
		if e.Lease.ID == h.Lease().ID && e.Lease.Token == h.Lease().Token {
			return true
		}
	}
	return false
}

// A replica that never had anything of berth's still has something to forget.
func TestReplicaThatNeverSawUsIsPromoted(t *testing.T) {
	t.Parallel()
	s := replicate(t)
	s.link.TurnTo("")
	const ttl = time.Second
	eventually(t, "the replica is older than a TTL", func() bool { return uptime(t, s.replica) > ttl+time.Second })
	fresh(t, s.master)
	r, req := record(t, 1), func() lease.Request { return job(1, ttl) }
	h := try(t, s.store(), req())
	r.enter(h)
	s.fail()
	next := get(t, line(t, s.store(), req()))
	r.enter(next)
	release(t, next)
}

func uptime(t testing.TB, s *engine.Server) time.Duration {
	t.Helper()
	info, err := client(t, s).InfoMap(within(t), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	up, err := time.ParseDuration(info["Server"]["uptime_in_seconds"] + "s")
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// With --redis-wait a grant that no replica has does not count, and leaves nothing behind.
func TestWithoutReplicas(t *testing.T) {
	t.Parallel()
	s := replicate(t)
	fresh(t, s.master)
	trouble := make(chan error, 100)
	careful := openAt(t, s.master.Addr, func(a *remote.Address) {
		a.Replicas = 1
		a.Trouble = func(err error) { trouble <- err }
	}, redisstore.Timings{Call: time.Second})
	look := openAt(t, s.master.Addr, nil, redisstore.Timings{})
	h := try(t, careful, job(2, time.Minute))
	s.link.TurnTo("")
	var out *lease.UnreachableError
	if h, _, err := careful.TryAcquire(within(t), job(2, time.Minute)); h != nil || !errors.As(err, &out) {
		t.Errorf("%v, %v; want no lease, and an UnreachableError", h, err)
	}
	was := h.Expires()
	if _, err := h.Renew(within(t), 0); errors.Is(err, lease.ErrLost) || !errors.As(err, &out) || h.Expires() != was {
		t.Errorf("Renew: %v, expires %v after %v; want an UnreachableError, and no more time", err, h.Expires(), was)
	}
	waiter := line(t, careful, job(2, time.Minute))
	got := make(chan lease.Holding, 1)
	go func() {
		w, err := storetest.Get(within(t), waiter)
		if err != nil {
			t.Error(err)
		}
		got <- w
	}()
	eventually(t, "the waiter has been granted what no replica has", func() bool { return pool(t, look).Used == 2 })
	select {
	case <-got:
		t.Fatal("a grant that no replica has")
	case <-trouble: // it has asked again and again
	case <-time.After(deadline):
		t.Fatal("no trouble is told")
	}
	s.link.TurnTo(s.master.Addr)
	if w := <-got; w != nil {
		release(t, w)
	}
	release(t, h)
	empty(t, look)
}

// A holder that was away until others were let in is not given a slot of theirs.
func TestForgottenForLong(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	away := try(t, s, job(3, time.Second))
	if _, err := away.Renew(within(t), time.Hour); err != nil { // as a job that is stopped does
		t.Fatal(err)
	}
	command(t, server, "FLUSHALL")
	r := record(t, 3)
	other := get(t, line(t, s, job(3, time.Second)))
	end := r.keep(other, time.Second)
	defer end()
	if other.Lease().Slots[0] != away.Lease().Slots[0] {
		t.Fatalf("%v and %v: the test has no case", other.Lease(), away.Lease())
	}
	if _, err := away.Renew(within(t), 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew: %v; want ErrLost: another holder has slot %v", err, away.Lease().Slots)
	}
}
