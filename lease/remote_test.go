package lease

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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

func TestPersist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, other := &UnreachableError{Store: "s", Err: errors.New("no")}, errors.New("other")
		told := 0
		trouble := func(error) { told++ }
		var errs []error
		f := func(context.Context) error {
			if len(errs) == 0 {
				return out
			}
			err := errs[0]
			errs = errs[1:]
			return err
		}
		errs = []error{out, out, nil}
		if err := Persist(t.Context(), trouble, f); err != nil || told != 0 {
			t.Errorf("%v, told %d times; want an end, and silence: it did not last", err, told)
		}
		errs = append(slices.Repeat([]error{out}, 20), other)
		if err := Persist(t.Context(), trouble, f); err != other || told != 1 {
			t.Errorf("%v, told %d times; want the other error, once told", err, told)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := Persist(ctx, nil, f); err != out {
			t.Errorf("%v, want why nothing came of it", err)
		}
		tries, cut := 0, &UnreachableError{Store: "s", Err: context.DeadlineExceeded}
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		late := func(ctx context.Context) error {
			if tries++; tries < 3 {
				return out
			}
			<-ctx.Done()
			return cut
		}
		if err := Persist(short, nil, late); err != out {
			t.Errorf("%v, want why nothing came of it, and not that the time was over", err)
		}
		tries = 3
		if err := Persist(short, nil, late); err != cut {
			t.Errorf("%v, want the only error that there was", err)
		}
		cause := errors.New("a signal")
		cancelled, end := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { end(cause) })
		if err := Persist(cancelled, nil, f); err != cause {
			t.Errorf("%v, want the cause", err)
		}
	})
}
