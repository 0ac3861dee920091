package cmd

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ending runs berth behind a shell that says so, and returns how it ended.
func ending(t *testing.T, shell string, args ...string) syscall.WaitStatus {
	t.Helper()
	c := berthCommand(t, filepath.Join(t.TempDir(), "store"), args...)
	c.Args = append([]string{"sh", "-c", shell + `; exec "$0" "$@"`, c.Path}, args...)
	c.Path, c.Err = "/bin/sh", nil
	var said bytes.Buffer
	c.Stderr = &said
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if said.Len() > 0 && !strings.Contains(said.String(), "--timeout") {
		t.Errorf("it said %s", &said)
	}
	return c.ProcessState.Sys().(syscall.WaitStatus)
}

// Whoever waits for berth sees that the command died of a signal, and of which.
func TestDiesAsItsCommand(t *testing.T) {
	t.Parallel()
	for _, sig := range []string{"INT", "TERM", "HUP", "KILL", "QUIT", "SEGV", "ABRT", "PIPE", "USR1", "VTALRM", "40"} {
		t.Run(sig, func(t *testing.T) {
			t.Parallel()
			ws := ending(t, "ulimit -c unlimited || ulimit -c hard", "run", "--", "perl", "-e", "kill '"+sig+"', $$; sleep 60")
			want := unix.SignalNum("SIG" + sig)
			if sig == "40" {
				want = 40
			}
			if !ws.Signaled() || ws.Signal() != want {
				t.Errorf("wait status %#x", ws)
			}
			if ws.CoreDump() {
				t.Error("berth dumped core")
			}
		})
	}
}

// The code is an exit code where the command gave one, where berth ended the job, and
// where a process cannot die of the signal.
func TestExitsWithACode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, shell string
		args        []string
		want        int
	}{
		{"the command exits with 130", ":", []string{"run", "--", "sh", "-c", "exit 130"}, 130},
		{"a time limit", ":", []string{"run", "--timeout", "100ms", "--", "sleep", "60"}, 124},
		{"the caller ignores the signal", "trap '' HUP", []string{"run", "--", "perl", "-e", "$SIG{HUP} = 'DEFAULT'; kill 'HUP', $$; sleep 60"}, 129},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if ws := ending(t, test.shell, test.args...); !ws.Exited() || ws.ExitStatus() != test.want {
				t.Errorf("wait status %#x", ws)
			}
		})
	}
}

func TestExitsWithACodeAsPID1(t *testing.T) {
	t.Parallel()
	unshare, err := exec.LookPath("unshare")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs unshare(1) and root, for a pid namespace")
	}
	c := berthCommand(t, filepath.Join(t.TempDir(), "store"))
	c.Args = []string{"unshare", "--pid", "--fork", "--mount-proc", c.Path, "run", "--", "sh", "-c", "kill -TERM $$"}
	c.Path = unshare
	_ = c.Run()
	if got := c.ProcessState.ExitCode(); got != 143 {
		t.Errorf("exit code %d", got)
	}
}

// A shell ends a loop at Ctrl-C when the command has died of it, and make its rule.
// (With an exit code of 130 both went on.)
func TestTerminalCtrlCEndsALoop(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		s.line("for i in 1 2 3; do berth run -p p -- job hold a$i; echo after $i; done; echo loop is over")
		s.waitFor("a1")
		s.keys(ctrlC)
		s.code(130)
		s.inUse("p", "0 in use")
		if seen := s.screen(); strings.Contains(seen, "after 1") || strings.Contains(seen, "loop is over") {
			t.Errorf("the loop went on: %q", seen)
		}

		// While it waits in the line.
		s.line("berth run -n 1 -p p -- job hold b & until test -e b; do sleep 0.1; done; echo it holds")
		s.expect("it holds\r\n")
		s.line("for i in 1 2 3; do berth run -n 1 -p p -- true; echo after $i; done; echo loop is over")
		s.until("waits", func() bool { return strings.Contains(s.screen(), "1 of 1 in use") })
		s.keys(ctrlC)
		s.code(130)
		if seen := s.screen(); strings.Contains(seen, "after 1") || strings.Contains(seen, "loop is over") {
			t.Errorf("the loop went on: %q", seen)
		}
		s.touch("b.go")
		s.line("wait")
		s.code(0)
	})
}

func TestTerminalCtrlCEndsMake(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("no make here")
	}
	s := openTerminal(t, "bash", 80)
	if err := os.WriteFile(s.path("Makefile"), []byte("all: first second\n.PHONY: all first second\nfirst second:\n\t-@berth run -p p -- job hold $@\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.line("make")
	s.waitFor("first")
	s.keys(ctrlC)
	s.expect("Interrupt")
	s.code(130)
	if exists(s.path("second")) {
		t.Error("make went on with the next rule")
	}
}
