package redisstore_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/redisstore"
	"berth/lease/remote"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
	"berth/limiter"
)

// deadline ends every wait of these tests. It says nothing about how fast anything is.
const deadline = 40 * time.Second

const between = 5 * time.Millisecond

// eventually checks again and again: no event tells of what it checks.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !ok(); time.Sleep(between) {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", deadline, what)
		}
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// job is a request for one slot of pool p, which has n of them.
func job(n int, ttl time.Duration) lease.Request {
	return lease.Request{
		ID: lease.NewID("p"), Pool: "p", Limit: n, Fallback: n, Weight: 1, TTL: ttl, Grace: time.Minute,
		Owner: lease.Process{PID: os.Getpid(), Start: 1},
	}
}

// openAt is a client of the server at addr.
func openAt(t testing.TB, addr string, change func(*remote.Address), timings redisstore.Timings) *redisstore.Store {
	t.Helper()
	a, err := remote.ParseURL("redis://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&a)
	}
	if timings.Recover == 0 {
		timings.Recover = time.Millisecond // then a TTL is how long
	}
	s, err := redisstore.OpenWith(a, timings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// known starts a server that has known berth for long, with nothing on it.
func known(t testing.TB, args ...string) *engine.Server {
	t.Helper()
	server := engine.Redis(t, args...)
	fresh(t, server)
	return server
}

// command runs a command of Redis on the server itself.
func command(t testing.TB, server *engine.Server, words ...any) any {
	t.Helper()
	got, err := client(t, server).Do(within(t), words...).Result()
	if err != nil {
		t.Errorf("%v: %v", words, err)
	}
	return got
}

func try(t testing.TB, s lease.Store, r lease.Request) lease.Holding {
	t.Helper()
	h, v, err := s.TryAcquire(within(t), r)
	if h == nil || err != nil {
		t.Fatalf("TryAcquire: %v, %v; want a lease", v, err)
	}
	return h
}

func refused(t testing.TB, s lease.Store, r lease.Request, why lease.Reason) {
	t.Helper()
	if h, v, err := s.TryAcquire(within(t), r); h != nil || err != nil || v.Reason != why {
		t.Fatalf("TryAcquire: %v, %+v, %v; want %s", h, v, err, why)
	}
}

func line(t testing.TB, s lease.Store, r lease.Request) lease.Place {
	t.Helper()
	p, err := s.Line(within(t), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func get(t testing.TB, p lease.Place) lease.Holding {
	t.Helper()
	h, err := storetest.Get(within(t), p)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func release(t testing.TB, h lease.Holding) {
	t.Helper()
	if err := h.Release(within(t)); err != nil {
		t.Error(err)
	}
}

func pool(t testing.TB, s lease.Store) lease.Pool {
	t.Helper()
	pools, err := s.List(within(t), "p")
	if err != nil {
		t.Fatal(err)
	}
	return pools[0]
}

func empty(t testing.TB, s lease.Store) {
	t.Helper()
	if p := pool(t, s); len(p.Holders)+len(p.Waiters)+p.Used > 0 {
		t.Errorf("%+v; want it empty", p)
	}
}

// sums tells where what is derived from the holders does not fit them.
var sums = redis.NewScript(`
local off, pool = {}, ARGV[1]
local function key(kind) return '{berth}:' .. kind .. ':' .. pool end
local used, least, bits = 0, 0, 0
local held = redis.call('HGETALL', key('held'))
for i = 1, #held, 2 do
  local ttl, weight, asks, slots = string.match(held[i + 1], '^%d+ %d+ (%d+) (%d+) (%d+) %d+ %d+ %d+ ([%d,]+)$')
  used = used + weight
  if asks ~= '0' and (least == 0 or tonumber(asks) < least) then least = tonumber(asks) end
  if not redis.call('ZSCORE', key('due'), held[i]) then off[#off + 1] = held[i] .. ' is not due' end
  for s in string.gmatch(slots, '%d+') do
    if redis.call('GETBIT', key('slots'), s) == 0 then off[#off + 1] = 'slot ' .. s .. ' is free' end
  end
end
local function is(what, got, want)
  if tonumber(got) ~= want then off[#off + 1] = what .. ' ' .. tostring(got) .. ', not ' .. want end
end
is('sum', redis.call('HGET', key('pool'), 'sum') or 0, used)
is('bits', redis.call('BITCOUNT', key('slots')), used)
is('due', redis.call('ZCARD', key('due')), #held / 2)
is('least', redis.call('ZRANGE', key('asks'), 0, 0, 'WITHSCORES')[2] or 0, least)
return table.concat(off, '; ')`)

func sumsOff(t testing.TB, c *redis.Client, pool string) string {
	t.Helper()
	off, err := sums.Run(within(t), c, nil, pool).Text()
	if err != nil {
		t.Error(err)
	}
	return off
}

// A recorder knows which holders have which slots by their own account: from when a holder is told
// until it gives back, or until Expires, which a store must keep whatever happens to it.
type recorder struct {
	t     testing.TB
	limit int

	mu     sync.Mutex
	in     []lease.Holding
	tokens map[uint64]string
	slots  map[int]uint64 // the last token of each
}

func record(t testing.TB, limit int) *recorder {
	return &recorder{t: t, limit: limit, tokens: map[uint64]string{}, slots: map[int]uint64{}}
}

// enter checks a new lease against all that are still held. Tokens are compared slot by
// slot: those of two slots may become known in another order than they were granted.
func (r *recorder) enter(h lease.Holding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, l := clock.Now(), h.Lease()
	r.in = slices.DeleteFunc(r.in, func(o lease.Holding) bool { return o.Expires() <= now })
	r.in = append(r.in, h)
	used := 0
	for _, o := range r.in {
		used += len(o.Lease().Slots)
	}
	if used > r.limit {
		r.t.Errorf("%d slots are held, limit %d: the last one by %s", used, r.limit, l.ID)
	}
	if by, ok := r.tokens[l.Token]; ok {
		r.t.Errorf("token %d of %s was that of %s", l.Token, l.ID, by)
	}
	r.tokens[l.Token] = l.ID
	for _, s := range l.Slots {
		if l.Token <= r.slots[s] {
			r.t.Errorf("slot %d: token %d after %d", s, l.Token, r.slots[s])
		}
		r.slots[s] = l.Token
	}
}

func (r *recorder) leave(h lease.Holding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.in = slices.DeleteFunc(r.in, func(o lease.Holding) bool { return o == h })
}

// order is the ids in the order of their grants.
func (r *recorder) order(of []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var tokens []uint64
	for token, id := range r.tokens {
		if slices.Contains(of, id) {
			tokens = append(tokens, token)
		}
	}
	slices.Sort(tokens)
	var ids []string
	for _, token := range tokens {
		ids = append(ids, r.tokens[token])
	}
	return ids
}

// keep renews a lease until the function that it returns is called, which gives the lease
// back. A lease that is lost before that fails the test.
func (r *recorder) keep(h lease.Holding, ttl time.Duration) (end func()) {
	r.enter(h)
	kept := limiter.NewSession(often{h, ttl / 10})
	_ = kept.Bind(within(r.t), lease.Process{})
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case n := <-kept.Events():
				if n.Kind == limiter.Lost {
					r.t.Errorf("%s: %v", h.Lease().ID, n.Err)
					return
				}
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-gone
		r.leave(h)
		if err := kept.Close(within(r.t)); err != nil {
			r.t.Error(err)
		}
	})
}

// often is a holding that is renewed at this interval, and whose process does not matter.
type often struct {
	lease.Holding
	every time.Duration
}

func (o often) Lease() lease.Lease {
	l := o.Holding.Lease()
	l.Heartbeat = o.every
	return l
}

func (o often) Running(context.Context, lease.Process) error { return nil }

// push tries to overtake the line until the function that it returns is called. It gives
// back at once what it is granted: what counts is which others hold by then.
func (r *recorder) push(s lease.Store, want func() lease.Request) (end func()) {
	ctx, cancel := context.WithCancel(within(r.t))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for ctx.Err() == nil {
			if h, _, _ := s.TryAcquire(ctx, want()); h != nil {
				r.enter(h)
				r.leave(h)
				_ = h.Release(within(r.t))
			}
			time.Sleep(between)
		}
	}()
	return sync.OnceFunc(func() { cancel(); <-gone })
}

// queue are waiters that give back at once what they are granted.
type queue struct {
	ids  []string
	done sync.WaitGroup
}

// wait lines up one of them, and returns when it has its place.
func (q *queue) wait(r *recorder, s lease.Store, req lease.Request) {
	r.t.Helper()
	p := line(r.t, s, req)
	q.ids = append(q.ids, req.ID)
	ctx := within(r.t)
	q.done.Go(func() {
		h, err := storetest.Get(ctx, p)
		if err != nil {
			r.t.Errorf("%s: %v", req.ID, err)
			return
		}
		r.enter(h)
		r.leave(h)
		release(r.t, h)
	})
}

// served returns when all have had their turn, and checks that it was in order.
func (q *queue) served(r *recorder) {
	r.t.Helper()
	q.done.Wait()
	if got := r.order(q.ids); !slices.Equal(got, q.ids) {
		r.t.Errorf("served %v, stood %v", got, q.ids)
	}
}

// listening returns when this many waiters block in the server.
func listening(t testing.TB, server *engine.Server, n int) {
	t.Helper()
	c := client(t, server)
	eventually(t, "all listen", func() bool {
		info, err := c.InfoMap(within(t), "clients").Result()
		return err == nil && info["Clients"]["blocked_clients"] == strconv.Itoa(n)
	})
}

func number(t testing.TB, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func text(n int64) string { return strconv.FormatInt(n, 10) }

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
