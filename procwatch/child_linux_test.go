package procwatch_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/procwatch"
)

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   procwatch.Event
	}{
		{"exit 0", procwatch.Event{Kind: procwatch.Exited}},
		{"exit 7", procwatch.Event{Kind: procwatch.Exited, Code: 7}},
		{"exit 255", procwatch.Event{Kind: procwatch.Exited, Code: 255}},
		{"kill -TERM $$", procwatch.Event{Kind: procwatch.Exited, Code: 143, Signal: syscall.SIGTERM}},
		{"kill -KILL $$", procwatch.Event{Kind: procwatch.Exited, Code: 137, Signal: syscall.SIGKILL}},
	} {
		t.Run(tt.script, func(t *testing.T) {
			c := start(t, nil, "/bin/sh", "-c", tt.script)
			if got := next(t, c); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// dirWith makes a directory of files, for a PATH.
func dirWith(t *testing.T, mode os.FileMode, text string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLookup(t *testing.T) {
	plain := dirWith(t, 0o644, "exit 3\n", "tool", "only-plain")
	runs := dirWith(t, 0o755, "exit 4\n", "tool", "no-magic")
	broken := dirWith(t, 0o755, "#!/no/such/interpreter\n", "broken")
	if err := os.Mkdir(filepath.Join(plain, "directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := "PATH=/no/such/directory:" + plain + ":" + runs + ":" + broken
	for _, tt := range []struct {
		name string
		want error
		code int
	}{
		{"no-such-command", procwatch.ErrNotFound, 0},
		{"", procwatch.ErrNotFound, 0},
		{"/no/such/command", procwatch.ErrNotFound, 0},
		{runs + "/no-magic/below", procwatch.ErrNotFound, 0},
		{"only-plain", procwatch.ErrCannotExec, 0},
		{plain + "/only-plain", procwatch.ErrCannotExec, 0},
		{"directory", procwatch.ErrCannotExec, 0},
		{plain + "/directory", procwatch.ErrCannotExec, 0},
		{"broken", procwatch.ErrCannotExec, 0},
		{"tool", nil, 4}, // the first one may not be run: the search goes on
		{"no-magic", nil, 4},
		{runs + "/no-magic", nil, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := []string{path, "PATH=" + runs}
			found := procwatch.Find([]string{tt.name}, env)
			c, err := procwatch.Start([]string{tt.name}, env)
			if tt.name == "broken" { // only the start can tell
				found = errors.Join(found, err)
			}
			if (found == nil) != (err == nil) || err != nil && found.Error() != err.Error() {
				t.Errorf("Find says %v, and Start %v", found, err)
			}
			if tt.want != nil {
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), strconv.Quote(tt.name)) {
					t.Fatalf("got %v, want %v that names the command", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := exit(t, c); got.Code != tt.code {
				t.Errorf("code %d, want %d", got.Code, tt.code)
			}
			idle(t)
		})
	}
}

// TestFindAsTheKernel: what the mode bits do not tell, or would tell wrong.
func TestFindAsTheKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	run := func(mode os.FileMode) string {
		path := filepath.Join(dir, strconv.FormatUint(uint64(mode), 8))
		if err := os.WriteFile(path, []byte("exit 0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		path string
		ok   bool
	}{{run(0o700), true}, {run(0o001), true}, {run(0o666), false}, {run(0o010), true}, {"/proc/self/mem", false}, {"/dev/null", false}} {
		if err := procwatch.Find([]string{tt.path}, nil); (err == nil) != tt.ok {
			t.Errorf("%s: %v; can be run: %t", tt.path, err, tt.ok)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for range b.N {
		_ = procwatch.Find([]string{"true"}, os.Environ())
	}
}

func TestScriptWithoutMagicGetsItsArguments(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	path := script(t, 0o755, `printf '%s|' "$0" "$@" >`+out)
	exit(t, start(t, nil, path, "a b", "", "-c", "\xff\n"))
	got, _ := os.ReadFile(out)
	if want := path + "|a b||-c|\xff\n|"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReplace(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("replace"), self(), "sh", "-c", "echo $$ >"+out)
	if got := exit(t, c); got.Code != 0 {
		t.Errorf("code %d", got.Code)
	}
	if got := lines(out); !slices.Equal(got, []string{strconv.Itoa(c.ID().PID)}) {
		t.Errorf("the command ran as pid %v, want %d", got, c.ID().PID)
	}
	if err := procwatch.Replace([]string{"no-such-command"}, nil); !errors.Is(err, procwatch.ErrNotFound) {
		t.Error(err)
	}
	if err := procwatch.Replace([]string{t.TempDir()}, nil); !errors.Is(err, procwatch.ErrCannotExec) {
		t.Error(err)
	}
}

func TestSignalArrivesOnce(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("signals"), self(), out)
	until(t, "the child listens", func() bool { return len(lines(out)) > 0 })
	want := []string{"ready"}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
		if err := c.Signal(sig); err != nil {
			t.Fatal(err)
		}
		want = append(want, strconv.Itoa(int(sig)))
		until(t, sig.String(), func() bool { return len(lines(out)) >= len(want) })
	}
	exit(t, c)
	if got := lines(out); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSignalAfterExitIsHarmless(t *testing.T) {
	c := start(t, nil, "/bin/true")
	exit(t, c)
	for range 3 {
		if err := c.Signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

func TestStopAndContinue(t *testing.T) {
	c := start(t, nil, "/bin/sleep", "1000")
	// Not TSTP: in a group without a shell around it, as under setsid or some
	// CI runners, the kernel drops that.
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGSTOP} {
		_ = c.Signal(sig)
		if got, want := next(t, c), (procwatch.Event{Kind: procwatch.Stopped, Signal: sig}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if s := c.ID().State(); s != procwatch.Stopped {
			t.Errorf("state %v", s)
		}
		_ = c.Signal(syscall.SIGCONT)
		if got, want := next(t, c), (procwatch.Event{Kind: procwatch.Continued}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// A caller that never reads must not hold up the reaper.
func TestEventsNeedNotBeRead(t *testing.T) {
	c := start(t, nil, "/bin/sh", "-c", "for i in $(seq 200); do kill -STOP $$; done; exit 9")
	id := c.ID()
	for id.State() != procwatch.Gone {
		_ = c.Signal(syscall.SIGCONT)
	}
	if err := c.WaitTree(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if got := exit(t, c); got.Code != 9 {
		t.Errorf("code %d", got.Code)
	}
}

// The stop of an orphan that came to us is not the child's, and must not keep
// the reaper busy.
func TestStopOfAdoptedIsNotTheChilds(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, nil, "/bin/sh", "-c",
		`(sh -c 'echo $$ >`+out+`; kill -STOP $$; exec sleep 1000' &); exec sleep 1000`)
	until(t, "the orphan is stopped", func() bool {
		return len(lines(out)) == 1 && idsIn(t, out)[0].State() == procwatch.Stopped
	})
	before := cpuTime(t)
	until(t, "the orphan is adopted", func() bool { return parentOf(t, lines(out)[0]) == os.Getpid() })
	_ = c.Signal(syscall.SIGUSR1)
	if got := next(t, c); got.Signal != syscall.SIGUSR1 {
		t.Errorf("got %+v before the end of the child", got)
	}
	// The orphan is still stopped and the reaper is waiting for it.
	until(t, "half a second has passed", elapsed(500))
	if used := cpuTime(t) - before; used > 400 {
		t.Errorf("%d ms of CPU while there was nothing to do", used)
	}
}

func TestOneChildAtATime(t *testing.T) {
	start(t, nil, "/bin/sleep", "1000")
	if _, err := procwatch.Start([]string{"/bin/true"}, nil); err == nil {
		t.Error("a second child was started")
	}
}

func TestDescriptors(t *testing.T) {
	dir := t.TempDir()
	null, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(null)
	saved, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(saved)
	defer func() { _ = syscall.Dup3(saved, 0, 0); syscall.Close(saved) }()

	seen := func(name string) map[string]string {
		exit(t, start(t, as("fds"), self(), filepath.Join(dir, name)))
		idle(t)
		open := map[string]string{}
		for _, line := range lines(filepath.Join(dir, name)) {
			fd, target, _ := strings.Cut(line, "=")
			open[fd] = target
		}
		return open
	}
	if err := syscall.Dup3(null, 0, 0); err != nil {
		t.Fatal(err)
	}
	passed := strconv.Itoa(null)
	if got := seen("open"); got["0"] != "/dev/null" || got[passed] != "/dev/null" {
		t.Errorf("0 and %s should be /dev/null: %v", passed, got)
	}
	// Something of ours is where descriptor 0 was.
	secret, err := os.Create(filepath.Join(dir, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	if err := syscall.Dup3(int(secret.Fd()), 0, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if got := stdinOf(t, dir); got != "closed" {
		t.Errorf("our own file at 0 is the child's: %s", got)
	}
	// A pipe of ForkExec's own may land at 0 then.
	syscall.Close(0)
	if got := stdinOf(t, dir); got != "closed" {
		t.Errorf("0 is closed here, and in the child %s", got)
	}
}

// stdinOf asks a shell, because a Go program opens what it finds closed.
func stdinOf(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(dir, "stdin")
	exit(t, start(t, nil, "/bin/sh", "-c", `readlink /proc/$$/fd/0 >"$0" || echo closed >"$0"`, out))
	idle(t)
	return strings.Join(lines(out), " ")
}
