package gate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if command := os.Getenv("GATE_TEST_RUN"); command != "" {
		run(context.Background(), command, os.Environ(), time.Hour)
		os.Exit(0)
	}
	os.Exit(m.Run())
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
		{"megabytes", "yes 0123456789 | head -c 8000000; exit 75", 75, "0123456789", ""},
		{"no newline at all", "head -c 100000 /dev/zero | tr '\\0' x; exit 0", 0, strings.Repeat("x", headSize), ""},
		{"bytes that move the cursor", `printf 'a\033[2Jb\377\n'; exit 75`, 75, "a [2Jb?", ""},
		{"reads", "cat; exit 75", 75, "", ""},
		{"the background keeps the pipe", "sleep 60 & echo $!; exit 0", 0, "*", ""},
		{"a hang", "sleep 60", -1, "", "did not answer within 3s"},
		{"a hang of a child", "trap '' TERM; sleep 60 | sleep 60; true", -1, "", "did not answer within 3s"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			got := run(ctx, c.command, shellPath, 3*time.Second)
			if ctx.Err() != nil {
				t.Fatal("the command held us up")
			}
			if pid, err := strconv.Atoi(got.output); c.output == "*" && err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				got.output = "*"
			}
			if got.code != c.code || c.why != "is not there" && c.why != "no shell's word" && !strings.HasPrefix(got.output, c.output) || (got.err == nil) != (c.err == "") || got.err != nil && !strings.Contains(got.err.Error(), c.err) {
				t.Errorf("%+v, want %+v", got, c)
			}
			if len(got.output) > headSize {
				t.Errorf("keeps %d bytes", len(got.output))
			}
		})
	}
}

// gone waits until a process is gone; a zombie is.
func gone(t *testing.T, pid int) bool {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(text), ") Z ") {
			return true
		}
	}
	return false
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

func TestRunEndsItsGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() { ended <- run(ctx, "sleep 300 & echo $! > "+file+"; wait", shellPath, time.Hour) }()
	pid := pidIn(t, file)
	cancel()
	select {
	case got := <-ended:
		if got.err != context.Canceled {
			t.Errorf("%+v", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end with its context")
	}
	if !gone(t, pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Error("what the command started is still there")
	}
}

// Threads that end do not take a command with them, though its parent-death
// signal hangs on the one that forked.
func TestRunSurvivesThreads(t *testing.T) {
	stop := make(chan struct{})
	var churn, runs sync.WaitGroup
	for range 4 {
		churn.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ended := make(chan struct{})
				go func() {
					// A goroutine that ends locked takes its thread with it.
					runtime.LockOSThread()
					close(ended)
				}()
				<-ended
			}
		})
	}
	for range 8 {
		runs.Go(func() {
			for range 5 {
				if got := run(t.Context(), "sleep 0.05; exit 75", shellPath, time.Minute); got.code != 75 {
					t.Errorf("%+v", got)
				}
			}
		})
	}
	runs.Wait()
	close(stop)
	churn.Wait()
}

// A waiter that is killed leaves no command, although it could do nothing.
func TestCommandDiesWithUs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "GATE_TEST_RUN=echo $$ > "+file+"; exec sleep 300")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pid := pidIn(t, file)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	if !gone(t, pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Error("the command outlives us")
	}
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
	a := &Asker{}
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
	t.Setenv("PATH", t.TempDir())
	q := gates(Gates{Command: "exit 0"})
	if ans := ask(t, &Asker{}, q); ans.Open || !strings.Contains(ans.Failure, "cannot be run") {
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
