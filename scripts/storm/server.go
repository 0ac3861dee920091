//go:build linux

package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"berth/lease/storetest/engine"
	"berth/scripts/testbed"
)

// longStorm is how long a storm lasts in which all faults happen: when a Redis has been
// restarted or emptied, it lets no new job start for so long.
const longStorm = 30 * time.Second

// onServer moves the store of a storm to a server of its own.
func (s *storm) onServer(o options) {
	rules, ok := serverKinds[o.kind]
	if !ok {
		s.t.Fatalf("no kind of store: %q", o.kind)
	}
	s.kind, s.log.server, s.plans.server = o.kind, &rules, &rules
	s.choose(o.faults, o.lasts)
	if o.kind == "redis" {
		s.onRedis()
	} else {
		s.onEtcd()
	}
	if s.faults["long"] {
		s.pools = append(s.pools, longPool)
	}
}

func (s *storm) onRedis() {
	var args []string
	if s.faults["restart"] { // what it has answered it must know afterwards
		args = []string{"--appendonly", "yes", "--appendfsync", "always"}
	}
	s.server = engine.Redis(s.t, args...)
	s.server.MarkInUse()
	s.proxy = newProxy(s.t, s.server.Addr, s.note)
	s.store, s.direct = "redis://"+s.proxy.addr, "redis://"+s.server.Addr
}

func (s *storm) onEtcd() {
	s.cluster = engine.EtcdCluster(s.t, memberCount)
	var hosts []string
	for _, m := range s.cluster {
		hosts = append(hosts, m.Addr)
	}
	s.store = "etcd://" + strings.Join(hosts, ",")
	s.direct = s.store
}

// weathers are what happens to the server of a storm, and how that is watched.
func (s *storm) weathers(lasts time.Duration) (again, once []func(*Planner)) {
	if s.kind == "" {
		return nil, nil
	}
	again = append(again, s.outage)
	if s.proxy != nil {
		again = append(again, s.network)
		once = append(once, func(p *Planner) { s.forget(p, lasts) })
	}
	if s.cluster != nil {
		again = append(again, s.probe)
	}
	if s.faults["hung"] {
		once = append(once, func(p *Planner) { s.hang(p, lasts) })
	}
	if s.faults["long"] {
		again = append(again, s.lengthy)
	}
	return again, once
}

// slow notes an answer that took long, for whatever reason.
func (s *storm) slow(from, to int64) {
	if s.kind == "" || time.Duration(to-from) < 2*timerLate {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.server.outages = append(s.log.server.outages, Outage{what: "slow", from: from, to: to})
}

// excused: a subcommand failed as it may, with a server. An answer that was lost is
// for the caller to ask for again. And where no slots are requested, nothing ends the
// lease of a berth that was killed, which 'berth stop' then waits for in vain.
func (s *storm) excused(since int64, said string) bool {
	switch {
	case s.kind == "":
		return false
	case strings.Contains(said, "still has slot") || strings.Contains(said, "does not react") && s.unheard(since, said):
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stuck++
		return true
	}
	return saysUnreachable.MatchString(said) && s.cutOff(since)
}

// unheard: a waiter may not have been told to leave, because the server has forgotten
// that since, or because it could not be asked.
func (s *storm) unheard(since int64, said string) bool {
	if s.proxy == nil {
		return false
	}
	run := s.proxy.runOf(leaseID.FindString(said))
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.server.during(since, testbed.Monotonic(), func(o Outage) bool {
		return o.what == "flushed" || run != "" && o.run == run
	})
}

// cutOff: since then an answer of the server may have been lost.
func (s *storm) cutOff(since int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.server.cutOff(since, testbed.Monotonic())
}

// emptied waits until a pool of a server is empty. Leases of the killed end by a
// clock, but a dead one may be dropped only at the next request.
func (s *storm) emptied(pool string) {
	for end := s.allFree(); ; time.Sleep(100 * time.Millisecond) {
		s.oneMore(pool, "-n", fmt.Sprint(mostAsked), "--priority", "20")
		out := string(s.say(codeOK, "ls", "--json", pool))
		if showsEmpty(out) {
			return
		}
		if time.Now().After(end) {
			s.badf("end: pool " + pool + " does not become empty: " + out)
			return
		}
	}
}

// allFree is when all slots are free again at the latest: as long after now as after the
// death of a berth, or longer where a lease was left that lasts longer.
func (s *storm) allFree() time.Time {
	left := s.log.server.of(&Run{}, s.log.server.frees) + slack
	now := testbed.Monotonic()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.log.runs {
		if over := s.log.over(r); over != never {
			left = max(left, time.Duration(over-now))
		}
	}
	return time.Now().Add(left)
}

func showsEmpty(ls string) bool {
	return strings.Contains(ls, `"used":0`) && strings.Contains(ls, `"holders":[],"waiters":[]`)
}

// serverEmpty asks the server, not berth: what no list shows would stay for ever.
func (s *storm) serverEmpty() {
	var left string
	var err error
	for end := s.allFree(); ; time.Sleep(200 * time.Millisecond) {
		if s.kind == "redis" {
			left, err = s.server.Do("EVAL", redisLeft, "0")
		} else {
			left, err = s.etcdLeft()
		}
		if left == "" && err == nil {
			return
		}
		if time.Now().After(end) {
			s.badf(fmt.Sprintf("end: left in the server: %s %v", left, err))
			return
		}
	}
}

// redisLeft lists what belongs to a run. What wakes a waiter, and what remembers those
// that are gone, ends by itself where Redis has been told when. A pool keeps the bits of its
// slots, which are all free.
const redisLeft = `
local left, ends, stays = {}, { wake = true, gone = true }, { epoch = true, pool = true, pools = true }
for _, k in ipairs(redis.call('KEYS', '*')) do
  local kind = string.match(k, '^{berth}:(%a+)')
  local over = ends[kind] and redis.call('PTTL', k) >= 0 or kind == 'slots' and redis.call('BITCOUNT', k) == 0
  if not stays[kind] and not over then
    left[#left + 1] = k .. (redis.call('TYPE', k).ok == 'hash' and '=' .. table.concat(redis.call('HKEYS', k), ',') or '')
  end
end
return table.concat(left, ' ')`

// etcdLeft lists the keys that are of a run.
func (s *storm) etcdLeft() (string, error) {
	all := base64.StdEncoding.EncodeToString([]byte{0})
	var found struct{ Kvs []struct{ Key []byte } }
	if err := etcdAsk(s.well()[0], "/v3/kv/range", map[string]any{"key": all, "range_end": all, "keys_only": true}, &found); err != nil {
		return "", err
	}
	var left []string
	for _, kv := range found.Kvs {
		key := string(kv.Key)
		if !slices.ContainsFunc([]string{"/own", "/grants", "/report", "berth/swept"}, func(of string) bool { return strings.HasSuffix(key, of) }) {
			left = append(left, key)
		}
	}
	if len(found.Kvs) == 0 {
		return "", errors.New("no keys at all")
	}
	return strings.Join(left, " "), nil
}

// reportServer prints what happened to the server, and what that did to runs.
func (s *storm) reportServer(v *Verdict) {
	n := map[string]int{}
	var longest time.Duration
	for _, o := range s.log.server.outages {
		n[o.what]++
		if o.what == "frozen" || o.what == "restarted" {
			longest = max(longest, o.lasted())
		}
	}
	lost, out, hasty, stayed := 0, 0, 0, 0
	for _, r := range s.log.runs {
		switch {
		case r.exit == codeLost:
			lost++
		case r.refused():
			out++
			if len(s.log.server.weather(r, r.launch, r.ended)) == 0 {
				hasty++
			}
		}
		if r.killed {
			stayed++
		}
	}
	s.t.Logf("%s frozen %d times, connections cut %d, restarted %d, for %v at most, slow %d; berths killed %d (jobs outlived them by %v), leases lost %d, refused without a server %d (%d of them though nothing was wrong with it), stops in vain %d",
		s.kind, n["frozen"], n["cut"], n["restarted"], longest.Round(time.Millisecond), n["slow"], stayed, v.late, lost, out, hasty, s.stuck)
	if s.cluster != nil {
		s.t.Logf("one member frozen or restarted %d times while the others went on, hung for good %d (the leader: %v)", n["member"], n["hung"], s.hungLeader)
	} else {
		s.t.Logf("emptied %d times, %d more with its scripts; connections held up %d, half open %d, reset %d", s.flushes["flush"], s.flushes["scripts"], n["late"], n["deaf"], n["reset"])
	}
	lengthy, ended, flushed := 0, 0, 0
	for _, r := range s.log.runs {
		start, end := r.record("start"), r.record("end")
		if r.pool != longPool.name || start == nil {
			continue
		}
		lengthy++
		if end != nil {
			ended++
			if s.log.server.during(start.At, end.At, func(o Outage) bool { return o.what == "flushed" }) {
				flushed++
			}
		}
	}
	s.t.Logf("long jobs %d, %d came to their end, %d of these met an emptied server", lengthy, ended, flushed)
}
