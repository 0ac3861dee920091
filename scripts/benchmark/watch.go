//go:build linux

package main

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// watch reads what a Redis spent its time on, by its own account: a client's time
// would be mostly that of the network and of other processes on this machine.
type watch struct{ *resp }

// spent is time of the server, and in how many steps.
type spent struct {
	time  time.Duration
	steps int
}

func (s spent) minus(o spent) spent { return spent{s.time - o.time, s.steps - o.steps} }

func (w watch) reset() error {
	_, err := w.do("CONFIG", "RESETSTAT")
	return err
}

// scripts is what scripts took since the last reset.
func (w watch) scripts() (spent, error) {
	text, err := w.text("INFO", "commandstats")
	if err != nil {
		return spent{}, err
	}
	return scriptsIn(text), nil
}

// scriptsIn sums up the commands that run a script. Those that a script calls have
// lines of their own, but their time is part of the script's.
func scriptsIn(commandstats string) (all spent) {
	for line := range strings.Lines(commandstats) {
		name, rest, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "cmdstat_")), ":")
		switch name {
		case "eval", "evalsha", "fcall", "eval_ro", "evalsha_ro", "fcall_ro":
			all.steps += field(rest, "calls")
			all.time += time.Duration(field(rest, "usec")) * time.Microsecond
		}
	}
	return all
}

// field is the number in name=number, among others that commas part.
func field(text, name string) int {
	for f := range strings.SplitSeq(text, ",") {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	return 0
}

// during is what the scripts of f took.
func (w watch) during(f func() error) (spent, error) {
	if err := w.reset(); err != nil {
		return spent{}, err
	}
	if err := f(); err != nil {
		return spent{}, err
	}
	return w.scripts()
}

// reads runs a script that is always the same work.
func (w watch) reads() error {
	_, err := w.do("EVAL", "for i = 1, 100 do redis.call('HGET', KEYS[1], 'x') end", "1", "reads")
	return err
}

// noticed is from what time on a command is seen by itself. To see all, those that
// scripts call would be logged as well, and that would be most of what is measured.
const noticed = 20 * time.Microsecond

// longest runs f and returns its longest step and all of them together, whatever
// kind of command they are.
func (w watch) longest(f func() error) (most time.Duration, all spent, err error) {
	for _, c := range [][]string{
		{"CONFIG", "SET", "slowlog-max-len", "100000"},
		{"CONFIG", "SET", "slowlog-log-slower-than", strconv.FormatInt(noticed.Microseconds(), 10)},
		{"SLOWLOG", "RESET"},
	} {
		if _, err := w.do(c...); err != nil {
			return 0, all, err
		}
	}
	if err := f(); err != nil {
		return 0, all, err
	}
	if _, err := w.do("CONFIG", "SET", "slowlog-log-slower-than", "-1"); err != nil {
		return 0, all, err
	}
	got, err := w.do("SLOWLOG", "GET", "100000")
	if err != nil {
		return 0, all, err
	}
	most, all, err = stepsIn(got, w.LocalAddr().String())
	return most, all, err
}

// stepsIn reads the answer of SLOWLOG GET. An entry is: number, when, microseconds,
// words, address, name of the client.
func stepsIn(slowlog any, ours string) (most time.Duration, all spent, err error) {
	list, _ := slowlog.([]any)
	for _, e := range list {
		f, _ := e.([]any)
		if len(f) < 5 {
			return 0, all, fmt.Errorf("cannot read an entry of SLOWLOG: %v", e)
		}
		us, _ := f[2].(int64)
		addr, _ := f[4].(string)
		// What a script calls has no address but ?:0.
		if addr == ours || strings.HasPrefix(addr, "?") || addr == "" {
			continue
		}
		d := time.Duration(us) * time.Microsecond
		most = max(most, d)
		all.time += d
		all.steps++
	}
	return most, all, nil
}

// blocked waits until so many clients wait for a word, but not for long: it is nicer
// to measure then, and no more than that.
func (w watch) blocked(n int) error {
	for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); time.Sleep(200 * time.Microsecond) {
		text, err := w.text("INFO", "clients")
		if err != nil {
			return err
		}
		for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
			if v, ok := strings.CutPrefix(s.Text(), "blocked_clients:"); ok {
				if now, _ := strconv.Atoi(v); now >= n {
					return nil
				}
			}
		}
	}
	return nil
}
