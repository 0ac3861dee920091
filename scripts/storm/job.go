//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/scripts/testbed"
)

// Job is what a job is to do, and to say of itself.
type Job struct {
	Run    string        `json:"run"`
	Weight int           `json:"weight"`
	Limit  int           `json:"limit,omitempty"` // of its own -n; 0: none was given
	For    time.Duration `json:"for"`
	Code   int           `json:"code,omitempty"`
	Closed bool          `json:"closed,omitempty"` // closes the slot's descriptor, as sudo does
	Deaf   bool          `json:"deaf,omitempty"`   // ignores TERM
	Beat   time.Duration `json:"beat,omitempty"`   // says so often that it lives
	Daemon time.Duration `json:"daemon,omitempty"` // leaves a process behind for so long
	Inner  []string      `json:"inner,omitempty"`  // arguments of a berth inside, whose end it waits for
}

// Record is one line of the records file.
//
//	start, end, term   of a job; term: it ended because of a TERM
//	beat               a job lives that may end without a word
//	left               the process that a job left behind is about to end
//	launch, inner      the berth inside is about to start, has ended with Code
//	held               a shell has the slots of a lease
//	giving, given      it is about to give them back, 'berth release' has ended with Code
type Record struct {
	What   string `json:"what"`
	Run    string `json:"run"`
	Pool   string `json:"pool"`
	Lease  string `json:"lease,omitempty"`
	Slots  []int  `json:"slots"`
	Token  uint64 `json:"token"`
	Weight int    `json:"weight"`
	Limit  int    `json:"limit"`
	PID    int    `json:"pid"`
	Code   int    `json:"code"`
	At     int64  `json:"at"` // CLOCK_MONOTONIC, ns
}

// recordLen divides the page size: the kernel lets a SIGKILL tear a write
// between two pages, and records of this length never lie in two.
const recordLen = 256

// innerRun names the run inside a run.
func innerRun(run string) string { return run + "n" }

func (j *Job) say(file, what string, code int) {
	r := Record{
		What: what, Run: j.Run, Pool: os.Getenv("BERTH_POOL"), Lease: os.Getenv("BERTH_LEASE"), Weight: j.Weight, Limit: j.Limit,
		PID: os.Getpid(), Code: code, At: testbed.Monotonic(), Slots: numbers(os.Getenv("BERTH_SLOTS")),
	}
	if what == "launch" || what == "inner" {
		r.Run = innerRun(j.Run)
	}
	r.Token, _ = strconv.ParseUint(os.Getenv("BERTH_TOKEN"), 10, 64)
	write(file, r)
}

// numbers reads a list of slots.
func numbers(list string) []int {
	all := []int{}
	for s := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(s); err == nil {
			all = append(all, n)
		}
	}
	return all
}

func write(file string, r Record) {
	b, _ := json.Marshal(r)
	if f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0); err == nil {
		fmt.Fprintf(f, "%-*s\n", recordLen-1, b)
		f.Close()
	}
}

// asJob is the program as a job of a run, 'storm job FILE PLAN', as a shell that keeps a slot,
// and as what a job leaves behind; is: that is what it is.
func asJob(args []string) (code int, is bool) {
	switch {
	case len(args) != 3:
		return 0, false
	case args[0] == "job":
		return work(args[1], args[2]), true
	case args[0] == "hold":
		return hold(args[1], args[2]), true
	case args[0] == "left":
		return leftBehind(args[1], args[2]), true
	}
	return 0, false
}

// work is what a job does.
func work(file, plan string) int {
	var j Job
	if err := json.Unmarshal([]byte(plan), &j); err != nil {
		return 2
	}
	// Before it says that it runs: the checker takes a TERM that was sent
	// before the start record, and did not end the job, for a lost signal.
	term := make(chan os.Signal, 1)
	var beat <-chan time.Time
	if j.Deaf {
		signal.Ignore(syscall.SIGTERM)
		j.Beat = 20 * time.Millisecond
	} else {
		signal.Notify(term, syscall.SIGTERM)
	}
	if j.Beat > 0 {
		beat = time.Tick(j.Beat)
	}
	if j.Closed {
		closeSlots()
	}
	j.say(file, "start", 0)
	if j.Daemon > 0 && !j.leave(file) {
		return 2
	}
	var inner <-chan int
	if j.Inner != nil {
		inner = j.inside(file)
	}
	work := time.After(j.For)
	for work != nil || inner != nil {
		select {
		case <-term:
			j.say(file, "term", 0)
			return 128 + int(syscall.SIGTERM)
		case <-beat:
			j.say(file, "beat", 0)
		case code := <-inner:
			inner = nil
			j.say(file, "inner", code)
		case <-work:
			work = nil
		}
	}
	j.say(file, "end", j.Code)
	return j.Code
}

// closeSlots closes what was inherited of the store, and nothing that the
// runtime needs for its timers.
func closeSlots() {
	for fd := 3; fd < 1024; fd++ {
		to, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err == nil && strings.Contains(to, "/slots/") {
			_ = syscall.Close(fd)
		}
	}
}

// leave starts a process in a session of its own, with all that we inherited.
func (j *Job) leave(file string) bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	plan, _ := json.Marshal(Job{Run: j.Run, For: j.Daemon})
	_, err = syscall.ForkExec(self, []string{self, "left", file, string(plan)}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	return err == nil
}

// leftBehind is what a job leaves behind.
func leftBehind(file, plan string) int {
	var j Job
	if err := json.Unmarshal([]byte(plan), &j); err != nil {
		return 2
	}
	time.Sleep(j.For)
	j.say(file, "left", 0)
	return 0
}

// inside runs a berth inside this job and tells its exit code.
func (j *Job) inside(file string) <-chan int {
	c := exec.Command(os.Getenv("STORM_BERTH"), j.Inner...)
	c.Args[0] = "berth"
	c.Env = append(os.Environ(), "STORM_RUN="+innerRun(j.Run))
	c.Stderr = os.Stderr
	done := make(chan int, 1)
	j.say(file, "launch", 0)
	if c.Start() != nil {
		done <- 2
		return done
	}
	go func() {
		_ = c.Wait()
		done <- testbed.ExitCode(c.ProcessState)
	}()
	return done
}
