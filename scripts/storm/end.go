//go:build linux

package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// calmBound is how long everything may take to end after the last launch. It
// is no measure: a run that hangs does so for ever.
const calmBound = 2 * time.Minute

// calm lifts the limits and waits until all runs, and all that they left
// behind, have ended by themselves.
func (s *storm) calm() {
	for _, p := range s.pools {
		s.setLimit(p.name, p.usual())
	}
	for end := time.Now().Add(calmBound); ; time.Sleep(10 * time.Millisecond) {
		left := s.marked()
		if len(left) == 0 && s.living() == 0 {
			s.ended.Wait()
			break
		}
		if time.Now().After(end) {
			s.hangs(left)
			s.killAll()
			break
		}
	}
	for _, p := range s.pools {
		s.setLimit(p.name, "none")
	}
	s.readRecords()
}

// hangs tells what hangs, as long as it can be looked at.
func (s *storm) hangs(left map[string][]int) {
	for run, pids := range left {
		for _, pid := range pids {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			s.badf(fmt.Sprintf("hang: run %s, pid %d did not end: %.60s %.200s", run, pid, stat, strings.ReplaceAll(string(line), "\x00", " ")))
		}
	}
	s.badf("state: " + string(s.say(codeOK, "ls")))
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.alive {
		s.runs[id].hung = true
	}
}

// atEnd proves that nothing is left of the storm.
func (s *storm) atEnd() []string {
	for _, p := range s.pools {
		if s.kind == "" {
			s.slotsFree(p.name)
			s.lineEmpty(p.name)
		} else {
			s.emptied(p.name)
		}
		s.wholePool(p.name)
	}
	if s.kind != "" {
		s.serverEmpty()
	}
	for run, pids := range s.marked() {
		s.badf(fmt.Sprintf("end: processes %v of run %s are left", pids, run))
	}
	return s.bad
}

// slotsFree asks the kernel, not berth.
func (s *storm) slotsFree(pool string) {
	files, _ := filepath.Glob(filepath.Join(s.store, pool, "slots", "*"))
	if len(files) == 0 {
		s.badf("harness: pool " + pool + " has no slots, so nothing ran in it")
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			s.badf("end: " + err.Error())
			continue
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			s.badf(fmt.Sprintf("end: %s is still locked: %v", name, err))
		}
		f.Close()
	}
}

// lineEmpty runs one more job, behind all that might still be in the line.
// It sweeps what the killed have left. Tickets with a key are noted as left by
// that run, and swept by the first one after their grace.
func (s *storm) lineEmpty(pool string) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		s.oneMore(pool, "-n", strconv.Itoa(mostAsked), "--priority", "20")
		tickets, _ := filepath.Glob(filepath.Join(s.store, pool, "line", "*"))
		kept := slices.DeleteFunc(slices.Clone(tickets), func(t string) bool {
			return strings.Count(filepath.Base(t), "-") < 2
		})
		if len(kept) < len(tickets) || len(tickets) > 0 && time.Now().After(end) {
			s.badf(fmt.Sprintf("end: pool %s: tickets are left: %v", pool, tickets))
			return
		}
		if len(tickets) == 0 {
			return
		}
	}
}

// wholePool takes all slots at once, without waiting.
func (s *storm) wholePool(pool string) {
	s.oneMore(pool, "-n", strconv.Itoa(mostAsked), "--weight", strconv.Itoa(mostAsked), "--wait", "0")
	out := string(s.say(codeOK, "ls", "--json", pool))
	if !showsEmpty(out) {
		s.badf("end: pool " + pool + " is not empty: " + out)
	}
}

func (s *storm) oneMore(pool string, args ...string) {
	c := s.command("-", slices.Concat([]string{"run", "-q", "-p", pool}, s.plans.ofStore(), args, []string{"--", "true"})...)
	done := time.AfterFunc(calmBound, func() { _ = c.Process.Kill() })
	defer done.Stop()
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		s.badf(fmt.Sprintf("end: berth run -p %s %s: %v %s", pool, strings.Join(args, " "), err, out))
	}
}

// report prints the counts, and what is wrong, the first few of each kind.
func (s *storm) report(v *Verdict) {
	s.t.Logf("runs %d, %s", len(s.log.runs), s.counts())
	var kills []string
	for _, k := range slices.Sorted(maps.Keys(s.kills)) {
		kills = append(kills, fmt.Sprintf("%s %d", k, s.kills[k]))
	}
	s.t.Logf("signals: %s; TERM came too late or was lost %d", strings.Join(kills, ", "), v.unheeded)
	if s.kind != "" {
		s.reportServer(v)
	}
	s.t.Logf("waiters superseded %d, jobs replaced %d, jobs under kept leases %d", v.made["supersede"], v.made["replace"], v.adoptions)
	s.t.Logf("looks %d, limits set %d, stops %d; order checked in %d pairs, own limit at %d starts", len(s.log.views), len(s.log.limits), len(s.log.stops), v.pairs, v.own)
	for _, p := range s.pools {
		if v.most[p.name] == 0 {
			s.t.Errorf("harness: nothing ran in pool %s", p.name)
		}
		s.t.Logf("pool %-5s at most %d slots in use, greatest limit %d", p.name, v.most[p.name], p.greatest())
	}
	seen := map[string]int{}
	for _, b := range v.bad {
		check, _, _ := strings.Cut(b, ":")
		if seen[check]++; seen[check] <= 5 {
			s.t.Errorf("%s", b)
		}
	}
	for _, check := range slices.Sorted(maps.Keys(seen)) {
		s.t.Errorf("%d findings of kind %q; --seed %d", seen[check], check, s.seed)
	}
}

func (s *storm) counts() string {
	n := map[string]int{}
	for _, r := range s.log.runs {
		count := func(what string, is bool) {
			if is {
				n[what]++
			}
		}
		started := r.record("start") != nil
		count("started", started)
		count("ended by themselves", r.record("end") != nil)
		count("timeouts", r.exit == codeTimeout)
		count("busy", r.exit == codeBusy)
		count("without a slot", started && r.record("start").Token == 0)
		count("inside others", r.parent != "" && !s.log.underLease(r))
		count("--exec", r.exec)
		count("of two pools", r.granted() != nil && len(r.more) > 0)
		count("kept", r.kept && r.granted() != nil)
		count("orphans", r.killed && started && !r.exec && s.log.aliveUntil(r) > cmp.Or(r.ended, never))
	}
	var all []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		all = append(all, fmt.Sprintf("%s %d", k, n[k]))
	}
	return strings.Join(all, ", ")
}
