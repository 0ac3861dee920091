package stopping

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
	"berth/procwatch"
)

// deafStore has holders that do not listen, until it was looked at so often.
type deafStore struct {
	lease.Store
	holders []lease.Entry
	looks   int
}

func (s *deafStore) List(context.Context, ...string) ([]lease.Pool, error) {
	if s.looks--; s.looks < 0 {
		return []lease.Pool{{Name: "p"}}, nil
	}
	return []lease.Pool{{Name: "p", Holders: s.holders}}, nil
}

// Each of forty jobs that were stopped had the whole pool listed for itself, ten
// times a second: that took a core.
func TestOneLookForAll(t *testing.T) {
	deaf := &deafStore{looks: 5}
	for i := range 40 {
		id := fmt.Sprintf("p/%012x", i)
		deaf.holders = append(deaf.holders, lease.Entry{Lease: &lease.Lease{
			State: lease.Running, Slots: []int{i}, Request: lease.Request{ID: id, Pool: "p", Heartbeat: time.Second},
		}})
	}
	st := Store{Store: deaf, Mark: func(id string) string { return id }}
	if errs := Enforce(st, deaf.holders, lease.Stop{}); len(errs) > 0 {
		t.Error(errs)
	}
	if deaf.looks != -1 {
		t.Errorf("%d looks too many", -1-deaf.looks)
	}
}

// A process that waits in the kernel does not die of KILL, and 'berth stop' of its job
// waited for it for ever.
func TestKillThatEndsNobody(t *testing.T) {
	self, err := procwatch.Self()
	if err != nil {
		t.Fatal(err)
	}
	c := &ending{id: "p/000000000000", done: make(chan error), tree: []procwatch.ID{self}, killed: time.Now().Add(time.Hour)}
	e := &lease.Entry{Lease: &lease.Lease{State: lease.Orphaned}}
	st := Store{}
	if over, err := follow(st, c, e, lease.Stop{}); over || err != nil {
		t.Errorf("over %v, %v, before KILL has had its time", over, err)
	}
	c.killed = time.Now().Add(-time.Second)
	over, err := follow(st, c, e, lease.Stop{})
	want := regexp.MustCompile(fmt.Sprintf(`^job p/000000000000: KILL does not end pid %d( \(state [A-Z]\))?$`, os.Getpid()))
	if !over || err == nil || !want.MatchString(err.Error()) {
		t.Errorf("over %v, %v; want it to name pid and state", over, err)
	}
}

// A record of a directory said that its keeper writes a heartbeat once in thirty years, and 'berth
// release' waited for three of them.
func TestTimesOfARecordAreBounded(t *testing.T) {
	years := 30 * 365 * 24 * time.Hour
	forged := &lease.Lease{Request: lease.Request{TTL: years, Heartbeat: years}}
	usual := &lease.Lease{Request: lease.Request{TTL: 30 * time.Second, Heartbeat: 5 * time.Second}}
	negative := &lease.Lease{Request: lease.Request{TTL: -years, Heartbeat: -years}}
	for _, c := range []struct {
		l      *lease.Lease
		remote bool
		want   time.Duration
	}{
		{usual, false, 15 * time.Second}, {usual, true, 75 * time.Second},
		{forged, false, time.Minute}, {forged, true, time.Minute + 2*time.Hour},
		{negative, false, 0}, {negative, true, 0},
	} {
		if got := (Store{Remote: c.remote}).hearsWithin(c.l); got != c.want {
			t.Errorf("%v and %v on a server (%t): %v, want %v", c.l.Heartbeat, c.l.TTL, c.remote, got, c.want)
		}
	}
}

// TestGivenBack: a keeper that does not react is an error in the end, however long its record says
// that it may take, and one that something runs under may take its time.
func TestGivenBack(t *testing.T) {
	years := 30 * 365 * 24 * time.Hour
	for _, c := range []struct {
		name    string
		adopter *lease.Process
		looks   int
		errs    int
	}{
		{"it does not react", nil, 1 << 30, 1},
		{"it gives it back", nil, 3, 0},
		{"something runs under it for hours", &lease.Process{}, 9000, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &lease.Lease{State: lease.Reserved, Adopter: c.adopter, Request: lease.Request{
				ID: "p/000000000000", Pool: "p", Kept: true, Heartbeat: years, TTL: years, Owner: lease.Process{PIDNS: 1},
			}}
			deaf := &deafStore{looks: c.looks, holders: []lease.Entry{{Lease: l}}}
			st := Store{Store: deaf, Mark: func(id string) string { return id }}
			if errs := GivenBack(st, l, func(*lease.Lease) {}); len(errs) != c.errs {
				t.Errorf("%s: %v", c.name, errs)
			}
		})
	}
}
