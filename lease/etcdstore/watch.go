package etcdstore

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// watches are what a waiter is woken by. Each waits for its own record to be granted
// or stopped, and for whoever stands just before it; only who has nobody before it
// watches the pool. So a hand-over wakes who gets the slots, by an event that has
// the lease in it, and the one behind.
type watches struct {
	own    *watch
	ahead  *watch             // the one before us; nil: we are the first
	freed  *watch             // as the first: the holders that go
	set    *watch             // and the settings
	before string             // the key of who is before us, by the last look
	on     string             // and the one that is watched
	role   context.CancelFunc // ends all but own
	cut    bool               // a watch ended by itself
}

// watch is one of etcd's, opened beside what else there is to do: the client opens
// it for as long as it takes, also when nobody can be reached.
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

// waitReady waits until it is.
func (w *watch) waitReady(ctx context.Context) error {
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// events is the channel of what comes; of no watch nothing does.
func (w *watch) events() <-chan clientv3.WatchResponse {
	if w == nil {
		return nil
	}
	return w.responses
}

// watchOwn watches what others do to our own request. It is opened before there is a
// ticket, so it misses nothing.
func (t *place) watchOwn(from int64) *watch {
	return t.s.watch(t.ctx, t.pool.holder(t.ticket.ID), clientv3.WithPrefix(), clientv3.WithFilterDelete(), clientv3.WithRev(from))
}

// poolItself is what the poolItself in line watches instead of another's ticket.
const poolItself = "-"

// keepWatch opens what the last look has us watch, from just after it. A watch that
// begins in the past is served up to 100 ms late by etcd; this one is so only if
// something happened in between.
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

// rewatchAfter keeps one whose watches fail at once from looking all the time.
const rewatchAfter = 200 * time.Millisecond

// Wait implements lease.Place.
func (t *place) Wait(ctx context.Context) error {
	if t.granted != nil || t.life.due() {
		return nil
	}
	wait := min(t.life.idleFor(), t.s.timings.Recheck)
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

// changed reports whether there is something that the last look did not see. A watch
// that was cut off, or whose past is compacted away, is changed: look, and open it anew.
func (t *place) changed(r clientv3.WatchResponse, ok bool) bool {
	if !ok || r.Err() != nil {
		t.cut = true
		t.unwatch()
		return true
	}
	return len(r.Events) > 0 && r.Header.Revision > t.rev
}

// ownChanged reports whether somebody did something to our own request.
func (t *place) ownChanged(r clientv3.WatchResponse, ok bool) bool {
	if !ok || r.Err() != nil {
		t.cut, t.own = true, nil
		return true
	}
	for _, e := range r.Events {
		switch string(e.Kv.Key) {
		case t.pool.leaseKey(t.ticket.ID):
			t.noteGrant(e.Kv)
		case t.pool.toldKey(t.ticket.ID, lease.MessageStop):
			t.noteStop(e.Kv)
		}
	}
	return len(r.Events) > 0
}

// drain takes in what has come meanwhile.
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

// noteGrant is the event of a grant: there is no more to ask.
func (t *place) noteGrant(kv *mvccpb.KeyValue) {
	had, err := decodeLease(kv)
	if err == nil && clientv3.LeaseID(kv.Lease) == t.life.id {
		t.granted = &holding{s: t.s, pool: t.pool, lease: had.value, on: t.life}
	}
}

func (t *place) noteStop(kv *mvccpb.KeyValue) {
	if s, err := decode[lease.Stop](kv); err == nil && s.exists() {
		t.stop = &s.value
	}
}
