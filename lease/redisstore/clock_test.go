package redisstore_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest/engine"
)

// stepped starts a server whose clock the test can set.
func stepped(t *testing.T) (s *engine.Server, set func(time.Duration)) {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		if os.Getenv("BERTH_REQUIRE_STORES") == "1" {
			t.Fatal("no gcc to make a clock with")
		}
		t.Skip("no gcc to make a clock with")
	}
	dir := t.TempDir()
	shim, at := filepath.Join(dir, "clock.so"), filepath.Join(dir, "clock")
	if out, err := exec.Command(gcc, "-shared", "-fPIC", "-O1", "-o", shim, "testdata/clock.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	write := func(d time.Duration) {
		if _, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(d)), 0); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	s = engine.RedisWith(t, engine.Options{Env: []string{"LD_PRELOAD=" + shim, "BERTH_TEST_CLOCK=" + at}})
	fresh(t, s)
	return s, func(d time.Duration) {
		t.Helper()
		write(d)
		now, err := client(t, s).Time(within(t)).Result()
		if off := time.Until(now) - d; err != nil || off < -time.Minute || off > time.Minute {
			t.Fatalf("the server's clock is %v off, %v; want %v", time.Until(now), err, d)
		}
	}
}

// steps are the settings of the clock, one after the other.
var steps = []time.Duration{time.Hour, -2 * time.Hour, 24 * time.Hour, time.Minute, 0}

// The clock is set while all slots are held and waiters stand in line: none of them is
// dropped.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	server, set := stepped(t)
	const limit = 2
	r, req := record(t, limit), func() lease.Request { return job(limit, lossTTL) }
	s := open(t, server, "")
	first, second := try(t, s, req()), try(t, s, req())
	a, b := r.keep(first, lossTTL), r.keep(second, lossTTL)
	q := &queue{}
	for range 3 {
		q.wait(r, s, req())
	}
	stop := r.push(open(t, server, ""), req)
	beats := func() map[string]string {
		all, err := client(t, server).HGetAll(within(t), "{berth}:wait:p").Result()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, at := range steps {
		set(at)
		was := beats()
		// Each writes a heartbeat between two steps, as it does between any two settings
		// of a real clock.
		for _, h := range []lease.Holding{first, second} {
			was := h.Expires()
			eventually(t, "the lease is renewed", func() bool { return h.Expires() > was })
		}
		eventually(t, "each waiter has told that it lives", func() bool {
			now := beats()
			for id, record := range was {
				if now[id] == record {
					return false
				}
			}
			return true
		})
		if p := pool(t, s); p.Used != limit || len(p.Waiters) != len(q.ids) {
			t.Fatalf("at %v: %+v", at, p)
		}
	}
	a()
	q.served(r)
	stop()
	b()
	empty(t, s)
}

// A dead holder or waiter is dropped in the end, wherever the clock is set.
func TestClockIsSetAndHolderIsDead(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Duration{-2 * time.Hour, 24 * time.Hour} {
		server, set := stepped(t)
		r, s := record(t, 1), open(t, server, "")
		h := try(t, s, job(1, time.Second))
		r.enter(h)
		line(t, s, job(1, time.Second)) // and never looks
		next := line(t, s, job(1, time.Second))
		set(at)
		got := get(t, next)
		r.enter(got)
		if got.Lease().Token <= h.Lease().Token {
			t.Errorf("token %d after %d", got.Lease().Token, h.Lease().Token)
		}
		release(t, got)
		eventually(t, "the dead waiter is swept", func() bool {
			if h, _, _ := s.TryAcquire(within(t), job(1, time.Second)); h != nil {
				release(t, h)
			}
			return len(pool(t, s).Waiters) == 0
		})
	}
}

// A pace counts from a start that now lies in the future: no waiter waits for that.
func TestClockIsSetBackBehindAPace(t *testing.T) {
	t.Parallel()
	server, set := stepped(t)
	s := open(t, server, "")
	ramp, burst := job(9, time.Minute), job(9, time.Minute)
	ramp.Ramp = time.Minute
	burst.Rate = lease.Pace{Every: time.Minute, Burst: 2}
	try(t, s, job(9, time.Minute))
	try(t, s, burst)
	refused(t, s, ramp, lease.Paced)
	set(-12 * time.Hour)
	for _, r := range []lease.Request{ramp, burst} {
		r.ID = lease.NewID("p")
		try(t, s, r)
	}
}

// Each answer tells the time of the server's clock, also the one to Line, so a clearance
// that was read by another process of this client in between is not older for that.
func TestLineTellsTheTime(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	req := job(9, longTTL)
	req.Gates = "g"
	p := line(t, s, req)
	now, err := client(t, server).Time(within(t)).Result()
	if off := s.Clock().Sub(clock.Instant(now.UnixNano())); err != nil || off < -time.Minute || off > time.Minute {
		t.Errorf("the store's clock is %v off, %v", off, err)
	}
	first := job(9, longTTL)
	first.Priority = -1
	try(t, s, first)
	_, v, err := p.TryAcquire(within(t), lease.Clearance{})
	if err != nil || v.Reason != lease.Gated {
		t.Fatalf("%+v, %v; want gated", v, err)
	}
	asked := lease.Clearance{Gates: v.Gates, Last: v.Last, At: s.Clock()}
	line(t, s, job(9, longTTL))
	if h, v, err := p.TryAcquire(within(t), asked); h == nil || err != nil {
		t.Errorf("%+v, %v; want a lease: its gates are open", v, err)
	}
}

// A recovery hold-off lasts a TTL, and not until a time of day.
func TestClockIsSetBackWhileItRecovers(t *testing.T) {
	t.Parallel()
	server, set := stepped(t)
	s := open(t, server, "")
	command(t, server, "FLUSHALL")
	refused(t, s, job(1, shortTTL), lease.Recovering)
	set(-2 * time.Hour)
	release(t, get(t, line(t, s, job(1, shortTTL))))
	empty(t, s)
}
