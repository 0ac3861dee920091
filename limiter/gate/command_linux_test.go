package gate

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runShell is a RunCommand for tests.
func runShell(ctx context.Context, c Command) (end CommandEnd, err error) {
	timed, cancel := context.WithTimeout(ctx, c.AtMost)
	defer cancel()
	x := exec.CommandContext(timed, "sh", "-c", c.Line)
	x.Env, x.Stdout, x.Stderr = c.Env, c.Output, c.Output
	x.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	x.Cancel = func() error { return syscall.Kill(-x.Process.Pid, syscall.SIGKILL) }
	err = x.Run()
	if x.ProcessState == nil {
		return end, err
	}
	ws := x.ProcessState.Sys().(syscall.WaitStatus)
	end.Code, end.TimedOut = ws.ExitStatus(), timed.Err() != nil
	if ws.Signaled() {
		end.Signal = ws.Signal()
	}
	return end, nil
}

// shellPath is what a command needs of an environment.
var shellPath = []string{"PATH=" + os.Getenv("PATH")}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		why, command string
		code         int
		output, err  string
	}{
		{"open", "exit 0", 0, "", ""},
		{"closed", "echo; echo '  two of us  '; echo no; exit 75", 75, "two of us", ""},
		{"on stderr", "echo hello >&2; exit 75", 75, "hello", ""},
		{"fails", "echo oh; exit 3", 3, "oh", "exit code 3, which is neither 0 (open) nor 75 (closed)"},
		{"is not there", "/not/here", 127, "", "was not found"},
		{"no shell's word", "no-such-command-here", 127, "", "was not found"},
		{"by a signal", "kill -9 $$", -1, "", "ended by signal: killed"},
		{"no newline at all", "head -c 100000 /dev/zero | tr '\\0' x; exit 0", 0, strings.Repeat("x", headSize), ""},
		{"bytes that move the cursor", `printf 'a\033[2Jb\377\n'; exit 75`, 75, "a [2Jb?", ""},
		{"a hang", "sleep 60", -1, "", "did not answer within 3s"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			a := &Asker{Run: runShell, Timings: Timings{Command: 3 * time.Second}}
			got := a.run(t.Context(), c.command, shellPath)
			if got.code != c.code || c.code != 127 && !strings.HasPrefix(got.output, c.output) || (got.err == nil) != (c.err == "") || got.err != nil && !strings.Contains(got.err.Error(), c.err) {
				t.Errorf("%+v, want %+v", got, c)
			}
			if len(got.output) > headSize {
				t.Errorf("keeps %d bytes", len(got.output))
			}
		})
	}
}

// pidIn waits for a command to write its pid.
func pidIn(t *testing.T, file string) int {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && strings.HasSuffix(string(text), "\n") {
			return pid
		}
	}
	t.Fatal("the command did not start")
	return 0
}

// commands is a question whose command notes each run in a file.
func commands(t *testing.T, f *tree, command string) (q Question, runs func() int) {
	file := filepath.Join(f.root, "runs")
	q = gates(Gates{Command: "echo x >> " + file + "; " + command})
	q.Env = shellPath
	return q, func() int {
		text, _ := os.ReadFile(file)
		return strings.Count(string(text), "x")
	}
}

// unmeasured is a machine whose CPU use cannot be had, so that a command is
// asked at once.
func unmeasured(t *testing.T) *tree {
	f := newTree(t)
	f.remove("proc/stat")
	return f
}

func TestCommandBackoff(t *testing.T) {
	f, clock := unmeasured(t), &fakeClock{}
	a := clock.asker()
	a.Slowest = 3 * time.Second
	q, runs := commands(t, f, "cat "+f.root+"/says; exit $(cat "+f.root+"/code)")
	f.put("code", "3")
	f.put("says", "out of order\n")
	want := 0
	for i, wait := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		want++
		ans := ask(t, a, q)
		if ans.Open || ans.Again != 500*ms || runs() != want || !strings.Contains(ans.Why(), "exit code 3, which is neither 0 (open) nor 75 (closed): out of order") {
			t.Fatalf("try %d, %d runs: %+v", i, runs(), ans)
		}
		if (ans.Failure != "") != (i == 0) {
			t.Errorf("try %d tells %q", i, ans.Failure)
		}
		clock.now += wait - 1
		if ans := ask(t, a, q); ans.Open || runs() != want || ans.Failure != "" || !strings.Contains(ans.Why(), "out of order") {
			t.Errorf("after try %d, %d runs: %+v", i, runs(), ans)
		}
		clock.now++
	}
	f.put("says", "another matter\n")
	if ans := ask(t, a, q); ans.Failure != "" || !strings.Contains(ans.Why(), "another matter") {
		t.Errorf("told again for other words: %+v", ans)
	}
	f.put("code", "4")
	clock.now += 3 * time.Second
	if ans := ask(t, a, q); !strings.Contains(ans.Failure, "exit code 4") {
		t.Errorf("a new failure is not told: %+v", ans)
	}
}

func TestCommandRecovers(t *testing.T) {
	f, clock := unmeasured(t), &fakeClock{}
	a := clock.asker()
	q, runs := commands(t, f, "exit $(cat "+f.root+"/code)")
	for i, code := range []string{"3", "3", "75", "3", "0"} {
		f.put("code", code)
		ans := ask(t, a, q)
		if ans.Open != (code == "0") || runs() != i+1 {
			t.Fatalf("code %s, %d runs: %+v", code, runs(), ans)
		}
		if i == 1 {
			clock.now += time.Second // the back-off is 2s by now
		}
		clock.now += time.Second // which one that is closed has ended
	}
}

func TestCommandAtMostOnceASecond(t *testing.T) {
	f, clock := unmeasured(t), &fakeClock{}
	a := clock.asker()
	q, runs := commands(t, f, "exit 0")
	ask(t, a, q)
	clock.now += time.Second - 1
	if ans := ask(t, a, q); !ans.Open || runs() != 1 {
		t.Errorf("%d runs: %+v", runs(), ans)
	}
	q.LastStart = 500 * ms
	if ans := ask(t, a, q); ans.Open || runs() != 1 || !strings.Contains(ans.Why(), "a job has started since") {
		t.Errorf("what it said is from before a start, %d runs: %+v", runs(), ans)
	}
	clock.now++
	if ans := ask(t, a, q); !ans.Open || runs() != 2 {
		t.Errorf("%d runs: %+v", runs(), ans)
	}
}

func TestCommandRunsLast(t *testing.T) {
	f := unmeasured(t)
	q, runs := commands(t, f, "exit 0")
	q.Sets[0].MaxMem = 0.1
	q.Need.Mem = 1
	ans := ask(t, &Asker{}, q)
	if ans.Open || runs() != 0 || !strings.HasPrefix(ans.Why(), "max-mem: ") {
		t.Errorf("%d runs: %+v", runs(), ans)
	}
	var order []string
	for _, v := range ans.Findings {
		order = append(order, v.Gate)
	}
	if got := strings.Join(order, " "); got != "max-mem gate need" {
		t.Errorf("the verdicts are %s", got)
	}
	// Of two commands the second is not asked when the first is closed.
	q, runs = commands(t, f, "exit 75")
	q.Sets = append(q.Sets, Set{Gates: q.Sets[0].Gates, From: "pool"})
	q.Sets[1].Command += " "
	if ans := ask(t, &Asker{}, q); ans.Open || runs() != 1 || len(ans.Findings) != 2 || ans.Findings[1].From != "pool" {
		t.Errorf("%d runs: %+v", runs(), ans)
	}
}

func TestCommandEnvironment(t *testing.T) {
	f, clock := newTree(t), &fakeClock{}
	t.Setenv("OURS", "not for it")
	a := clock.asker()
	q, _ := commands(t, f, "env > "+f.root+"/env")
	q.Env = append(q.Env, "BERTH_LABEL_x=y")
	if ans := ask(t, a, q); !ans.Measuring || ans.Open {
		t.Fatalf("it is asked without the readings: %+v", ans)
	}
	f.cpu(100, 300)
	clock.now += time.Second
	if ans := ask(t, a, q); !ans.Open {
		t.Fatalf("%+v", ans)
	}
	text, err := os.ReadFile(filepath.Join(f.root, "env"))
	if err != nil {
		t.Fatal(err)
	}
	env := "\n" + string(text)
	for _, want := range []string{"BERTH_LABEL_x=y", "BERTH_CPUS=4", "BERTH_CPU_PERCENT=25", "BERTH_MEM_AVAILABLE=12884901888", "BERTH_LOAD=0.50", "BERTH_PRESSURE_IO=5"} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("%s is not in%s", want, env)
		}
	}
	if strings.Contains(env, "OURS=") {
		t.Error("it has our own environment")
	}
}

func TestCommandEndedContext(t *testing.T) {
	f := unmeasured(t)
	q, _ := commands(t, f, "echo $$ > "+f.root+"/pid; exec sleep 300")
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan Answer, 1)
	a := &Asker{Run: runShell}
	go func() { got <- a.Ask(ctx, q) }()
	pidIn(t, filepath.Join(f.root, "pid"))
	cancel()
	select {
	case ans := <-got:
		if ans.Open || ans.Failure != "" {
			t.Errorf("%+v", ans)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end with its context")
	}
	f.remove("pid")
	q.Sets[0].Command = "exit 0"
	if ans := ask(t, a, q); !ans.Open {
		t.Errorf("the next question: %+v", ans)
	}
}

func TestNoShell(t *testing.T) {
	unmeasured(t)
	q := gates(Gates{Command: "exit 0"})
	none := func(context.Context, Command) (CommandEnd, error) { return CommandEnd{}, syscall.ENOENT }
	if ans := ask(t, &Asker{Run: none}, q); ans.Open || !strings.Contains(ans.Failure, "cannot be run") {
		t.Errorf("%+v", ans)
	}
}

// What was read before a command that takes its time is read again, and the
// command is not asked again for it.
func TestSlowCommand(t *testing.T) {
	f := unmeasured(t)
	a := &Asker{Timings: Timings{Interval: 1000 * ms}}
	q, runs := commands(t, f, "sleep 1.2")
	q.Sets = append(q.Sets, Set{Gates: Gates{MaxMem: 0.9}})
	if ans := ask(t, a, q); ans.Open || !ans.Measuring || ans.Again > 1000*ms {
		t.Fatalf("opens with what was read before: %+v", ans)
	}
	if ans := ask(t, a, q); !ans.Open || runs() != 1 {
		t.Errorf("%d runs: %+v", runs(), ans)
	}
}
