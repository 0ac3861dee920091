//go:build unix

package filestore

import (
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
)

// living are the processes that a store of a test takes for alive, by pid.
type living map[int]bool

func (l living) in(t *testing.T) *Store {
	s := newStore(t)
	s.opts.Alive = func(p lease.Process) bool { return l[p.PID] }
	s.opts.Ending = func(p lease.Process) bool { return !l[p.PID] }
	return s
}

// The processes of these tests.
var (
	keeperOf   = lease.Process{PID: 1 << 22, Start: 1}
	adopterOf  = lease.Process{PID: 1<<22 + 1, Start: 2}
	childOf    = lease.Process{PID: 1<<22 + 2, Start: 3}
	nextToRun  = lease.Process{PID: 1<<22 + 3, Start: 4}
	everywhere = living{keeperOf.PID: true, adopterOf.PID: true, childOf.PID: true, nextToRun.PID: true}
)

func keptRequest(limit, weight int) lease.Request {
	r := request(limit, weight)
	r.Kept, r.Owner = true, keeperOf
	return r
}

// TestListPausesForNoKeeper: a list of fifty kept leases slept five times for each of them, with the
// pool's lock. Of fifty 'berth release' at once, which all list the pool, most gave up.
func TestListPausesForNoKeeper(t *testing.T) {
	alive := living{keeperOf.PID: true, adopterOf.PID: true}
	s := alive.in(t)
	s.opts.KeptCheck = 24 * time.Hour
	reserved, adopted := takeSlot(t, s, keptRequest(2, 1)), takeSlot(t, s, keptRequest(2, 1))
	if _, err := s.Adopt(t.Context(), adopted.lease.ID, adopterOf); err != nil {
		t.Fatal(err)
	}
	holders := func() int {
		pools, err := s.List(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		return len(pools[0].Holders)
	}
	if n := holders(); n != 2 {
		t.Errorf("%d holders, want 2", n)
	}
	giveBack(t, reserved)
	delete(alive, keeperOf.PID)
	if n := holders(); n != 1 {
		t.Errorf("%d holders with a keeper that was killed, want the adopter", n)
	}
}

// TestAdoptInALockedPool: a process that is frozen in the pool's lock holds up the begin of an
// adoption and the keeper, and both change nothing. It does not hold up the end of an adoption.
func TestAdoptInALockedPool(t *testing.T) {
	s := everywhere.in(t)
	s.opts.Release = 20 * time.Millisecond
	keeper := takeSlot(t, s, keptRequest(1, 1))
	a, err := s.Adopt(t.Context(), keeper.lease.ID, adopterOf)
	if err != nil {
		t.Fatal(err)
	}
	hog := keeper.pool.top.lockOf("lock")
	if err := hog.Lock(); err != nil {
		t.Fatal(err)
	}
	giveBack(t, a)
	var held *lease.LockHeldError
	if err := keeper.Release(t.Context()); !errors.As(err, &held) {
		t.Errorf("Release of the keeper: %v, want a LockHeldError", err)
	}
	if in, err := keeper.Renew(t.Context(), 0); err != nil || in.Adopter != nil {
		t.Errorf("Renew of the keeper: %+v, %v", in, err)
	}
	hog.Unlock()
	b, err := s.Adopt(t.Context(), keeper.lease.ID, nextToRun)
	if err != nil {
		t.Fatal(err)
	}
	giveBack(t, b)
	giveBack(t, keeper)
	giveBack(t, keeper)
}

// TestAdoptOnAFullDisk: an adoption that cannot be recorded is none, and leaves nothing behind.
func TestAdoptOnAFullDisk(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	s := everywhere.in(t)
	keeper := takeSlot(t, s, keptRequest(2, 2))
	release := lease.Message{Kind: lease.MessageRelease}
	full := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 0, Max: full.Max}); err != nil {
		t.Fatal(err)
	}
	a, aerr := s.Adopt(t.Context(), keeper.lease.ID, adopterOf)
	_, terr := s.Tell(t.Context(), keeper.lease.ID, release)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(aerr, unix.EFBIG) || !errors.Is(terr, unix.EFBIG) {
		t.Fatalf("%v, %v, %v; want EFBIG", a, aerr, terr)
	}
	if in, err := keeper.Renew(t.Context(), 0); err != nil || in.Adopter != nil || in.Release {
		t.Errorf("Renew: %+v, %v; want no adopter", in, err)
	}
	s.isOver(t, keeper, true)
}

// TestAdopterElsewhere: neither would see whether the other's processes live.
func TestAdopterElsewhere(t *testing.T) {
	s := everywhere.in(t)
	keeper := takeSlot(t, s, keptRequest(1, 1))
	for _, p := range []lease.Process{{PID: 1, Start: 1, Boot: "another"}, {PID: 1, Start: 1, PIDNS: 7}} {
		if a, err := s.Adopt(t.Context(), keeper.lease.ID, p); err == nil || !strings.Contains(err.Error(), "another machine") {
			t.Errorf("%v, %v: adopted by %+v", a, err, p)
		}
	}
	giveBack(t, keeper)
}

// TestOlderBerthFindsTheAdopter: a berth that does not know adopters takes the child of a record
// for what holds the slot, and before there is a child that has to be the adopter. The longest
// identities fit into the line.
func TestOlderBerthFindsTheAdopter(t *testing.T) {
	long := func(pid int) lease.Process {
		return lease.Process{PID: pid, Start: 1<<64 - 1, Boot: strings.Repeat("b", 36), PIDNS: 1<<64 - 1, Host: strings.Repeat("h", 64)}
	}
	adopter, child := long(1<<22), long(1<<22+1)
	for _, c := range []struct {
		child *lease.Process
		want  lease.Process
	}{{nil, adopter}, {&child, child}} {
		line, err := childLine(c.child, &adopter)
		if err != nil || len(line) != childLen {
			t.Fatalf("%d bytes, %v; want %d", len(line), err, childLen)
		}
		var old struct{ Child *lease.Process }
		if err := json.Unmarshal(line, &old); err != nil || old.Child == nil || *old.Child != c.want {
			t.Errorf("%s: an older berth finds %+v, %v; want %+v", line, old.Child, err, c.want)
		}
	}
}

// TestOlderBerthPassesOver: what it is told in a way that came later.
func TestOlderBerthPassesOver(t *testing.T) {
	for _, m := range []lease.Message{
		{Kind: lease.MessageRelease},
		{Kind: lease.MessageSupersede, Stop: lease.Stop{Successor: "p/1"}},
	} {
		n, err := noteOf(m)
		if err != nil || n.Stop != nil || n.Aside != nil || n.Told == nil {
			t.Errorf("%s is written as %+v, %v; want it beside what an older berth heeds", m.Kind, n, err)
		}
	}
}

// TestForgedSupersede: a line in the record of a job, which anyone who can write there may add,
// does not end the job.
func TestForgedSupersede(t *testing.T) {
	for _, text := range []string{`{"told":{"kind":"supersede","stop":{"reason":"x"}}}`, `{"told":7}`, `{"told":{"kind":7}}`} {
		r, err := parseRecord([]byte(`{"v":1,"id":"p/1","slots":[0],"state":"reserved"}` + "\n" + text + "\n"))
		if err != nil || r.stop != nil || r.release {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	// Who has adopted a lease that is not kept: a forged line again.
	r, err := parseRecord([]byte(`{"child":{"pid":1},"adopter":{"pid":1}}` + "\n" + `{"v":1,"id":"p/1","slots":[0],"state":"reserved","adopter":{"pid":3}}` + "\n"))
	if err != nil || r.adopter != nil || r.lease.Adopter != nil || r.child == nil {
		t.Errorf("%+v, %v; want the child, and no adopter", r, err)
	}
}

// TestListOfKeptLeases: the keeper's lock is a shared one, and several lists that look at once have
// it as well.
func TestListOfKeptLeases(t *testing.T) {
	live := living{keeperOf.PID: true}
	s := live.in(t)
	keeper := takeSlot(t, s, keptRequest(1, 1))
	done := make(chan int, 8)
	list := func() {
		for range cap(done) {
			go func() {
				used := -1
				if pools, err := s.List(t.Context(), "p"); err == nil {
					used = pools[0].Used
				}
				done <- used
			}()
		}
	}
	list()
	for range cap(done) {
		if used := <-done; used != 1 {
			t.Errorf("%d slots in use, want that of the keeper", used)
		}
	}
	delete(live, keeperOf.PID)
	killed(t, keeper, false)
	if pools, err := s.List(t.Context(), "p"); err != nil || pools[0].Used != 0 {
		t.Errorf("List: %+v, %v; want it free", pools, err)
	}
}

// TestLateEndOfAnAdoption: an adopter that was taken for gone, and another has adopted the lease
// since, does not end the adoption of that.
func TestLateEndOfAnAdoption(t *testing.T) {
	live := living{keeperOf.PID: true, nextToRun.PID: true}
	s := live.in(t)
	keeper := takeSlot(t, s, keptRequest(1, 1))
	late, err := s.Adopt(t.Context(), keeper.lease.ID, adopterOf)
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Running(t.Context(), childOf); err != nil { // which is over
		t.Fatal(err)
	}
	a, err := s.Adopt(t.Context(), keeper.lease.ID, nextToRun)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Renew(t.Context(), 0); !errors.Is(err, lease.ErrLost) {
		t.Errorf("Renew: %v, want ErrLost", err)
	}
	giveBack(t, late)
	if in, err := keeper.Renew(t.Context(), 0); err != nil || in.Adopter == nil || in.Adopter.PID != nextToRun.PID {
		t.Errorf("Renew of the keeper: %+v, %v; want the second adopter", in, err)
	}
	giveBack(t, a)
	giveBack(t, keeper)
}

// TestTornNote: a note that a kill tore, or two calls at once, is none.
func TestTornNote(t *testing.T) {
	s := everywhere.in(t)
	h := takeSlot(t, s, request(1, 1))
	if _, err := s.Tell(t.Context(), h.lease.ID, lease.Message{Kind: lease.MessageKeepalive, Note: "step 12 of 30"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at         int64
		text, want string
	}{{0, "", "step 12 of 30"}, {noteAt + 5, "9", ""}, {noteAt + 5, "1", "step 12 of 30"}, {22, "9999", ""}} {
		f, err := os.OpenFile(s.path("p", "notes"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(c.text), c.at); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if pools, err := s.List(t.Context(), "p"); err != nil || pools[0].Holders[0].KeepaliveNote != c.want {
			t.Errorf("List: %+v, %v; want the note %q", pools, err, c.want)
		}
	}
	giveBack(t, h)
}
