//go:build linux

package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminalShell is an interactive shell that leads a session on a terminal of
// its own, as a person has one. Its echo is off, so that what is typed is not
// taken for what is printed.
type terminalShell struct {
	t      *testing.T
	dir    string // the shell's, and ours to look at
	store  string
	env    []string
	master *os.File
	shell  *exec.Cmd

	mu   sync.Mutex
	seen []byte // all that came to the screen
	at   int    // up to here it was expected
}

const prompt = "prompt> "

// openTerminal starts shell (sh, bash) on a new terminal.
func openTerminal(t *testing.T, shell string, columns uint16) *terminalShell {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("no %s here", shell)
	}
	master, slave := openPTY(t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	s := &terminalShell{t: t, dir: t.TempDir(), master: master}
	s.store = filepath.Join(s.dir, "store")
	_ = os.Mkdir(s.store, 0o700) // or berth says that it made it
	s.env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "BERTH_") || strings.HasPrefix(e, "PS1=") || strings.HasPrefix(e, "ENV=") || strings.HasPrefix(e, "NO_COLOR=")
	})
	s.env = append(s.env, "BERTH_STORE="+s.store, "GORACE=atexit_sleep_ms=0", "PS1="+prompt, "TERM=xterm")
	args := []string{"-i"}
	if shell == "bash" {
		args = []string{"--norc", "--noprofile", "--noediting", "-i"}
	}
	s.shell = exec.Command(shell, args...)
	s.shell.Dir, s.shell.Env = s.dir, s.env
	s.shell.Stdin, s.shell.Stdout, s.shell.Stderr = slave, slave, slave
	s.shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.shell.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return // EIO: nobody has the terminal any more
			}
			s.mu.Lock()
			s.seen = append(s.seen, buf[:n]...)
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = s.shell.Process.Kill() // with the leader of the session, all of it gets HUP
		_ = s.shell.Wait()
		master.Close()
		<-read
		if t.Failed() {
			t.Logf("on the screen of %s:\n%q", shell, s.seen)
		}
	})
	s.expect(prompt)
	return s
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	master = os.NewFile(uintptr(m), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, os.NewFile(uintptr(fd), "pts")
}

// keys sends what somebody types.
func (s *terminalShell) keys(k string) {
	s.t.Helper()
	if _, err := s.master.WriteString(k); err != nil {
		s.t.Fatal(err)
	}
}

func (s *terminalShell) line(l string) { s.t.Helper(); s.keys(l + "\n") }

const (
	ctrlC         = "\x03"
	ctrlD         = "\x04"
	ctrlQ         = "\x11"
	ctrlS         = "\x13"
	ctrlZ         = "\x1a"
	ctrlBackslash = "\x1c"
)

// expect waits for text on the screen after all that was expected before, and
// returns what came up to its end.
func (s *terminalShell) expect(text string) string {
	s.t.Helper()
	return s.match(regexp.QuoteMeta(text))
}

func (s *terminalShell) match(pattern string) string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	got := ""
	s.until("on the screen: "+pattern, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		loc := re.FindIndex(s.seen[s.at:])
		if loc != nil {
			got = string(s.seen[s.at : s.at+loc[1]])
			s.at += loc[1]
		}
		return loc != nil
	})
	return got
}

func (s *terminalShell) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(deadline); !ok(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not in %v: %s", deadline, what)
		}
	}
}

// code waits for the prompt and asks the shell how the last command ended.
func (s *terminalShell) code(want int) {
	s.t.Helper()
	s.expect(prompt)
	s.line("echo code=$?.")
	s.expect(fmt.Sprintf("code=%d.", want))
	s.expect(prompt)
}

// length is how much came to the screen.
func (s *terminalShell) length() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

func (s *terminalShell) path(name string) string { return filepath.Join(s.dir, name) }

func (s *terminalShell) waitFor(name string) string {
	s.t.Helper()
	var b []byte
	s.until(name+" exists", func() bool {
		var err error
		b, err = os.ReadFile(s.path(name))
		return err == nil
	})
	return string(b)
}

func (s *terminalShell) pid(name string) int {
	s.t.Helper()
	pid := 0
	s.until("a pid in "+name, func() (ok bool) {
		pid, ok = pidIn(s.path(name))
		return ok
	})
	return pid
}

func (s *terminalShell) touch(name string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// berth runs beside the terminal.
func (s *terminalShell) berth(args ...string) (string, error) {
	c := exec.Command("berth", args...)
	c.Args[0] = "berth"
	c.Dir, c.Env = s.dir, s.env
	out, err := c.Output()
	return string(out), err
}

// hold takes a slot from elsewhere until letGo.
func (s *terminalShell) hold(pool, file string) (letGo func()) {
	s.t.Helper()
	c := exec.Command("berth", "run", "-n", "1", "-p", pool, "--", "job", "hold", file)
	c.Args[0] = "berth"
	c.Dir, c.Env = s.dir, s.env
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.waitFor(file)
	return sync.OnceFunc(func() {
		s.touch(file + ".go")
		if err := c.Wait(); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *terminalShell) waitsInLine(pool string, want int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d wait", want), func() bool {
		out, err := s.berth("ls", pool)
		return err == nil && len(regexp.MustCompile(`(?m)^  wait [1-9]`).FindAllString(out, -1)) == want
	})
}

func (s *terminalShell) inUse(pool, want string) {
	s.t.Helper()
	if out, err := s.berth("ls", pool); err != nil || !strings.Contains(out, want) {
		s.t.Errorf("%v; want %q in\n%s", err, want, out)
	}
}

// stopped waits until the process is stopped, or runs.
func (s *terminalShell) stopped(pid int, want bool) {
	s.t.Helper()
	s.until(fmt.Sprintf("pid %d stopped: %v", pid, want), func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(b), ") ")
		return err == nil && strings.HasPrefix(rest, "T") == want
	})
}

// screen is what a person sees of b: a line that was drawn over or erased is
// not there. It knows what berth uses: \r, \n and erase to the end of the line.
func screen(b string) string {
	var lines [][]rune
	var now []rune
	col := 0
	b = strings.ReplaceAll(b, "\x1b[K", "\v")
	for _, r := range b {
		switch r {
		case '\r':
			col = 0
		case '\n':
			lines = append(lines, now)
			now, col = nil, 0
		case '\v':
			now = now[:min(col, len(now))]
		default:
			for len(now) <= col {
				now = append(now, ' ')
			}
			now[col] = r
			col++
		}
	}
	var out strings.Builder
	for _, l := range append(lines, now) {
		out.WriteString(strings.TrimRight(string(l), " ") + "\n")
	}
	return out.String()
}

// screen is all that came to the screen.
func (s *terminalShell) screen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.seen)
}
