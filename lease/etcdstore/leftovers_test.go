package etcdstore

import (
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// leases are those that etcd has.
func leases(t *testing.T, s *Store) (ids []clientv3.LeaseID) {
	t.Helper()
	resp, err := s.client.Leases(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range resp.Leases {
		ids = append(ids, l.ID)
	}
	return ids
}

// TestNoLeasesLeft: each end in good order revokes the etcd leases that it had asked for.
// They stayed until their TTL was over, one or two for each job.
func TestNoLeasesLeft(t *testing.T) {
	server := engine.Etcd(t)
	keyed := func() lease.Request {
		r := request(1, time.Minute)
		r.Key, r.Grace = "k", time.Minute
		return r
	}
	full := func(t *testing.T, s *Store) lease.Holding { return mustTry(t, s, request(1, time.Minute)) }
	for what, end := range map[string]func(*testing.T, *Store){
		"released": func(t *testing.T, s *Store) { mustRelease(t, full(t, s)) },
		"unused": func(t *testing.T, s *Store) {
			if err := full(t, s).Unused(soon(t)); err != nil {
				t.Error(err)
			}
		},
		"refused": func(t *testing.T, s *Store) {
			h := full(t, s)
			for range 2 {
				if h, v, err := s.TryAcquire(soon(t), request(1, time.Minute)); h != nil || err != nil {
					t.Errorf("%v, %+v, %v; want it full", h, v, err)
				}
			}
			mustRelease(t, h)
		},
		"handed over": func(t *testing.T, s *Store) {
			h := full(t, s)
			p := mustLine(t, s, keyed())
			mustRelease(t, h)
			mustRelease(t, mustGet(t, wait(t, p)))
		},
		"left": func(t *testing.T, s *Store) {
			h := full(t, s)
			if err := mustLine(t, s, request(1, time.Minute)).Leave(soon(t)); err != nil {
				t.Error(err)
			}
			mustRelease(t, h)
		},
		"left its slots": func(t *testing.T, s *Store) {
			h := full(t, s)
			p := mustLine(t, s, request(1, time.Minute))
			mustRelease(t, h)
			if err := p.Leave(soon(t)); err != nil {
				t.Error(err)
			}
		},
		"was aside": func(t *testing.T, s *Store) {
			h := full(t, s)
			p := mustLine(t, s, keyed())
			if err := p.StepAside(soon(t)); err != nil {
				t.Error(err)
			}
			if err := p.Return(soon(t)); err != nil {
				t.Error(err)
			}
			mustRelease(t, h)
			mustRelease(t, mustGet(t, wait(t, p)))
		},
		"of another length": func(t *testing.T, s *Store) {
			h := full(t, s)
			if _, err := h.Renew(soon(t), time.Hour); err != nil {
				t.Error(err)
			}
			mustRelease(t, h)
		},
	} {
		t.Run(what, func(t *testing.T) {
			watcher := open(t, "", server)
			before := leases(t, watcher)
			s := open(t, "/"+t.Name(), server)
			for range 5 {
				end(t, s)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			var stay []clientv3.LeaseID
			for _, id := range leases(t, watcher) {
				if !slices.Contains(before, id) {
					stay = append(stay, id)
				}
			}
			if len(stay) > 0 {
				t.Errorf("%d etcd leases are left", len(stay))
			}
		})
	}

	t.Run("kept place", func(t *testing.T) {
		watcher, s := open(t, "", server), open(t, "/"+t.Name(), server)
		before := len(leases(t, watcher))
		h := full(t, s)
		if err := mustLine(t, s, keyed()).Leave(soon(t)); err != nil {
			t.Error(err)
		}
		mustRelease(t, h)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(leases(t, watcher)) - before; n != 1 {
			t.Errorf("%d etcd leases more, want the one that keeps the place", n)
		}
	})
}
