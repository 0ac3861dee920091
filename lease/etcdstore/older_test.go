package etcdstore

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/storetest/engine"
)

// TestRecordOfAdopted: an older berth knows neither the adoption nor its child. It has to
// find a reserved lease, whose slots it counts.
func TestRecordOfAdopted(t *testing.T) {
	t.Parallel()
	s := open(t, "", engine.Etcd(t))
	h := mustTry(t, s, keptRequest(time.Minute)).(*holding)
	a := mustAdopt(t, s, h, someone)
	if err := a.Running(soon(t), child); err != nil {
		t.Fatal(err)
	}
	mustRenew(t, h, time.Hour)
	mustRenew(t, a, 2*time.Hour)
	resp, err := s.client.Get(soon(t), h.pool.leaseKey(h.Lease().ID))
	if err != nil {
		t.Fatal(err)
	}
	had, err := decodeLease(only(resp.Kvs))
	if l := had.value; err != nil || l.State != lease.Reserved || l.Child != nil || l.Adopter != nil || l.Token != h.Lease().Token {
		t.Errorf("the record is %s, %v", resp.Kvs, err)
	}
	mustRelease(t, a)
	mustRelease(t, h)
}

// TestGrantedByOlder: an older berth that grants a lease to a waiter leaves out what it does
// not know of.
func TestGrantedByOlder(t *testing.T) {
	t.Parallel()
	s := open(t, "", engine.Etcd(t))
	one := 1
	own := lease.Settings{Limit: &one, Names: []string{"cuda0"}}
	if err := s.Set(soon(t), "p", func(lease.Settings, error) (lease.Settings, error) { return own, nil }); err != nil {
		t.Fatal(err)
	}
	h := mustTry(t, s, request(1, time.Minute))
	r := keptRequest(time.Minute)
	r.Job, r.Tied = "nightly", &child
	p := mustLine(t, s, r)
	// What it reads of the waiter and of the settings:
	r.Kept, r.Job, r.Tied, own.Names = false, "", nil, nil
	ticket := p.ticket
	ticket.Request = r
	for key, value := range map[string]any{
		p.pool.lineKey(ticket): waiting{Ticket: ticket, Grantable: true},
		p.pool.ownKey():        own,
	} {
		if _, err := s.client.Put(soon(t), key, encode(value), clientv3.WithIgnoreLease()); err != nil {
			t.Fatal(err)
		}
	}
	mustRelease(t, h)
	got := mustGet(t, wait(t, p))
	if l := got.Lease(); !l.Kept || l.Job != "nightly" || l.Tied == nil || len(l.SlotNames) != 1 {
		t.Errorf("it has %+v", l)
	}
	a := mustAdopt(t, s, got, someone)
	if l := a.Lease(); !l.Kept || l.Job != "nightly" || l.SlotNames[0] != "cuda0" {
		t.Errorf("adopted %+v", l)
	}
	mustRelease(t, a)
	mustRelease(t, got)
}
