package redisstore_test

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/storetest"
	"berth/lease/storetest/engine"
)

// mostRequests bounds what one turn may cost. It costs five requests: to line up, to
// check, to listen, to take and to give back. The sixth is room for some that check or
// listen too early. A cost that grows with the line is far higher: with 50 waiters 50 checks.
const mostRequests = 6

var calls = regexp.MustCompile(`cmdstat_(?:eval|evalsha|blpop):calls=(\d+)`)

func requests(t testing.TB, server *engine.Server) int {
	t.Helper()
	info, err := client(t, server).Info(within(t), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, m := range calls.FindAllStringSubmatch(info, -1) {
		n, _ := strconv.Atoi(m[1])
		sum += n
	}
	return sum
}

// A turn costs the same however long the line is, and no waiter misses its own.
func TestWakeUps(t *testing.T) {
	for _, waiters := range []int{50, 500} {
		server := known(t)
		s, r := open(t, server, ""), record(t, 1)
		h := try(t, s, job(1, longTTL))
		q := &queue{}
		for range waiters {
			q.wait(r, s, job(1, longTTL))
		}
		listening(t, server, waiters)
		release(t, h)
		q.served(r)
		empty(t, s)
		n := requests(t, server)
		t.Logf("%d waiters: %d requests, %.2f for each", waiters, n, float64(n)/float64(waiters))
		if n > mostRequests*waiters {
			t.Errorf("%d waiters: %d requests, more than %d for each", waiters, n, mostRequests)
		}
	}
}

// All connections are ended while the line moves: a wake-up waits for its waiter.
func TestConnectionsAreEnded(t *testing.T) {
	t.Parallel()
	server := known(t)
	const waiters, ttl = 50, 3 * lossTTL
	s, r := open(t, server, ""), record(t, 1)
	h := try(t, s, job(1, ttl))
	r.enter(h)
	q := &queue{}
	for range waiters {
		q.wait(r, s, job(1, ttl))
	}
	listening(t, server, waiters)
	command(t, server, "CLIENT", "KILL", "TYPE", "normal")
	r.leave(h)
	release(t, h)
	for n := 0; n < waiters; n = served(r, q) {
		command(t, server, "CLIENT", "KILL", "TYPE", "normal")
		before := n
		eventually(t, "the line moves on", func() bool {
			n = served(r, q)
			return n >= min(waiters, before+10)
		})
	}
	q.served(r)
	empty(t, s)
}

func served(r *recorder, q *queue) int { return len(r.order(q.ids)) }

// paceOf allows no start for this time after the last one, which is far from a heartbeat
// of longTTL.
const paceOf = 50 * time.Millisecond

// A waiter that becomes the head while another is waited for is told so, also when no slot
// comes free: it alone waits for what comes next.
func TestNextHeadIsTold(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	req := func() lease.Request {
		r := job(9, time.Hour) // the next heartbeat is due long after this test
		r.Ramp = paceOf
		return r
	}
	try(t, s, req())
	got := make(chan error, 4)
	for range cap(got) {
		p := line(t, s, req())
		go func() {
			_, err := storetest.Get(within(t), p) // and keeps it
			got <- err
		}()
	}
	for range cap(got) {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
}

// The head does not check its turn again, like one of an older berth that is not woken. It
// has its turn when its pace allows, and does not hold up those behind it.
func TestHeadDoesNotAsk(t *testing.T) {
	t.Parallel()
	server := known(t)
	s := open(t, server, "")
	try(t, s, job(9, time.Hour))
	r := job(9, time.Hour)
	r.Ramp = 300 * time.Millisecond
	line(t, s, r)
	behind := line(t, s, job(9, time.Hour))
	eventually(t, "both have their slots", func() bool {
		h, _, err := behind.TryAcquire(within(t), lease.Clearance{})
		if err != nil {
			t.Fatal(err)
		}
		return h != nil && pool(t, s).Used == 3
	})
}
