//go:build linux

package cmd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stormRestarts is how long a storm lasts in which the server is restarted, too:
// after that a Redis lets nobody new in for a TTL.
const stormRestarts = 30 * time.Second

// onServer moves the store of a storm to a server of its own.
func (s *storm) onServer(kind string, lasts time.Duration) {
	rules, ok := stormServers[kind]
	if !ok {
		s.t.Fatalf("no kind of store: %q", kind)
	}
	s.restarts = lasts >= stormRestarts
	var args []string
	if kind == "redis" && s.restarts { // what it has answered it must know afterwards
		args = []string{"--appendonly", "yes", "--appendfsync", "always"}
	}
	s.kind, s.server, s.log.server, s.plans.server = kind, engines[kind](s.t, args...), &rules, true
	if kind == "redis" {
		known(s.t, s.server)
	}
	s.store = kind + "://" + s.server.Addr
	if s.berth == "" {
		s.berth = filepath.Join(buildRemote(s.t), remoteProgram)
	}
}

// outage does something to the server.
func (s *storm) outage(p *stormPlanner) {
	time.Sleep(p.between(time.Second, 3*time.Second))
	what, length := "frozen", p.between(200*time.Millisecond, 800*time.Millisecond)
	switch n := p.IntN(100); {
	case n < 12 && s.restarts:
		what = "restarted"
	case n < 50 && s.kind == "redis":
		what = "cut"
	}
	s.mu.Lock()
	at := len(s.log.server.outages)
	s.log.server.outages = append(s.log.server.outages, stormOutage{what, monotonic(), never})
	s.mu.Unlock()
	switch what {
	case "frozen":
		s.server.Freeze()
		time.Sleep(length)
		s.server.Thaw()
	case "restarted":
		s.server.Kill()
		s.server.Start()
	case "cut":
		if _, err := s.server.Do("CLIENT", "KILL", "TYPE", "normal"); err != nil {
			s.badf("harness: cannot cut connections: " + err.Error())
		}
	}
	s.mu.Lock()
	s.log.server.outages[at].to = monotonic()
	s.mu.Unlock()
}

// slow notes an answer that took long, for whatever reason.
func (s *storm) slow(from, to int64) {
	if s.server == nil || time.Duration(to-from) < 2*stormLate {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.server.outages = append(s.log.server.outages, stormOutage{"slow", from, to})
}

// excused: a subcommand failed as it may, with a server. An answer that was lost is
// for the caller to ask for again. And where nobody asks for slots, nothing ends the
// lease of a berth that was killed, which 'berth stop' then waits for in vain.
func (s *storm) excused(since int64, said string) bool {
	switch {
	case s.server == nil:
		return false
	case strings.Contains(said, "still has slot"):
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stuck++
		return true
	}
	return stormUnreachable.MatchString(said) && s.cutOff(since)
}

// cutOff: since then an answer of the server may have been lost.
func (s *storm) cutOff(since int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.server.cutOff(since, monotonic())
}

// emptied waits until a pool of a server is empty. Leases of the killed end by a
// clock, but a dead one may be dropped only when somebody else asks for something.
func (s *storm) emptied(pool string) {
	for end := time.Now().Add(s.log.server.frees + stormSlack); ; time.Sleep(100 * time.Millisecond) {
		s.oneMore(pool, "-n", fmt.Sprint(stormMost), "--priority", "20")
		out := string(s.say(codeOK, "ls", "--json", pool))
		if stormEmpty(out) {
			return
		}
		if time.Now().After(end) {
			s.badf("end: pool " + pool + " does not become empty: " + out)
			return
		}
	}
}

func stormEmpty(ls string) bool {
	return strings.Contains(ls, `"used":0`) && strings.Contains(ls, `"holders":[],"waiters":[]`)
}

// serverEmpty asks the server, not berth: what no list shows would stay for ever.
func (s *storm) serverEmpty() {
	var left string
	var err error
	for end := time.Now().Add(s.log.server.frees + stormSlack); ; time.Sleep(200 * time.Millisecond) {
		if s.kind == "redis" {
			left, err = s.server.Do("EVAL", stormRedisLeft, "0")
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

// stormRedisLeft lists what belongs to a run. What wakes a waiter ends by itself
// where Redis has been told when.
const stormRedisLeft = `
local left = {}
for _, k in ipairs(redis.call('KEYS', '*')) do
  local kind = string.match(k, '^{berth}:(%a+)')
  if kind == 'wake' and redis.call('PTTL', k) < 0 or kind ~= 'wake' and kind ~= 'epoch' and kind ~= 'pool' and kind ~= 'pools' then
    left[#left + 1] = k .. (redis.call('TYPE', k).ok == 'hash' and '=' .. table.concat(redis.call('HKEYS', k), ',') or '')
  end
end
return table.concat(left, ' ')`

// etcdLeft lists the keys that are of a run.
func (s *storm) etcdLeft() (string, error) {
	all := base64.StdEncoding.EncodeToString([]byte{0})
	ask, err := json.Marshal(map[string]any{"key": all, "range_end": all, "keys_only": true})
	if err != nil {
		return "", err
	}
	c := http.Client{Timeout: time.Second}
	answer, err := c.Post("http://"+s.server.Addr+"/v3/kv/range", "application/json", bytes.NewReader(ask))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var found struct{ Kvs []struct{ Key []byte } }
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
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
		return "", fmt.Errorf("no keys at all: %s", answer.Status)
	}
	return strings.Join(left, " "), nil
}

// reportServer prints what happened to the server, and what that did to runs.
func (s *storm) reportServer(v *stormVerdict) {
	n := map[string]int{}
	var longest time.Duration
	for _, o := range s.log.server.outages {
		n[o.what]++
		if o.what != "slow" {
			longest = max(longest, time.Duration(o.to-o.from))
		}
	}
	lost, out, hasty, stayed := 0, 0, 0, 0
	for _, r := range s.log.runs {
		switch {
		case r.exit == codeLost:
			lost++
		case r.refused():
			out++
			if len(s.log.server.weather(r.launch, r.ended)) == 0 {
				hasty++
			}
		}
		if r.killed {
			stayed++
		}
	}
	s.t.Logf("%s frozen %d times, connections cut %d, restarted %d, for %v at most, slow %d; berths killed %d (jobs outlived them by %v), leases lost %d, refused for want of a server %d (%d of them though nothing was wrong with it), stops in vain %d",
		s.kind, n["frozen"], n["cut"], n["restarted"], longest.Round(time.Millisecond), n["slow"], stayed, v.late, lost, out, hasty, s.stuck)
}
