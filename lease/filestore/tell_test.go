//go:build unix

package filestore

import (
	"fmt"
	"os"
	"testing"

	"berth/lease"
)

// TestKindOfMessageOfANewerBerth: what it was told is passed over. It does not damage the
// record, and what is known is still told.
func TestKindOfMessageOfANewerBerth(t *testing.T) {
	s := newStore(t)
	h := takeSlot(t, s, request(1, 1))
	w, err := s.Line(t.Context(), request(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	stop := lease.Message{Kind: lease.MessageStop, Stop: lease.Stop{Reason: "enough"}}
	for id, path := range map[string]string{
		h.Lease().ID:  s.path("p", slots, "0"),
		w.Ticket().ID: s.path("p", line, w.(*place).name),
	} {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(`{"told":{"kind":"dance","steps":[1,2]}}` + "\n"); err != nil {
			t.Fatal(err)
		}
		if in, err := h.Renew(t.Context(), 0); err != nil || in.Stop != nil {
			t.Errorf("%+v, %v; want nothing told", in, err)
		}
		if _, v, err := w.TryAcquire(t.Context(), lease.Clearance{}); err != nil || v.Reason != lease.Full {
			t.Errorf("%+v, %v; want it to wait", v, err)
		}
		pools, err := s.List(t.Context(), "p")
		if err != nil || len(pools[0].Holders) != 1 || len(pools[0].Waiters) != 1 || pools[0].Holders[0].Lease.State == lease.Damaged {
			t.Errorf("%+v, %v; want one holder and one waiter", pools, err)
		}
		if _, err := s.Tell(t.Context(), id, lease.Message{Kind: "dance"}); err == nil {
			t.Error("it is told what nobody here knows")
		}
	}
	if _, err := s.Tell(t.Context(), h.Lease().ID, stop); err != nil {
		t.Error(err)
	}
	if in, err := h.Renew(t.Context(), 0); err != nil || in.Stop == nil || in.Stop.Reason != "enough" {
		t.Errorf("%+v, %v; want the stop", in, err)
	}
	giveBack(t, h)
	next, _, err := w.TryAcquire(t.Context(), lease.Clearance{})
	if next == nil || err != nil {
		t.Fatalf("%v, %v; want the slot", next, err)
	}
	giveBack(t, next)
}

// TestTellAHeavyJob: it reads what it was told in the first of its slots, whichever its
// record was found in.
func TestTellAHeavyJob(t *testing.T) {
	s := newStore(t)
	h := takeSlot(t, s, request(3, 3))
	for slot := range 3 {
		s.opts.SlotOf = func(string) (int, bool) { return slot, true }
		reason := fmt.Sprint("found in ", slot)
		for _, m := range []lease.Message{{Kind: lease.MessageStop, Stop: lease.Stop{Reason: reason}}, {Kind: lease.MessageKeepalive}} {
			if _, err := s.Tell(t.Context(), h.lease.ID, m); err != nil {
				t.Fatal(err)
			}
		}
		if in, err := h.Renew(t.Context(), 0); err != nil || in.Stop == nil || in.Stop.Reason != reason || in.Keepalive == 0 {
			t.Errorf("slot %d: %+v, %v; want it told", slot, in, err)
		}
	}
	giveBack(t, h)
}

// TestMoreTicketsThanCounted: after a hand has put a ticket into the line, its removal must not
// make the count negative, which no index can say.
func TestMoreTicketsThanCounted(t *testing.T) {
	s := newStore(t)
	p, err := s.pool("p", true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	err = p.locked(t.Context(), func(ix *index) error {
		return p.drop(match{pool: p, ix: ix, location: location{line, ticketName(0, 1, "")}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadIndex(p.file); err != nil {
		t.Error(err)
	}
}
