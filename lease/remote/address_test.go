package remote

import (
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		url, name, hosts, path string
	}{
		{"redis://h:1/0", "redis://h:1/0", "h:1", "/0"},
		{"redis://:secret@h:1", "redis://h:1", "h:1", ""},
		{"redis://ann:se%40cret@h:1?db=2&password=secret&pass=secret", "redis://ann@h:1?db=2", "h:1", ""},
		{"redis+sentinel://ann:secret@a:1,b:2,c/main/1?sentinel_password=secret", "redis+sentinel://ann@a:1,b:2,c/main/1", "a:1 b:2 c", "/main/1"},
		{"etcd://a:2379,b:2379/ci/x?cacert=%2Fx.pem", "etcd://a:2379,b:2379/ci/x?cacert=/x.pem", "a:2379 b:2379", "/ci/x"},
		{"etcd://[::1]:2379,[::2]:2379", "etcd://[::1]:2379,[::2]:2379", "[::1]:2379 [::2]:2379", ""},
		{"unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3", "", "/run/redis.sock"},
		{"unix://:secret@/run/redis.sock", "unix:///run/redis.sock", "", "/run/redis.sock"},
		{"redis://secret@h", "redis://h", "h", ""}, // its colon was forgotten
	} {
		d, err := ParseURL(c.url)
		if err != nil || d.Name() != c.name || strings.Join(d.Hosts, " ") != c.hosts || d.Path != c.path {
			t.Errorf("%s: %+v, %v, name %s; want %+v", c.url, d, err, d.Name(), c)
		}
	}
	for _, bad := range []string{
		"", "nonsense", "redis://u:secret@h:x y", "redis://h:port", "redis://:secret@h?%zz", "://h", "redis://:a/secret@h", "redis://:a?secret@h", "redis://u:1/secret@h/0",
		"redis://u:1#secret@h", "redis://u:secret", "redis://:secret", "redis://h/u:secret@h", "u:secret@redis://h", "redis:u:secret@h", "u:secret", "redis://h?password=secret%zz",
	} {
		d, err := ParseURL(bad)
		if err == nil {
			t.Errorf("%q: %+v, want an error", bad, d)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v tells the password", bad, err)
		}
	}
}
