package etcdstore

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"regexp"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/remote"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

func at(t *testing.T, url string) (*Store, error) {
	t.Helper()
	a, err := remote.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(a)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

// refusedWith checks that a person has to do something, what, and why.
func refusedWith(t *testing.T, url, fact, hint string) {
	t.Helper()
	s, err := at(t, url)
	if err == nil {
		_, _, err = s.TryAcquire(soon(t), storetest.Request("p", 1))
	}
	var no *lease.RefusedError
	if !errors.As(err, &no) {
		t.Fatalf("%v; want it refused", err)
	}
	if !regexp.MustCompile(fact).MatchString(no.Error()) || !regexp.MustCompile(hint).MatchString(no.Hint) {
		t.Errorf("%v; hint %q; want %q and %q", no, no.Hint, fact, hint)
	}
}

// TestTLS: with the certificates that belong there TLS is no obstacle, for what is asked
// and for what is watched.
func TestTLS(t *testing.T) {
	a := engine.NewAuthority(t)
	own := a.Issue("client", nil)
	for name, c := range map[string]struct {
		clients bool
		query   string
	}{
		"server":       {false, "?cacert=" + a.CA},
		"no authority": {false, "?insecure-skip-tls-verify=true"},
		"both":         {true, "?cacert=" + a.CA + "&cert=" + own.Cert + "&key=" + own.Key},
	} {
		t.Run(name, func(t *testing.T) {
			server := engine.EtcdWith(t, engine.Options{TLS: &engine.TLS{Pair: a.Server(), CA: a.CA, Clients: c.clients}})
			s, err := at(t, "etcds://"+server.Addr+"/"+c.query)
			if err != nil {
				t.Fatal(err)
			}
			h := mustTry(t, s, request(1, time.Minute))
			next := wait(t, mustLine(t, s, request(1, time.Minute)))
			if _, err := h.Renew(soon(t), 0); err != nil {
				t.Error(err)
			}
			mustRelease(t, h)
			mustRelease(t, mustGet(t, next))
		})
	}
}

func TestTLSTrouble(t *testing.T) {
	a, other := engine.NewAuthority(t), engine.NewAuthority(t)
	server, foreign, ca := a.Server(), other.Issue("client", nil), "?cacert="+a.CA
	elsewhere := a.Issue("elsewhere", func(c *x509.Certificate) { c.DNSNames = []string{"etcd.example"} })
	expired := a.Issue("expired", func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.ParseIP("127.0.0.1")}
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	of := func(p engine.Pair, clients bool) *engine.TLS { return &engine.TLS{Pair: p, CA: a.CA, Clients: clients} }
	for _, c := range []struct {
		name, scheme, query string
		tls                 *engine.TLS
		fact, hint          string
	}{
		{"NoTLS", "etcds", ca, nil, "does not speak TLS", "etcd://"},
		{"WantsTLS", "etcd", "", of(server, false), "speaks TLS, and the URL does not say so", "etcds://"},
		{"WantsTLSAndCertificate", "etcd", "", of(server, true), "speaks TLS, and the URL does not say so", "etcds://"},
		{"UnknownAuthority", "etcds", "", of(server, false), "does not know the authority that signed its certificate", `\?cacert=FILE`},
		{"OtherAuthority", "etcds", "?cacert=" + other.CA, of(server, false), "does not know the authority that signed its certificate", `\?cacert=FILE`},
		{"OtherName", "etcds", ca, of(elsewhere, false), "certificate is for etcd.example, not for 127.0.0.1", "by a name that is in its certificate"},
		{"Expired", "etcds", ca, of(expired, false), "valid only from .*Z to .*Z$", "^date "},
		{"WantsCertificate", "etcds", ca, of(server, true), "requires a certificate of its clients, and the URL names none", `\?cert=FILE&key=FILE`},
		{"OtherCertificate", "etcds", ca + "&cert=" + foreign.Cert + "&key=" + foreign.Key, of(server, true), "does not accept the certificate of", "^openssl x509 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := engine.EtcdWith(t, engine.Options{TLS: c.tls})
			refusedWith(t, c.scheme+"://"+server.Addr+"/"+c.query, c.fact, c.hint)
		})
	}
}

// TestNoEtcd: what listens there is another kind of server.
func TestNoEtcd(t *testing.T) {
	refusedWith(t, "etcd://"+engine.Redis(t).Addr, "what answers there is no etcd$", "is that the port of etcd")
}

// TestRights: a user that has to log in, or has too few rights, learns what to do.
func TestRights(t *testing.T) {
	server := engine.Etcd(t)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, step := range []func() error{
		func() error { _, err := c.RoleAdd(ctx, "berth"); return err },
		func() error { _, err := c.UserAdd(ctx, "bob", "secret"); return err },
		func() error {
			_, err := c.RoleGrantPermission(ctx, "berth", "berth/", clientv3.GetPrefixRangeEnd("berth/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := c.UserGrantRole(ctx, "bob", "berth"); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	withUser(t, server)
	refusedWith(t, "etcd://"+server.Addr, "wants a user and a password", "ETCDCTL_USER")
	refusedWith(t, "etcd://bob:wrong@"+server.Addr, `the password of "bob" is wrong, or there is no such user`, "ETCDCTL_PASSWORD")
	refusedWith(t, "etcd://bob:secret@"+server.Addr+"/other", `user "bob" must not read and write the keys that begin with other/`,
		`^etcdctl role grant-permission ROLE --prefix=true readwrite other/,`)
	s, err := at(t, "etcd://bob:secret@"+server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	mustRelease(t, mustTry(t, s, request(1, time.Minute)))
}
