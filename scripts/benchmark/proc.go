//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// procs are the processes that we started and have not collected yet. A pid in
// it is ours until it is collected, so a signal never reaches another process.
type procs struct {
	ctx  context.Context
	null *os.File
	log  *os.File // stderr of all
	base []string // their environment

	mu      sync.Mutex
	running []int // in order of start
}

// open makes us the parent of every orphan below us: what berth or a peer
// leaves behind (the server of task-spooler does) is ours to end.
func (p *procs) open(ctx context.Context, log string) (err error) {
	p.ctx = ctx
	for _, kv := range os.Environ() {
		// Within a 'berth run' we would measure nested use of its pool.
		if !strings.HasPrefix(kv, "BERTH_") {
			p.base = append(p.base, kv)
		}
	}
	if p.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return err
	}
	if p.log, err = os.OpenFile(log, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return err
	}
	// A call that is being measured ends by itself within moments; this is for
	// one that hangs when we are interrupted.
	context.AfterFunc(ctx, func() {
		time.Sleep(time.Second)
		p.signalAll(syscall.SIGKILL)
	})
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

func (p *procs) close() error {
	err := p.endAll()
	p.null.Close()
	p.log.Close()
	return err
}

// spawn starts t with job in a process group of its own, so that Ctrl-C is
// ours to handle.
func (p *procs) spawn(t tool, job ...string) (int, error) {
	words, attr := p.prepare(t, job)
	return p.fork(words, attr)
}

func (p *procs) prepare(t tool, job []string) ([]string, *syscall.ProcAttr) {
	return slices.Concat(t.words, job), &syscall.ProcAttr{
		Env:   slices.Concat(p.base, t.env),
		Files: []uintptr{p.null.Fd(), p.null.Fd(), p.log.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
}

func (p *procs) fork(words []string, attr *syscall.ProcAttr) (int, error) {
	if p.ctx.Err() != nil {
		return 0, p.ctx.Err()
	}
	pid, err := syscall.ForkExec(words[0], words, attr)
	if err != nil {
		return 0, fmt.Errorf("cannot start %s: %w", words[0], err)
	}
	p.mu.Lock()
	p.running = append(p.running, pid)
	p.mu.Unlock()
	return pid, nil
}

// time runs t with job and returns how long that took, from before the fork to
// its end.
func (p *procs) time(t tool, job ...string) (time.Duration, error) {
	words, attr := p.prepare(t, job)
	began := time.Now()
	pid, err := p.fork(words, attr)
	if err != nil {
		return 0, err
	}
	// Waiting and collecting are two steps, so that a pid is never collected
	// while signalAll goes through the list.
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	took := time.Since(began)
	status, err := p.collect(pid)
	if err != nil {
		return 0, err
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		return 0, fmt.Errorf("%s ended with status %#x: %s", strings.Join(words, " "), int(status), p.said())
	}
	return took, nil
}

func (p *procs) collect(pid int) (syscall.WaitStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var status syscall.WaitStatus
	_, err := syscall.Wait4(pid, &status, 0, nil)
	if i := slices.Index(p.running, pid); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
	}
	return status, err
}

// said is the last that any of them wrote to stderr.
func (p *procs) said() string {
	text, _ := os.ReadFile(p.log.Name())
	text = bytes.TrimSpace(text)
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return string(text)
}

// output is the stdout of a short command that is not measured.
func (p *procs) output(t tool, words ...string) ([]byte, error) {
	name := filepath.Join(filepath.Dir(p.log.Name()), "stdout")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	argv, attr := p.prepare(tool{words: words, env: t.env}, nil)
	attr.Files[1] = f.Fd()
	pid, err := p.fork(argv, attr)
	if err != nil {
		return nil, err
	}
	status, err := p.collect(pid)
	if err != nil || status != 0 {
		return nil, fmt.Errorf("%s ended with status %#x: %s", strings.Join(argv, " "), int(status), p.said())
	}
	return os.ReadFile(name)
}

// signalAll signals the last one first: if the front of a line went first, all
// those behind it would wake up to run their jobs.
func (p *procs) signalAll(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pid := range slices.Backward(p.running) {
		_ = syscall.Kill(pid, sig)
	}
}

// endAll ends everything below us and returns when nothing is left.
func (p *procs) endAll() error {
	p.signalAll(syscall.SIGKILL)
	p.mu.Lock()
	defer p.mu.Unlock()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err == syscall.ECHILD {
				p.running = nil
				return nil
			}
			if err == nil && pid == 0 {
				break
			}
		}
		// Only we collect these, so the pids stay theirs.
		for _, pid := range children() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("cannot end %v", children())
}

// children are all processes whose parent we are, orphans included.
func children() (pids []int) {
	for pid, parent := range parents() {
		if parent == os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// sleep returns early, with an error, when we are interrupted.
func (p *procs) sleep(d time.Duration) error {
	select {
	case <-p.ctx.Done():
		return p.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// until calls ok every step until it is true.
func (p *procs) until(what string, step, limit time.Duration, ok func() (bool, error)) error {
	for deadline := time.Now().Add(limit); ; {
		done, err := ok()
		if done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s (%s)", limit, what, p.said())
		}
		if err := p.sleep(step); err != nil {
			return err
		}
	}
}

// cpu is the time on a CPU of all threads of all pids.
func cpu(pids []int) (total time.Duration, err error) {
	for _, pid := range pids {
		files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
		if len(files) == 0 {
			return 0, fmt.Errorf("pid %d is gone, or this kernel has no schedstat", pid)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue // a thread that ended
			}
			f := strings.Fields(string(text))
			if err != nil || len(f) == 0 {
				return 0, fmt.Errorf("cannot read %s: %v", name, err)
			}
			ns, err := strconv.ParseInt(f[0], 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(ns)
		}
	}
	return total, nil
}

// quiet waits until none of pids has used a CPU for half a second.
func (p *procs) quiet(pids []int) error {
	last := time.Duration(-1)
	return p.until("a line without any CPU use", 500*time.Millisecond, 2*time.Minute, func() (bool, error) {
		now, err := cpu(pids)
		same := now == last
		last = now
		return same, err
	})
}

// pss is the mean memory of pids in bytes, shared pages divided by sharers.
func pss(pids []int) (float64, error) {
	total := 0
	for _, pid := range pids {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
		if err != nil {
			return 0, err
		}
		_, after, _ := strings.Cut(string(text), "\nPss:")
		f := strings.Fields(after)
		if len(f) == 0 {
			return 0, fmt.Errorf("no Pss of pid %d", pid)
		}
		kib, err := strconv.Atoi(f[0])
		if err != nil {
			return 0, err
		}
		total += kib
	}
	return float64(total) * 1024 / float64(len(pids)), nil
}

// threads is the mean number of threads of pids.
func threads(pids []int) float64 {
	total := 0
	for _, pid := range pids {
		tasks, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		total += len(tasks)
	}
	return float64(total) / float64(len(pids))
}
