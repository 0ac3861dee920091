//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Stores on a server of this machine, beside etcdctl lock on the same etcd. Each
// line and each race has servers of its own, which end with everything else.

const loopback = "127.0.0.1"

func freePort() (string, error) {
	l, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// listening waits until a server that was started takes connections.
func (b *bench) listening(port string) error {
	return b.until("a server on port "+port, 20*time.Millisecond, 30*time.Second, func() (bool, error) {
		c, err := net.Dial("tcp", loopback+":"+port)
		if err == nil {
			c.Close()
		}
		return err == nil, nil
	})
}

// server finds a program that this machine may have or not.
func (b *bench) server(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		b.notef("not installed, so not measured: %s", name)
		return "", errMissing
	}
	b.version(path)
	return path, nil
}

// redisServer is one that we started.
type redisServer struct {
	pid   int
	addr  string
	store string // as berth has it
}

// redis starts a server without persistence.
func (b *bench) redis() (r redisServer, err error) {
	path, err := b.server("redis-server")
	if err != nil {
		return r, err
	}
	dir, err1 := b.fresh("redis")
	port, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return r, err
	}
	r.addr = loopback + ":" + port
	r.store = "redis://" + r.addr
	if r.pid, err = b.spawn(tool{words: []string{path}}, "--bind", loopback, "--port", port, "--save", "", "--dir", dir, "--logfile", dir+"/log"); err != nil {
		return r, err
	}
	if err := b.listening(port); err != nil {
		return r, err
	}
	return r, forgotNone(r.addr)
}

// etcd starts one member and returns its port.
func (b *bench) etcd() (string, error) {
	path, err := b.server("etcd")
	if err != nil {
		return "", err
	}
	dir, err1 := b.fresh("etcd")
	port, err2 := freePort()
	peer, err3 := freePort()
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	url, peerURL := "http://"+loopback+":"+port, "http://"+loopback+":"+peer
	if _, err := b.spawn(tool{words: []string{path}}, "--data-dir", dir+"/data", "--logger", "zap", "--log-level", "error", "--log-outputs", "stderr",
		"--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peerURL, "--initial-advertise-peer-urls", peerURL, "--initial-cluster", "default="+peerURL); err != nil {
		return "", err
	}
	return port, b.listening(port)
}

var runID = regexp.MustCompile(`run_id:([0-9a-f]+)`)

// forgotNone has a new Redis take itself for one that has forgotten no holder: else no job
// starts for as long as a lease holds.
func forgotNone(addr string) error {
	c, err := dialRedis(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := c.text("INFO", "server")
	if err != nil {
		return err
	}
	id := runID.FindStringSubmatch(info)
	if id == nil {
		return fmt.Errorf("no run_id in INFO of %s", addr)
	}
	_, err = c.do("HSET", "{berth}:epoch", "run", id[1], "at", "0")
	return err
}

// remoteTool is berth-remote on a server. Its waiters show so seldom that they live
// that a line is quiet.
func (b *bench) remoteTool(name, store string, flags ...string) tool {
	return tool{
		name:  name,
		words: slices.Concat([]string{b.remote, "run", "--ttl", "10m"}, flags, []string{"--"}),
		env:   []string{"BERTH_STORE=" + store},
	}
}

// lockTool is etcdctl lock.
func (b *bench) lockTool(port string) (tool, error) {
	path, err := b.server("etcdctl")
	return tool{
		name: "etcdctl lock", restless: true, words: []string{path, "lock", "x"},
		env: []string{"ETCDCTL_API=3", "ETCDCTL_ENDPOINTS=" + loopback + ":" + port},
	}, err
}

// remoteOf is a tool on new servers.
func (b *bench) remoteOf(name string, flags ...string) (tool, error) {
	switch name {
	case "redis":
		r, err := b.redis()
		return b.remoteTool(name, r.store, flags...), err
	case "etcd":
		port, err := b.etcd()
		return b.remoteTool(name, "etcd://"+loopback+":"+port, flags...), err
	case "etcdctl lock":
		port, err := b.etcd()
		if err != nil {
			return tool{}, err
		}
		return b.lockTool(port)
	}
	return b.berthTool(flags...)
}

// remoteStart is the whole process, when no other is there.
func (b *bench) remoteStart() error {
	names := []string{"etcdctl lock", "redis", "etcd", "berth"}
	var tools []tool
	for _, name := range names {
		t, err := b.remoteOf(name)
		if errors.Is(err, errMissing) {
			return nil // and noted
		}
		if err != nil {
			return err
		}
		tools = append(tools, t)
	}
	took, err1 := b.race(tools, nothing)
	bare, err2 := b.race([]tool{{words: []string{b.remote}}, {words: []string{b.berth}}}, "--help")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	what := "`berth-remote run -- true`, %s"
	b.compare(fmt.Sprintf(what, "Redis"), median, "", took[1], "etcdctl lock", took[0], 0.4)
	b.compare(fmt.Sprintf(what, "etcd"), median, "", took[2], "etcdctl lock", took[0], 0.6)
	b.compare(fmt.Sprintf(what, "Redis"), median, "", took[1], "berth, a directory", took[3], 0)
	b.compare("start-up alone, `berth-remote --help`", median, "", bare[0], "berth --help", bare[1], 0)
	return nil
}

// remoteHandover is the time from the end of a job to the start of the next.
func (b *bench) remoteHandover() error {
	got := map[string]series{}
	for block := range lineBlocks {
		names := []string{"redis", "berth", "etcd", "etcdctl lock"}
		if block%2 == 1 {
			slices.Reverse(names)
		}
		for _, name := range names {
			t, err := b.remoteOf(name, "-n", "1")
			if errors.Is(err, errMissing) {
				return nil
			}
			if err != nil {
				return err
			}
			times, err := b.drain(t, b.remoteLine, b.remoteLine)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			got[name] = append(got[name], times)
		}
	}
	what := fmt.Sprintf("hand-over, %d waiting, -n 1, ", b.remoteLine)
	b.compare(what+"Redis", median, "", got["redis"], "a directory", got["berth"], 1.2)
	b.compare(what+"etcd", median, "", got["etcd"], "etcdctl lock", got["etcdctl lock"], 0.5)
	b.compare(what+"Redis, p99", p99, "", got["redis"], "a directory", got["berth"], 0)
	b.compare(what+"etcd, p99", p99, "", got["etcd"], "etcdctl lock", got["etcdctl lock"], 0)
	return nil
}

// standingAtEtcd counts those that wait for etcdctl's lock: all but its holder.
func (b *bench) standingAtEtcd(t tool) (int, error) {
	text, err := b.output(t, t.words[0], "get", "--prefix", "x/", "--keys-only")
	return len(strings.Fields(string(text))) - 1, err
}
