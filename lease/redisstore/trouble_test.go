package redisstore_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/remote"
	"berth/lease/storetest/engine"
)

// at opens the store of a URL. It has no holders.
func at(t testing.TB, url string, change func(*remote.Address)) *redisstore.Store {
	t.Helper()
	a, err := remote.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&a)
	}
	s, err := redisstore.OpenWith(a, redisstore.Timings{Recover: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fails is the error of a first step at url.
func fails(t testing.TB, url string, change func(*remote.Address)) error {
	t.Helper()
	h, v, err := at(t, url, change).TryAcquire(within(t), job(1, time.Second))
	if err == nil {
		t.Fatalf("%s: %v, %+v; want an error", url, h, v)
	}
	return err
}

// refusedWith checks an error that does not pass by itself: the fact, and the hint.
func refusedWith(t testing.TB, err error, fact, hint string) {
	t.Helper()
	var r *lease.RefusedError
	if !errors.As(err, &r) {
		t.Errorf("%T: %v; want a RefusedError that says %q", err, err, fact)
		return
	}
	says(t, r.Error(), fact, r.Hint, hint)
}

// outWith checks an error that may pass.
func outWith(t testing.TB, err error, answers bool, fact, hint string) {
	t.Helper()
	var out *lease.UnreachableError
	if !errors.As(err, &out) || out.Answers != answers {
		t.Errorf("%T: %v; want an UnreachableError (it answers: %t) that says %q", err, err, answers, fact)
		return
	}
	says(t, out.Error(), fact, out.Hint, hint)
}

func says(t testing.TB, got, fact, hinted, hint string) {
	t.Helper()
	t.Logf("%s\n\thint: %s", got, hinted)
	if !regexp.MustCompile(fact).MatchString(got) {
		t.Errorf("says %q, want %q", got, fact)
	}
	if !regexp.MustCompile(hint).MatchString(hinted) {
		t.Errorf("hints %q, want %q", hinted, hint)
	}
	if strings.Contains(got+hinted, "s3cret") {
		t.Error("it tells the password")
	}
}

func secure(t testing.TB, c *engine.TLS) *engine.Server {
	t.Helper()
	return engine.RedisWith(t, engine.Options{TLS: c})
}

// With the right certificates TLS works.
func TestTLS(t *testing.T) {
	t.Parallel()
	a := engine.NewAuthority(t)
	own := a.Issue("client", nil)
	for name, c := range map[string]struct {
		clients  bool
		settings string
	}{
		"Authority":   {false, "?cacert=" + a.CA},
		"AnyServer":   {false, "?insecure-skip-tls-verify=true"},
		"Certificate": {true, "?cacert=" + a.CA + "&cert=" + own.Cert + "&key=" + own.Key},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := secure(t, &engine.TLS{Pair: a.Server(), CA: a.CA, Clients: c.clients})
			s := at(t, "rediss://"+server.Addr+c.settings, nil)
			release(t, get(t, line(t, s, job(1, time.Second))))
		})
	}
}

func TestTLSTrouble(t *testing.T) {
	t.Parallel()
	a, other := engine.NewAuthority(t), engine.NewAuthority(t)
	foreign := other.Issue("client", nil)
	ca := "?cacert=" + a.CA
	server := a.Server()
	elsewhere := a.Issue("elsewhere", func(c *x509.Certificate) { c.DNSNames = []string{"redis.example"} })
	expired := a.Issue("expired", func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.ParseIP("127.0.0.1")}
		c.NotBefore, c.NotAfter = c.NotBefore.Add(-time.Hour), time.Now().Add(-time.Minute)
	})
	for _, c := range []struct {
		name, scheme, settings string
		tls                    *engine.TLS
		fact, hint             string
	}{
		{"NoTLS", "rediss", ca, nil, "does not speak TLS", "redis://"},
		{"WantsTLS", "redis", "", &engine.TLS{Pair: server, CA: a.CA}, "speaks TLS", "rediss://"},
		{"UnknownAuthority", "rediss", "", &engine.TLS{Pair: server, CA: a.CA}, "does not know the authority that signed its certificate", `\?cacert=FILE`},
		{"OtherAuthority", "rediss", "?cacert=" + other.CA, &engine.TLS{Pair: server, CA: a.CA}, "does not know the authority that signed its certificate", `\?cacert=FILE`},
		{"OtherName", "rediss", ca, &engine.TLS{Pair: elsewhere, CA: a.CA}, "certificate is for redis.example, not for 127.0.0.1$", "by a name that is in its certificate"},
		{"Expired", "rediss", ca, &engine.TLS{Pair: expired, CA: a.CA}, "valid only from .*Z to .*Z$", "^date "},
		{"WantsCertificate", "rediss", ca, &engine.TLS{Pair: server, CA: a.CA, Clients: true}, "requires a certificate of its clients, and the URL names none", `\?cert=FILE&key=FILE`},
		{"OtherCertificate", "rediss", ca + "&cert=" + foreign.Cert + "&key=" + foreign.Key, &engine.TLS{Pair: server, CA: a.CA, Clients: true},
			"does not accept the certificate of", "tls-ca-cert-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := c.scheme + "://:s3cret@" + secure(t, c.tls).Addr + c.settings
			refusedWith(t, fails(t, url, nil), c.fact, c.hint)
		})
	}
}

// A server that takes connections and says nothing is not taken for one with TLS, or
// without: it may recover.
func TestSilent(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"redis", "rediss"} {
		outWith(t, fails(t, scheme+"://"+fake(t, ""), nil), false, "no answer within|i/o timeout", "^$")
	}
}

func TestSentinelTrouble(t *testing.T) {
	t.Parallel()
	nothing := func() string { return unused(t) }
	master := known(t)
	sentinel := engine.RedisSentinel(t, master, "main")
	locked := engine.RedisSentinel(t, master, "main")
	if _, err := locked.Do("ACL", "SETUSER", "default", "resetpass", ">s3cret"); err != nil {
		t.Fatal(err)
	}
	url := func(name string, hosts ...string) string {
		return "redis+sentinel://" + strings.Join(hosts, ",") + "/" + name
	}
	one, two := nothing(), nothing()
	outWith(t, fails(t, url("main", one), nil), false, "the Sentinel does not answer: .*refused", one+" the address of a Sentinel")
	outWith(t, fails(t, url("main", one, two), nil), false, "none of the 2 Sentinels answers: .*refused", one+" or "+two)
	refusedWith(t, fails(t, url("other", sentinel.Addr), nil), `know no master "other"`, "^redis-cli -h 127.0.0.1 -p [0-9]+ sentinel masters$")
	outWith(t, fails(t, url("other", sentinel.Addr, one), nil), true, `1 of 2 Sentinels answer, and know no master "other".*refused`, "sentinel masters")
	refusedWith(t, fails(t, url("main", locked.Addr), nil), "the Sentinel requires a password", "^sentinel_password=")
	refusedWith(t, fails(t, url("main", locked.Addr)+"?sentinel_password=s3cret2", nil), "the Sentinel does not know that user and password", "^sentinel_password=")
	refusedWith(t, fails(t, strings.Replace(url("main", sentinel.Addr), "redis", "rediss", 1), nil), "does not speak TLS", "redis://")
	refusedWith(t, fails(t, url("main", master.Addr), nil), "what answers there is no Sentinel", "redis://HOST:PORT")
	refusedWith(t, fails(t, "redis://"+sentinel.Addr, nil), "does not know a command that berth needs", "redis[+]sentinel://HOST:PORT/MASTER")
	s := at(t, url("main", one, sentinel.Addr), nil)
	release(t, try(t, s, job(1, time.Second)))
}

func TestClusterTrouble(t *testing.T) {
	t.Parallel()
	var nodes []*engine.Server
	var bus string
	for range 2 {
		_, bus, _ = net.SplitHostPort(unused(t))
		nodes = append(nodes, engine.Redis(t, "--cluster-enabled", "yes", "--cluster-port", bus))
	}
	refusedWith(t, fails(t, "redis://"+nodes[0].Addr, nil), "node of a Redis Cluster, which berth does not support: CLUSTERDOWN", "redis[+]sentinel://")
	command(t, nodes[0], "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	host, port, _ := net.SplitHostPort(nodes[1].Addr)
	command(t, nodes[0], "CLUSTER", "MEET", host, port, bus)
	look := client(t, nodes[1])
	eventually(t, "the second node knows which holders have the slots", func() bool {
		return strings.HasPrefix(fmt.Sprint(look.Get(within(t), "x").Err()), "MOVED")
	})
	moved := "node of a Redis Cluster, which berth does not support: MOVED"
	refusedWith(t, fails(t, "redis://"+nodes[1].Addr, nil), moved, "redis[+]sentinel://")
	refusedWith(t, fails(t, "redis://"+nodes[0].Addr+"/1", nil), "node of a Redis Cluster", "redis[+]sentinel://")
}

func TestServerTrouble(t *testing.T) {
	t.Parallel()
	master, locked := known(t), engine.Redis(t, "--requirepass", "s3cret")
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := engine.Redis(t, "--replicaof", host, port)
	command(t, master, "ACL", "SETUSER", "ann", "on", ">s3cret", "+ping")
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	password := "REDISCLI_AUTH"
	refusedWith(t, fails(t, "redis://"+locked.Addr, nil), "it requires a password: (NOAUTH|ERR .*unauthenticated)", password)
	refusedWith(t, fails(t, "redis://:s3cret2@"+locked.Addr, nil), "does not know that user and password: WRONGPASS", password)
	refusedWith(t, fails(t, "redis://ann:s3cret@"+master.Addr, nil), "the user ann lacks a right: NOPERM", "ACL SETUSER ann ")
	refusedWith(t, fails(t, "redis://"+master.Addr+"/99", nil), "it has no database 99", "databases")
	refusedWith(t, fails(t, "redis://"+strings.TrimPrefix(web.URL, "http://"), nil), "no Redis", "port")
	refusedWith(t, fails(t, "redis://"+fake(t, "-DENIED Redis is running in protected mode because\r\n"), nil), "no connections from other machines", "requirepass")
	outWith(t, fails(t, "redis://"+replica.Addr, nil), true, "it is a replica: READONLY", "name its master")
	outWith(t, fails(t, "redis://no-such-host.invalid", nil), false, "no-such-host.invalid", "")
	outWith(t, fails(t, "unix://"+filepath.Join(t.TempDir(), "none"), nil), false, "no such file", "unixsocket")
	outWith(t, fails(t, "redis://"+unused(t), nil), false, "refused", "^$")
	closes := "it takes the connection and closes it without an answer"
	outWith(t, fails(t, "redis://"+fake(t, closing), nil), false, closes, "something other than Redis may listen there")
	outWith(t, fails(t, "rediss://"+fake(t, closing), nil), false, closes, "something other than Redis may listen there")
}

// Without replicas --redis-wait says so, also when the caller's time ends before the
// server's own.
func TestNoReplicas(t *testing.T) {
	t.Parallel()
	server := known(t)
	one := func(a *remote.Address) { a.Replicas = 1 }
	s := openAt(t, server.Addr, one, redisstore.Timings{Call: time.Second})
	_, _, err := s.TryAcquire(within(t), job(1, time.Second))
	outWith(t, err, true, "0 of 1 replicas have it, and --redis-wait asks for that many", "^redis-cli -h 127.0.0.1 -p [0-9]+ info replication")
}

// unused is an address at which nothing listens.
func unused(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

const closing = "closing"

// fake is a server that gives the same answer to everything, or none, or closes each
// connection.
func fake(t testing.TB, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { c.Close() })
			go func() {
				buf := make([]byte, 4<<10)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					switch answer {
					case "":
					case closing:
						c.Close()
					default:
						_, _ = c.Write([]byte(answer))
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
