//go:build unix

package cmd

import (
	"context"
	"testing"

	"berth/cmd/open"
	"berth/cmd/storename"
	"berth/lease"
)

// TestSuccessor: of two waiters that supersede each other, the one that reads the line last
// ends one of them, and both mean the same one.
func TestSuccessor(t *testing.T) {
	ticket := func(id string, seq uint64) lease.Ticket {
		return lease.Ticket{Request: lease.Request{ID: id, Pool: "p", Job: "x", Supersedes: true}, Seq: seq}
	}
	self := ticket("p/b", 7)
	for name, c := range map[string]struct {
		other                lease.Ticket
		aside                bool
		sendsAway, succeeded bool
	}{
		"older":                          {other: ticket("p/c", 6), sendsAway: true},
		"newer":                          {other: ticket("p/a", 8), succeeded: true},
		"same moment, id before":         {other: ticket("p/a", 7), sendsAway: true},
		"same moment, id after":          {other: ticket("p/c", 7), succeeded: true},
		"itself":                         {other: self},
		"newer and supersedes none":      {other: func() lease.Ticket { w := ticket("p/c", 8); w.Supersedes = false; return w }()},
		"newer, of another job":          {other: func() lease.Ticket { w := ticket("p/c", 8); w.Job = "y"; return w }()},
		"newer, perhaps a kept place":    {other: ticket("p/c", 8), aside: true},
		"older, suspended or kept place": {other: ticket("p/a", 6), aside: true, sendsAway: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &lease.Pool{Waiters: []lease.Entry{{Ticket: &self}, {Ticket: &c.other, Aside: c.aside}}}
			if got := len(olderWaiters(p, self)) > 0; got != c.sendsAway {
				t.Errorf("sends it away: %v, want %v", got, c.sendsAway)
			}
			if got := successor(p, self).ID != ""; got != c.succeeded {
				t.Errorf("is superseded by it: %v, want %v", got, c.succeeded)
			}
		})
	}
}

// TestNewestSuccessor: the message names the one that stays.
func TestNewestSuccessor(t *testing.T) {
	p := &lease.Pool{}
	for id, seq := range map[string]uint64{"p/a": 2, "p/b": 9, "p/c": 9, "p/d": 3} {
		p.Waiters = append(p.Waiters, lease.Entry{Ticket: &lease.Ticket{Request: lease.Request{ID: id, Supersedes: true}, Seq: seq}})
	}
	if got := successor(p, lease.Ticket{Request: lease.Request{ID: "p/z"}, Seq: 1}).ID; got != "p/c" {
		t.Errorf("superseded by %q, want p/c", got)
	}
}

// silentStore is a server that answers no more.
type silentStore struct{ lease.Store }

func (silentStore) List(ctx context.Context, _ ...string) ([]lease.Pool, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// TestSupersedeEndsWithTheWait: a server that is gone once the place is had keeps nobody beyond
// --wait, or after Ctrl-C.
func TestSupersedeEndsWithTheWait(t *testing.T) {
	c := &claim{say: newSpeaker(false, false)}
	st, err := open.Open(storename.Spec{Where: t.TempDir()}, c.say.opening(true))
	if err != nil {
		t.Fatal(err)
	}
	st.Store, st.Remote = silentStore{st.Store}, true
	c.store = st
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.supersede(ctx, lease.Ticket{Request: lease.Request{ID: "p/a", Pool: "p"}})
}
