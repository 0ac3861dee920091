package memstore

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"berth/lease"
)

type place struct {
	s      *Store
	p      *pool
	ticket lease.Ticket
	inbox  lease.Inbox
	aside  bool
	kept   bool          // its waiter is gone, and its key keeps the place
	seen   chan struct{} // p.changed at the last TryAcquire
	after  time.Duration // from then to when the pace lets it start
}

// entry describes a waiter; the caller has locked s.mu.
func (t *place) entry() lease.Entry {
	k := t.ticket
	return lease.Entry{Ticket: &k, HeartbeatAge: -1, Aside: t.aside}
}

func (t *place) Ticket() lease.Ticket { return t.ticket }

func (t *place) TryAcquire(_ context.Context, clearance lease.Clearance) (lease.Holding, lease.Verdict, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.seen, t.after = t.p.changed, 0
	if t.inbox.Stop != nil {
		return nil, lease.Verdict{}, &lease.StoppedError{Stop: *t.inbox.Stop}
	}
	if n := t.p.ahead(t.ticket.Priority, t.ticket.Seq); n > 0 {
		return nil, lease.Verdict{Reason: lease.Behind, Ahead: n}, nil
	}
	h, v := t.s.take(t.p, t.ticket.Request, 0, clearance)
	if h == nil {
		t.after = v.After
		return nil, v, nil
	}
	t.remove()
	return h, v, nil
}

func (t *place) remove() {
	t.p.line = slices.DeleteFunc(t.p.line, func(o *place) bool { return o == t })
	t.p.wake()
}

func (t *place) Wait(ctx context.Context) error {
	if t.seen == nil {
		return nil
	}
	var paced <-chan time.Time
	if t.after > 0 {
		paced = time.After(t.after)
	}
	select {
	case <-t.seen:
		return nil
	case <-paced:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *place) Report(_ context.Context, why string, data json.RawMessage) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.p.report = &lease.Report{By: t.ticket.ID, Why: why, At: t.s.Clock(), Data: data}
	return nil
}

func (t *place) StepAside(context.Context) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.aside = true
	t.p.wake()
	return nil
}

func (t *place) Return(context.Context) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.aside = false
	t.p.wake()
	return nil
}

func (t *place) Leave(context.Context) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.ticket.Key != "" && t.inbox.Stop == nil {
		t.aside, t.kept = true, true
		t.p.wake()
		return nil
	}
	t.remove()
	return nil
}
