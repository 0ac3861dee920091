//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// line is a number of waiters behind a job that holds the only slot.
type line struct {
	records string
	waiters []int // pids
	gate    *os.File
}

// open lets the first job end.
func (l *line) open() error { return l.gate.Close() }

// records makes the file that jobs write their stamps to.
func (b *bench) records() (string, error) {
	dir, err := b.fresh("records")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "stamps")
	return name, os.WriteFile(name, nil, 0o600)
}

func (b *bench) words(records string, does ...string) []string {
	return slices.Concat(b.job, []string{records}, does)
}

// reached waits until n stamps are there. It looks seldom: what it waits for
// is being measured.
func (b *bench) reached(records string, n int) error {
	return b.until(fmt.Sprintf("%d stamps of jobs", n), 100*time.Millisecond, 5*time.Minute, func() (bool, error) {
		now, err := count(records)
		return now >= n, err
	})
}

// settleTime is what waiters that never are quiet get instead.
const settleTime = 5 * time.Second

// lineUp returns when n waiters of t really wait: all are in the line, and none
// has used a CPU for a while.
func (b *bench) lineUp(t tool, n int) (*line, error) {
	records, err := b.records()
	if err != nil {
		return nil, err
	}
	l := &line{records: records}
	gate := records + ".gate"
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		return nil, err
	}
	// For reading and writing, so that this does not wait for the job.
	if l.gate, err = os.OpenFile(gate, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if _, err := b.spawn(t, b.words(records, "gate", gate)...); err != nil {
		return nil, err
	}
	if err := b.reached(records, 1); err != nil {
		return nil, err
	}
	for range n {
		pid, err := b.spawn(t, b.words(records, "nap")...)
		if err != nil {
			return nil, err
		}
		l.waiters = append(l.waiters, pid)
	}
	if t.restless {
		err = b.sleep(settleTime)
	} else {
		err = b.quiet(l.waiters)
	}
	if err != nil {
		return nil, err
	}
	in := 0
	// More than once: a lock that others take or free between two reads of
	// /proc/locks can hide ours in it.
	err = b.until(fmt.Sprintf("%d waiters of %s in the line", n, t.name), 100*time.Millisecond, 10*time.Second, func() (bool, error) {
		in, err = b.standing(t)
		return in == n, err
	})
	if err != nil {
		err = fmt.Errorf("%w; seen: %d", err, in)
	}
	return l, err
}

// standing is how many wait, by the tool's or the kernel's own account.
func (b *bench) standing(t tool) (int, error) {
	switch t.name {
	case "flock":
		return blockedOn(t.words[1])
	case "etcdctl lock":
		return b.standingAtEtcd(t)
	}
	text, err := b.output(t, b.berth, "ls", "--json", "default")
	if err != nil {
		return 0, err
	}
	var pools []struct {
		Waiters []struct {
			Place int `json:"place"`
		} `json:"waiters"`
	}
	if err := json.Unmarshal(text, &pools); err != nil || len(pools) != 1 {
		return 0, fmt.Errorf("cannot read berth ls --json: %d pools, %v", len(pools), err)
	}
	return len(pools[0].Waiters), nil
}

// blockedOn counts those that the kernel lists as waiting for a lock on name.
func blockedOn(name string) (n int, err error) {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, err
	}
	inode := fmt.Sprintf(":%d", st.Ino)
	for l := range strings.Lines(string(text)) {
		// "3: -> FLOCK  ADVISORY  WRITE 812 fe:00:1234 0 EOF"
		if f := strings.Fields(l); len(f) > 6 && f[1] == "->" && strings.HasSuffix(f[6], inode) {
			n++
		}
	}
	return n, nil
}

// drain measures the first n hand-overs of a line of waiters, and ends what is
// left of it.
func (b *bench) drain(t tool, waiters, n int) ([]float64, error) {
	l, err := b.lineUp(t, waiters)
	if err != nil {
		return nil, err
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	if err := b.reached(l.records, 2+2*n); err != nil {
		return nil, err
	}
	times, err := gaps(l.records)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return times[:n], b.endAll()
}

// linesOf is a tool with nothing left from before, one job at a time.
func (b *bench) linesOf(name string) (tool, error) {
	if name == "berth" {
		return b.berthTool("-n", "1")
	}
	t, err := b.peer(name, flockTool)
	if err == nil && len(t) == 0 {
		err = errMissing
	}
	return append(t, tool{})[0], err
}

var errMissing = errors.New("not installed")

const lineBlocks = 3

// handover is the time from the end of a job to the start of the next.
func (b *bench) handover() error {
	what := fmt.Sprintf("hand-over, %d waiting, -n 1", b.line)
	got := map[string]series{}
	for block := range lineBlocks {
		names := []string{"berth", "flock"}
		if block%2 == 1 {
			slices.Reverse(names)
		}
		for _, name := range names {
			t, err := b.linesOf(name)
			if errors.Is(err, errMissing) {
				continue
			}
			if err != nil {
				return err
			}
			times, err := b.drain(t, b.line, b.line)
			if err != nil {
				return err
			}
			got[name] = append(got[name], times)
		}
	}
	b.compare(what+", median", median, "", got["berth"], "flock", got["flock"], 1.15)
	b.compare(what+", p99", p99, "", got["berth"], "flock", got["flock"], 2)
	return nil
}

// longLine compares hand-overs in a long line with those in a short one. Only
// the first ones of the long line are taken, while it is long.
func (b *bench) longLine() error {
	var long, short series
	for block := range lineBlocks {
		measure := []func() error{
			func() error {
				t, err := b.berthTool("-n", "1")
				if err != nil {
					return err
				}
				times, err := b.drain(t, b.long, b.longTaken)
				long = append(long, times)
				return err
			},
			func() error {
				var all []float64
				for range b.shortBlocks {
					t, err := b.berthTool("-n", "1")
					if err != nil {
						return err
					}
					times, err := b.drain(t, b.short, b.short)
					if err != nil {
						return err
					}
					all = append(all, times...)
				}
				short = append(short, all)
				return nil
			},
		}
		if block%2 == 1 {
			slices.Reverse(measure)
		}
		for _, m := range measure {
			if err := m(); err != nil {
				return err
			}
		}
	}
	b.compare(fmt.Sprintf("hand-over, %d waiting", b.long), median, "", long, fmt.Sprintf("berth, %d waiting", b.short), short, 1.3)
	b.notef("hand-over, %d waiting: the first %d of each line", b.long, b.longTaken)
	return nil
}

// waiters measures what a line costs while nothing happens.
func (b *bench) waiters() error {
	type cost struct {
		cpu     time.Duration
		pss     float64
		threads float64
	}
	costs := map[string]cost{}
	for _, name := range []string{"berth", "flock"} {
		t, err := b.linesOf(name)
		if errors.Is(err, errMissing) {
			continue
		}
		if err != nil {
			return err
		}
		l, err := b.lineUp(t, b.line)
		if err != nil {
			return err
		}
		c := cost{threads: threads(l.waiters)}
		if c.pss, err = pss(l.waiters); err != nil {
			return err
		}
		before, err := cpu(l.waiters)
		if err != nil {
			return err
		}
		if err := b.sleep(b.watched); err != nil {
			return err
		}
		after, err := cpu(l.waiters)
		if err != nil {
			return err
		}
		c.cpu = after - before
		costs[name] = c
		if err := b.endAll(); err != nil {
			return err
		}
	}
	berth, flock := costs["berth"], costs["flock"]
	// Less than one tick of the clock that times(2) counts in is what every other
	// process would see as 0.
	b.rows = append(b.rows, row{
		fmt.Sprintf("CPU of the whole line, %d waiting, %v", b.line, b.watched),
		ms(float64(berth.cpu)), "flock " + ms(float64(flock.cpu)), "", "0 (below one tick, 10 ms)", yes(berth.cpu < 10*time.Millisecond),
	}, row{
		fmt.Sprintf("memory of a waiter (PSS), %d waiting", b.line),
		megabytes(berth.pss), "flock " + megabytes(flock.pss), fmt.Sprintf("%.2fx", berth.pss/flock.pss), "at most 1.5 MB", yes(berth.pss <= 1.5e6),
	})
	b.notef("threads of a waiter: berth %.1f, flock %.1f", berth.threads, flock.threads)
	return nil
}

func megabytes(n float64) string { return fmt.Sprintf("%.2f MB", n/1e6) }
