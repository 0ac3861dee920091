//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The jobs of a pool under load are this program again. Each holds a connection
// to us from its start to its end: the kernel closes it however the job ends,
// so how many run at once is known exactly, also of jobs that were killed.
const (
	burnWord  = "burn"
	eatWord   = "eat"
	enterWord = "enter" // goes into a control group, and becomes the rest of its words
)

const (
	burnCPU    = 2 * time.Second // on a CPU, and not on the clock
	burnMemory = 50 << 20        // what a compiler holds
	eatMemory  = 300 << 20
	eatGrows   = 700 * time.Millisecond
	eatHolds   = 6 * time.Second
)

// loadRole is whether words made this program a job, which has then ended.
func loadRole(words []string) bool {
	if len(words) < 2 {
		return false
	}
	var err error
	switch words[0] {
	case burnWord:
		err = loadJob(words[1], burn)
	case eatWord:
		err = loadJob(words[1], eat)
	case enterWord:
		err = enter(words[1], words[2:])
	default:
		return false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func loadJob(socket string, work func() error) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	_, err = c.Write([]byte{1})
	return err
}

// burn uses a fixed amount of CPU, so that a job that shares its CPU takes
// longer: what all jobs need together does not depend on how many run at once.
func burn() error {
	if _, err := grow(burnMemory, 0); err != nil {
		return err
	}
	for x := uint64(1); ; {
		for range 1_000_000 {
			x = x*6364136223846793005 + 1442695040888963407
		}
		var used unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &used); err != nil {
			return err
		}
		if time.Duration(used.Nano()) >= burnCPU && x != 0 {
			return nil
		}
	}
}

// eat uses memory and hardly any CPU. It grows over a while, as programs do: a
// reading right after a start sees less than the job will use.
func eat() error {
	_, err := grow(eatMemory, eatGrows)
	time.Sleep(eatHolds)
	return err
}

func grow(size int, over time.Duration) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	const steps = 14
	began := time.Now()
	for i := range steps {
		for at := size / steps * i; at < size/steps*(i+1); at += os.Getpagesize() {
			memory[at] = 1
		}
		time.Sleep(time.Until(began.Add(over / steps * time.Duration(i+1))))
	}
	return memory, nil
}

func enter(group string, words []string) error {
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return err
	}
	return unix.Exec(words[0], words, os.Environ())
}

// step is how many jobs ran from an instant on.
type step struct {
	at   time.Duration // since the beginning of the run
	jobs int
}

// roll is the jobs that are at work in one run.
type roll struct {
	socket   string
	listener int
	began    time.Time
	closing  atomic.Bool
	gone     chan struct{} // closed when no job can join any more, and all have left

	steps   []step
	done    int           // jobs that ended well
	started time.Duration // the last start
}

func newRoll(socket string) (*roll, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: socket}), unix.Listen(fd, 1024)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	r := &roll{socket: socket, listener: fd, began: time.Now(), gone: make(chan struct{})}
	go r.watch()
	return r, nil
}

// watch counts in the order in which things happened, also when it comes late
// to see them: otherwise a job that took the place of one that ended would count
// as beside it. A job that has connected when poll returns did so after all ends
// that poll returned as well or before; so ends go first, and one connection,
// the oldest, is taken at a time.
func (r *roll) watch() {
	defer close(r.gone)
	defer unix.Close(r.listener)
	at := []unix.PollFd{{Fd: int32(r.listener), Events: unix.POLLIN}}
	well := map[int32]bool{}
	for last := false; !last || len(at) > 1; {
		last = r.closing.Load()
		for i := range at {
			at[i].Revents = 0
		}
		if _, err := unix.Poll(at, 100); err != nil && err != unix.EINTR {
			return
		}
		joined := at[0].Revents != 0
		at = slices.DeleteFunc(at, func(p unix.PollFd) bool {
			if p.Fd == at[0].Fd || p.Revents == 0 {
				return false
			}
			if n, _ := unix.Read(int(p.Fd), make([]byte, 1)); n == 1 {
				// It has its memory until it is gone.
				well[p.Fd] = true
				return false
			}
			unix.Close(int(p.Fd))
			r.change(-1)
			if well[p.Fd] {
				r.done++
			}
			delete(well, p.Fd)
			return true
		})
		if joined {
			if fd, _, err := unix.Accept4(r.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK); err == nil {
				at = append(at, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
				r.change(1)
				last = false // there may be more
			}
		}
	}
}

func (r *roll) change(by int) {
	at, now := time.Since(r.began), by
	if n := len(r.steps); n > 0 {
		now += r.steps[n-1].jobs
	}
	r.steps = append(r.steps, step{at, now})
	if by > 0 {
		r.started = at
	}
}

// close returns when every job that said it began is gone. What was counted may
// be read from then on.
func (r *roll) close() {
	r.closing.Store(true)
	<-r.gone
}

func (r *roll) most() (n int) {
	for _, s := range r.steps {
		n = max(n, s.jobs)
	}
	return n
}

// settled is where a number of jobs came to rest.
type settled struct {
	jobs        int           // ran at once for longer than any other number
	first       time.Duration // when so many first ran
	share       float64       // of the time looked at
	least, most int           // in that time
	from, to    time.Duration // that time
}

// settle looks at the time from the 10th second, or in a short run the middle,
// to the last start: before it the number still rises, and afterwards none is
// left to start.
func (r *roll) settle() settled {
	s := settled{to: r.started, least: r.most()}
	s.from = min(10*time.Second, s.to/2)
	held := map[int]time.Duration{}
	for i, now := range r.steps {
		until := s.to
		if i+1 < len(r.steps) {
			until = min(s.to, r.steps[i+1].at)
		}
		d := until - max(now.at, s.from)
		if d <= 0 {
			continue
		}
		held[now.jobs] += d
		s.least, s.most = min(s.least, now.jobs), max(s.most, now.jobs)
		if held[now.jobs] > held[s.jobs] {
			s.jobs = now.jobs
		}
	}
	if i := slices.IndexFunc(r.steps, func(t step) bool { return t.jobs >= s.jobs }); i >= 0 {
		s.first = r.steps[i].at
	}
	s.share = float64(held[s.jobs]) / float64(max(1, s.to-s.from))
	return s
}
