//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"berth/scripts/testbed"
)

// Hold is what a shell is to do that holds a slot over several commands.
type Hold struct {
	Run     string        `json:"run"`
	Acquire []string      `json:"acquire"`
	Tasks   []Task        `json:"tasks"`
	Rest    time.Duration `json:"rest,omitempty"` // before it gives the slot back
	Release bool          `json:"release"`        // else its end does that, or a time limit
}

// Task is a job of such a shell.
type Task struct {
	Job    *Job          `json:"job"`
	Bare   bool          `json:"bare,omitempty"`   // without 'berth run --lease', with the lease in its environment
	Export bool          `json:"export,omitempty"` // with the lease in the environment of its berth, too
	Beside bool          `json:"beside,omitempty"` // the next one does not wait for its end
	After  bool          `json:"after,omitempty"`  // when the slot was given back
	Pause  time.Duration `json:"pause,omitempty"`  // before it
}

// bareCode marks the launch of a job without 'berth run --lease'.
const bareCode = 1

// under names a job of a shell.
func under(run string, number int) string { return fmt.Sprintf("%st%d", run, number) }

// outerOf is the run that a run is a part of.
func outerOf(run string) (outer string, is bool) {
	if outer, is = strings.CutSuffix(run, innerRun("")); is {
		return outer, true
	}
	outer, _, is = strings.Cut(run, "t")
	return outer, is
}

// shell is what holds a slot.
type shell struct {
	Hold
	file string
	env  map[string]string // what 'berth acquire' has exported
	work sync.WaitGroup
}

// hold is what a shell does. It ends as a 'berth acquire' does that gets no slot.
func hold(file, plan string) int {
	s := &shell{file: file}
	if err := json.Unmarshal([]byte(plan), &s.Hold); err != nil {
		return 2
	}
	c := s.berth(s.Run, nil, s.Acquire...)
	out, _ := c.Output()
	if code := testbed.ExitCode(c.ProcessState); code != codeOK {
		return code
	}
	s.env = exports(string(out))
	s.say("held", s.Run, 0)
	s.tasks(false)
	time.Sleep(s.Rest)
	if !s.Release {
		return codeOK
	}
	s.say("giving", s.Run, 0)
	c = s.berth(s.Run, nil, "release", s.env["BERTH_LEASE"])
	_ = c.Run()
	s.say("given", s.Run, testbed.ExitCode(c.ProcessState))
	s.tasks(true)
	return codeOK
}

// exports reads what 'berth acquire --export' prints.
func exports(said string) map[string]string {
	env := map[string]string{}
	for line := range strings.Lines(said) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			env[name] = strings.Trim(value, "'")
		}
	}
	return env
}

func (s *shell) berth(run string, more []string, args ...string) *exec.Cmd {
	c := exec.Command(os.Getenv("STORM_BERTH"), args...)
	c.Args[0] = "berth"
	c.Env = append(append(os.Environ(), more...), "STORM_RUN="+run)
	c.Stderr = os.Stderr
	return c
}

// tasks runs those jobs that are for before or after the slot is given back.
func (s *shell) tasks(after bool) {
	for i, t := range s.Tasks {
		if t.After == after {
			s.start(i, t)
		}
	}
	s.work.Wait()
}

// start runs a job, and waits for its end unless the next one is to run beside it.
func (s *shell) start(number int, t Task) {
	time.Sleep(t.Pause)
	run := under(s.Run, number)
	plan, _ := json.Marshal(t.Job)
	self, _ := os.Executable()
	var env []string
	if t.Bare || t.Export {
		for name, value := range s.env {
			env = append(env, name+"="+value)
		}
	}
	how := 0
	c := s.berth(run, env, "run", "-q", "--lease", s.env["BERTH_LEASE"], "--kill-after", "100ms", "--", self, "job", s.file, string(plan))
	if t.Bare {
		how, c.Path, c.Args = bareCode, self, []string{self, "job", s.file, string(plan)}
	}
	s.say("launch", run, how)
	if c.Start() != nil {
		return
	}
	wait := func() {
		_ = c.Wait()
		s.say("inner", run, testbed.ExitCode(c.ProcessState))
	}
	if t.Beside {
		s.work.Go(wait)
	} else {
		wait()
	}
}

func (s *shell) say(what, run string, code int) {
	token, _ := strconv.ParseUint(s.env["BERTH_TOKEN"], 10, 64)
	write(s.file, Record{
		What: what, Run: run, Pool: s.env["BERTH_POOL"], Lease: s.env["BERTH_LEASE"], Slots: numbers(s.env["BERTH_SLOTS"]), Token: token,
		PID: os.Getpid(), Code: code, At: testbed.Monotonic(),
	})
}
