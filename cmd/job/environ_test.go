package job

import (
	"slices"
	"testing"
	"time"

	"berth/lease"
)

// TestEnviron: what a command finds of its own lease, of one around it, and of its caller.
func TestEnviron(t *testing.T) {
	l := []lease.Lease{{Request: lease.Request{ID: "p-1", Pool: "p"}, Slots: []int{2, 3}, Token: 7, InForce: 4}}
	named := l[0]
	named.SlotNames = []string{"c", "d"}
	adopted := l[0]
	adopted.Adopter = &lease.Process{PID: 8, Start: 9}
	own := []string{"BERTH_LEASE=p-1", "BERTH_LEASES=p-1", "BERTH_LIMIT=4", "BERTH_POOL=p", "BERTH_SLOT=2", "BERTH_SLOTS=2,3", "BERTH_STORE=/s", "BERTH_TOKEN=7"}
	for _, c := range []struct {
		name    string
		callers []string
		l       []lease.Lease
		told    Told
		want    []string
	}{
		{"a lease", []string{"A=1", "A=2", ""}, l, Told{Store: "/s"}, append([]string{"A=1", "A=2", ""}, own...)},
		{"several leases", nil, append(l, lease.Lease{Request: lease.Request{ID: "a-2", Pool: "a"}, Slots: []int{9}}), Told{Store: "/s"}, slices.Replace(slices.Clone(own), 1, 2, "BERTH_LEASES=p-1 a-2")},
		{"no lease", []string{"A=1", "BERTH_POOL=mine"}, nil, Told{Store: "/s"}, []string{"A=1", "BERTH_POOL=mine"}},
		{"a store of an owner", nil, l, Told{Store: "/s", StoreOwner: "root"}, slices.Insert(slices.Clone(own), 7, "BERTH_STORE_OWNER=root")},
		{"slots under another name", []string{"GPU=all"}, l, Told{Store: "/s", SlotEnv: []string{"GPU"}}, append(slices.Clone(own), "GPU=2,3")},
		{"slots with names", nil, []lease.Lease{named}, Told{Store: "/s", SlotEnv: []string{"GPU", "G"}}, append(slices.Insert(slices.Clone(own), 6, "BERTH_SLOT_NAME=c", "BERTH_SLOT_NAMES=c,d"), "G=c,d", "GPU=c,d")},
		{"slots of a job around it", []string{"GPU=all"}, nil, Told{SlotEnv: []string{"GPU"}, Outer: &named}, []string{"GPU=c,d"}},
		{"an adopted lease", []string{"BERTH_LEASE=o-1", "BERTH_ADOPTER=1.2"}, []lease.Lease{adopted}, Told{Store: "/s"}, append([]string{"BERTH_ADOPTER=8.9"}, own...)},
		{"a lease inside an adopted one", []string{"BERTH_LEASE=o-1", "BERTH_ADOPTER=1.2"}, l, Told{Store: "/s"}, own},
		{"no slots", []string{"GPU=all"}, nil, Told{SlotEnv: []string{"GPU"}}, []string{"GPU=all"}},
		{"labels and a deadline", []string{"BERTH_LABEL_a=0"}, nil, Told{Labels: map[string]string{"a": "1"}, Deadline: time.Unix(9, 0)}, []string{"BERTH_DEADLINE=9", "BERTH_LABEL_a=1"}},
		{"the caller's own", []string{"BERTH_LABEL_x=1", "BERTH_DEADLINE=1"}, l, Told{Store: "/s"}, append([]string{"BERTH_LABEL_x=1", "BERTH_DEADLINE=1"}, own...)},
		{"those of a job around it", []string{"BERTH_LEASE=o-1", "BERTH_LEASES=o-1 q-2", "BERTH_LABEL_x=1", "BERTH_DEADLINE=1"}, l, Told{Store: "/s"}, own},
		{"in the slot of a job around it", []string{"BERTH_LEASE=p-0", "BERTH_LABEL_x=1"}, nil, Told{}, []string{"BERTH_LEASE=p-0", "BERTH_LABEL_x=1"}},
	} {
		if got := Environ(c.callers, c.l, c.told); !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
}

// TestExtends: a block is trusted only when it is ours, and of now.
func TestExtends(t *testing.T) {
	known := []string{"A=1", "B=2", "X"}
	for _, c := range []struct {
		raw  []string
		want bool
	}{
		{[]string{"A=1", "B=2", "X"}, true},
		{[]string{"", "A=1", "A=2", "B=2", "", "B=2", "X", ""}, true},
		{[]string{"A=1", "B=2"}, false},
		{[]string{"A=1", "B=2", "X", "Y"}, false},
		{[]string{"A=1", "B=3", "X"}, false},
		{[]string{"A=2", "A=1", "B=2", "X"}, false},
		{[]string{"C=3", "A=1", "B=2", "X"}, false},
		{nil, false},
	} {
		if got := extends(c.raw, known); got != c.want {
			t.Errorf("%q extends %v: %v", c.raw, known, got)
		}
	}
}
