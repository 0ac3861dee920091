package cmd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// join connects one more machine to the server's, which passes on what is for another.
func (n *network) join(i, pid int) (addr string) {
	n.Helper()
	name, net := fmt.Sprintf("v%d", i), fmt.Sprintf("10.77.%d", i)
	n.in(n.server, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid))
	n.in(n.server, "ip", "addr", "add", net+".1/24", "dev", name)
	n.in(n.server, "ip", "link", "set", name, "up")
	n.in(pid, "ip", "addr", "add", net+".2/24", "dev", "eth0")
	n.in(pid, "ip", "link", "set", "eth0", "up")
	n.in(pid, "ip", "route", "add", "default", "via", net+".1")
	return net + ".2"
}

// TestMemberIsCutOff: all packets from and to one of three members are dropped, for good.
// No job ends for it, and who comes then runs. Nothing is refused and no connection ends:
// there are only no answers.
func TestMemberIsCutOff(t *testing.T) {
	t.Parallel()
	programs := buildRemote(t)
	for _, who := range []string{"follower", "leader"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			n.in(n.server, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
			var members []int
			var addrs, cluster []string
			for i := range 3 {
				pid := n.machine()
				addr := n.join(2+i, pid)
				members, addrs = append(members, pid), append(addrs, addr)
				cluster = append(cluster, fmt.Sprintf("m%d=http://%s:2380", i, addr))
			}
			for i, pid := range members {
				client, peer := "http://"+addrs[i]+":2379", "http://"+addrs[i]+":2380"
				n.begin(within(pid, "etcd", "--name", fmt.Sprintf("m%d", i), "--data-dir", filepath.Join(n.dir, fmt.Sprint(i)),
					"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
					"--initial-cluster", strings.Join(cluster, ",")))
			}
			jobs := n.machine()
			n.join(5, jobs)
			url := "etcd://" + strings.Join(addrs, ",")
			cut := -1
			n.eventually("a leader", func() bool {
				for i, addr := range addrs {
					out, _ := within(jobs, "timeout", "1", "bash", "-c", `exec 3<>/dev/tcp/`+addr+`/2379 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3`).Output()
					if strings.Contains(string(out), "\netcd_server_is_leader 1\n") {
						cut = i
					}
				}
				return cut >= 0
			})
			if who == "follower" {
				cut = (cut + 1) % 3
			}
			run := func(name, script string) (*exec.Cmd, *bytes.Buffer) {
				c := within(jobs, filepath.Join(programs, "berth-remote"), "run", "--store", url, "--ttl", "8s", "-n", "9", "-p", "p", "--", "sh", "-c", script, "sh", filepath.Join(n.dir, name))
				said := &bytes.Buffer{}
				c.Stderr = said
				c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				return c, said
			}
			ends := func(c *exec.Cmd, said *bytes.Buffer) {
				t.Helper()
				if err := c.Wait(); err != nil || said.Len() > 0 {
					t.Errorf("%v; it said %s", err, said)
				}
			}
			type job struct {
				*exec.Cmd
				said *bytes.Buffer
			}
			var all []job
			for i := range 6 { // each has chosen a member of its own
				c, said := run(fmt.Sprint("up", i), `echo >"$1"; sleep 18`)
				all = append(all, job{c, said})
			}
			n.eventually("the jobs run", func() bool {
				up, _ := filepath.Glob(filepath.Join(n.dir, "up*"))
				return len(up) == len(all)
			})
			n.in(n.server, "ip", "rule", "add", "blackhole", "from", addrs[cut], "pref", "10")
			n.in(n.server, "ip", "rule", "add", "blackhole", "to", addrs[cut], "pref", "11")
			for range 4 {
				ends(run("new", "true"))
			}
			for _, j := range all {
				ends(j.Cmd, j.said)
			}
		})
	}
}
