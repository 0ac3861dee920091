package cmd

import (
	"context"
	"fmt"
	"testing"
	"time"

	"berth/lease"
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
	st := &store{still: &still{Store: deaf}}
	if errs := st.enforce(deaf.holders, lease.Stop{}); len(errs) > 0 {
		t.Error(errs)
	}
	if deaf.looks != -1 {
		t.Errorf("%d looks too many", -1-deaf.looks)
	}
}
