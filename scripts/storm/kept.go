//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keptPool is of slots that are held over several commands.
var keptPool = Pool{name: "kept", limits: []int{1, 2, 2, 3}, own: []string{"none", "0", "1", "2"}}

// keptAlive is how many berths a shell with a slot counts as: itself, its keeper, and what runs
// under the lease.
const keptAlive = 3

// keeping is a shell that holds slots of one pool, or of two.
func (p *Planner) keeping() *Plan {
	r := &Run{id: strconv.Itoa(p.runs), pool: keptPool.name, limit: pick(p, keptPool.limits), weight: 1, onBusy: "fail", kept: true}
	args := []string{"acquire", "-q", "--export", "--label", "run=" + r.id}
	switch {
	case p.chance(25):
		r.pool, r.more, r.limit = sharedPools[1].name, []Share{{sharedPools[0].name, 1}}, 0
		args = append(args, "-p", r.pool, "-p", r.more[0].pool)
	default:
		if r.limit > 1 && p.chance(25) {
			r.weight = 2
		}
		args = append(args, "-p", r.pool, "-n", strconv.Itoa(r.limit), "--weight", strconv.Itoa(r.weight))
	}
	args = append(args, p.ofStore()...)
	if p.chance(30) {
		r.waits = true
		args = append(args, "--wait", p.between(0, 400*time.Millisecond).String())
	}
	args = append(args, p.named(r)...)
	detached := p.chance(30)
	if detached {
		args = append(args, "--detach")
	}
	if detached || p.chance(15) {
		r.timeout, r.limited = true, p.between(100*time.Millisecond, 1500*time.Millisecond)
		args = append(args, pick(p, []string{"--timeout", "--idle-timeout"}), r.limited.String())
	}
	h := &Hold{Run: r.id, Acquire: args, Rest: p.between(0, 100*time.Millisecond), Release: p.chance(75), Tasks: p.tasks(r)}
	plan, _ := json.Marshal(h)
	return &Plan{run: r, args: []string{"hold", "RECORDS", string(plan)}, attack: p.keptAttack()}
}

// tasks are up to five jobs of a shell.
func (p *Planner) tasks(r *Run) (all []Task) {
	for i := range p.IntN(5) {
		t := Task{
			Job:  &Job{Run: under(r.id, i), Weight: r.weight, Limit: r.limit, For: p.between(0, 150*time.Millisecond)},
			Bare: p.chance(20), Export: p.chance(50), Beside: p.chance(20), Pause: p.between(0, 30*time.Millisecond),
		}
		if p.chance(30) {
			t.Job.Code = 7
		}
		all = append(all, t)
	}
	if p.chance(20) {
		all = append(all, Task{Job: &Job{Run: under(r.id, len(all)), Weight: r.weight, Limit: r.limit}, After: true})
	}
	return all
}

// keptAttack is a signal to one of those that have to do with a kept slot.
func (p *Planner) keptAttack() *Attack {
	if !p.chance(50) {
		return nil
	}
	a := &Attack{
		after: p.between(0, 150*time.Millisecond), gap: p.between(5*time.Millisecond, 250*time.Millisecond), started: p.chance(80),
		who: pick(p, []string{"keeper", "keeper", "tied", "adopter", "job"}),
		sig: pick(p, []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSTOP}),
	}
	a.berth = a.who == "tied"
	return a
}

// attackKept is attack for what is not the shell.
func (s *storm) attackKept(r *Run, a *Attack) {
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		s.readRecords()
		pid, of := s.victim(r, a.who)
		if of == nil {
			continue
		}
		signals := &of.signals
		if a.who == "keeper" {
			signals = &of.keeper
		}
		send := func(sig syscall.Signal) bool { return s.signalMarked(pid, of.id, sig) }
		s.strike(signals, Signal{sig: a.sig, berth: a.who == "adopter"}, " "+a.who, send, a.gap)
		return
	}
}

// victim finds one of the processes around a kept slot, and the run that it belongs to.
func (s *storm) victim(r *Run, who string) (int, *Run) {
	for id, pids := range s.marked() {
		if outer, _ := outerOf(id); outer != r.id {
			continue
		}
		for _, pid := range pids {
			if s.role(pid, id) != who {
				continue
			}
			s.mu.Lock()
			of := s.runs[id]
			s.mu.Unlock()
			if of != nil {
				return pid, of
			}
		}
	}
	return 0, nil
}

// role is what a process of a run is around a kept slot.
func (s *storm) role(pid int, run string) string {
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	_, inside := outerOf(run)
	switch {
	case runIn(env) != run:
	case !inside && exe == s.berth && strings.Contains("\x00"+string(env), "\x00BERTH_BACKGROUND="):
		return "keeper"
	case inside && exe == s.berth:
		return "adopter"
	case inside && exe == s.job:
		return "job"
	}
	return ""
}
