package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"berth/lease"
)

const shortTTL = time.Second

// A holder or waiter without a heartbeat is dropped, wherever in the line it stands, and
// the others have their turn in order.
func TestDeadInEveryPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		dead func(at int) bool // of six in the line
	}{
		{"Head", func(at int) bool { return at == 0 }},
		{"Middle", func(at int) bool { return at == 2 || at == 3 }},
		{"AllButTheLast", func(at int) bool { return at < 5 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := known(t)
			s, r, q := open(t, server, ""), record(t, 1), &queue{}
			held := r.keep(try(t, s, job(1, shortTTL)), shortTTL)
			for at := range 6 {
				if c.dead(at) {
					line(t, s, job(1, shortTTL))
				} else {
					q.wait(r, open(t, server, ""), job(1, shortTTL))
				}
			}
			held()
			q.served(r)
			swept(t, s, job(1, shortTTL))
		})
	}
}

// swept returns when no holder or waiter is left: the next step of any caller drops the
// dead.
func swept(t testing.TB, s lease.Store, r lease.Request) {
	t.Helper()
	eventually(t, "the dead are swept", func() bool {
		if h, _, err := s.TryAcquire(within(t), r); err != nil {
			t.Error(err)
		} else if h != nil {
			release(t, h)
		}
		p := pool(t, s)
		return len(p.Holders)+len(p.Waiters) == 0
	})
}

// A waiter was granted the slot without its knowledge, and never came back.
func TestDeadWhenGranted(t *testing.T) {
	t.Parallel()
	server := known(t)
	s, r, q := open(t, server, ""), record(t, 1), &queue{}
	h := try(t, s, job(1, longTTL))
	gone := line(t, s, job(1, shortTTL))
	q.wait(r, s, job(1, shortTTL))
	release(t, h)
	if p := pool(t, s); p.Used != 1 || p.Holders[0].Lease.ID != gone.Ticket().ID {
		t.Fatalf("%+v: want it granted to the first", p)
	}
	q.served(r)
	empty(t, s)
}

// A dead holder makes room for as many as it held slots.
func TestDeadHolder(t *testing.T) {
	t.Parallel()
	server := known(t)
	s, r, q := open(t, server, ""), record(t, 3), &queue{}
	heavy := job(3, shortTTL)
	heavy.Weight = 3
	r.enter(try(t, s, heavy))
	for range 3 {
		q.wait(r, s, job(3, shortTTL))
	}
	q.done.Wait()
	empty(t, s)
}

func keyed(ttl, grace time.Duration) lease.Request {
	r := job(1, ttl)
	r.Key, r.Grace = "k", grace
	return r
}

// A place is kept for a key for its grace and no longer, and leaves nothing behind.
func TestGraceEnds(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	h := try(t, s, job(1, longTTL))
	p := line(t, s, keyed(longTTL, shortTTL))
	if err := p.Leave(within(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the grace is over", func() bool {
		refused(t, s, job(1, longTTL), lease.Full)
		return len(pool(t, s).Waiters) == 0
	})
	refused(t, s, job(1, longTTL), lease.Full) // a list does not show the dead, a step sweeps them
	if kept, err := client(t, server).HExists(within(t), "{berth}:data:p", "t:k").Result(); err != nil || kept {
		t.Errorf("%v, %v; want no word left of the key", kept, err)
	}
	late := line(t, s, keyed(longTTL, shortTTL))
	if late.Ticket().Seq <= p.Ticket().Seq {
		t.Errorf("number %d after %d: that place was given up", late.Ticket().Seq, p.Ticket().Seq)
	}
	release(t, h)
	release(t, get(t, late))
	left, err := client(t, server).HGetAll(within(t), "{berth}:data:p").Result()
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v; want no records left", left, err)
	}
}

// The place of a killed waiter with a key is kept like that of one that left: from when
// its heartbeat is missed, and also long after that.
func TestKeyOfTheDead(t *testing.T) {
	t.Parallel()
	for _, long := range []bool{false, true} {
		server := known(t)
		s, c := open(t, server, ""), client(t, server)
		h := try(t, s, job(1, longTTL))
		p := line(t, s, keyed(shortTTL, longTTL)) // and never seen again
		behind := line(t, s, job(1, longTTL))
		eventually(t, "it is passed", func() bool {
			_, v, err := behind.TryAcquire(within(t), lease.Clearance{})
			if err != nil {
				t.Fatal(err)
			}
			return v.Reason == lease.Full
		})
		if long {
			eventually(t, "its place is kept", func() bool {
				refused(t, s, job(1, longTTL), lease.Behind)
				w, err := c.HGet(within(t), "{berth}:wait:p", p.Ticket().ID).Result()
				return err == nil && strings.Fields(w)[3] == "2"
			})
		}
		back := line(t, s, keyed(longTTL, longTTL))
		if back.Ticket().Seq != p.Ticket().Seq {
			t.Errorf("came back as number %d, was %d", back.Ticket().Seq, p.Ticket().Seq)
		}
		release(t, h)
		release(t, get(t, back))
		release(t, get(t, behind))
		empty(t, s)
	}
}
