package cmd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// network is a machine with a server and two others, each a network namespace: its
// own pid stands for it.
type network struct {
	*testing.T
	server, a, b int
	dir          string
}

// newNetwork makes one where that is possible: with root's rights and iproute2.
func newNetwork(t *testing.T) *network {
	for _, program := range []string{"ip", "unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil || os.Getuid() != 0 {
			if os.Getenv("BERTH_REQUIRE_STORES") == "1" {
				t.Fatalf("network namespaces need root and %s", program)
			}
			t.Skipf("network namespaces need root and %s", program)
		}
	}
	n := &network{T: t, dir: t.TempDir()}
	n.server, n.a, n.b = n.machine(), n.machine(), n.machine()
	for i, pid := range []int{n.a, n.b} {
		name, net := fmt.Sprintf("v%d", i), fmt.Sprintf("10.77.%d", i)
		n.in(n.server, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid))
		n.in(n.server, "ip", "addr", "add", net+".1/24", "dev", name)
		n.in(n.server, "ip", "link", "set", name, "up")
		n.in(pid, "ip", "addr", "add", net+".2/24", "dev", "eth0")
		n.in(pid, "ip", "link", "set", "eth0", "up")
	}
	return n
}

// machine is a namespace with a process in it that does nothing.
func (n *network) machine() int {
	n.Helper()
	// With a parent-death signal of its own: ours would follow a thread of the test.
	c := exec.Command("unshare", "--net", "--fork", "--kill-child", "sh", "-c", "ip link set lo up && echo up && exec sleep 600")
	out, err := c.StdoutPipe()
	if err != nil {
		n.Fatal(err)
	}
	n.begin(c)
	if _, err := out.Read(make([]byte, 1)); err != nil {
		n.Fatalf("cannot make a network namespace: %v", err)
	}
	// unshare itself has entered it as well.
	return c.Process.Pid
}

// begin starts c, which ends with the test.
func (n *network) begin(c *exec.Cmd) {
	n.Helper()
	if err := c.Start(); err != nil {
		n.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Wait() }()
	n.Cleanup(func() {
		_ = c.Process.Kill()
		<-done
	})
}

func within(pid int, words ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net", "--target", strconv.Itoa(pid)}, words...)...)
}

func (n *network) in(pid int, words ...string) {
	n.Helper()
	if out, err := within(pid, words...).CombinedOutput(); err != nil {
		n.Fatalf("%s: %v: %s", strings.Join(words, " "), err, out)
	}
}

// serve starts a server of that kind for everybody; returns its URL at a network of
// ours.
func (n *network) serve(kind string) func(i int) string {
	data := filepath.Join(n.dir, kind)
	var c *exec.Cmd
	port := "6379"
	if kind == "redis" {
		c = within(n.server, "redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", n.dir)
	} else {
		port = "2379"
		c = within(n.server, "etcd", "--data-dir", data, "--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", "http://10.77.0.1:2379")
	}
	n.begin(c)
	n.eventually("a server", func() bool {
		return within(n.server, "sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port).Run() == nil || within(n.server, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port).Run() == nil
	})
	return func(i int) string { return fmt.Sprintf("%s://10.77.%d.1:%s", kind, i, port) }
}

func (n *network) eventually(what string, ok func() bool) {
	n.Helper()
	for end := time.Now().Add(deadline); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			n.Fatalf("not in %v: %s", deadline, what)
		}
	}
}

// ticks are the times since boot at which a job was alive.
func ticks(name string) (all []float64) {
	b, _ := os.ReadFile(name)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasSuffix(line, "\n") {
			t, err := strconv.ParseFloat(f[0], 64)
			if err == nil {
				all = append(all, t)
			}
		}
	}
	return all
}

// TestPartition cuts a machine off whose job holds the only slot: the job is gone
// before another machine's starts, and coming back changes nothing. The job does not
// listen to TERM, and the usual grace is longer than its lease: it gets what is left.
func TestPartition(t *testing.T) {
	t.Parallel()
	programs := buildRemote(t)
	for _, kind := range []string{"redis", "etcd"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			url := n.serve(kind)
			const job = `trap "" TERM; while :; do cat /proc/uptime >>%s; sleep 0.01; done`
			start := func(i, pid int, name string) (*exec.Cmd, *bytes.Buffer) {
				c := within(pid, filepath.Join(programs, "berth-remote"), "run", "--store", url(i), "--ttl", "8s", "-n", "1", "-p", "p", "--",
					"sh", "-c", fmt.Sprintf(job, filepath.Join(n.dir, name)))
				said := &bytes.Buffer{}
				c.Stderr = said
				c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
				c.WaitDelay = time.Second
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				return c, said
			}
			a, saidA := start(0, n.a, "a")
			n.eventually("a runs", func() bool { return len(ticks(filepath.Join(n.dir, "a"))) > 0 })
			b, _ := start(1, n.b, "b")
			t.Cleanup(func() {
				_ = b.Process.Kill() // its job goes with it
				_ = b.Wait()
			})
			time.Sleep(time.Second) // let b line up, and a renew; decides nothing
			n.in(n.server, "ip", "link", "set", "v0", "down")
			n.eventually("b runs", func() bool { return len(ticks(filepath.Join(n.dir, "b"))) > 0 })
			// The clock that both files are written by has a tick of 10 ms.
			lastA, firstB := ticks(filepath.Join(n.dir, "a")), ticks(filepath.Join(n.dir, "b"))[0]
			margin := firstB - lastA[len(lastA)-1]
			t.Logf("the job that was cut off was gone %.0f ms before the next one started, with --ttl 8s", 1000*margin)
			if margin < 0 {
				t.Errorf("both ran for %.0f ms", -1000*margin)
			}
			n.in(n.server, "ip", "link", "set", "v0", "up")
			_ = a.Wait()
			if code := a.ProcessState.Sys().(syscall.WaitStatus).ExitStatus(); code != codeLost {
				t.Errorf("exit code %d, want %d; it said %s", code, codeLost, saidA)
			}
			if !strings.Contains(saidA.String(), "the lease could not be renewed") || !strings.Contains(saidA.String(), "pool p") {
				t.Errorf("it said %q", saidA)
			}
			again := ticks(filepath.Join(n.dir, "a"))
			if again[len(again)-1] > firstB {
				t.Errorf("it ran again")
			}
		})
	}
}
