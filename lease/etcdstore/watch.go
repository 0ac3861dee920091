package etcdstore

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// watches wake a waiter. Each waiter watches its own record, for a grant or a message,
// and the ticket just before its own. Only the head of the line watches the pool. So a
// hand-over wakes the waiter that gets the slots, by an event that carries its lease, and
// the one behind it.
type watches struct {
	own    *watch
	ahead  *watch             // the ticket before ours; nil: we are the head
	freed  *watch             // as the head: holders that go
	set    *watch             // as the head: the settings
	before string             // the key of the ticket before ours, by the last read
	on     string             // the key that is watched
	role   context.CancelFunc // ends all watches but own
	cut    bool               // a watch ended by itself
}

// watch is a watch of etcd. It is opened in the background, because the client takes as
// long as it needs, also when no member can be reached.
type watch struct {
	responses chan clientv3.WatchResponse
	ready     chan struct{} // closed once it misses nothing, or has ended
}

func (s *Store) watch(ctx context.Context, key string, how ...clientv3.OpOption) *watch {
	w := &watch{make(chan clientv3.WatchResponse, 1), make(chan struct{})}
	go func() {
		defer close(w.responses)
		begun := sync.OnceFunc(func() { close(w.ready) })
		defer begun()
		for r := range s.client.Watch(ctx, key, append(how, clientv3.WithCreatedNotify())...) {
			begun()
			select {
			case w.responses <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

// waitReady waits until the watch misses nothing.
func (w *watch) waitReady(ctx context.Context) error {
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// events delivers events; a nil watch delivers none.
func (w *watch) events() <-chan clientv3.WatchResponse {
	if w == nil {
		return nil
	}
	return w.responses
}

// watchOwn watches what others do to our request. It opens before there is a ticket, so
// it misses nothing.
func (t *place) watchOwn(from int64) *watch {
	return t.s.watch(t.ctx, t.pool.holder(t.ticket.ID), clientv3.WithPrefix(), clientv3.WithFilterDelete(), clientv3.WithRev(from))
}

// poolItself stands for the key that the head of the line watches.
const poolItself = "-"

// keepWatch opens the watches that the last read calls for, from the revision after it.
// etcd serves a watch that begins in the past up to 100 ms late; this one does so only if
// something has happened since.
func (t *place) keepWatch() {
	if t.own == nil {
		t.own = t.watchOwn(t.rev + 1)
	}
	want := t.before
	if want == "" {
		want = poolItself
	}
	if t.on == want {
		return
	}
	t.unwatch()
	ctx, cancel := context.WithCancel(t.ctx)
	t.on, t.role = want, cancel
	from := clientv3.WithRev(t.rev + 1)
	if want == poolItself {
		t.freed = t.s.watch(ctx, t.pool.holders(), clientv3.WithPrefix(), clientv3.WithFilterPut(), from)
		t.set = t.s.watch(ctx, t.pool.ownKey(), from)
		return
	}
	t.ahead = t.s.watch(ctx, want, clientv3.WithFilterPut(), from)
}

func (t *place) unwatch() {
	if t.role != nil {
		t.role()
	}
	t.on, t.role, t.ahead, t.freed, t.set = "", nil, nil, nil, nil
}

// rewatchAfter keeps a waiter whose watches fail at once from reading all the time.
const rewatchAfter = 200 * time.Millisecond

// Wait implements lease.Place.
func (t *place) Wait(ctx context.Context) error {
	if t.granted != nil || !t.wasRead || t.attached.due() {
		return nil
	}
	wait := min(t.attached.idleFor(), t.s.timings.Recheck)
	if t.after > 0 {
		wait = min(wait, t.after)
	}
	if t.cut {
		t.cut, wait = false, min(wait, rewatchAfter)
	}
	if !t.aside {
		t.keepWatch()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return nil
		case r, ok := <-t.own.events():
			if t.ownChanged(r, ok) {
				return nil
			}
		case r, ok := <-t.ahead.events():
			if t.changed(r, ok) {
				return nil
			}
		case r, ok := <-t.freed.events():
			if t.changed(r, ok) {
				return nil
			}
		case r, ok := <-t.set.events():
			if t.changed(r, ok) {
				return nil
			}
		}
	}
}

// changed reports whether the last read missed something. After a watch that was cut off,
// or whose past was compacted away, the pool is read and watched again.
func (t *place) changed(r clientv3.WatchResponse, ok bool) bool {
	if !ok || r.Err() != nil {
		t.cut = true
		t.unwatch()
		return true
	}
	return len(r.Events) > 0 && r.Header.Revision > t.rev
}

// ownChanged reports whether another process changed our own request.
func (t *place) ownChanged(r clientv3.WatchResponse, ok bool) bool {
	if !ok || r.Err() != nil {
		t.cut, t.own = true, nil
		return true
	}
	for _, e := range r.Events {
		switch string(e.Kv.Key) {
		case t.pool.leaseKey(t.ticket.ID):
			t.noteGrant(e.Kv)
		case t.pool.toldKey(t.ticket.ID, lease.MessageStop), t.pool.toldKey(t.ticket.ID, lease.MessageSupersede):
			t.noteStop(e.Kv)
		}
	}
	return len(r.Events) > 0
}

// drain takes the events that have arrived.
func (t *place) drain() {
	for {
		select {
		case r, ok := <-t.own.events():
			t.ownChanged(r, ok)
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// noteGrant takes the slots from the event of a grant, so that no read is needed.
func (t *place) noteGrant(kv *mvccpb.KeyValue) {
	had, err := decodeLease(kv)
	if err == nil && clientv3.LeaseID(kv.Lease) == t.attached.id {
		t.granted = &holding{s: t.s, pool: t.pool, lease: had.value, on: t.attached}
	}
}

func (t *place) noteStop(kv *mvccpb.KeyValue) {
	if s, err := decode[lease.Stop](kv); err == nil && s.exists() {
		t.stop = &s.value
	}
}
