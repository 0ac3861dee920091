package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
)

// Etcd starts an etcd of one member.
func Etcd(t T, args ...string) *Server {
	t.Helper()
	return etcdCluster(t, 1, Options{Args: args})[0]
}

// EtcdWith is [Etcd] with an environment, or TLS.
func EtcdWith(t T, o Options) *Server {
	t.Helper()
	return etcdCluster(t, 1, o)[0]
}

// EtcdCluster starts an etcd of n members, and returns when each of them knows a
// leader.
func EtcdCluster(t T, n int, args ...string) []*Server {
	t.Helper()
	return etcdCluster(t, n, Options{Args: args})
}

// member is one of a cluster, for one try to start it.
type member struct {
	server  *Server
	cluster []*member
	first   bool // the cluster is being made: all of it comes up
	name    string
	client  string // URLs
	peer    string
}

func etcdCluster(t T, n int, o Options) []*Server {
	t.Helper()
	members, servers := make([]*member, n), make([]*Server, n)
	for i := range n {
		// etcd is not tested by its makers on every machine, and wants to be told
		// that this is known
		env := append([]string{"ETCD_UNSUPPORTED_ARCH=" + runtime.GOARCH}, o.Env...)
		servers[i] = newServer(t, "etcd", "etcd-server", env)
		members[i] = &member{server: servers[i], cluster: members, first: true}
		servers[i].answers = members[i].answers
		servers[i].tls = o.TLS
	}
	place(t, func() error { return prepare(members, o.Args) }, servers...)
	for _, m := range members {
		m.first = false
	}
	return servers
}

// prepare gives the members names, ports and arguments. A name is never used
// twice, so it tells whether a server is ours.
func prepare(members []*member, args []string) error {
	token := fmt.Sprintf("berth-%x", rand.Uint64())
	var cluster []string
	for i, m := range members {
		client, err := freePort()
		if err != nil {
			return err
		}
		peer, err := freePort()
		if err != nil {
			return err
		}
		m.name = fmt.Sprintf("%s-%d", token, i)
		m.server.Addr = net.JoinHostPort(host, client)
		m.client, m.peer = "http://"+m.server.Addr, "http://"+net.JoinHostPort(host, peer)
		if m.server.tls != nil {
			m.client = "https://" + m.server.Addr
		}
		cluster = append(cluster, m.name+"="+m.peer)
	}
	for _, m := range members {
		m.server.args = append([]string{
			"--name", m.name, "--data-dir", "data",
			"--listen-client-urls", m.client, "--advertise-client-urls", m.client,
			"--listen-peer-urls", m.peer, "--initial-advertise-peer-urls", m.peer,
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-token", token,
			// Also the least TTL of a lease comes from these: with etcd's own 1 s for
			// an election it is 2 s, so it is 1 s here.
			"--heartbeat-interval", "50", "--election-timeout", "500",
		}, slices.Concat(m.server.tls.etcd(), args)...)
	}
	return nil
}

// answers waits for a leader only when there can be one: the first of
// three members that is started again is back, although it cannot serve yet.
func (m *member) answers() error {
	if err := m.isOurs(); err != nil {
		return err
	}
	if !m.first && !m.electable() {
		return nil
	}
	return m.healthy()
}

// isOurs asks at the peer's port, where also one without a leader answers. A server that has
// it has the client's as well: etcd serves neither before it has both.
func (m *member) isOurs() error {
	var known []struct{ Name string }
	if err := get(plain, m.peer+"/members", &known); err != nil {
		return err
	}
	for _, k := range known {
		if k.Name == m.name {
			return nil
		}
	}
	return errors.New("another etcd answers at " + m.peer)
}

func (m *member) electable() bool {
	up := 0
	for _, other := range m.cluster {
		if other.isOurs() == nil {
			up++
		}
	}
	return 2*up > len(m.cluster)
}

// Leads reports whether an etcd is the leader of its cluster, as far as it knows.
func (s *Server) Leads() bool {
	answer, err := plain.Get("http://" + s.Addr + "/metrics")
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	return err == nil && strings.Contains(string(all), "\netcd_server_is_leader 1\n")
}

func (m *member) healthy() error {
	var health struct{ Health string }
	asks, err := m.server.tls.client()
	if err != nil {
		return err
	}
	if err := get(asks, m.client+"/health", &health); err != nil {
		return err
	}
	if health.Health != "true" {
		return fmt.Errorf("health of %s: %q", m.client, health.Health)
	}
	return nil
}

// plain keeps no connection: a server that is told to end waits for those it has.
var plain = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

func get(c *http.Client, url string, into any) error {
	answer, err := c.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
