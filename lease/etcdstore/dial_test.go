package etcdstore

import (
	"errors"
	"net"
	"strings"
	"testing"

	"berth/lease"
	"berth/lease/remote"
	"berth/lease/storetest"
)

func TestOpenRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"etcd://a:1/p?cacet=x":                              `no setting "cacet"`,
		"etcd://a:1/p?cert=x":                               "etcds://",
		"etcds://u:secret@a:1/p?cacert=/none":               "cacert",
		"etcds://u:secret@a/p?cert=/none":                   "cert and key",
		"etcds://u:secret@a/?insecure-skip-tls-verify=what": "neither true nor false",
		"etcd:///p":          "no host",
		"redis://u:secret@a": "neither",
		"etcd://u@a":         "no password",
	} {
		a, err := remote.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(a)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func TestLogin(t *testing.T) {
	t.Setenv("ETCDCTL_USER", "env:envpass")
	for url, want := range map[string]string{
		"etcd://a":           "env:envpass",
		"etcd://other:pw@a":  "other:pw",
		"etcd://env@a":       "env:envpass",
		"etcd://:pw@a":       "env:pw",
		"etcd://env:other@a": "env:other",
	} {
		a, err := remote.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config(a)
		if got := cfg.Username + ":" + cfg.Password; err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", url, got, err, want)
		}
	}
}

// TestUnreachable: also when what listens there says nothing.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for _, host := range []string{"127.0.0.1:1", mute.Addr().String()} {
		for _, user := range []string{"", "u:secret@"} {
			err := firstStep(t, "etcd://"+user+host)
			var out *lease.UnreachableError
			if !errors.As(err, &out) || !strings.Contains(err.Error(), host) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v, want an UnreachableError", host, err)
			}
		}
	}
}

func firstStep(t *testing.T, url string) error {
	t.Helper()
	a, err := remote.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(a)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err = s.Line(soon(t), storetest.Request("p", 1)); err == nil {
		t.Error("Line: no error")
	}
	_, _, terr := s.TryAcquire(soon(t), storetest.Request("p", 1))
	if terr == nil {
		t.Error("TryAcquire: no error")
	}
	return err
}
