package cmd

import (
	"strings"
	"testing"
)

// A wait of berth acquire on a terminal is like one of berth run: it shows a line, Ctrl-C ends
// it, and Ctrl-Z lets the others pass. Its keeper outlives the shell's job, and not the shell.
func TestTerminalAcquire(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		letGo := s.hold("p", "a")
		defer letGo()
		s.line("berth acquire -n 1 -p p >id")
		s.expect("\rberth: waiting")
		s.waitsInLine("p", 1)
		s.keys(ctrlC)
		s.expect(prompt)
		s.line("echo code=$?.")
		s.expect("code=130.")
		s.expect(prompt)
		s.waitsInLine("p", 0)

		s.line("berth acquire -n 1 -p p >id")
		s.waitsInLine("p", 1)
		s.keys(ctrlZ)
		s.expect("Stopped")
		s.expect(prompt)
		s.waitsInLine("p", 0)
		letGo()
		if _, err := s.berth("run", "-n", "1", "-p", "p", "--wait", "30s", "--", "true"); err != nil {
			t.Error(err)
		}
		s.line("fg")
		s.code(0)
		if id := s.waitFor("id"); !strings.HasPrefix(id, "p/") {
			t.Errorf("printed %q", id)
		}
		s.inUse("p", "1 in use")

		// Keys are for the command under the lease, and the keeper hears none.
		s.line("berth run --lease $(cat id) -- job hold b")
		s.waitFor("b")
		s.keys(ctrlC)
		s.code(130)
		s.inUse("p", "1 in use")
		s.line("berth run --lease $(cat id) -- job hold c")
		pid := s.pid("c")
		s.keys(ctrlZ)
		s.stopped(pid, true)
		s.expect(prompt)
		s.line("fg")
		s.stopped(pid, false)
		s.touch("c.go")
		s.code(0)
		s.inUse("p", "1 in use")
		s.line("exit")
		s.until("the slot is free", func() bool {
			_, err := s.berth("run", "-n", "1", "-p", "p", "--wait", "0", "--", "true")
			return err == nil
		})
	})
}
