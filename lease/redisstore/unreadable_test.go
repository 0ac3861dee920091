package redisstore_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/redisstore"
	"berth/lease/remote"
	"berth/lease/storetest/engine"
)

// notices are what a store says besides its answers.
type notices struct {
	mu   sync.Mutex
	said []string
}

func (n *notices) dial(a *remote.Address) {
	a.Notice = func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.said = append(n.said, err.Error())
	}
}

func (n *notices) about(what string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.said {
		if strings.Contains(s, what) {
			count++
		}
	}
	return count
}

// A record that cannot be read, written by hand or by a newer version, makes no step fail:
// it is set aside, and that is said once.
func TestUnreadableRecords(t *testing.T) {
	t.Parallel()
	const bad = "p/bad"
	for name, c := range map[string]struct {
		plant [][]any
		where string
		used  int // slots that it takes
	}{
		"Holder":        {[][]any{{"HSET", "{berth}:held:p", bad, "v2 {}"}}, "{berth}:held:p", 1},
		"HugeSlot":      {[][]any{{"HSET", "{berth}:held:p", bad, "1 0 1 1 0 1 1 1 4294967295"}}, "{berth}:held:p", 1},
		"HugeNumbers":   {[][]any{{"HSET", "{berth}:held:p", bad, "1 0 " + strings.Repeat("9", 400) + " 1 0 1 1 1 0"}}, "{berth}:held:p", 1},
		"Waiter":        {[][]any{{"HSET", "{berth}:wait:p", bad, "v2"}, {"ZADD", "{berth}:line:p", 1, bad}}, "{berth}:wait:p", 0},
		"NoWaiter":      {[][]any{{"ZADD", "{berth}:line:p", 1, bad}}, "", 0},
		"Request":       {[][]any{{"HSET", "{berth}:wait:p", bad, "9000000000000000 0 30000000 0 1"}, {"ZADD", "{berth}:line:p", 1, bad}, {"HSET", "{berth}:data:p", bad, `{"pool":"p","weight":"x"}`}}, "{berth}:data:p", 0},
		"RequestNoJSON": {[][]any{{"HSET", "{berth}:wait:p", bad, "9000000000000000 0 30000000 0 1"}, {"ZADD", "{berth}:line:p", 1, bad}, {"HSET", "{berth}:data:p", bad, "{"}}, "{berth}:data:p", 0},
		"Settings":      {[][]any{{"HSET", "{berth}:pool:p", "token", "x", "seq", "y", "last", "z", "count", "-1", "over", "nan", "buckets", "0"}}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, said := known(t), &notices{}
			s := openAt(t, server.Addr, said.dial, redisstore.Timings{Recover: time.Minute})
			const limit = 3
			h := try(t, s, job(limit, longTTL))
			for _, words := range c.plant {
				command(t, server, words...)
			}
			eventually(t, "it is noticed", func() bool {
				if _, err := h.Renew(within(t), 0); err != nil {
					t.Fatal(err)
				}
				refused(t, s, job(1, longTTL), lease.Full)
				return c.where == "" || said.about(bad+" in "+c.where) > 0
			})
			second := try(t, s, job(limit, longTTL))
			if c.used > 0 {
				refused(t, s, job(limit, longTTL), lease.Full)
			}
			p := line(t, s, job(1, longTTL))
			if _, v, err := p.TryAcquire(within(t), lease.Clearance{}); err != nil || v.Reason != lease.Full {
				t.Errorf("%v, %v; want full", v, err)
			}
			got := pool(t, s)
			if got.Used != 2+c.used || len(got.Waiters) != 1 {
				t.Errorf("%d slots in use, %d wait; want %d and one", got.Used, len(got.Waiters), 2+c.used)
			}
			for _, e := range got.Holders {
				if e.Lease.ID == bad && (e.Lease.State != lease.Damaged || !strings.Contains(e.Note, bad)) {
					t.Errorf("%+v, %q; want it damaged, and how to remove it", e.Lease, e.Note)
				}
				if _, err := s.Tell(within(t), e.Lease.ID, lease.Message{Kind: lease.MessageStop}); err != nil {
					t.Errorf("stop %s: %v", e.Lease.ID, err)
				}
			}
			if err := p.Leave(within(t)); err != nil {
				t.Error(err)
			}
			release(t, h)
			release(t, second)
			if n := said.about(bad); c.where != "" && n != 1 {
				t.Errorf("said %d times: %q", n, said.said)
			}
		})
	}
}

// A record that cannot be read is dropped when its owner has not rewritten it in time.
func TestUnreadableHolderIsDropped(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := openAt(t, server.Addr, nil, redisstore.Timings{})
	command(t, server, "HSET", "{berth}:held:p", "p/bad", "?")
	h := try(t, s, job(2, shortTTL))
	end := record(t, 2).keep(h, shortTTL)
	defer end()
	r := job(2, shortTTL)
	release(t, get(t, line(t, s, r)))
	if n := command(t, server, "HEXISTS", "{berth}:held:p", "p/bad"); n != int64(0) {
		t.Errorf("it is still there: %v", n)
	}
}

// A holder whose record is damaged writes it again, and keeps its slot.
func TestSpoiltHolderRestores(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, job(2, longTTL))
	other := try(t, s, job(2, longTTL))
	command(t, server, "HSET", "{berth}:held:p", h.Lease().ID, "spoilt")
	if _, err := h.Renew(within(t), 0); err != nil {
		t.Fatal(err)
	}
	if got := pool(t, s); !holds(got, h) || got.Used != 2 {
		t.Errorf("%+v; want %s in it", got, h.Lease().ID)
	}
	refused(t, s, job(2, longTTL), lease.Full)
	release(t, h)
	release(t, other)
	empty(t, s)
	if off := sumsOff(t, client(t, server), "p"); off != "" {
		t.Error(off)
	}
}

// Whatever is pushed to a wake list by others grants nothing.
func TestWakeIsOnlyAHint(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, job(1, longTTL))
	p := line(t, s, job(1, longTTL))
	if _, v, err := p.TryAcquire(within(t), lease.Clearance{}); err != nil || v.Reason != lease.Full {
		t.Fatalf("%v, %v; want full", v, err)
	}
	w := strings.Fields(command(t, server, "HGET", "{berth}:wait:p", p.Ticket().ID).(string))
	turn := number(t, w[0]) - number(t, w[2])/2
	command(t, server, "RPUSH", "{berth}:wake:"+p.Ticket().ID, "granted "+text(turn)+" 99 1 "+w[4]+" 0 1 0 1")
	if err := p.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if h, v, err := p.TryAcquire(within(t), lease.Clearance{}); h != nil || err != nil || v.Reason != lease.Full {
		t.Errorf("%v, %v, %v; want full: it was granted nothing", h, v, err)
	}
	if err := p.Leave(within(t)); err != nil {
		t.Error(err)
	}
	release(t, h)
}

// What tells the server of a child in the first moments of a job is lost: the next
// heartbeat repeats it.
func TestChildIsToldAgain(t *testing.T) {
	t.Parallel()
	server := known(t)
	p, look := engine.NewProxy(t, server.Addr), open(t, server, "")
	s := openAt(t, p.Addr, nil, redisstore.Timings{Call: 100 * time.Millisecond})
	h := try(t, s, job(1, longTTL))
	p.TurnTo("")
	if err := h.Running(within(t), lease.Process{PID: 7, Start: 8}); err != nil {
		t.Fatal(err)
	}
	_, err := s.List(within(t), "p") // tells it first, in vain
	if out := (*lease.UnreachableError)(nil); !errors.As(err, &out) {
		t.Fatalf("%v; want it unreachable", err)
	}
	time.Sleep(100 * time.Millisecond) // and so does its own try, by now
	p.TurnTo(server.Addr)
	if _, err := h.Renew(within(t), 0); err != nil {
		t.Fatal(err)
	}
	if l := pool(t, look).Holders[0].Lease; l.State != lease.Running || l.Child == nil || l.Child.PID != 7 {
		t.Errorf("%+v; want it running, as 7", l)
	}
	release(t, h)
}

// A server that evicts keys when it is full forgets holders: that is said.
func TestEvictingServer(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]int{"allkeys-lru": 1, "noeviction": 0} {
		server, said := known(t, "--maxmemory", "100mb", "--maxmemory-policy", policy), &notices{}
		s := openAt(t, server.Addr, said.dial, redisstore.Timings{})
		for range 2 {
			release(t, try(t, s, job(1, longTTL)))
		}
		if n := said.about("maxmemory-policy " + policy); n != want {
			t.Errorf("%s: said %d times, want %d: %q", policy, n, want, said.said)
		}
	}
}

// A long list is read in pieces of a bounded size, and is complete.
func TestListComesInPieces(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	const many = 100
	for range many {
		try(t, s, job(many, longTTL))
	}
	for range many {
		line(t, s, job(many, longTTL))
	}
	before := requests(t, server)
	got := pool(t, s)
	if n := requests(t, server) - before; n < 7 {
		t.Errorf("%d steps for %d holders and %d waiters", n, many, many)
	}
	if got.Used != many || len(got.Holders) != many || len(got.Waiters) != many {
		t.Errorf("%d slots, %d holders, %d waiters; want %d of each", got.Used, len(got.Holders), len(got.Waiters), many)
	}
	for i, e := range got.Holders {
		if e.Lease.Slots[0] != i {
			t.Fatalf("slot %v at %d", e.Lease.Slots, i)
		}
	}
	for i, e := range got.Waiters[1:] {
		if e.Ticket.Seq <= got.Waiters[i].Ticket.Seq {
			t.Fatalf("number %d after %d", e.Ticket.Seq, got.Waiters[i].Ticket.Seq)
		}
	}
}

// Jobs of an older berth, which keeps no sums, count; and the older berth starts none
// beside ours, which it would not count.
func TestOlderBerth(t *testing.T) {
	t.Parallel()
	server := known(t)
	now := time.Now().UnixMicro()
	held := func(due int64) []any {
		return []any{"HSET", "{berth}:held:p", "p/old", text(due) + " 0 60000000 2 3 5 3 " + text(now) + " 0,1"}
	}
	command(t, server, held(now+30e6)...)
	command(t, server, "HSET", "{berth}:data:p", "p/old", `{"id":"p/old","pool":"p","weight":2,"limit":3}`)
	command(t, server, "HSET", "{berth}:pool:p", "own", `{"limit":4}`, "token", 5, "last", now)
	s := open(t, server, "")
	h := try(t, s, job(9, longTTL))
	if l := h.Lease(); l.Slots[0] != 2 || l.InForce != 3 {
		t.Errorf("slot %v, limit %d; want slot 2 of 3", l.Slots, l.InForce)
	}
	refused(t, s, job(9, longTTL), lease.Full)
	if own := pool(t, s).Own.Limit; own == nil || *own != 4 {
		t.Errorf("its limit is %v, was 4", own)
	}
	if own := command(t, server, "HGET", "{berth}:pool:p", "own"); own != "-" {
		t.Errorf("an older berth reads %q as settings, and may start", own)
	}
	command(t, server, held(now+60e6)...) // its heartbeat
	refused(t, s, job(9, longTTL), lease.Full)
	command(t, server, "HDEL", "{berth}:held:p", "p/old") // its end
	eventually(t, "its slots are free", func() bool {
		o, v, err := s.TryAcquire(within(t), job(9, longTTL))
		if err != nil {
			t.Fatal(err)
		}
		if o == nil {
			if v.Reason != lease.Full {
				t.Fatal(v)
			}
			return false
		}
		release(t, o)
		return o.Lease().InForce == 4
	})
	command(t, server, "HSET", "{berth}:pool:p", "own", `{"limit":1}`) // its "berth limit"
	refused(t, s, job(9, longTTL), lease.Full)
	release(t, h)
	if off := sumsOff(t, client(t, server), "p"); off != "" {
		t.Error(off)
	}
}

// A heartbeat that drops a dead holder passes its slot on, and keeps to the pace like any
// other step.
func TestHeartbeatKeepsThePace(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, job(2, longTTL))
	try(t, s, job(2, shortTTL)) // and never seen again
	r := job(2, longTTL)
	r.Ramp = time.Hour
	p := line(t, s, r)
	if _, v, err := p.TryAcquire(within(t), lease.Clearance{}); err != nil || v.Reason != lease.Full {
		t.Fatalf("%v, %v; want full", v, err)
	}
	count := command(t, server, "HGET", "{berth}:pool:p", "count")
	eventually(t, "the dead one is dropped", func() bool {
		if _, err := h.Renew(within(t), 0); err != nil {
			t.Fatal(err)
		}
		return command(t, server, "HLEN", "{berth}:held:p") == int64(1)
	})
	if _, v, err := p.TryAcquire(within(t), lease.Clearance{}); err != nil || v.Reason != lease.Paced {
		t.Errorf("%v, %v; want it paced", v, err)
	}
	if now := command(t, server, "HGET", "{berth}:pool:p", "count"); now != count {
		t.Errorf("%v starts after %v", now, count)
	}
}

// Keys that are deleted or put in the way by hand cost no waiter its turn.
func TestLineIsDeleted(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, job(1, longTTL))
	p := line(t, s, job(1, longTTL))
	command(t, server, "SET", "{berth}:wake:"+p.Ticket().ID, "x")
	if _, v, err := p.TryAcquire(within(t), lease.Clearance{}); err != nil || v.Reason != lease.Full {
		t.Fatalf("%v, %v; want full", v, err)
	}
	command(t, server, "DEL", "{berth}:line:p")
	release(t, h)
	release(t, get(t, p))
	empty(t, s)
}

// A wake list of another kind makes no step fail.
func TestWakeListIsNone(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, job(1, longTTL))
	p := line(t, s, job(1, longTTL))
	command(t, server, "SET", "{berth}:wake:"+p.Ticket().ID, "x")
	release(t, h)
	release(t, get(t, p))
	empty(t, s)
}

// The command that removes a record can be pasted into a shell, whatever the record's
// name.
func TestRemedyIsQuoted(t *testing.T) {
	t.Parallel()
	server, said := known(t), &notices{}
	s := openAt(t, server.Addr, said.dial, redisstore.Timings{})
	const id = "p/x'; touch pwned; '"
	command(t, server, "HSET", "{berth}:held:p", id, "junk")
	h := try(t, s, job(2, longTTL))
	quoted := "redis-cli -h 127.0.0.1 -p " + port(server.Addr) + ` HDEL '{berth}:held:p' 'p/x'\''; touch pwned; '\''' removes it`
	if said.about(quoted) != 1 {
		t.Errorf("%q; want %s", said.said, quoted)
	}
	for _, e := range pool(t, s).Holders {
		if e.Lease.ID == id && (!strings.Contains(e.Note, quoted) || e.HeartbeatAge != -1) {
			t.Errorf("%q, heartbeat %v ago; want %s", e.Note, e.HeartbeatAge, quoted)
		}
	}
	release(t, h)
}
