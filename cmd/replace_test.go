package cmd

import (
	"testing"

	"berth/lease"
)

func TestToReplace(t *testing.T) {
	holder := func(id, job string, token uint64) lease.Entry {
		return lease.Entry{Lease: &lease.Lease{Request: lease.Request{ID: id, Job: job}, Token: token, State: lease.Running}}
	}
	damaged := holder("p/0", "", 1)
	damaged.Lease.State = lease.Damaged
	pool := &lease.Pool{Holders: []lease.Entry{damaged, holder("p/d", "x", 9), holder("p/a", "", 3), holder("p/b", "x", 5), holder("p/c", "y", 4)}}
	for _, c := range []struct {
		name   string
		q      lease.Request
		around []string
		want   string
	}{
		{"the oldest", lease.Request{}, nil, "p/a"},
		{"the oldest of its job", lease.Request{Job: "x"}, nil, "p/b"},
		{"of the pool when none is of its job", lease.Request{Job: "z"}, nil, "p/a"},
		{"none that it runs inside", lease.Request{Job: "x"}, []string{"p/b", "p/a"}, "p/d"},
		{"none that it holds itself", lease.Request{Together: []string{"p/a", "p/z"}}, nil, "p/c"},
		{"none that it says it is inside", lease.Request{Inside: []string{"p/a"}}, nil, "p/c"},
		{"nothing is left", lease.Request{}, []string{"p/a", "p/b", "p/c", "p/d"}, ""},
	} {
		got := ""
		if l := toReplace(pool, c.q, c.around); l != nil {
			got = l.ID
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
