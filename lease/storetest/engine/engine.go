// Package engine runs real store servers for tests: redis-server, redis-sentinel
// and etcd, each on loopback, in a directory of its own, until its test is over.
//
// It speaks to them by hand and imports no client library: what a test learns of a
// server must not come from the code that it tests.
package engine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Deadline ends every wait for a server.
const Deadline = 30 * time.Second

// required set to 1 makes a missing program an error: where everything is to be
// tested, a skipped test would be taken for one that passed.
const required = "BERTH_REQUIRE_STORES"

// T is what a server needs of the test that it belongs to. A testing.TB is one.
type T interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	// Fatalf and Skipf do not return.
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Options are what a server is started with besides what this package gives it.
type Options struct {
	Args []string // after ours, so that they win
	Env  []string // on top of the test's own environment
	// Program is the server's, where more than one speaks its protocol; "" the usual one.
	Program string
	TLS     *TLS // nil: none
}

// Server is one server process. Its methods fail the test it belongs to; they may
// be called from any goroutine.
type Server struct {
	Addr string // 127.0.0.1:PORT, the same after every Start
	Dir  string // where it runs; also its log is there

	t       T
	program string
	args    []string
	env     []string
	tls     *TLS
	// answers is nil once the process that we started answers at Addr, and no other
	// process does.
	answers func() error

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed once cmd is reaped; nil: never started
}

// newServer finds the program, or ends the test.
func newServer(t T, program, debian string, env []string) *Server {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing := fmt.Sprintf("%s is not installed (Debian package %s)", program, debian)
		if os.Getenv(required) == "1" {
			t.Fatalf("%s, and %s=1 is set", missing, required)
		}
		t.Skipf("%s", missing)
	}
	s := &Server{Dir: t.TempDir(), t: t, program: path, env: env}
	// after TempDir's own, so before it: a directory in use cannot be removed
	t.Cleanup(s.cleanup)
	return s
}

func (s *Server) cleanup() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.t.Failed() {
		s.t.Logf("the end of the log of %s at %s:\n%s", filepath.Base(s.program), s.Addr, s.tail())
	}
	if s.running() { // also when it is frozen: KILL needs no thaw
		s.end((*os.Process).Kill)
	}
}

// PID is that of the process that was started last.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Kill ends the server as a crash would, and returns when it is gone.
func (s *Server) Kill() { s.t.Helper(); s.must("kill", s.ending((*os.Process).Kill)) }

// Stop asks the server to end in good order, and returns when it is gone. One that
// is frozen has to be thawed first.
func (s *Server) Stop() { s.t.Helper(); s.must("stop", s.ending(terminate)) }

// Start starts it again after Kill or Stop, at the same address in the same
// directory, and returns when it answers.
func (s *Server) Start() { s.t.Helper(); s.must("start", s.again()) }

// Freeze stops the server without ending it: connections stay, nothing answers.
// When it returns no thread of it runs. A sentinel that misses 2 s mistrusts its clock,
// and then does nothing for 30 s more.
func (s *Server) Freeze() { s.t.Helper(); s.must("freeze", s.signalled(freeze)) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.t.Helper(); s.must("thaw", s.signalled(thaw)) }

// Log is all that the server has written so far, over all its starts.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b)
}

func (s *Server) logFile() string { return filepath.Join(s.Dir, "log") }

func (s *Server) tail() string {
	const most = 4000
	log := s.Log()
	return log[max(0, len(log)-most):]
}

// must uses Errorf where it cannot know to be in the test's own goroutine.
func (s *Server) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Errorf("cannot %s %s at %s: %v", what, filepath.Base(s.program), s.Addr, err)
	}
}

func (s *Server) running() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

var errNotRunning = errors.New("it does not run")

func (s *Server) signalled(send func(*os.Process) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return errNotRunning
	}
	return send(s.cmd.Process)
}

func (s *Server) ending(how func(*os.Process) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return errNotRunning
	}
	return s.end(how)
}

// end waits until the process is reaped, so that its port is free.
func (s *Server) end(how func(*os.Process) error) error {
	if err := how(s.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(Deadline):
		return fmt.Errorf("not gone in %v", Deadline)
	}
}

// again tries for a while: connections of the server that has ended may keep its
// port for a moment.
func (s *Server) again() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return errors.New("it runs already")
	}
	for end := time.Now().Add(Deadline); ; time.Sleep(between) {
		err := startAll([]*Server{s})
		if err == nil || time.Now().After(end) {
			return err
		}
		if s.running() {
			_ = s.end((*os.Process).Kill) // else the next try says so
		}
	}
}

// launch starts the process.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(s.program, s.args...)
	c.Dir, c.Stdout, c.Stderr = s.Dir, log, log
	c.Env = append(withoutEtcd(os.Environ()), s.env...)
	c.SysProcAttr = attributes()
	started := make(chan error)
	forker() <- func() { started <- c.Start() }
	if err := <-started; err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(ended)
	}()
	s.cmd, s.ended = c, ended
	return nil
}

// withoutEtcd is env without what etcd would take for flags of ours.
func withoutEtcd(env []string) []string {
	return slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, "ETCD_") })
}

// between is how long after a server that did not answer it is asked again.
const between = 10 * time.Millisecond

// await returns when the server answers, or cannot any more.
func (s *Server) await() error {
	var err error
	for end := time.Now().Add(Deadline); time.Now().Before(end); time.Sleep(between) {
		if err = s.answers(); err == nil {
			return nil
		}
		if !s.running() {
			return fmt.Errorf("it ended; the end of its log:\n%s", s.tail())
		}
	}
	return fmt.Errorf("no answer in %v: %w; the end of its log:\n%s", Deadline, err, s.tail())
}

// tries is how often other ports are tried: between our look and the server's bind
// another test can take one.
const tries = 10

// place starts servers that belong together, all or none: prepare gives them new
// ports and arguments for each try.
func place(t T, prepare func() error, servers ...*Server) {
	t.Helper()
	var err error
	for range tries {
		if err = prepare(); err == nil {
			err = startAll(servers)
		}
		if err == nil {
			return
		}
		for _, s := range servers {
			if s.running() {
				err = errors.Join(err, s.end((*os.Process).Kill))
			}
			err = errors.Join(err, empty(s.Dir)) // of what it wrote at its last address
		}
	}
	t.Fatalf("no server in %d tries: %v", tries, err)
}

func startAll(servers []*Server) error {
	for _, s := range servers {
		if err := s.launch(); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if err := s.await(); err != nil {
			return err
		}
	}
	return nil
}

func empty(dir string) error {
	return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
}

const host = "127.0.0.1"

// freePort is a port that no process listens on now.
func freePort() (string, error) {
	var err error
	for range 2 * tries {
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort(host, candidate())); err == nil {
			_, port, _ := net.SplitHostPort(l.Addr().String())
			return port, l.Close()
		}
	}
	return "", err
}
