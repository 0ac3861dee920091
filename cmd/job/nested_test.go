package job

import (
	"errors"
	"testing"

	"berth/lease"
	"berth/procwatch"
)

// TestNest: what a request does inside a job of its own pool that has two slots.
func TestNest(t *testing.T) {
	own := func(n int) *int { return &n }
	for _, c := range []struct {
		how     string
		request lease.Request
		own     *int
		want    string
	}{
		{"reuse", lease.Request{Weight: 2}, nil, "reuse"},
		{"reuse", lease.Request{Weight: 3}, nil, "but has only 2 slots, not --weight 3"},
		{"reuse", lease.Request{Weight: 1, IdleTimeout: 1}, nil, "and 'berth keepalive' would reset its idle clock, not that of --idle-timeout here"},
		{"take", lease.Request{Weight: 1, Limit: 3, IdleTimeout: 1}, nil, "take"},
		{"take", lease.Request{Weight: 2, Limit: 3}, nil, "and would wait for it: 2 more is over the limit of 3"},
		{"take", lease.Request{Weight: 1, Limit: 9}, own(2), "and would wait for it: 1 more is over the limit of 2"},
		{"fail", lease.Request{Weight: 1, Limit: 9}, nil, "and --nested=fail was given"},
	} {
		outer := &lease.Lease{Request: lease.Request{ID: "p-1"}, Slots: []int{0, 1}, RequestedLimit: 4}
		l, err := Nest(c.request, c.how, outer, c.own)
		got := "take"
		var nested *NestedError
		switch {
		case errors.As(err, &nested):
			got = nested.Why
		case l == outer:
			got = "reuse"
		}
		if got != c.want {
			t.Errorf("%s, weight %d: got %s, want %s", c.how, c.request.Weight, got, c.want)
		}
	}
}

// TestInsideAnAdoptedLease: until the command is recorded, the process that has adopted a lease
// shows that we run inside it, and its keeper does not.
func TestInsideAnAdoptedLease(t *testing.T) {
	t.Setenv("BERTH_LEASE", "p/1")
	keeper, adopter := procwatch.ID{PID: 1 << 28, Start: 1}, procwatch.ID{PID: 1 << 28, Start: 2}
	by := lease.Process(adopter)
	l := &lease.Lease{Request: lease.Request{ID: "p/1", Kept: true, Owner: lease.Process(keeper)}, Adopter: &by}
	if !isAround(l, []procwatch.ID{adopter}) {
		t.Error("a command of its adopter is not inside")
	}
	if isAround(l, []procwatch.ID{keeper}) {
		t.Error("a command of its keeper is inside")
	}
}
