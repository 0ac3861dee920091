package etcdstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
	"berth/lease/remote/client"
	"berth/lease/retry"
)

type place struct {
	s        *Store
	pool     pool
	ticket   lease.Ticket
	attached etcdLease // its records are attached to it
	grace    etcdLease // keeps the place for its key; zero: it has no key
	rev      int64     // of the last read
	wasRead  bool      // the pool, and the waiter before it
	aside    bool

	pending, pendingGrace *pendingLease // until it is in the line
	// former are the etcd leases of its records before. A message to it may still be
	// attached to one, so they are revoked at the very end.
	former []clientv3.LeaseID

	granted *holding // its slots, not returned by TryAcquire yet
	stop    *lease.Stop
	names   []string      // of the pool's slots, by the last read
	after   time.Duration // a pace holds it back for so long since the last read

	ctx        context.Context // of its watches
	endWatches context.CancelFunc
	watches
}

func (t *place) Ticket() lease.Ticket { return t.ticket }

// TryAcquire implements lease.Place.
func (t *place) TryAcquire(ctx context.Context, clear lease.Clearance) (lease.Holding, lease.Verdict, error) {
	var v lease.Verdict
	t.after = 0
	clear.At = clear.At.Add(t.s.wallClock().Sub(t.s.Clock())) // only its age counts, and starts use the time of day
	err := retry.Do(ctx, t.s.trouble, func(ctx context.Context) (err error) {
		if v, err = t.try(ctx, clear); err == nil && t.granted != nil {
			err = t.complete(ctx)
		}
		return err
	})
	if err != nil || t.granted == nil {
		t.after = v.After
		return nil, v, err
	}
	t.endWatches()
	t.s.discard(append(t.former, t.grace.id)...)
	return t.granted, v, nil
}

// try leaves the slots that it gets in granted.
func (t *place) try(ctx context.Context, clear lease.Clearance) (v lease.Verdict, err error) {
	t.drain()
	if err := t.keepAlive(ctx); err != nil {
		return v, err
	}
	for t.granted == nil {
		l, mine, ahead, err := t.read(ctx)
		if err != nil {
			return v, err
		}
		if mine.holds.exists() {
			return v, t.takeGranted(ctx, mine.holds)
		}
		t.noteStop(mine.stop)
		if t.stop != nil {
			return v, &lease.StoppedError{Stop: *t.stop}
		}
		if !mine.waits.exists() {
			if err := t.rejoin(ctx); err != nil {
				return v, err
			}
			continue
		}
		v = lease.Decide(t.s.state(l, ahead), t.ticket.Request, clear)
		if v.Reason != lease.Ready {
			return v, nil
		}
		err = t.grant(ctx, l, mine.waits, v)
		if leaseExpired(err) {
			err = t.rejoin(ctx)
		}
		if err != nil {
			return v, err
		}
	}
	return v, nil
}

// own is what etcd has of a request that stands in the line.
type own struct {
	waits record[waiting]
	holds record[lease.Lease] // another process has granted it its slots
	stop  *mvccpb.KeyValue    // it was told to leave; nil: it was not
}

// read reads the pool, our own records, and the ticket just before ours.
func (t *place) read(ctx context.Context) (l *snapshot, mine own, ahead int, err error) {
	p, key := t.pool, t.pool.lineKey(t.ticket)
	if t.aside {
		key = p.asideKey(t.ticket)
	}
	ops := append(p.reading(), clientv3.OpGet(key),
		clientv3.OpGet(p.leaseKey(t.ticket.ID)),
		clientv3.OpGet(p.toldKey(t.ticket.ID, lease.MessageStop)), clientv3.OpGet(p.toldKey(t.ticket.ID, lease.MessageSupersede)),
		clientv3.OpGet(p.line(), clientv3.WithRange(p.lineKey(t.ticket)),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(1)))
	resp, err := t.s.commit(ctx, txn{then: ops})
	if err != nil {
		return nil, mine, 0, err
	}
	rs := resp.Responses
	t.rev, t.wasRead = resp.Header.Revision, true
	before := rs[readings+4].GetResponseRange()
	if struck, err := t.s.dropDamaged(ctx, p, only(before.Kvs)); err != nil {
		return nil, mine, 0, err
	} else if struck {
		return t.read(ctx)
	}
	t.before = ""
	if kv := only(before.Kvs); kv != nil {
		t.before = string(kv.Key)
	}
	mine.stop = cmp.Or(only(kvs(rs[readings+2])), only(kvs(rs[readings+3])))
	if mine.holds, err = decodeLease(only(kvs(rs[readings+1]))); mine.holds.exists() || err != nil {
		return nil, mine, 0, err
	}
	if mine.waits, err = p.parseWaiter(only(kvs(rs[readings]))); err != nil {
		mine.waits = record[waiting]{} // it is written again
	}
	if l, err = t.s.snapshotOf(ctx, p, t.rev, rs); err == nil {
		t.names = l.own.value.Names
	}
	return l, mine, int(before.Count), err
}

// grant takes the slots. If another request was faster, it takes nothing.
func (t *place) grant(ctx context.Context, l *snapshot, mine record[waiting], v lease.Verdict) error {
	tx, g := t.s.granting(l, t.ticket.Request, v, t.attached.id)
	tx.handTo(t.pool, mine)
	resp, err := t.s.commit(ctx, tx)
	if err == nil && resp.Succeeded {
		g.Token = uint64(resp.Header.Revision)
		t.granted = &holding{s: t.s, pool: t.pool, lease: g, on: t.attached}
	}
	return err
}

// takeGranted takes slots that we have already: they were granted to us, or the answer to
// our own request was lost.
func (t *place) takeGranted(ctx context.Context, had record[lease.Lease]) (err error) {
	if clientv3.LeaseID(had.Lease) == t.attached.id {
		t.granted = &holding{s: t.s, pool: t.pool, lease: had.value, on: t.attached}
		return nil
	}
	t.granted, err = t.s.holdingOf(ctx, t.pool, had)
	return err
}

// complete adds to the record of our lease what an older berth has left out that granted it:
// what it does not know of our request, and the names of the slots.
func (t *place) complete(ctx context.Context) error {
	had := t.granted.Lease()
	l := had
	l.Request = t.ticket.Request
	l.Conditions = had.Conditions
	if l.SlotNames == nil {
		l.SlotNames = lease.Settings{Names: t.names}.NamesOf(l.Slots)
	}
	if encode(l) == encode(had) {
		return nil
	}
	_, err := t.s.commit(ctx, txn{
		when: []clientv3.Cmp{t.granted.ours(l)},
		then: []clientv3.Op{clientv3.OpPut(t.pool.leaseKey(l.ID), encode(l), clientv3.WithIgnoreLease())},
	})
	if err == nil {
		t.granted.lease = l
	}
	return err
}

// keepAlive renews the etcd lease when that is due. If it has expired, our place or slots
// are gone; then we join the line again at the same place.
func (t *place) keepAlive(ctx context.Context) error {
	if !t.attached.due() {
		return nil
	}
	if t.grace.id != 0 {
		if err := t.s.renewLease(ctx, &t.grace); err != nil && !errors.Is(err, lease.ErrLost) {
			return err
		}
	}
	err := t.s.renewLease(ctx, &t.attached)
	if errors.Is(err, lease.ErrLost) {
		t.granted = nil
		return t.rejoin(ctx)
	}
	if err == nil && t.granted != nil {
		t.granted.on = t.attached
	}
	return err
}

// rejoin stands in the line again, at the same place.
func (t *place) rejoin(ctx context.Context) error {
	fresh, err := t.s.grantLease(ctx, t.ticket.TTL)
	if err != nil {
		return err
	}
	if t.ticket.Key != "" {
		shade, err := t.s.grantLease(ctx, t.graceTTL())
		if err != nil {
			t.s.discard(fresh.id)
			return err
		}
		t.former = append(t.former, t.grace.id)
		t.grace = shade
	}
	t.former = append(t.former, t.attached.id)
	t.attached = fresh
	_, err = t.enter(ctx, t.ticket, txn{then: []clientv3.Op{clientv3.OpDelete(t.pool.asideKey(t.ticket))}})
	if err != nil {
		return err
	}
	t.aside = false
	return nil
}

// Report implements lease.Place.
func (t *place) Report(ctx context.Context, why string, data json.RawMessage) error {
	r := lease.Report{By: t.ticket.ID, Why: why, At: t.s.Clock(), Data: data}
	_, err := t.s.commit(ctx, txn{then: []clientv3.Op{clientv3.OpPut(t.pool.reportKey(), encode(r))}})
	return err
}

// StepAside gives back slots that were granted while we did not see it: a suspended
// process would not use them.
func (t *place) StepAside(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, t.s.timings.Aside)
	defer cancel()
	return retry.Do(short, t.s.trouble, t.stepAside)
}

func (t *place) stepAside(ctx context.Context) error {
	long, err := t.s.grantLease(ctx, max(lease.SuspendedTTL, t.ticket.TTL))
	if err != nil {
		return err
	}
	p, on := t.pool, clientv3.WithLease(long.id)
	m := placeOf{Priority: t.ticket.Priority, Seq: t.ticket.Seq, Since: t.ticket.Since, Aside: true}
	out := txn{
		when: []clientv3.Cmp{absent(p.leaseKey(t.ticket.ID))},
		then: []clientv3.Op{
			clientv3.OpDelete(p.lineKey(t.ticket)),
			clientv3.OpPut(p.asideKey(t.ticket), encode(waiting{Ticket: t.ticket}), on),
			clientv3.OpPut(p.placeKey(t.ticket.ID), encode(m), on),
		},
		other: []clientv3.Op{clientv3.OpGet(p.leaseKey(t.ticket.ID))},
	}
	if t.ticket.Key != "" {
		out.then = append(out.then, clientv3.OpPut(p.graceKey(t.ticket), encode(waiting{Ticket: t.ticket}), on))
	}
	for {
		resp, err := t.s.commit(ctx, out)
		if err != nil {
			return err
		}
		if resp.Succeeded {
			t.former = append(t.former, t.attached.id)
			t.attached, t.aside, t.granted = long, true, nil
			return nil
		}
		if err := t.giveBack(ctx, resp); err != nil {
			return err
		}
	}
}

// giveBack gives back slots that were granted unseen.
func (t *place) giveBack(ctx context.Context, found *clientv3.TxnResponse) error {
	had, err := decodeLease(only(kvs(found.Responses[0])))
	if !had.exists() {
		return err
	}
	had.value.ID, had.value.Kept = t.ticket.ID, t.ticket.Kept // also when the record cannot be read
	return t.s.release(ctx, t.pool, had.value, releasing{})
}

// Return implements lease.Place.
func (t *place) Return(ctx context.Context) error {
	return retry.Do(ctx, t.s.trouble, t.rejoin)
}

// Leave implements lease.Place.
func (t *place) Leave(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, t.s.timings.Release)
	defer cancel()
	err := retry.Do(short, t.s.trouble, t.leave)
	t.endWatches()
	if err != nil {
		return client.NotLeft(t.ticket.Pool, err)
	}
	t.s.discard(append(t.former, t.attached.id, t.grace.id)...)
	return nil
}

func (t *place) leave(ctx context.Context) error {
	t.drain()
	p := t.pool
	out := txn{
		when:  []clientv3.Cmp{absent(p.leaseKey(t.ticket.ID))},
		then:  append(p.removing(t.ticket), clientv3.OpDelete(p.holder(t.ticket.ID), clientv3.WithPrefix())),
		other: []clientv3.Op{clientv3.OpGet(p.leaseKey(t.ticket.ID))},
	}
	if t.ticket.Key != "" && t.stop == nil {
		grace, err := t.s.grantLease(ctx, t.ticket.Grace)
		if err != nil {
			return err
		}
		kept, on := encode(waiting{Ticket: t.ticket, Kept: true}), clientv3.WithLease(grace.id)
		out.then = []clientv3.Op{
			clientv3.OpDelete(p.lineKey(t.ticket)),
			clientv3.OpDelete(p.placeKey(t.ticket.ID)),
			clientv3.OpDelete(p.holder(t.ticket.ID), clientv3.WithPrefix()),
			clientv3.OpPut(p.asideKey(t.ticket), kept, on),
			clientv3.OpPut(p.graceKey(t.ticket), kept, on),
		}
	}
	resp, err := t.s.commit(ctx, out)
	if err != nil || resp.Succeeded {
		return err
	}
	return t.giveBack(ctx, resp)
}
