//go:build linux

package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"berth/lease/storetest/engine"
	"berth/scripts/testbed"
)

// faultsOf are what can happen to a store of each kind. --faults picks
// some of them, by commas; else all happen.
//
//	freeze    the server, or a member of the cluster, stands still for a moment
//	cut       the server closes all connections
//	restart   it is killed and started again
//	late      what runs send is held back, and delivered when they have given up
//	deaf      connections are half open
//	reset     connections are broken
//	flush     FLUSHALL
//	scripts   FLUSHALL and SCRIPT FLUSH in one
//	hung      a member of the cluster stands still for good
//	long      some jobs last long, on Redis with long heartbeats
var faultsOf = map[string][]string{
	"redis": {"freeze", "cut", "restart", "late", "deaf", "reset", "flush", "scripts", "long"},
	"etcd":  {"freeze", "restart", "hung", "long"},
}

// bigFaults are the faults that need a long storm: after the first of them a Redis lets
// no new job start for a while, and the others take longer than a short one lasts.
var bigFaults = []string{"restart", "flush", "scripts", "late", "deaf", "long"}

// choose picks the faults of a storm.
func (s *storm) choose(of string, lasts time.Duration) {
	s.faults = map[string]bool{}
	names := faultsOf[s.kind]
	if of != "" {
		names = strings.Split(of, ",")
	}
	for _, f := range names {
		if !slices.Contains(faultsOf[s.kind], f) {
			s.t.Fatalf("--faults: no fault %q with %s (%s)", f, s.kind, strings.Join(faultsOf[s.kind], ", "))
		}
		s.faults[f] = lasts >= longStorm || !slices.Contains(bigFaults, f)
	}
}

// some picks one of the faults that happen in this storm, "" none.
func (s *storm) some(p *Planner, faults ...string) string {
	faults = slices.DeleteFunc(faults, func(f string) bool { return !s.faults[f] })
	if len(faults) == 0 {
		return ""
	}
	return pick(p, faults)
}

// note begins an outage; over ends one that has no end yet.
func (s *storm) note(o Outage) (over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := len(s.log.server.outages)
	s.log.server.outages = append(s.log.server.outages, o)
	return func() {
		now := testbed.Monotonic()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.log.server.outages[at].to = now
	}
}

func (s *storm) begins(what string) (over func()) {
	return s.note(Outage{what: what, from: testbed.Monotonic(), to: never})
}

// outage does something short to the server.
func (s *storm) outage(p *Planner) {
	time.Sleep(p.between(time.Second, 3*time.Second))
	length := p.between(200*time.Millisecond, 800*time.Millisecond)
	switch what := s.some(p, "freeze", "freeze", "cut"); {
	case s.cluster != nil && s.faults["restart"] && p.chance(12):
		s.member(p, func(m *engine.Server) { m.Kill(); m.Start() }, "restarted")
	case what == "freeze" && s.cluster != nil:
		s.member(p, func(m *engine.Server) { m.Freeze(); time.Sleep(length); m.Thaw() }, "frozen")
	case what == "freeze":
		over := s.begins("frozen")
		s.server.Freeze()
		time.Sleep(length)
		s.server.Thaw()
		over()
	case what == "cut":
		over := s.begins("cut")
		if _, err := s.server.Do("CLIENT", "KILL", "TYPE", "normal"); err != nil {
			s.badf("harness: cannot cut connections: " + err.Error())
		}
		over()
	}
}

// network does something to some connections of runs.
func (s *storm) network(p *Planner) {
	time.Sleep(p.between(500*time.Millisecond, 2*time.Second))
	of, part := p.IntN(4), 4
	some := func(c *Pair) bool { return c.number%part == of }
	mute, lost := p.chance(60), p.chance(50)
	fate := Fate{}
	switch s.some(p, "late", "late", "deaf", "reset") {
	case "late":
		// Longer than a berth waits for an answer: it has given up by then, or asked
		// again and been answered.
		fate.late = p.between(3200*time.Millisecond, 7*time.Second)
	case "deaf":
		fate.deaf, fate.mute = !mute, mute
		s.proxy.halfOpen(func(c *Pair) (bool, bool) { return some(c) && !mute, some(c) && mute })
	case "reset":
		fate.reset, fate.lost = true, lost
		s.proxy.reset(some)
	default:
		return
	}
	s.proxy.strikes(p.between(20*time.Millisecond, 200*time.Millisecond), func(c *Pair) (f Fate) {
		if some(c) {
			f = fate
		}
		return f
	})
}

// forgetsEvery is how often the server forgets, or is killed: no new job starts in
// about half of that time.
const forgetsEvery = 65 * time.Second

// forget empties and restarts a Redis at the instants that p picks.
func (s *storm) forget(p *Planner, lasts time.Duration) {
	whats := slices.DeleteFunc([]string{"flush", "scripts", "restart"}, func(f string) bool { return !s.faults[f] })
	if len(whats) == 0 {
		return
	}
	p.Shuffle(len(whats), func(i, j int) { whats[i], whats[j] = whats[j], whats[i] })
	begun, first := time.Now(), 4*time.Second
	if lasts >= forgetsEvery+longStorm/3 {
		first = longStorm // a server that has just come up is taken for a new one
	}
	for i := range max(1, int(lasts/forgetsEvery)) {
		at := first + time.Duration(i)*forgetsEvery + p.between(time.Second, 8*time.Second)
		if !s.rest(time.Until(begun.Add(at))) {
			return
		}
		// Soon after a long job has started: it has just shown that it lives, and
		// does so again only when its interval is over.
		for range 250 {
			if !s.faults["long"] || s.longStarted(5*time.Second) || !s.rest(100*time.Millisecond) {
				break
			}
		}
		s.forgetNow(whats[i%len(whats)])
		s.limitShared()
	}
}

func (s *storm) forgetNow(what string) {
	if what == "restart" {
		over := s.begins("restarted")
		s.server.Kill()
		s.server.Start()
		over()
		return
	}
	s.settings.Lock() // else it is not known whether a limit that is being set is gone
	defer s.settings.Unlock()
	s.mu.Lock()
	limits := len(s.log.limits)
	for _, p := range s.pools {
		s.log.limits = append(s.log.limits, Limit{pool: p.name, from: testbed.Monotonic(), to: never})
	}
	s.mu.Unlock()
	over := s.begins("flushed")
	if err := flushed(s.server.Addr, what == "scripts"); err != nil {
		s.badf("harness: cannot empty the server: " + err.Error())
	}
	over()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushes[what]++
	for i := range s.pools {
		s.log.limits[limits+i].to = testbed.Monotonic()
	}
}

// flushed empties a Redis, in one step.
func flushed(addr string, scripts bool) error {
	c, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	ask, want := "MULTI\r\nFLUSHALL\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"
	if scripts {
		ask, want = "MULTI\r\nFLUSHALL\r\nSCRIPT FLUSH\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n"
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte(ask)); err != nil {
		return err
	}
	var got []byte
	for buf := make([]byte, 100); len(got) < len(want); {
		n, err := c.Read(buf)
		if err != nil {
			return fmt.Errorf("it said %q: %w", got, err)
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != want {
		return fmt.Errorf("it said %q", got)
	}
	return nil
}

// rest sleeps, and reports whether the storm goes on.
func (s *storm) rest(d time.Duration) bool {
	select {
	case <-s.over:
		return false
	case <-time.After(d):
		return true
	}
}

// longJobs is how many long jobs there are at a time, running and waiting.
const longJobs = 5

// lengthy keeps long jobs going, in a pool of their own.
func (s *storm) lengthy(p *Planner) {
	time.Sleep(100 * time.Millisecond)
	if s.longs(nil) < longJobs {
		s.launch(p.long(s.kind))
	}
}

// longs is how many long jobs there are now, after it has called f for each, if there is one.
func (s *storm) longs(f func(*Run)) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.alive {
		if r := s.runs[id]; r.pool == longPool.name {
			n++
			if f != nil {
				f(r)
			}
		}
	}
	return n
}

// longStarted: one with long heartbeats has started in this time.
func (s *storm) longStarted(within time.Duration) (is bool) {
	s.readRecords()
	since := testbed.Monotonic() - int64(within)
	s.longs(func(r *Run) {
		start := r.record("start")
		is = is || r.ttl > 0 && start != nil && start.At > since
	})
	return is
}

// noMoreLongs sends away the long jobs that have not started when the storm is over.
func (s *storm) noMoreLongs() {
	s.readRecords()
	var waiting []*Run
	s.longs(func(r *Run) {
		if r.record("start") == nil {
			waiting = append(waiting, r)
		}
	})
	for _, r := range waiting {
		s.mu.Lock()
		c := s.alive[r.id]
		s.mu.Unlock()
		if c != nil {
			s.attack(r, c, &Attack{berth: true, sig: syscall.SIGTERM})
		}
	}
}
