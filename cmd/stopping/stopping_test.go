package stopping

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"testing"
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
