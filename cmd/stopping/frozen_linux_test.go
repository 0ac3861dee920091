package stopping

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"berth/lease"
	"berth/procwatch"
)

// TestWasHere: the boot before this one and another machine of the same name look alike. A process
// of either may live, as far as is known here. (The adoption of a live one was ended.)
func TestWasHere(t *testing.T) {
	self, err := procwatch.Self()
	if err != nil {
		t.Fatal(err)
	}
	gone := lease.Process(self)
	gone.Start++
	other, space := gone, gone
	other.Boot, space.PIDNS = "00000000-0000-4000-8000-000000000000", 1
	st := Store{Remote: true, Self: self}
	for p, want := range map[lease.Process]bool{gone: true, lease.Process(self): false, other: false, space: false} {
		if got := st.wasHere(p); got != want {
			t.Errorf("%+v: %t, want %t", p, got, want)
		}
	}
}

// TestFrozenBerth: a berth that is suspended and that this process may not resume is an error in
// the end that says so. (It said that something out of reach had the lock.)
func TestFrozenBerth(t *testing.T) {
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleep.Process.Kill()
		_ = sleep.Wait()
	}()
	id, err := procwatch.Identify(sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Send(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); id.State() != procwatch.Stopped; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it is not stopped")
		}
	}
	c := &ending{id: "p/000000000000", until: time.Now().Add(-time.Second)}
	l := &lease.Lease{State: lease.Reserved, Slots: []int{0}, Request: lease.Request{ID: c.id, Pool: "p", Owner: lease.Process(id), Heartbeat: time.Second}}
	var frozen *FrozenError
	if over, err := follow(Store{}, c, &lease.Entry{Lease: l}, lease.Stop{}); !over || !errors.As(err, &frozen) {
		t.Errorf("over %v, %v", over, err)
	}
}
