package redisstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/storetest/engine"
)

// watch lists the pool whenever it may have changed, and returns what waits until a list shows
// that a number of slots is in use.
func watch(t *testing.T, s lease.Store, pools ...string) (sees func(used int)) {
	t.Helper()
	changed, err := s.Watch(within(t), pools...)
	if err != nil {
		t.Fatal(err)
	}
	return func(used int) {
		t.Helper()
		for {
			select {
			case _, open := <-changed:
				if !open {
					t.Fatalf("the watch has ended before it told that %d slots are in use", used)
				}
				if p, err := s.List(within(t), "p"); err == nil && p[0].Used == used {
					return
				}
			case <-time.After(deadline):
				t.Fatalf("not told that %d slots are in use", used)
			}
		}
	}
}

// never is longer than a test: what it is for does not happen.
const never = time.Hour

// The connections of watchers end, or are dead without a sign, or the server starts again: they
// make new ones, and miss nothing.
func TestWatchConnectsAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		watch time.Duration
		fail  func(*testing.T, *engine.Server, *engine.Proxy)
	}{
		"Killed": {never, func(t *testing.T, s *engine.Server, _ *engine.Proxy) {
			command(t, s, "CLIENT", "KILL", "TYPE", "pubsub")
		}},
		"Cut":      {never, func(_ *testing.T, s *engine.Server, p *engine.Proxy) { p.TurnTo(""); p.TurnTo(s.Addr) }},
		"HalfOpen": {200 * time.Millisecond, func(_ *testing.T, _ *engine.Server, p *engine.Proxy) { p.Deafen() }},
		"Restarted": {never, func(t *testing.T, s *engine.Server, _ *engine.Proxy) {
			s.Kill()
			s.Start()
			fresh(t, s)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := known(t)
			p, direct := engine.NewProxy(t, server.Addr), open(t, server, "")
			s := openAt(t, p.Addr, nil, redisstore.Timings{Watch: c.watch, Call: time.Second})
			for _, pools := range [][]string{{"p"}, nil} {
				sees := watch(t, s, pools...)
				h := try(t, direct, job(2, longTTL))
				sees(1)
				subscribed := func() int { return callsOf(t, server, "subscribe") + callsOf(t, server, "psubscribe") }
				before := subscribed()
				c.fail(t, server, p)
				if name == "HalfOpen" {
					eventually(t, "it has subscribed again", func() bool { return subscribed() > before })
				}
				if name == "Restarted" {
					h = try(t, direct, job(2, longTTL))
					sees(1)
				}
				other := try(t, direct, job(2, longTTL))
				sees(2)
				release(t, h)
				release(t, other)
				sees(0)
			}
		})
	}
}

// What nobody publishes is seen a little later: the step of an older berth, and all steps where
// the user has no right to the channels.
func TestWatchWithoutWord(t *testing.T) {
	t.Parallel()
	server := known(t)
	command(t, server, "ACL", "SETUSER", "mute", "on", ">secret", "~{berth}:*", "resetchannels", "+@all", "-@admin", "-@dangerous", "+info")
	mute := openAt(t, "mute:secret@"+server.Addr, nil, redisstore.Timings{Watch: 50 * time.Millisecond})
	sees := watch(t, mute, "p")
	h := try(t, mute, job(2, longTTL))
	sees(1)
	release(t, h)
	sees(0)
	sees = watch(t, openAt(t, server.Addr, nil, redisstore.Timings{Watch: 50 * time.Millisecond}), "p")
	sees(0)
	now := time.Now().UnixMicro()
	command(t, server, "HSET", "{berth}:data:p", "p/old", `{"id":"p/old","pool":"p","weight":1,"limit":3}`)
	command(t, server, "HSET", "{berth}:held:p", "p/old", text(now+30e6)+" 0 60000000 1 3 5 3 "+text(now)+" 0")
	sees(1)
}

// A watch costs the pool nothing: a step publishes at most once, whatever watches and waits, a
// heartbeat or a list never does, and what comes in a burst is passed on in one.
func TestWatchCosts(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, redisstore.Timings{Watch: never})
	var all []<-chan struct{}
	for range 3 {
		changed, err := s.Watch(within(t), "p")
		if err != nil {
			t.Fatal(err)
		}
		<-changed // it has subscribed
		all = append(all, changed)
	}
	published := func() int { return callsOf(t, server, "publish") }
	h := try(t, s, job(1, longTTL))
	const waiters = 20
	var places []lease.Place
	for range waiters {
		places = append(places, line(t, s, job(1, longTTL)))
	}
	if n := published(); n != 1+waiters {
		t.Errorf("%d were published of %d steps", n, 1+waiters)
	}
	for range 5 {
		renew(t, h)
		_ = pool(t, s)
		if _, _, err := places[waiters-1].TryAcquire(within(t), lease.Clearance{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := published(); n != 1+waiters {
		t.Errorf("%d were published of %d steps that changed anything", n, 1+waiters)
	}
	for _, p := range places {
		if err := p.Leave(within(t)); err != nil {
			t.Error(err)
		}
	}
	release(t, h)
	told := 0
	for quiet := false; !quiet; {
		select {
		case <-all[0]:
			told++
		case <-time.After(time.Second):
			quiet = true
		}
	}
	if told == 0 || told > waiters {
		t.Errorf("told %d times of %d steps", told, 2*waiters)
	}
}

// A watch ends with its context, whatever the server does, and leaves no connection.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, redisstore.Timings{Watch: never})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	changed, err := s.Watch(ctx, "p")
	if err != nil {
		t.Fatal(err)
	}
	<-changed
	server.Freeze()
	cancel()
	for range changed {
	}
	server.Thaw()
	eventually(t, "its connection is closed", func() bool { return command(t, server, "PUBLISH", "{berth}:changed:p", "") == int64(0) })
}

// callsOf is how often a command was done, also by steps.
func callsOf(t testing.TB, server *engine.Server, command string) int {
	t.Helper()
	info, err := client(t, server).InfoMap(within(t), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if stat := info["Commandstats"]["cmdstat_"+command]; stat != "" {
		if _, err := fmt.Sscanf(stat, "calls=%d", &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}
