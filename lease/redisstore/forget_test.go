package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
)

// in is a request for the only slot of a pool.
func in(pool string, ttl time.Duration) lease.Request {
	r := job(1, ttl)
	r.ID, r.Pool = lease.NewID(pool), pool
	return r
}

// use takes the slot of a pool and gives it back.
func use(t testing.TB, s lease.Store, pool string) (token uint64) {
	t.Helper()
	h := try(t, s, in(pool, time.Minute))
	release(t, h)
	return h.Lease().Token
}

var always = redisstore.Timings{Forget: time.Microsecond, Sweep: time.Microsecond}

// TestForgetMany: there are more pools than a release checks, and most of them stay.
func TestForgetMany(t *testing.T) {
	t.Parallel()
	const idle, kept = 150, 300
	server := known(t)
	maker, s := open(t, server, ""), openAt(t, server.Addr, nil, always)
	for i := range idle {
		use(t, maker, fmt.Sprintf("idle-%d", i))
	}
	for i := range kept {
		pool := fmt.Sprintf("kept-%d", i)
		command(t, server, "HSET", "{berth}:pool:"+pool, "own", `{"limit":3}`)
		command(t, server, "SADD", "{berth}:pools", pool)
	}
	pools := func() int { return int(command(t, server, "SCARD", "{berth}:pools").(int64)) }
	use(t, s, "other")
	if n := pools(); n < kept+idle/2 {
		t.Errorf("%d pools are left: one release has looked at most of them", n)
	}
	eventually(t, "all have gone", func() bool {
		use(t, s, "other")
		return pools() <= kept+1
	})
}

// TestForgetTheDead: a killed holder or waiter does not keep an idle pool.
func TestForgetTheDead(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, always)
	key := in("killed", shortTTL)
	key.Key, key.Grace = "k", shortTTL
	try(t, s, in("killed", shortTTL))
	line(t, s, in("killed", shortTTL))
	line(t, s, key)
	eventually(t, "it has gone", func() bool {
		use(t, s, "other")
		return len(left(t, server, "killed")) == 0
	})
}

// TestForgetNotOurs: keys of another kind stay, and do no harm.
func TestForgetNotOurs(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, always)
	command(t, server, "SADD", "{berth}:pools", "text", "holder")
	command(t, server, "SET", "{berth}:held:text", "precious")
	command(t, server, "HSET", "{berth}:held:holder", "holder/1", "nonsense")
	maker := open(t, server, "")
	for i := range 30 { // some of them come after those
		use(t, maker, fmt.Sprintf("idle-%d", i))
	}
	eventually(t, "the idle ones have gone", func() bool {
		use(t, s, "other")
		return command(t, server, "SCARD", "{berth}:pools").(int64) == 3
	})
	if got := command(t, server, "GET", "{berth}:held:text"); got != "precious" {
		t.Errorf("%v is left", got)
	}
	if got := command(t, server, "HGET", "{berth}:held:holder", "holder/1"); got != "nonsense" {
		t.Errorf("%v is left", got)
	}
}

// TestForgetAfterALongJob: a pool was in use until its last job ended.
func TestForgetAfterALongJob(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, redisstore.Timings{Forget: time.Hour, Sweep: time.Microsecond})
	long := func(pool string) {
		command(t, server, "HSET", "{berth}:pool:"+pool, "last", 1, "used", 1) // in 1970
	}
	h := try(t, s, in("job", time.Minute))
	long("job")
	use(t, s, "other")
	release(t, h)
	h = try(t, s, in("line", time.Minute))
	p := line(t, s, in("line", time.Minute))
	release(t, h)
	h = get(t, p)
	p = line(t, s, in("line", time.Minute))
	long("line")
	if err := p.Leave(within(t)); err != nil {
		t.Error(err)
	}
	use(t, s, "idle")
	long("idle")
	eventually(t, "the idle one has gone", func() bool {
		use(t, s, "other")
		return len(left(t, server, "idle")) == 0
	})
	if len(left(t, server, "job")) == 0 {
		t.Error("it was forgotten when its job had ended")
	}
	if command(t, server, "HGET", "{berth}:pool:line", "used") == "1" {
		t.Error("a waiter that left the line has not used the pool")
	}
	release(t, h)
}

// TestForgetOnceInAWhile: a release looks for such pools only when it is time.
func TestForgetOnceInAWhile(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, redisstore.Timings{Forget: time.Microsecond, Sweep: time.Hour})
	use(t, s, "other")
	use(t, s, "idle")
	for range 3 {
		use(t, s, "other")
	}
	if len(left(t, server, "idle")) == 0 {
		t.Error("looked twice in an hour")
	}
	for _, at := range []time.Duration{-time.Hour, time.Hour} { // or the clock was set back
		use(t, s, "idle")
		command(t, server, "HSET", "{berth}:epoch", "swept", time.Now().Add(at).UnixMicro())
		use(t, s, "other")
		if keys := left(t, server, "idle"); len(keys) > 0 {
			t.Errorf("%v are left", keys)
		}
	}
}

// TestForgetWhenTheClockIsSet: a month ahead, pools without use are forgotten, and no
// living holder or waiter is; tokens do not fall when the clock is set back.
func TestForgetWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	const month = 30 * 24 * time.Hour
	server, set := stepped(t)
	s := open(t, server, "")
	held, waits := try(t, s, in("held", time.Minute)), line(t, s, in("held", time.Minute))
	use(t, s, "idle")
	set(month)
	use(t, s, "other")
	if keys := left(t, server, "idle"); len(keys) > 0 {
		t.Errorf("%v are left after a month", keys)
	}
	refused(t, s, in("held", time.Minute), lease.Full)
	if _, err := held.Renew(within(t), time.Minute); err != nil {
		t.Error(err)
	}
	was := use(t, s, "idle")
	set(2 * month)
	use(t, s, "other")
	if keys := left(t, server, "idle"); len(keys) > 0 {
		t.Errorf("%v are left after another month", keys)
	}
	set(0)
	if again := use(t, s, "idle"); again <= was {
		t.Errorf("token %d after %d", again, was)
	}
	if _, err := held.Renew(within(t), time.Minute); err != nil {
		t.Error(err)
	}
	release(t, held)
	release(t, get(t, waits))
}
