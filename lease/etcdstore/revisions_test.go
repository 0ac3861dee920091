package etcdstore

import (
	"math"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// TestRevisionsARun: etcd keeps every revision until it is compacted, so what a run
// writes is what the database grows by.
func TestRevisionsARun(t *testing.T) {
	const runs = 5
	revision := func(s *Store) int64 {
		t.Helper()
		resp, err := s.client.Get(soon(t), "none")
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header.Revision
	}
	server := engine.Etcd(t)
	for what, c := range map[string]struct {
		runs func(*Store)
		most int64
	}{
		"no waiter: a grant and a release": {func(s *Store) {
			for range runs {
				mustRelease(t, mustTry(t, s, request(1, time.Minute)))
			}
		}, 2 * runs},
		"a waiter: a place, and one step that releases and grants": {func(s *Store) {
			h := mustTry(t, s, request(1, time.Minute))
			for range runs {
				p := mustLine(t, s, request(1, time.Minute))
				mustRelease(t, h)
				h = mustGet(t, wait(t, p))
			}
			mustRelease(t, h)
		}, 2 + 2*runs},
		"a holder whose process is recorded: one more": {func(s *Store) {
			for range runs {
				h := mustTry(t, s, request(1, time.Minute))
				if err := h.Running(soon(t), lease.Process{PID: 1}); err != nil {
					t.Fatal(err)
				}
				s.recordChildren(soon(t))
				mustRelease(t, h)
			}
		}, 3 * runs},
		"what runs under a kept lease: its beginning, its process, and its end": {func(s *Store) {
			h := mustTry(t, s, keptRequest(time.Minute))
			for range runs {
				a := mustAdopt(t, s, h, someone)
				if err := a.Running(soon(t), child); err != nil {
					t.Fatal(err)
				}
				mustRenew(t, a, 0)
				mustRenew(t, h, 0)
				mustRelease(t, a)
			}
			mustRelease(t, h)
		}, 2 + 3*runs},
	} {
		s := open(t, "/"+what, server)
		s.timings.Sweep = math.MaxInt64 // a look for idle pools writes, too
		before := revision(s)
		c.runs(s)
		if n := revision(s) - before; n > c.most {
			t.Errorf("%s: %d runs write %d revisions, want %d", what, runs, n, c.most)
		}
	}
}
