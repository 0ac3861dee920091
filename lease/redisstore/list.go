package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/retry"
)

// List implements lease.Store.
func (s *Store) List(ctx context.Context, pools ...string) ([]lease.Pool, error) {
	s.recordChildren()
	if len(pools) == 0 {
		known, err := s.names(ctx)
		if err != nil {
			return nil, err
		}
		pools = known
	}
	list, bad := []lease.Pool{}, error(nil)
	for _, name := range pools {
		p, err := s.list(ctx, name)
		var refused *answerError
		switch {
		case errors.As(err, &refused): // the keys of this pool are of another kind
			list = append(list, lease.Pool{Name: name, Err: err})
			bad = errors.Join(bad, fmt.Errorf("pool %s: %w", name, err))
		case err != nil:
			return nil, retry.Cause(ctx, err)
		default:
			list = append(list, p)
		}
	}
	return list, bad
}

// list describes one pool. It reads the ids of one moment, and then the records in pieces, so
// that a long list holds up no other step. What ends in between is left out.
func (s *Store) list(ctx context.Context, pool string) (lease.Pool, error) {
	a, _, err := s.call(ctx, pool, "list", 0)
	if err != nil {
		return lease.Pool{}, err
	}
	p := s.pool(pool, a)
	if err := s.holders(ctx, &p, a); err != nil {
		return p, err
	}
	return p, s.pieces(ctx, pool, "waiters", a.list(10), func(e answer, _ clock.Instant) {
		p.Waiters = append(p.Waiters, waiter(e))
	})
}

// holders adds the holders whose ids are in an answer.
func (s *Store) holders(ctx context.Context, p *lease.Pool, a answer) error {
	err := s.pieces(ctx, p.Name, "holders", a.list(9), func(e answer, now clock.Instant) {
		p.Holders = append(p.Holders, s.holder(e, p.Own, now))
	})
	slices.SortFunc(p.Holders, func(a, b lease.Entry) int { return slices.Compare(a.Lease.Slots, b.Lease.Slots) })
	p.Sum()
	return err
}

// piece is the number of records that one step reads.
const piece = 32

func (s *Store) pieces(ctx context.Context, pool, step string, ids []any, add func(e answer, now clock.Instant)) error {
	for some := range slices.Chunk(ids, piece) {
		a, _, err := s.call(ctx, pool, step, 0, some...)
		if err != nil {
			return err
		}
		for _, e := range a.list(3) {
			record, _ := e.([]any)
			add(record, a.instant(1))
		}
	}
	return nil
}

// recordChildren tells the server of the children that it does not know yet, so that they are
// in the list.
func (s *Store) recordChildren() {
	for h := range s.unrecorded.All() {
		h.recordChild()
	}
}

func (s *Store) names(ctx context.Context) ([]string, error) {
	short, cancel := context.WithTimeout(ctx, s.timings.Call)
	defer cancel()
	names, err := s.client.SMembers(short, prefix+"pools").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, s.classify(ctx, err)
	}
	slices.Sort(names)
	return names, nil
}

// Summary implements lease.Store.
func (s *Store) Summary(ctx context.Context, pool string, t lease.Ticket) (lease.Pool, error) {
	s.recordChildren()
	a, _, err := s.call(ctx, pool, "summary", 0, t.ID)
	if err != nil {
		return lease.Pool{}, retry.Cause(ctx, err)
	}
	p := s.pool(pool, a)
	p.Line, p.Place = a.number(11), a.number(12)
	if err := s.holders(ctx, &p, a); err != nil {
		return lease.Pool{}, retry.Cause(ctx, err)
	}
	return p, nil
}

// pool reads the answer of list and summary, without holders and waiters.
func (s *Store) pool(name string, a answer) lease.Pool {
	p := lease.Pool{Name: name, Own: settings(a.text(3)), Starts: s.starts(a.text(4), a.text(5)), RecoveringFor: a.micros(8)}
	if text := a.text(6); text != "" {
		p.Report = &lease.Report{}
		if json.Unmarshal([]byte(text), p.Report) != nil {
			p.Report = nil
		} else {
			p.Report.At = s.clock.local(a.instant(7))
		}
	}
	return p
}

// holder reads an entry of a list; see holder in list.lua.
func (s *Store) holder(a answer, own lease.Settings, now clock.Instant) lease.Entry {
	e := s.endpoint.holder(a, own, now)
	e.Keepalive, e.KeepaliveNote = s.clock.local(a.instant(5)), a.text(6)
	return e
}

// holder is that of Store without its keepalive.
func (e *endpoint) holder(a answer, own lease.Settings, now clock.Instant) lease.Entry {
	var r lease.Request
	rerr := json.Unmarshal([]byte(a.text(1)), &r)
	r.ID = a.text(0)
	f := append(strings.Fields(a.text(4)), "", "", "", "", "", "", "", "", "")
	l, err := leaseOf(r, own, f[5], f[6], f[7], f[8])
	entry := lease.Entry{Lease: &l, HeartbeatAge: -1}
	l.RequestedLimit, _ = strconv.Atoi(f[4])
	ttl := parseMicros(f[2])
	if f[0] != "" {
		entry.HeartbeatAge = max(0, now.Sub(parseInstant(f[0]))+ttl/2)
	}
	l.SlotNames = slotNames(a.text(8))
	l.Adopter = process(a.text(7))
	if l.Child = process(a.text(2)); l.Kept && l.Adopter == nil {
		l.Child = nil // of an adoption that has lapsed
	}
	if l.Child != nil {
		l.State = lease.Running
	}
	switch {
	case rerr != nil || err != nil:
		l.State, l.Slots = lease.Damaged, []int{0}
		entry.Note = "its record cannot be read, and counts as one slot until it is known to be dead: " + e.remedy(prefix+"held:"+poolOf(a.text(0)), a.text(0))
	case a.text(3) != "0":
		l.State = lease.Stalled
		entry.Note = fmt.Sprintf("no heartbeat for %v; it is dropped after %v without one", entry.HeartbeatAge.Round(time.Second/10), ttl*3/2)
	}
	return entry
}

// process reads the record of one, nil if there is none.
func process(text string) *lease.Process {
	p := &lease.Process{}
	if text == "" || json.Unmarshal([]byte(text), p) != nil {
		return nil
	}
	return p
}

func poolOf(id string) string {
	pool, _, _ := strings.Cut(id, "/")
	return pool
}

// waiter reads an entry of a list: id, request, number, priority, since, aside.
func waiter(e answer) lease.Entry {
	t := lease.Ticket{Version: lease.Version}
	_ = json.Unmarshal([]byte(e.text(1)), &t.Request)
	t.ID = e.text(0)
	t.Seq, _ = strconv.ParseUint(e.text(2), 10, 64)
	t.Priority = e.number(3)
	t.Since = time.UnixMicro(parseMicros(e.text(4)).Microseconds())
	return lease.Entry{Ticket: &t, HeartbeatAge: -1, Aside: e.text(5) == "1"}
}
