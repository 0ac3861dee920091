package engine

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Redis starts a redis-server that keeps nothing on disk unless args say so. With
// --replicaof it returns once the replica is in step with its master.
func Redis(t T, args ...string) *Server {
	t.Helper()
	return RedisWith(t, Options{Args: args})
}

// Redises are the programs that keep a Redis's promises: the usual one, which has to be
// there, and Valkey's where it is on PATH.
func Redises() []string {
	programs := []string{usual}
	if _, err := exec.LookPath(valkey); err == nil {
		programs = append(programs, valkey)
	}
	return programs
}

const (
	usual  = "redis-server"
	valkey = "valkey-server"
)

// RedisWith is [Redis] with an environment, TLS, or another program.
func RedisWith(t T, o Options) *Server {
	t.Helper()
	program := cmp.Or(o.Program, usual)
	s := newServer(t, program, program, o.Env)
	s.tls = o.TLS
	s.answers = func() error { return s.redisAnswers(passwordIn(o.Args)) }
	place(t, func() error {
		port, err := freePort()
		s.Addr = net.JoinHostPort(host, port)
		s.args = slices.Concat(o.TLS.args(port), []string{
			"--bind", host, "--dir", s.Dir, "--daemonize", "no",
			"--save", "", "--appendonly", "no",
			"--repl-diskless-sync-delay", "0", // else a replica waits 5 s for others to join it
		}, o.Args)
		return err
	}, s)
	if slices.Contains(o.Args, "--replicaof") {
		until(t, "the replica is in step", func() bool {
			info, err := s.info("replication", passwordIn(o.Args))
			return err == nil && field(info, "master_link_status") == "up"
		})
	}
	return s
}

// Do sends a command to a Redis that has no password and returns its answer, which is
// a string or a number.
func (s *Server) Do(command ...string) (string, error) { return s.ask(command) }

// MarkInUse has berth take a Redis without a password for one that has been in use for
// long. One that has just come up may have forgotten its holders: berth starts nothing
// there before they have had the time to come back.
func (s *Server) MarkInUse() {
	s.t.Helper()
	info, err := s.info("server", "")
	if err == nil {
		_, err = s.Do("HSET", "{berth}:epoch", "run", field(info, "run_id"), "at", "0")
	}
	s.must("mark as in use", err)
}

// passwordIn is what --requirepass says, "" none.
func passwordIn(args []string) string {
	i := slices.Index(args, "--requirepass") + 1
	if i == 0 || i == len(args) {
		return ""
	}
	return args[i]
}

func (s *Server) info(section, password string) (string, error) {
	commands := [][]string{{"PING"}, {"INFO", section}}
	if password != "" {
		commands = slices.Insert(commands, 0, []string{"AUTH", password})
	}
	return s.ask(commands...)
}

func (s *Server) redisAnswers(password string) error {
	info, err := s.info("server", password)
	if err != nil {
		return err
	}
	if got := field(info, "process_id"); got != strconv.Itoa(s.cmd.Process.Pid) {
		return fmt.Errorf("pid %s answers, not ours, %d", got, s.cmd.Process.Pid)
	}
	return nil
}

// field is the value of a line "name:value" of INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// RedisSentinel starts a redis-sentinel that watches master under this name and
// needs no second one to agree with it. It returns once it knows the master and all
// replicas that the master has by then: it would not fail over to others.
func RedisSentinel(t T, master *Server, name string) *Server {
	t.Helper()
	s := newServer(t, "redis-sentinel", "redis-sentinel", nil)
	s.answers = func() error { return s.redisAnswers("") }
	config := filepath.Join(s.Dir, "sentinel.conf") // sentinel writes to it
	password := passwordIn(master.args)
	place(t, func() error {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.Addr = net.JoinHostPort(host, port)
		s.args = []string{config}
		return os.WriteFile(config, []byte(sentinelConfig(port, s.Dir, master.Addr, name, password)), 0o600)
	}, s)
	until(t, "the sentinel knows the master and its replicas", func() bool {
		replication, err := master.info("replication", password)
		if err != nil {
			return false
		}
		watched, err := s.info("sentinel", "")
		known := "status=ok,address=" + master.Addr + ",slaves=" + field(replication, "connected_slaves") + ","
		return err == nil && strings.Contains(watched, known)
	})
	return s
}

func sentinelConfig(port, dir, master, name, password string) string {
	at, masterPort, _ := net.SplitHostPort(master)
	lines := []string{
		"port " + port, "bind " + host, "dir " + strconv.Quote(dir), "daemonize no",
		fmt.Sprintf("sentinel monitor %s %s %s 1", name, at, masterPort),
		fmt.Sprintf("sentinel down-after-milliseconds %s 500", name),
		fmt.Sprintf("sentinel failover-timeout %s 2000", name),
	}
	if password != "" {
		lines = append(lines, fmt.Sprintf("sentinel auth-pass %s %q", name, password))
	}
	return strings.Join(lines, "\n") + "\n"
}

// until polls: a server makes no event of what is asked here.
func until(t T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Deadline); !ok(); time.Sleep(between) {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", Deadline, what)
		}
	}
}
