//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/scripts/testbed"
)

// say is told without whether it succeeded.
func (s *storm) say(may int, args ...string) []byte {
	out, _ := s.told(may, args...)
	return out
}

// told runs another subcommand and returns its output, and that it succeeded. One
// that fails though it should not is a finding.
func (s *storm) told(may int, args ...string) ([]byte, bool) {
	c := s.command("-", args...)
	var said bytes.Buffer
	c.Stderr = &said
	from := testbed.Monotonic()
	out, err := c.Output()
	var exit *exec.ExitError
	if err != nil && s.excused(from, said.String()) {
		return nil, false
	}
	if err != nil && (!errors.As(err, &exit) || testbed.ExitCode(exit.ProcessState) != may) {
		s.badf(fmt.Sprintf("exit: berth %s: %v: %s", strings.Join(args, " "), err, said.String()))
		return nil, false
	}
	return out, true
}

// listed is what the storm reads of 'berth ls --json'.
type listed struct {
	Pool    string `json:"pool"`
	Holders []struct {
		Lease  string            `json:"lease"`
		State  string            `json:"state"`
		Slots  []int             `json:"slots"`
		Limit  *int              `json:"asks_for_limit"`
		Labels map[string]string `json:"labels"`
	} `json:"holders"`
	Waiters []struct {
		Lease    string            `json:"lease"`
		Place    int               `json:"place"`
		Priority int               `json:"priority"`
		Labels   map[string]string `json:"labels"`
	} `json:"waiters"`
	LockHeld string `json:"lock_held_by"`
}

// list lists one pool.
func (s *storm) list(p *Planner) {
	time.Sleep(p.between(20*time.Millisecond, 80*time.Millisecond))
	pool := pick(p, s.pools).name
	from := testbed.Monotonic()
	out, ok := s.told(codeOK, "ls", "--json", pool)
	to := testbed.Monotonic()
	if s.cluster == nil { // see probe
		s.slow(from, to)
	}
	if !ok {
		return
	}
	var pools []listed
	if json.Unmarshal(out, &pools) != nil || len(pools) != 1 {
		s.badf("exit: berth ls --json printed " + string(out))
		return
	}
	v := View{pool: pool, from: from, to: to}
	if pools[0].LockHeld != "" {
		return // it is what the files say, which may be half a change
	}
	for _, h := range pools[0].Holders {
		e := Holder{lease: h.Lease, run: h.Labels["run"], state: h.State, slots: len(h.Slots)}
		if h.Limit != nil {
			e.asks = *h.Limit
		}
		v.holders = append(v.holders, e)
	}
	for _, w := range pools[0].Waiters {
		v.waiters = append(v.waiters, Waiter{lease: w.Lease, run: w.Labels["run"], place: w.Place, priority: w.Priority})
	}
	s.mu.Lock()
	s.log.views = append(s.log.views, v)
	s.mu.Unlock()
	if p.chance(4) && pool != longPool.name {
		s.stopOne(p, &pools[0])
	}
}

// limit sets a pool's own limit; one of 0 does not stay long.
func (s *storm) limit(p *Planner) {
	time.Sleep(p.between(50*time.Millisecond, 400*time.Millisecond))
	pool := pick(p, s.pools)
	own := pick(p, pool.own)
	s.setLimit(pool.name, own)
	if own == "0" {
		time.Sleep(p.between(20*time.Millisecond, 200*time.Millisecond))
		s.setLimit(pool.name, pool.own[len(pool.own)-1])
	}
}

func (s *storm) setLimit(pool, own string) {
	s.settings.Lock()
	defer s.settings.Unlock()
	set := Limit{pool: pool, from: testbed.Monotonic(), to: never}
	if n, err := strconv.Atoi(own); err == nil {
		set.limit = &n
	}
	s.mu.Lock()
	s.log.limits = append(s.log.limits, set)
	at := len(s.log.limits) - 1
	s.mu.Unlock()
	for range 20 {
		if _, ok := s.told(codeOK, "limit", pool, own); ok {
			break
		}
		time.Sleep(50 * time.Millisecond) // it may have been set, and the answer lost
	}
	s.mu.Lock()
	s.log.limits[at].to = testbed.Monotonic()
	s.mu.Unlock()
}

// limitShared gives the shared pools the limits that they need.
func (s *storm) limitShared() {
	for _, p := range s.pools {
		if p.shared {
			s.setLimit(p.name, p.usual())
		}
	}
}

// stop sends away all of a pool, which is rare: it spoils what can be proved
// of those runs.
func (s *storm) stop(p *Planner) {
	time.Sleep(p.between(500*time.Millisecond, 1500*time.Millisecond))
	if p.chance(30) {
		short := slices.DeleteFunc(slices.Clone(s.pools), func(p Pool) bool { return p.name == longPool.name })
		s.stopping(Stop{pool: pick(p, short).name}, "--kill-after", "100ms")
	}
}

func (s *storm) stopOne(p *Planner, of *listed) {
	var leases, runs []string
	for _, h := range of.Holders {
		leases, runs = append(leases, h.Lease), append(runs, h.Labels["run"])
	}
	for _, w := range of.Waiters {
		leases, runs = append(leases, w.Lease), append(runs, w.Labels["run"])
	}
	if len(leases) == 0 {
		return
	}
	i := p.IntN(len(leases))
	how := pick(p, [][]string{{"--now"}, {"--kill-after", "50ms"}, {}})
	if leases[i] != "" {
		// It waits for the end of that one, which may take as long as a lease.
		s.started.Go(func() { s.stopping(Stop{pool: of.Pool, run: runs[i]}, append(how, leases[i])...) })
	}
}

func (s *storm) stopping(st Stop, args ...string) {
	st.from, st.to = testbed.Monotonic(), never
	s.mu.Lock()
	s.log.stops = append(s.log.stops, st)
	at := len(s.log.stops) - 1
	s.mu.Unlock()
	if st.run == "" {
		args = append(args, "--pool", st.pool)
	}
	s.say(codeNo, append([]string{"stop", "--reason", "storm"}, args...)...)
	s.mu.Lock()
	s.log.stops[at].to = testbed.Monotonic()
	s.mu.Unlock()
}

// coroner notes of runs whose berth was killed, became the command, or was not
// started by us, when nothing of them is left.
func (s *storm) coroner(*Planner) {
	time.Sleep(50 * time.Millisecond)
	began := testbed.Monotonic()
	alive := s.marked()
	if len(alive[unknownRun]) > 0 {
		return
	}
	// Again: the parent may have been looked at after its end, and its child,
	// with a smaller pid, before its start.
	for run, pids := range s.marked() {
		if run == unknownRun {
			return
		}
		alive[run] = append(alive[run], pids...)
	}
	now := testbed.Monotonic()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.log.runs {
		outer := r
		if r.parent != "" {
			outer = s.runs[r.parent]
		}
		// Ended before the first look: one that was killed between the look and
		// here may have left a job that was not there to be seen yet.
		if outer.ended > 0 && outer.ended < began && r.gone == 0 && len(alive[outer.id]) == 0 {
			r.gone = now
		}
	}
}

// marked lists the living processes of this storm by their run. What runs
// inside a run counts as a process of that run, too: it inherits its slots.
func (s *storm) marked() map[string][]int {
	found := map[string][]int{}
	entries, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range entries {
		env, err := os.ReadFile(e)
		pid, _ := strconv.Atoi(strings.Split(e, "/")[2])
		if err == nil && len(env) == 0 && s.ours(pid) {
			found[unknownRun] = append(found[unknownRun], pid)
		}
		if err != nil || !bytes.Contains(env, []byte(s.mark+"\x00")) {
			continue
		}
		run := runIn(env)
		found[run] = append(found[run], pid)
		if outer, ok := outerOf(run); ok {
			found[outer] = append(found[outer], pid)
		}
	}
	return found
}

// unknownRun stands for the run of a process that is in the middle of exec: it
// shows no environment yet, and on a busy machine that can last.
const unknownRun = "?"

// ours: it runs one of our programs. A zombie has none.
func (s *storm) ours(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && (exe == s.berth || exe == s.job)
}

// runIn is the last STORM_RUN, which is the one that counts.
func runIn(env []byte) (run string) {
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if r, ok := bytes.CutPrefix(v, []byte("STORM_RUN=")); ok {
			run = string(r)
		}
	}
	return run
}

// signalMarked signals a process that is not our child, and no other: the
// descriptor pins the process before its environment is looked at. It reports
// false when that process was gone.
func (s *storm) signalMarked(pid int, run string, sig syscall.Signal) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)) // empty for a zombie
	if err != nil || !bytes.Contains(env, []byte(s.mark+"\x00")) || run != "" && runIn(env) != run {
		return false
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0) == nil
}

// killAll leaves nothing behind, whatever went wrong.
func (s *storm) killAll() {
	for range 200 {
		left := 0
		for _, pids := range s.marked() {
			for _, pid := range pids {
				s.signalMarked(pid, "", syscall.SIGKILL)
				left++
			}
		}
		if left == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.ended.Wait()
}
