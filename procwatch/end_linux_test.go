package procwatch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/procwatch"
)

// stubborn leaves a process that ignores what it can, has its own session and a
// parent that is gone, and writes its pid to the file $1.
const stubborn = `setsid sh -c 'trap "" TERM HUP INT; (echo $(exec sh -c "echo \$PPID") >>"$1"; while :; do sleep 1000; done) & exit' - "$1"
`

func TestEndDaemons(t *testing.T) {
	out := filepath.Join(t.TempDir(), "pids")
	path := script(t, 0o600, stubborn+stubborn+stubborn+"exec sleep 1000")
	c := start(t, nil, "/bin/sh", path, out)
	until(t, "three daemons", func() bool { return len(lines(out)) == 3 })
	ids := idsIn(t, out)
	if err := c.End(within(t, patience), syscall.SIGTERM, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := exit(t, c); got.Signal != syscall.SIGTERM {
		t.Errorf("the child got %v", got)
	}
	allGone(t, ids)
}

func TestEndNestedTimeout(t *testing.T) {
	timeout, err := exec.LookPath("timeout")
	if err != nil {
		t.Skip("timeout(1) is not installed")
	}
	out := filepath.Join(t.TempDir(), "pids")
	inner := script(t, 0o600, `trap "" TERM; echo $$ >>"$1"; while :; do sleep 1000; done`)
	c := start(t, nil, timeout, "1000", timeout, "900", "sh", inner, out)
	until(t, "the inner command runs", func() bool { return len(lines(out)) == 1 })
	ids := idsIn(t, out)
	if err := c.End(within(t, patience), syscall.SIGTERM, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	allGone(t, ids)
}

// A stopped process gets TERM only when it is continued, so without that this
// one would have to wait for KILL.
func TestEndContinuesTheStopped(t *testing.T) {
	c := start(t, nil, "/bin/sleep", "1000")
	_ = c.Signal(syscall.SIGSTOP)
	next(t, c)
	if err := c.End(within(t, patience), syscall.SIGTERM, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := exit(t, c); got.Signal != syscall.SIGTERM {
		t.Errorf("got %+v", got)
	}
}

func TestEndSignalsOnlyOnce(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("signals"), self(), out)
	until(t, "the child listens", func() bool { return len(lines(out)) > 0 })
	done := make(chan error)
	go func() { done <- c.End(within(t, patience), syscall.SIGTERM, time.Hour) }()
	until(t, "TERM", func() bool { return len(lines(out)) > 1 })
	until(t, "there was time for another", elapsed(100))
	if err := c.Signal(syscall.SIGUSR2); err != nil { // it ends itself
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines(out), " "); got != "ready 15 12" {
		t.Errorf("got %q", got)
	}
}

func TestEndWithoutGraceSkipsTheSignal(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("signals"), self(), out)
	until(t, "the child listens", func() bool { return len(lines(out)) > 0 })
	if err := c.End(within(t, patience), syscall.SIGTERM, 0); err != nil {
		t.Fatal(err)
	}
	if got := exit(t, c); got.Signal != syscall.SIGKILL {
		t.Errorf("got %+v", got)
	}
	if got := strings.Join(lines(out), " "); got != "ready" {
		t.Errorf("got %q", got)
	}
}

func TestEndForkingTree(t *testing.T) {
	// Each process forks the next one and ends, so whatever a scan has seen is
	// gone a moment later. It ends by itself after some seconds, and says so.
	dir := t.TempDir()
	bomb := script(t, 0o600, `
hop() {
	[ $1 -gt 0 ] || { echo survived >>"$0.end"; exit; }
	[ $(($1 % 900)) -gt 0 ] || exec sh "$0" $(($1-1)) # sh recurses 1000 deep
	hop $(($1-1)) &
}
if [ $# -gt 0 ]; then hop $1 & exit; fi
trap '' TERM HUP INT
for i in 1 2 3 4 5 6; do hop 60000 & done
echo up >`+dir+`/up
exec sleep 1000
`)
	c := start(t, nil, "/bin/sh", bomb)
	until(t, "the bomb is up", func() bool { return len(lines(dir+"/up")) > 0 })
	if err := c.End(within(t, patience), syscall.SIGTERM, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := lines(bomb + ".end"); len(got) > 0 {
		t.Errorf("%d chains of forks came to their own end", len(got))
	}
}

func TestEndGivesUpWithItsContext(t *testing.T) {
	out := filepath.Join(t.TempDir(), "pids")
	c := start(t, nil, "/bin/sh", script(t, 0o600, "trap '' TERM\n"+stubborn+"while :; do sleep 1000; done"), out)
	until(t, "the daemon", func() bool { return len(lines(out)) == 1 })
	id := idsIn(t, out)[0]
	err := c.End(within(t, 50*time.Millisecond), syscall.SIGTERM, time.Hour)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "processes are left") {
		t.Errorf("got %v", err)
	}
	if s := id.State(); s != procwatch.Alive {
		t.Errorf("the daemon is %v", s)
	}
}

// Whoever may not be signalled must be named, not waited for.
func TestEndNamesThoseThatRefuse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run as somebody else")
	}
	dir, err := os.MkdirTemp("", "procwatch") // other users may not pass the parent of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	c := start(t, as("refused"), self(), out)
	if got := exit(t, c); got.Code != 0 {
		t.Fatalf("got %+v", got)
	}
	// $PPID of the message is not known here; the role has compared it.
	if got, _ := os.ReadFile(out); !strings.HasPrefix(string(got), "named: ") {
		t.Errorf("got %q", got)
	}
}

// roleRefused becomes the user nobody, with a child that stays root.
func roleRefused(args []string) {
	c, err := procwatch.Start([]string{"/bin/sleep", "1000"}, nil)
	if err != nil {
		say(args[0], err.Error())
		return
	}
	if err := syscall.Setresuid(65534, 65534, 0); err != nil {
		say(args[0], err.Error())
		return
	}
	err = c.End(context.Background(), syscall.SIGTERM, time.Millisecond)
	if errors.Is(err, syscall.EPERM) && strings.Contains(err.Error(), "pid "+strconv.Itoa(c.ID().PID)+":") {
		say(args[0], "named: "+err.Error())
	} else {
		say(args[0], "not named: "+err.Error())
	}
	_ = syscall.Setresuid(0, 0, 0)
	_ = c.End(context.Background(), syscall.SIGKILL, 0)
}

func TestWaitTreeWaitsForTheDaemon(t *testing.T) {
	out := filepath.Join(t.TempDir(), "pids")
	c := start(t, nil, "/bin/sh", script(t, 0o600, stubborn), out)
	exit(t, c)
	until(t, "the daemon", func() bool { return len(lines(out)) == 1 })
	id := idsIn(t, out)[0]
	until(t, "its sleep", func() bool { return len(childrenOf(t, id.PID)) == 1 })
	if err := c.WaitTree(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v while the daemon lives", err)
	}
	done := make(chan error)
	go func() { done <- c.WaitTree(within(t, patience)) }()
	// The daemon first: it would start another sleep for one that ended.
	for _, pid := range append([]int{id.PID}, childrenOf(t, id.PID)...) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	allGone(t, []procwatch.ID{id})
}

// Where /proc is missing, as in a chroot, the child must end nevertheless.
func TestEndWithoutProc(t *testing.T) {
	unshare, err := exec.LookPath("unshare")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs unshare(1) and root, to hide /proc")
	}
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("blind"), unshare, "-m", "sh", "-c", `mount -t tmpfs none /proc && exec "$0" "$1"`, self(), out)
	if got := exit(t, c); got.Code != 0 {
		t.Skipf("cannot hide /proc: %+v", got)
	}
	want := "lone <nil> 143\nwith a daemon: cannot end the descendants 143\n"
	if got, _ := os.ReadFile(out); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func roleBlind(args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := procwatch.Start([]string{"/bin/sleep", "1000"}, nil)
	if err != nil {
		panic(err)
	}
	err = c.End(ctx, syscall.SIGTERM, time.Hour)
	say(args[0], fmt.Sprintf("lone %v %d", err, (<-c.Events()).Code))
	for procwatch.Busy() {
		time.Sleep(time.Millisecond)
	}
	up := args[0] + ".up"
	c, err = procwatch.Start([]string{"/bin/sh", "-c", `sleep 1000 & echo up >"$0"; exec sleep 1000`, up}, nil)
	if err != nil {
		panic(err)
	}
	for len(lines(up)) == 0 {
		time.Sleep(time.Millisecond)
	}
	err = c.End(ctx, syscall.SIGTERM, time.Hour)
	if err != nil && strings.Contains(err.Error(), "cannot end the descendants") {
		say(args[0], fmt.Sprintf("with a daemon: cannot end the descendants %d", (<-c.Events()).Code))
	}
}

// roleOthers is a shell's "job & exec program": it has a child that is none of
// the tree. It writes what it found to args[0].
func roleOthers(args []string) {
	if len(args) == 1 {
		pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, nil)
		if err != nil {
			panic(err)
		}
		panic(syscall.Exec(self(), []string{self(), args[0], strconv.Itoa(pid)}, os.Environ()))
	}
	pid, _ := strconv.Atoi(args[1])
	job, err := procwatch.Identify(pid)
	if err != nil {
		panic(err)
	}
	c, err := procwatch.Start([]string{"/bin/sh", "-c", "(sleep 1000 &); (sleep 0.05 &); exec sleep 1000"}, nil)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = c.End(ctx, syscall.SIGTERM, time.Second)
	err2 := c.WaitTree(ctx)
	say(args[0], "job "+job.State().String())
	if err != nil || err2 != nil {
		say(args[0], err.Error())
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestEndSparesChildrenWeHadBefore(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	c := start(t, as("others"), self(), out)
	exit(t, c)
	if got := strings.Join(lines(out), " "); got != "job alive" {
		t.Errorf("got %q", got)
	}
}

// orphan starts the text as the child of a process that then is killed, and
// returns the identity it has written to the file $1.
func orphan(t *testing.T, text string) (*procwatch.Child, procwatch.ID) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "pids")
	c := start(t, nil, "/bin/sh", "-c", `sh "$0" "$1" & exec sleep 1000`, script(t, 0o600, text), out)
	until(t, "the orphan runs", func() bool { return len(lines(out)) > 0 })
	id := idsIn(t, out)[0]
	_ = c.Signal(syscall.SIGKILL)
	exit(t, c)
	return c, id
}

func TestEndOrphan(t *testing.T) {
	c, id := orphan(t, `trap "" TERM; (setsid sleep 1000) & sleep 1000 & echo $$ >>"$1"; while :; do sleep 1000; done`)
	until(t, "all of its children", func() bool { return len(childrenOf(t, id.PID)) >= 3 })
	if err := procwatch.EndOrphans(within(t, patience), []procwatch.ID{id}, syscall.SIGTERM, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	allGone(t, []procwatch.ID{id})
	if err := c.WaitTree(within(t, patience)); err != nil {
		t.Errorf("a descendant of the orphan lives: %v", err)
	}
	if err := procwatch.EndOrphans(within(t, patience), []procwatch.ID{id}, syscall.SIGTERM, 0); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestEndOrphanGivesUpWithItsContext(t *testing.T) {
	_, id := orphan(t, `trap "" TERM; echo $$ >>"$1"; while :; do sleep 1000; done`)
	err := procwatch.EndOrphans(within(t, 50*time.Millisecond), []procwatch.ID{id}, syscall.SIGTERM, time.Hour)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if s := id.State(); s != procwatch.Alive {
		t.Errorf("it is %v", s)
	}
}

func TestReusedPidIsNeverTouched(t *testing.T) {
	c := start(t, nil, "/bin/sleep", "1000")
	for _, off := range []uint64{1, ^uint64(0)} {
		id := c.ID()
		id.Start += off
		if s := id.State(); s != procwatch.Gone {
			t.Errorf("state %v", s)
		}
		if err := procwatch.EndOrphans(within(t, patience), []procwatch.ID{id}, syscall.SIGKILL, 0); err != nil {
			t.Error(err)
		}
	}
	far := c.ID()
	far.Boot, far.Host = "another", "elsewhere"
	if err := procwatch.EndOrphans(within(t, patience), []procwatch.ID{far}, syscall.SIGKILL, 0); err == nil {
		t.Error("no error for a process of another host")
	}
	if s := c.ID().State(); s != procwatch.Alive {
		t.Errorf("the innocent process is %v", s)
	}
}
