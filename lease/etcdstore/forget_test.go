package etcdstore

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

func use(t *testing.T, s *Store, pool string) {
	t.Helper()
	mustRelease(t, mustTry(t, s, storetest.Request(pool, 1)))
}

// TestForgetMany: there are more pools than are looked at once, and one of them has more
// keys than that.
func TestForgetMany(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	s.timings.Forget, s.timings.Sweep = time.Microsecond, time.Nanosecond
	var puts []clientv3.Op
	put := func(key string, v any) {
		puts = append(puts, clientv3.OpPut(s.dir+key, encode(v)))
		if len(puts) == mostOps {
			if _, err := s.client.Txn(soon(t)).Then(puts...).Commit(); err != nil {
				t.Fatal(err)
			}
			puts = nil
		}
	}
	for i := range someKeys + 100 {
		put(fmt.Sprintf("a-%04d/grants", i), lease.Starts{Last: 1, LastUse: 1})
		put(fmt.Sprintf("a-%04d/report", i), lease.Report{Why: "x"})
		put(fmt.Sprintf("large/keys/%d", i), "theirs")
		put(fmt.Sprintf("z-%04d/grants", i), lease.Starts{})
	}
	kept := func() int64 {
		resp, err := s.client.Get(soon(t), s.dir, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return resp.Count
	}
	eventually(t, "all have gone", func() bool {
		use(t, s, "z-other")
		return kept() <= someKeys+100+1
	})
	if n := len(left(t, s, "large")); n != someKeys+100 {
		t.Errorf("%d keys are left of a pool that is in use", n)
	}
}

// TestForgetHalfRead: of a pool whose other keys are still to be read nothing is known.
func TestForgetHalfRead(t *testing.T) {
	s := &Store{dir: "d/", timings: Timings{Forget: time.Hour}}
	var keys []*mvccpb.KeyValue
	for _, k := range []string{"d/a/grants", "d/b/own", "d/c/grants", "d/c/report"} {
		keys = append(keys, &mvccpb.KeyValue{Key: []byte(k), Value: []byte("{}")})
	}
	for more, want := range map[bool]string{true: "[{a d/a/}] d/c/grants", false: "[{a d/a/} {c d/c/}] "} {
		pools, next := s.idle(keys, more)
		if got := fmt.Sprint(pools, " ", next); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestForgetOnceInAWhile: a release looks for such pools only when it is time.
func TestForgetOnceInAWhile(t *testing.T) {
	s := open(t, "", engine.Etcd(t))
	s.timings.Forget, s.timings.Sweep = time.Microsecond, time.Hour
	use(t, s, "other")
	use(t, s, "idle")
	for range 3 {
		use(t, s, "other")
	}
	if len(left(t, s, "idle")) == 0 {
		t.Error("looked twice in an hour")
	}
	s.swept.Store(&record[sweepRecord]{}) // as it was read before another sweep
	if s.sweep(); len(left(t, s, "idle")) == 0 {
		t.Error("two have looked at once")
	}
	for _, at := range []clock.Instant{s.Clock().Add(-time.Hour), s.Clock().Add(2 * time.Hour)} {
		use(t, s, "idle")
		if _, err := s.client.Put(soon(t), s.sweptKey(), encode(sweepRecord{At: at})); err != nil {
			t.Fatal(err)
		}
		use(t, s, "other")
		if keys := left(t, s, "idle"); len(keys) > 0 {
			t.Errorf("%v are left", keys)
		}
	}
}

// TestUsedWhileForgotten: a process that uses a pool after the sweep has read it keeps the
// pool; and one that has read a pool that then goes reads it again.
func TestUsedWhileForgotten(t *testing.T) {
	server := engine.Etcd(t)
	for what, change := range map[string]func(*Store) lease.Holding{
		"held": func(s *Store) lease.Holding { return mustTry(t, s, storetest.Request("p", 1)) },
		"in": func(s *Store) lease.Holding {
			_, err := s.Line(soon(t), storetest.Request("p", 1))
			return none(t, err)
		},
		"set":   func(s *Store) lease.Holding { mustSet(t, s, "p", 3); return nil },
		"used":  func(s *Store) lease.Holding { use(t, s, "p"); return nil },
		"alone": nil,
	} {
		s, other := open(t, "/"+what, server), open(t, "/"+what, server)
		s.timings.Forget = time.Microsecond
		use(t, other, "p")
		var h lease.Holding
		k := &hooked{s.kv, func() {
			if change != nil {
				h = change(other)
			}
		}, func() error { return nil }}
		s.kv = k
		resp, err := s.client.Get(soon(t), s.sweptKey())
		if err != nil {
			t.Fatal(err)
		}
		last := record[sweepRecord]{KeyValue: only(resp.Kvs)}
		s.swept.Store(&last)
		s.sweep()
		if there := len(left(t, s, "p")) > 0; there != (change != nil) {
			t.Errorf("%s: it is there: %v", what, there)
		}
		s.kv = k.KV
		if h != nil {
			if g, v, err := s.TryAcquire(soon(t), storetest.Request("p", 1)); g != nil || err != nil || v.Reason != lease.Full {
				t.Errorf("%s: %v, %+v, %v; want it full", what, g, v, err)
			}
		}
	}

	s, other := open(t, "/granted", server), open(t, "/granted", server)
	other.timings.Forget, other.timings.Sweep = time.Microsecond, time.Nanosecond
	use(t, s, "p")
	gone, kv := false, s.kv
	s.kv = &hooked{kv, func() {
		if !gone {
			use(t, other, "q")
			gone = len(left(t, s, "p")) == 0
		}
	}, func() error { return nil }}
	h := mustTry(t, s, storetest.Request("p", 1))
	s.kv = kv
	if !gone {
		t.Error("it was not forgotten in between")
	}
	if g, v, err := other.TryAcquire(soon(t), storetest.Request("p", 1)); g != nil || err != nil || v.Reason != lease.Full {
		t.Errorf("%v, %+v, %v; want it full", g, v, err)
	}
	mustRelease(t, h)
}

func none(t *testing.T, err error) lease.Holding {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return nil
}

func mustSet(t *testing.T, s *Store, pool string, limit int) {
	t.Helper()
	err := s.Set(soon(t), pool, func(own lease.Settings, err error) (lease.Settings, error) {
		own.Limit = &limit
		return own, err
	})
	if err != nil {
		t.Fatal(err)
	}
}
