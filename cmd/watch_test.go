//go:build linux

package cmd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/cmd/text"
	"berth/cmd/view"
)

// colors is all that a watch sends beside its text.
var colors = regexp.MustCompile("\x1b\\[(1|33|0)m")

// frame is the next whole screen that the watch drew.
func (s *terminalShell) frame() []string {
	s.t.Helper()
	f := s.match(`(?s)\x1b\[H.*?\x1b\[J`)
	f = f[strings.LastIndex(f, "\x1b[H")+len("\x1b[H"):]
	f = strings.NewReplacer("\x1b[K", "", "\x1b[J", "", "\r", "").Replace(f)
	return strings.Split(colors.ReplaceAllString(f, ""), "\n")
}

// frameWith is the next one in which a line begins so.
func (s *terminalShell) frameWith(text string) []string {
	s.t.Helper()
	for {
		f := s.frame()
		if slices.ContainsFunc(f, func(l string) bool { return strings.HasPrefix(l, text) }) {
			return f
		}
	}
}

func (s *terminalShell) resize(columns, rows uint16) {
	s.t.Helper()
	if err := unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		s.t.Fatal(err)
	}
}

func TestWatchKeepsOneScreen(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		s.line("berth ls --watch")
		s.expect(view.EnterScreen)
		s.frameWith("nothing runs and nobody waits")
		done := s.hold("p", "h")
		s.frameWith("p  1 of 1 in use")

		// A line is never wider than the terminal, whatever its size becomes.
		for _, columns := range []uint16{30, 100, 40} {
			s.resize(columns, 24)
			for cut := columns >= 100; !cut; {
				f := s.frameWith("p  ")
				cut = slices.ContainsFunc(f, func(l string) bool { return strings.HasSuffix(l, "…") && text.Columns(l) == int(columns) })
			}
		}

		// Ctrl-Z gives the terminal back, fg takes it again.
		s.keys(ctrlZ)
		s.expect(view.LeaveScreen)
		s.expect("Stopped")
		s.expect(prompt)
		s.line("fg")
		s.expect(view.EnterScreen)
		s.frameWith("p  1 of 1 in use")
		done()
		s.frameWith("nothing runs and nobody waits (1 idle pool: berth ls -a)")
		s.keys(ctrlC)
		s.expect(view.LeaveScreen)
		s.code(130)

		// In the background it draws nothing over what a person does.
		s.line("berth ls --watch & echo $! >pid")
		pid := s.pid("pid")
		s.expect(prompt)
		again := s.hold("p", "h2")
		s.line("echo quiet=$((40 + 2))")
		if seen := s.expect("quiet=42"); strings.Contains(seen, "\x1b[H") {
			t.Errorf("it draws in the background: %q", seen)
		}
		s.expect(prompt)
		s.line("fg")
		s.expect(view.EnterScreen)
		s.frameWith("p  1 of 1 in use")
		again()
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.expect(view.LeaveScreen)
		s.code(143)
	})
}

func TestWatchFitsTheRows(t *testing.T) {
	t.Parallel()
	s := openTerminal(t, "bash", 80)
	var jobs []func()
	for i := range 4 {
		jobs = append(jobs, s.run(fmt.Sprintf("h%d", i), "-n", "4", "-p", "p"))
	}
	for i := range 4 {
		s.waitFor(fmt.Sprintf("h%d", i))
	}
	jobs = append(jobs, s.run("h4", "-n", "4", "-p", "p"), s.run("h5", "-n", "4", "-p", "p"))
	s.waitsInLine("p", 2)
	s.resize(80, 5)
	s.line("berth ls --watch")
	f := s.frameWith("p  4 of 4 in use")
	if len(f) != 5 || !strings.HasPrefix(f[1], "  slot 0 ") || !strings.HasPrefix(f[2], "  slot 1 ") ||
		!strings.HasPrefix(f[3], "  wait 1 ") || f[4] != "  and 3 more, 1 of them in the line" {
		t.Errorf("%q", f)
	}
	s.resize(80, 7)
	for len(f) != 7 {
		f = s.frameWith("p  4 of 4 in use")
	}
	s.keys(ctrlC)
	s.expect(view.LeaveScreen)
	s.code(130)
	for _, done := range jobs {
		done()
	}
}

// run runs 'job hold FILE' from elsewhere until letGo.
func (s *terminalShell) run(file string, flags ...string) (letGo func()) {
	s.t.Helper()
	c := exec.Command("berth", slices.Concat([]string{"run"}, flags, []string{"--", "job", "hold", file})...)
	c.Args[0] = "berth"
	c.Dir, c.Env = s.dir, s.env
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		s.touch(file + ".go")
		if err := c.Wait(); err != nil {
			s.t.Error(err)
		}
	}
}

// TestWatchStream: without a terminal there is something to read at every change, and
// nothing when only times have changed.
func TestWatchStream(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--json", "--all"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			s := openTerminal(t, "sh", 80)
			c := exec.Command("berth", "ls", "--watch", flag, "p")
			c.Args[0] = "berth"
			c.Dir, c.Env = s.dir, s.env
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = c.Process.Kill()
				_ = c.Wait()
			}()
			told := make(chan string, 100)
			go func() {
				defer close(told)
				for lines := bufio.NewScanner(out); lines.Scan(); {
					if l := told1(flag, lines.Text()); l != "" {
						told <- l
					}
				}
			}()
			until := func(want string) {
				t.Helper()
				last := ""
				for l := range told {
					if l == last {
						t.Errorf("told twice: %s", l)
					}
					if last = l; l == want {
						return
					}
				}
				t.Errorf("never told: %s", want)
			}
			until(map[string]string{"--json": "0", "--all": "none"}[flag]) // to a program it is an idle one
			done := s.run("h", "-n", "1", "-p", "p", "--heartbeat", "100ms")
			until("1 running")
			// Its berth writes heartbeats, and gets older.
			s.until("the job is 3 s old", func() bool {
				out, err := s.berth("ls", "--json", "p")
				var pools []view.Pool
				if err != nil || json.Unmarshal([]byte(out), &pools) != nil || len(pools[0].Holders) != 1 {
					return false
				}
				return *pools[0].Holders[0].Held > 3
			})
			done()
			next := <-told
			if next != "0" {
				t.Errorf("told %q while nothing happened", next)
			}
		})
	}
}

// told1 is what a line of either form says: how many hold, and in which state the last
// of them is; "" if it says nothing of that.
func told1(flag, line string) string {
	if flag != "--json" {
		switch {
		case strings.HasPrefix(line, "p  no such pool"):
			return "none"
		case strings.HasPrefix(line, "p  0 in use"):
			return "0"
		case strings.HasPrefix(line, "  slot 0  "):
			return "1 " + strings.Fields(line)[2]
		}
		return ""
	}
	var pools []view.Pool
	if err := json.Unmarshal([]byte(line), &pools); err != nil || len(pools) != 1 {
		return "not JSON: " + line
	}
	if h := pools[0].Holders; len(h) > 0 {
		return fmt.Sprintf("%d %s", len(h), h[0].State)
	}
	return "0"
}
