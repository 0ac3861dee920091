package engine

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// survives checks what every kind of server promises.
func survives(t *testing.T, s *Server) {
	t.Helper()
	addr, pid := s.Addr, s.PID()
	again := func(end func()) {
		t.Helper()
		end()
		if c, err := net.Dial("tcp", s.Addr); err == nil {
			c.Close()
			t.Error("there is an answer after its end")
		}
		s.Start()
		if err := s.answers(); err != nil {
			t.Error(err)
		}
	}
	again(s.Kill)
	again(s.Stop)
	if s.Addr != addr || s.PID() == pid {
		t.Errorf("was pid %d at %s, is pid %d at %s", pid, addr, s.PID(), s.Addr)
	}
	if s.Log() == "" {
		t.Error("it has no log")
	}
}

// freezes checks that it does not answer while it is frozen, and is the same after.
func freezes(t *testing.T, s *Server) {
	t.Helper()
	pid := s.PID()
	s.Freeze()
	if err := s.answers(); err == nil {
		t.Error("it answers although it is frozen")
	}
	s.Thaw()
	until(t, "it answers after the thaw", func() bool { return s.answers() == nil })
	if s.PID() != pid {
		t.Errorf("pid %d after the thaw, %d before", s.PID(), pid)
	}
}

func TestRedis(t *testing.T) {
	for _, program := range Redises() {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			s := RedisWith(t, Options{Program: program})
			if filepath.Base(s.program) != program {
				t.Errorf("%s runs, want %s", s.program, program)
			}
			redis(t, s)
		})
	}
}

func redis(t *testing.T, s *Server) {
	t.Helper()
	if got, err := s.Do("APPEND", "key", "value"); got != "5" {
		t.Errorf("%q, %v", got, err)
	}
	survives(t, s)
	freezes(t, s)
}

// A server with TLS takes no client without, and one that wants certificates of its clients
// takes none without one.
func TestRedisTLS(t *testing.T) {
	t.Parallel()
	a := NewAuthority(t)
	s := RedisWith(t, Options{TLS: &TLS{Pair: a.Server(), CA: a.CA, Clients: true}})
	if got, err := ask(s.Addr, []string{"PING"}); err == nil {
		t.Errorf("without TLS it says %q", got)
	}
	if got, err := RedisWith(t, Options{TLS: &TLS{Pair: a.Server(), CA: a.CA}}).Do("PING"); got != "PONG" {
		t.Errorf("%q, %v", got, err)
	}
	redis(t, s)
}

// Valkey's program is run where it is on PATH, and is no error where it is not.
func TestRedises(t *testing.T) {
	path, err := exec.LookPath(usual)
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if got := Redises(); !slices.Equal(got, []string{usual}) {
		t.Errorf("%q, want the usual one alone", got)
	}
	if err := os.Symlink(path, filepath.Join(dir, valkey)); err != nil {
		t.Fatal(err)
	}
	if got := Redises(); !slices.Equal(got, []string{usual, valkey}) {
		t.Errorf("%q, want both", got)
	}
	if s := RedisWith(t, Options{Program: valkey}); filepath.Base(s.program) != valkey {
		t.Errorf("%s runs", s.program)
	}
}

func TestRedisOptions(t *testing.T) {
	t.Parallel()
	s := RedisWith(t, Options{Args: []string{"--requirepass", "a b", "--appendonly", "yes"}})
	if _, err := ask(s.Addr, []string{"PING"}); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without a password: %v", err)
	}
	if _, err := ask(s.Addr, []string{"AUTH", "a b"}, []string{"SET", "kept", "yes"}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Start()
	if got, err := ask(s.Addr, []string{"AUTH", "a b"}, []string{"GET", "kept"}); got != "yes" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
}

func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	master := Redis(t)
	_, port, _ := net.SplitHostPort(master.Addr)
	replica := Redis(t, "--replicaof", host, port)
	sentinel := RedisSentinel(t, master, "m")
	survives(t, sentinel)
	// not frozen here: see Freeze
	master.Kill()
	until(t, "the replica is the master", func() bool {
		info, err := replica.info("replication", "")
		return err == nil && field(info, "role") == "master"
	})
}

func TestEtcd(t *testing.T) {
	t.Parallel()
	s := Etcd(t, "--auto-compaction-retention", "1")
	survives(t, s)
	freezes(t, s)
}

func TestEtcdCluster(t *testing.T) {
	t.Parallel()
	servers := EtcdCluster(t, 3)
	survives(t, servers[0])
	freezes(t, servers[1])
	for _, s := range servers {
		s.Kill()
	}
	for _, s := range servers { // the first of them finds no others
		s.Start()
	}
	if err := servers[2].answers(); err != nil {
		t.Error(err)
	}
}

// What redis-server does to its own environ hides it, so this is asked of env(1).
func TestEnvironment(t *testing.T) {
	t.Setenv("ETCD_NAME", "of another cluster")
	s := newServer(t, "env", "coreutils", []string{"ENGINE_TEST=1"})
	if err := s.launch(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if log := s.Log(); !strings.Contains(log, "ENGINE_TEST=1\n") || strings.Contains(log, "ETCD_NAME") {
		t.Error(log)
	}
}

// A port that is taken between our look and the server's bind costs a try.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	s := newServer(t, "redis-server", "redis-server", nil)
	s.answers = func() error { return s.redisAnswers("") }
	other := Redis(t)
	tried := 0
	place(t, func() error {
		tried++
		port, err := freePort()
		s.Addr = net.JoinHostPort(host, port)
		if tried == 1 {
			s.Addr = other.Addr
			_, port, _ = net.SplitHostPort(other.Addr)
		}
		s.args = []string{"--port", port, "--bind", host}
		return err
	}, s)
	if tried != 2 || s.Addr == other.Addr {
		t.Errorf("at %s after %d tries, the other is at %s", s.Addr, tried, other.Addr)
	}
}

// What a Server cannot do fails its test; here that is looked at.
type failing struct {
	testing.TB
	said []string
}

func (f *failing) Errorf(format string, args ...any) { f.said = append(f.said, format) }

func TestOutOfTurn(t *testing.T) {
	t.Parallel()
	s := Redis(t)
	f := &failing{TB: t}
	s.t = f
	s.Start()
	s.Kill()
	s.Kill()
	s.Stop()
	s.Freeze()
	s.Thaw()
	if len(f.said) != 5 {
		t.Errorf("5 errors wanted, got %q", f.said)
	}
}

// A missing program is an error where nothing may be skipped.
func TestMissing(t *testing.T) {
	if os.Getenv("ENGINE_TEST_MISSING") != "" {
		newServer(t, "no-such-server", "no-such-package", nil)
		return
	}
	for value, want := range map[string]string{"": "--- SKIP", "1": "--- FAIL"} {
		c := exec.Command(os.Args[0], "-test.run=^TestMissing$", "-test.v")
		c.Env = append(os.Environ(), "ENGINE_TEST_MISSING=1", required+"="+value)
		out, _ := c.CombinedOutput()
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "no-such-package") {
			t.Errorf("%s=%s: want %s, got:\n%s", required, value, want, out)
		}
	}
}

// A test that is killed leaves no server.
func TestDiesWithTheTest(t *testing.T) {
	if os.Getenv("ENGINE_TEST_DIES") != "" {
		s := Redis(t)
		s.Freeze()
		os.Stdout.WriteString("pid " + strconv.Itoa(s.PID()) + "\n")
		time.Sleep(Deadline)
		return
	}
	if attributes() == nil {
		t.Skip("this system has no signal for the death of a parent")
	}
	_ = newServer(t, "redis-server", "redis-server", nil) // skips where there is none
	c := exec.Command(os.Args[0], "-test.run=^TestDiesWithTheTest$")
	c.Env = append(os.Environ(), "ENGINE_TEST_DIES=1", "TMPDIR="+t.TempDir())
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_ = c.Process.Kill()
	_ = c.Wait()
	pid, ok := strings.CutPrefix(strings.TrimSpace(line), "pid ")
	if err != nil || !ok {
		t.Fatalf("%q, %v", line, err)
	}
	until(t, "the server is gone", func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}
