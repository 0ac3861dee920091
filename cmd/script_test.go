//go:build unix

package cmd

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"berth/scripts/testbed"
)

// TestScripts runs testdata/script, one behaviour a file. Every wait has a
// deadline; nothing sleeps to be right. Each script has an empty store of its
// own in $BERTH_STORE. Besides testscript's commands:
//
//	start NAME CMD [ARG...]    run in the background; output in NAME.out, NAME.err
//	ends NAME CODE             wait for its end, check its code (128+n: by signal n)
//	exits CODE CMD [ARG...]    run in the foreground and check its code; then stdout, stderr
//	signal SIG NAME|FILE       to what 'start NAME' started, or to the pid in FILE
//	waitfor FILE [LINES]       until the file exists (and has so many lines)
//	holders POOL N [STATE]     until the pool has so many holders (in that state)
//	waiters POOL N             until so many stand in its line
//	gone NAME|FILE             until that process is no more
//	idof VAR holder|waiter POOL [N]   the id of its first (Nth) one into $VAR
//	noneleft ID                no process is left that was started under that lease
//	aside POOL N               until the others pass so many of its waiters
//	stopped NAME|FILE          until that process is stopped
//	silent NAME...             check that what 'start NAME' started said nothing on stderr,
//	                           except that it waits, when it waited for 30 s or more
//	crowd N TIMES CMD [ARG...] N callers at once, {} is the caller's number; each runs CMD TIMES
//	                           times; every run must end with 0 and say nothing on stderr
//	atmost N FILE [NAME]       check job records: never more than N slots at once, none unfinished;
//	                           with NAME, only while a job whose name begins so runs
//	order FILE NAME...         check job records: the starts came in this order
//	machine KEY=VALUE...       make up, or change, the machine under HOST_PROC: see cmdMachine
//	heldback POOL REGEXP       until that holds the head of its line back, as berth ls tells;
//	                           no process there holds a slot for it
//	apart D POOL N [BURST]     check the leases of the N holders: BURST and one more start per D
//	cgroup VAR BYTES           a control group with so much memory, its directory in $VAR: [memcgroup]
//	pids VAR N                 one with so many processes and threads: [pidscgroup]
//	recipe FILE HEADING [N]    a block of commands of berth help recipes: the Nth below that heading
func TestScripts(t *testing.T) {
	t.Parallel()
	p := scripts(t)
	p.Dir = filepath.Join("..", "testdata", "script")
	testscript.Run(t, p)
}

// scripts is how scripts are run, whichever they are.
func scripts(t *testing.T) testscript.Params {
	// Not t.TempDir, which only its owner may enter: some scripts run as another
	// user too.
	root, err := os.MkdirTemp("", "berth-scripts-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		WorkdirRoot: root,
		Setup:       setupScript,
		Condition: func(cond string) (bool, error) {
			return cond == "root" && os.Geteuid() == 0 || cond == "memcgroup" && memoryGroup() != "" || cond == "pidscgroup" && canLimitPids(), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": cmdStart, "ends": cmdEnds, "exits": cmdExits, "signal": cmdSignal,
			"waitfor": cmdWaitfor, "holders": cmdHolders, "waiters": cmdWaiters, "gone": cmdGone,
			"atmost": cmdAtMost, "order": cmdOrder,
			"idof": cmdIDOf, "noneleft": cmdNoneLeft,
			"aside": cmdAside, "stopped": cmdStopped, "silent": cmdSilent, "crowd": cmdCrowd,
			"machine": cmdMachine, "heldback": cmdHeldBack, "apart": cmdApart, "cgroup": cmdCgroup,
			"pids": cmdPids, "recipe": cmdRecipe,
		},
	}
}

func setupScript(e *testscript.Env) error {
	store := filepath.Join(e.WorkDir, "store")
	if err := os.Mkdir(store, 0o700); err != nil { // or the first one to use it says that it made it
		return err
	}
	e.Setenv("BERTH_STORE", store)
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("GORACE", "atexit_sleep_ms=0") // else each berth takes a second to end
	b := &background{running: map[string]*started{}}
	e.Values[backgroundKey{}] = b
	e.Defer(b.killAll)
	return nil
}

const deadline = 60 * time.Second

type backgroundKey struct{}

type background struct {
	running map[string]*started
	machine *machine // a made-up one
}

type started struct {
	cmd  *exec.Cmd
	done chan struct{}
	code int
}

func (b *background) killAll() {
	for _, s := range b.running {
		select {
		case <-s.done:
		default:
			_ = s.cmd.Process.Kill()
			<-s.done
		}
	}
}

func ofScript(ts *testscript.TestScript) *background {
	return ts.Value(backgroundKey{}).(*background)
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME CMD [ARG...]")
	}
	path, err := lookPath(ts, args[1])
	ts.Check(err)
	c := exec.Command(path, args[2:]...)
	c.Args[0] = args[1]
	c.Dir = ts.MkAbs(".")
	c.Env = append(environOf(ts), "PWD="+c.Dir)
	out, err := os.Create(ts.MkAbs(args[0] + ".out"))
	ts.Check(err)
	errf, err := os.Create(ts.MkAbs(args[0] + ".err"))
	ts.Check(err)
	c.Stdout, c.Stderr = out, errf
	ts.Check(c.Start())
	s := &started{cmd: c, done: make(chan struct{})}
	go func() {
		_ = c.Wait()
		out.Close()
		errf.Close()
		s.code = testbed.ExitCode(c.ProcessState)
		close(s.done)
	}()
	ofScript(ts).running[args[0]] = s
}

// environOf is the script's environment, with the variables that matter here.
func environOf(ts *testscript.TestScript) []string {
	var env []string
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "WORK", "GOCOVERDIR", "TERM", "NO_COLOR", "GORACE"} {
		if v := ts.Getenv(k); v != "" {
			env = append(env, k+"="+v)
		}
	}
	for _, e := range scriptVars {
		if v := ts.Getenv(e); v != "" {
			env = append(env, e+"="+v)
		}
	}
	return env
}

var scriptVars = []string{
	"BERTH_STORE", "BERTH_WAIT", "BERTH_QUIET", "BERTH_VERBOSE", "BERTH_LEASE", "BERTH_POOL", "BERTH_SLOT", "GOTRACEBACK",
	"HOST_PROC", "HOST_SYS",
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	if strings.Contains(name, "/") {
		return ts.MkAbs(name), nil
	}
	for _, d := range filepath.SplitList(ts.Getenv("PATH")) {
		p := filepath.Join(d, name)
		if unix.Access(p, unix.X_OK) == nil {
			return p, nil
		}
	}
	return "", errors.New("not on PATH: " + name)
}

func cmdEnds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	s := ofScript(ts).running[args[0]]
	if s == nil {
		ts.Fatalf("nothing was started as %s", args[0])
	}
	select {
	case <-s.done:
	case <-time.After(deadline):
		ts.Fatalf("%s did not end in %v", args[0], deadline)
	}
	if strconv.Itoa(s.code) != args[1] {
		said, _ := os.ReadFile(ts.MkAbs(args[0] + ".err"))
		ts.Fatalf("%s ended with %d, want %s; it said:\n%s", args[0], s.code, args[1], said)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE CMD [ARG...]")
	}
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = testbed.ExitCode(exit.ProcessState)
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func pidOf(ts *testscript.TestScript, name string) int {
	if s := ofScript(ts).running[name]; s != nil {
		return s.cmd.Process.Pid
	}
	pid := 0
	until(ts, "a pid in "+name, func() (ok bool) {
		pid, ok = pidIn(ts.MkAbs(name))
		return ok
	})
	return pid
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal SIG NAME|FILE")
	}
	sig := unix.SignalNum("SIG" + args[0])
	if sig == 0 {
		ts.Fatalf("no signal %s", args[0])
	}
	ts.Check(syscall.Kill(pidOf(ts, args[1]), sig))
}

// until polls: these are conditions of other processes that make no event.
func until(ts *testscript.TestScript, what string, ok func() bool) {
	for end := time.Now().Add(deadline); ; time.Sleep(3 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("not in %v: %s", deadline, what)
		}
	}
}

func cmdWaitfor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: waitfor FILE [LINES]")
	}
	lines := 0
	if len(args) == 2 {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		lines = n
	}
	until(ts, strings.Join(args, " "), func() bool {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && bytes.Count(b, []byte("\n")) >= lines
	})
}

func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gone NAME|FILE")
	}
	pid := pidOf(ts, args[0])
	until(ts, "gone "+args[0], func() bool { return processGone(pid) })
}

func cmdStopped(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stopped NAME|FILE")
	}
	pid := pidOf(ts, args[0])
	until(ts, "stopped "+args[0], func() bool {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		_, rest, _ := strings.Cut(string(b), ") ")
		return err == nil && strings.HasPrefix(rest, "T")
	})
}

// longWait is what berth says, and should, when a wait takes 30 s and more. On a
// busy machine one that is silent elsewhere can come to that.
var longWait = regexp.MustCompile(`(?m)^berth: waiting ([3-9][0-9]s|[0-9]+m[0-9]{2}s) for pool .*\n`)

func cmdSilent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: silent NAME...")
	}
	for _, a := range args {
		if said := longWait.ReplaceAllString(ts.ReadFile(a+".err"), ""); said != "" {
			ts.Fatalf("%s said on stderr:\n%s", a, said)
		}
	}
}
