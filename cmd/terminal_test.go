//go:build linux

package cmd

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func inShells(t *testing.T, f func(t *testing.T, shell string)) {
	for _, shell := range []string{"bash", "sh"} {
		t.Run(shell, func(t *testing.T) { t.Parallel(); f(t, shell) })
	}
}

func TestTerminalChildReadsIt(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		s.line("berth run -p p -- cat")
		s.line("some words")
		s.expect("some words\r\n")
		s.line("and more")
		s.expect("and more\r\n")
		s.keys(ctrlD)
		s.code(0)

		s.line("berth run -p p -- sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size </dev/tty'")
		s.expect("24 80\r\n")
		s.code(0)

		// A shell within, with job control of its own.
		s.line("PS1='inner: ' berth run -p p -- " + strings.Join(append([]string{shell}, s.shell.Args[1:]...), " "))
		s.expect("inner: ")
		s.line("echo $((20 + 22))")
		s.expect("42\r\n")
		s.expect("inner: ")
		s.line("job hold inner")
		pid := s.pid("inner")
		s.keys(ctrlZ)
		s.stopped(pid, true)
		s.expect("inner: ")
		s.inUse("p", "1 in use")
		s.line("fg")
		s.stopped(pid, false)
		s.touch("inner.go")
		s.expect("inner: ")
		s.line("exit 5")
		s.code(5)
		s.inUse("p", "0 in use")
	})
}

func TestTerminalCtrlC(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		s.line("berth run -p p -- job hold a")
		s.waitFor("a")
		s.keys(ctrlC)
		s.code(130)
		s.inUse("p", "0 in use")

		// A child that goes on gets each key once, and berth goes on with it.
		s.line("berth run -p p -- job signals log")
		s.waitFor("log")
		for i, key := range []struct{ name, keys string }{{"SIGINT", ctrlC}, {"SIGQUIT", ctrlBackslash}, {"SIGINT", ctrlC}} {
			s.keys(key.keys)
			s.until(key.name, func() bool { return strings.Count(s.waitFor("log"), "\n") >= i+2 })
		}
		s.touch("log.go")
		s.code(0)
		_, got, _ := strings.Cut(s.waitFor("log"), "\n")
		if want := "SIGINT\nSIGQUIT\nSIGINT\n"; got != want {
			t.Errorf("the child got\n%swant\n%s", got, want)
		}

		// TERM from elsewhere is passed on in the foreground, too.
		s.line("berth run -p p -- sh -c 'echo $PPID >parent; exec job hold b'")
		s.waitFor("b")
		if err := syscall.Kill(s.pid("parent"), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.code(143)
	})
}

func TestTerminalCtrlZ(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		s.line("berth run -n 1 -p p -- job hold a")
		pid := s.pid("a")
		s.keys(ctrlZ)
		s.expect("Stopped")
		s.expect(prompt)
		s.stopped(pid, true)
		s.inUse("p", "1 of 1 in use")
		if _, err := s.berth("run", "-n", "1", "-p", "p", "--wait", "0", "--", "true"); err == nil {
			t.Error("somebody started beside a stopped job")
		}
		s.line("fg")
		s.stopped(pid, false)
		s.keys(ctrlZ)
		s.expect("Stopped")
		s.expect(prompt)
		s.stopped(pid, true)
		s.line("bg")
		s.stopped(pid, false)
		s.expect(prompt)
		s.touch("a.go")
		s.line("wait; echo over")
		s.expect("over")
		s.inUse("p", "0 in use")

		// The same where the child is a berth, which stops itself by another signal.
		s.expect(prompt)
		s.line("berth run -p outer -- berth run -p inner -- job hold n")
		pid = s.pid("n")
		s.keys(ctrlZ)
		s.expect("Stopped")
		s.expect(prompt)
		s.stopped(pid, true)
		s.line("fg")
		s.stopped(pid, false)
		s.touch("n.go")
		s.code(0)

		// A child that reads in the background is stopped as without berth, and
		// reads on in the foreground.
		s.line("berth run -p q -- cat &")
		s.until("cat is stopped", func() bool {
			s.line("jobs")
			return strings.Contains(s.match(`(?s)(Stopped|Running)[^\n]*\n.*`+regexp.QuoteMeta(prompt)), "Stopped")
		})
		s.line("fg")
		s.line("read in the foreground")
		s.expect("read in the foreground\r\n")
		s.keys(ctrlD)
		s.code(0)
	})
}

func TestTerminalWaitingLine(t *testing.T) {
	t.Parallel()
	for _, columns := range []uint16{30, 80, 120} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			s := openTerminal(t, "sh", columns)
			letGo := s.hold("p", "a")
			defer letGo()
			s.mu.Lock()
			from := s.at
			s.mu.Unlock()
			s.line("berth run -n 1 -p p -- echo st''arted")
			// Drawn at least twice, as the time goes by.
			s.expect("\rberth: waiting 0.")
			s.match(`\rberth: waiting [1-9]\.`)
			letGo()
			got := s.match(`started\r\n`)
			if !strings.Contains(got, "\r\x1b[Kstarted") {
				t.Errorf("not erased before the child writes: %q", got)
			}
			s.code(0)
			s.mu.Lock()
			all := string(s.seen[from:s.at])
			s.mu.Unlock()
			if now := screen(all); strings.Contains(now, "waiting") || !strings.HasPrefix(now, "started\n") {
				t.Errorf("left on the screen:\n%s\nafter %q", now, all)
			}
			for _, drawn := range regexp.MustCompile(`\r(berth: [^\r\n\x1b]*)\x1b\[K`).FindAllStringSubmatch(all, -1) {
				if n := len([]rune(drawn[1])); n >= int(columns) {
					t.Errorf("%d columns on a terminal of %d: %q", n, columns, drawn[1])
				}
				if columns == 120 && !regexp.MustCompile(`^berth: waiting \d\.\ds for pool p, place 1 of 1, 1 of 1 in use, held longest by job hold a \(pid \d+, \d\.\ds\)$`).MatchString(drawn[1]) {
					t.Errorf("it says %q", drawn[1])
				}
			}
		})
	}
}

func TestTerminalWaitingEnds(t *testing.T) {
	t.Parallel()
	s := openTerminal(t, "sh", 80)
	letGo := s.hold("p", "a")
	defer letGo()

	// Ctrl-C: the line is erased, and no ticket is left.
	s.line("berth run -n 1 -p p -- job args ran")
	s.expect("\rberth: waiting")
	s.keys(ctrlC)
	if got := s.match(regexp.QuoteMeta(prompt)); strings.Contains(screen(got), "waiting") {
		t.Errorf("left on the screen: %q", got)
	}
	s.line("echo code=$?.")
	s.expect("code=130.")
	s.expect(prompt)
	s.waitsInLine("p", 0)

	// A wait that is over says so on a line of its own.
	s.line("berth run -n 1 -p p --wait 700ms -- job args ran")
	got := s.match(`berth: error: .*\r\n`)
	if now := screen(got); strings.Contains(now, "waiting") || !strings.HasPrefix(now, "berth: error: ") {
		t.Errorf("on the screen: %q", now)
	}
	s.code(75)

	// --quiet draws nothing.
	s.line("berth run -q -n 1 -p p --wait 900ms -- job args ran")
	if got := s.match(`berth: error: `); strings.Contains(got, "waiting") {
		t.Errorf("--quiet said %q", got)
	}
	s.code(75)
	if exists(s.path("ran")) {
		t.Error("the command ran")
	}
}

func TestTerminalWaiterStepsAside(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		letGo := s.hold("p", "a")
		defer letGo()
		s.line("berth run -n 1 -p p -- job hold mine")
		s.waitsInLine("p", 1)
		s.keys(ctrlZ)
		s.expect("Stopped")
		s.expect(prompt)
		s.waitsInLine("p", 0)
		letGo()
		// Others pass it while it is stopped.
		if _, err := s.berth("run", "-n", "1", "-p", "p", "--wait", "30s", "--", "true"); err != nil {
			t.Error(err)
		}
		if exists(s.path("mine")) {
			t.Error("a stopped waiter started its command")
		}
		s.line("fg")
		s.waitFor("mine")
		s.touch("mine.go")
		s.code(0)
	})
}

func TestTerminalList(t *testing.T) {
	t.Parallel()
	s := openTerminal(t, "sh", 80)
	defer s.hold("p", "a")()
	s.line("berth ls; echo en''d")
	if got := s.expect("end"); !strings.Contains(got, "\x1b[1mp\x1b[0m") {
		t.Errorf("no colour on a terminal: %q", got)
	}
	s.expect(prompt)
	for _, quiet := range []string{"NO_COLOR=1 berth ls", "berth ls | cat", "berth ls --json"} {
		s.line(quiet + "; echo en''d")
		if got := s.expect("end"); bytes.ContainsRune([]byte(got), '\x1b') || !strings.Contains(got, "p") {
			t.Errorf("%s: %q", quiet, got)
		}
		s.expect(prompt)
	}
}

// The terminal is gone: all who had it get HUP, the job ends, its slot is free.
func TestTerminalHangup(t *testing.T) {
	t.Parallel()
	s := openTerminal(t, "sh", 80)
	s.line("berth run -n 1 -p p -- job signals log")
	s.waitFor("log")
	pid := s.pid("log")
	s.master.Close()
	s.until("HUP", func() bool { return strings.Count(s.waitFor("log"), "\n") >= 2 })
	s.touch("log.go")
	s.until("the job is over", func() bool { return processGone(pid) })
	if _, got, _ := strings.Cut(s.waitFor("log"), "\n"); strings.Count(got, "SIGHUP") != 1 {
		t.Errorf("the child got\n%s", got)
	}
	s.until("the slot is free", func() bool {
		_, err := s.berth("run", "-n", "1", "-p", "p", "--wait", "0", "--", "true")
		return err == nil
	})
}

// The terminal is another session's: HUP is somebody's, not its end.
func TestTerminalOfAnotherSession(t *testing.T) {
	t.Parallel()
	s := openTerminal(t, "sh", 80)
	// A shell takes what berth dies of for a code; setsid would say that it "did not exit normally".
	s.line("setsid -w sh -c 'berth run -n 1 -p p -- sh -c \"echo \\$PPID >berth; exec job hold a\"; exit $?'")
	pid := s.pid("a")
	if err := syscall.Kill(s.pid("berth"), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.code(129)
	s.until("the job is over", func() bool { return processGone(pid) })
}

// Ctrl-S stops the terminal's output while the line is drawn. Nothing of berth hangs
// on it: a TERM ends the wait, a slot that frees is taken, and its command starts.
func TestTerminalOutputIsStopped(t *testing.T) {
	t.Parallel()
	s := openTerminal(t, "sh", 80)
	letGo := s.hold("p", "a")
	stopOutput := func() {
		s.expect("\rberth: waiting")
		s.keys(ctrlS)
		drawn := s.length()
		s.until("nothing is drawn any more", func() bool {
			defer func() { drawn = s.length() }()
			time.Sleep(3 * time.Second / 2) // longer than from one line to the next
			return drawn == s.length()
		})
	}
	s.line("sh -c 'echo $$ >first; exec berth run -n 1 -p p -- job args ran'")
	first := s.pid("first")
	stopOutput()
	if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.until("the wait is over", func() bool { return processGone(first) })
	s.waitsInLine("p", 0)
	s.keys(ctrlQ)
	s.code(143)

	s.line("berth run -n 1 -p p -- job hold b")
	stopOutput()
	letGo()
	s.pid("b")
	s.touch("b.go")
	s.until("the slot is free", func() bool {
		_, err := s.berth("run", "-n", "1", "-p", "p", "--wait", "0", "--", "true")
		return err == nil
	})
	s.keys(ctrlQ)
	s.code(0)
}

// What only looks is stopped by Ctrl-Z, goes on, and ends by Ctrl-C as anything does.
func TestTerminalWatchStops(t *testing.T) {
	t.Parallel()
	inShells(t, func(t *testing.T, shell string) {
		s := openTerminal(t, shell, 80)
		if _, err := s.berth("limit", "p", "7"); err != nil {
			t.Fatal(err)
		}
		s.line("berth ls --watch p")
		for range 2 {
			s.expect("0 of 7 in use")
			s.expect("0 of 7 in use") // again: it looks for signals by now
			s.keys(ctrlZ)
			s.expect("Stopped")
			s.expect(prompt)
			s.line("fg")
		}
		s.expect("0 of 7 in use")
		s.keys(ctrlC)
		s.code(130)
	})
}
