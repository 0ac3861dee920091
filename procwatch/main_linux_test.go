package procwatch_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/procwatch"
)

// roleVar makes the test binary play a program; its arguments are the role's.
const roleVar = "PROCWATCH_TEST_ROLE"

// patience bounds every wait for a condition. It decides nothing unless the
// condition never comes.
const patience = 20 * time.Second

var roles = map[string]func(args []string){
	"signals": roleSignals,
	"fds":     roleFDs,
	"self":    roleSelf,
	"others":  roleOthers,
	"refused": roleRefused,
	"replace": roleReplace,
	"blind":   roleBlind,
	"short":   roleShort,
	"bound":   roleBound,
	"side":    roleSide,
}

func TestMain(m *testing.M) {
	if code, was := procwatch.BeSide(os.Args[1:]); was {
		os.Exit(code)
	}
	if role := os.Getenv(roleVar); role != "" {
		roles[role](os.Args[1:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// as is the environment in which the test binary plays role. The race detector
// would spend a second on each of their ends.
func as(role string) []string {
	return append(os.Environ(), roleVar+"="+role, "GORACE=atexit_sleep_ms=0")
}

func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// start runs argv, and sees to it that nothing of it outlives the test.
func start(t *testing.T, env []string, argv ...string) *procwatch.Child {
	t.Helper()
	c, err := procwatch.Start(argv, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.End(ctx, syscall.SIGKILL, 0); err != nil {
			t.Error(err)
		}
		idle(t)
	})
	return c
}

// idle waits until the reaper has said good-bye, so that the next test may start
// a child: the tree is empty a moment earlier.
func idle(t *testing.T) {
	t.Helper()
	until(t, "the reaper is done", func() bool { return !procwatch.Busy() })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// next returns the next event.
func next(t *testing.T, c *procwatch.Child) procwatch.Event {
	t.Helper()
	select {
	case e := <-c.Events():
		return e
	case <-time.After(patience):
		t.Fatal("no event came")
		panic("unreachable")
	}
}

// exit returns the last event, skipping stops.
func exit(t *testing.T, c *procwatch.Child) procwatch.Event {
	t.Helper()
	for {
		if e := next(t, c); e.Kind == procwatch.Exited {
			return e
		}
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// script writes a file that sh can run and returns its path.
func script(t *testing.T, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// lines returns what programs have written into a file so far.
func lines(path string) []string {
	b, _ := os.ReadFile(path)
	return strings.Fields(string(b))
}

// idsIn identifies the pids that programs have written into a file.
func idsIn(t *testing.T, path string) []procwatch.ID {
	t.Helper()
	var ids []procwatch.ID
	for _, word := range lines(path) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		id, err := procwatch.Identify(pid)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func allGone(t *testing.T, ids []procwatch.ID) {
	t.Helper()
	for _, id := range ids {
		if s := id.State(); s != procwatch.Gone {
			t.Errorf("pid %d is %v", id.PID, s)
		}
	}
}

// roleSignals writes the signals it gets to args[0], after a line "ready", until
// it gets USR2.
func roleSignals(args []string) {
	ch := make(chan os.Signal, 100)
	signal.Notify(ch)
	say(args[0], "ready")
	for s := range ch {
		if s != syscall.SIGURG && s != syscall.SIGCHLD { // Go's own traffic
			say(args[0], strconv.Itoa(int(s.(syscall.Signal))))
		}
		if s == syscall.SIGUSR2 {
			return
		}
	}
}

// roleFDs writes which of the descriptors 0 to 9 are open, and where they lead.
func roleFDs(args []string) {
	var out bytes.Buffer
	for fd := range 10 {
		if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil {
			fmt.Fprintf(&out, "%d=%s\n", fd, name)
		}
	}
	if err := os.WriteFile(args[0], out.Bytes(), 0o600); err != nil {
		panic(err)
	}
}

// roleSelf writes Self, Identify of itself and Ancestors.
func roleSelf(args []string) {
	id, err := procwatch.Self()
	chain, err2 := procwatch.Ancestors()
	say(args[0], fmt.Sprint(id.PID, id.Start, err, err2))
	for _, a := range chain {
		say(args[0], fmt.Sprint(a.PID, a.Start))
	}
}

// roleReplace replaces itself by args.
func roleReplace(args []string) { fmt.Fprintln(os.Stderr, procwatch.Replace(args, nil)) }

func say(path, line string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}
