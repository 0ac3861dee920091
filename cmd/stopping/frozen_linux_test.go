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
	for id.State() != procwatch.Stopped {
		runtime.Gosched()
	}
	c := &ending{id: "p/000000000000", until: time.Now().Add(-time.Second)}
	l := &lease.Lease{State: lease.Reserved, Slots: []int{0}, Request: lease.Request{ID: c.id, Pool: "p", Owner: lease.Process(id), Heartbeat: time.Second}}
	var frozen *FrozenError
	if over, err := follow(Store{}, c, &lease.Entry{Lease: l}, lease.Stop{}); !over || !errors.As(err, &frozen) {
		t.Errorf("over %v, %v", over, err)
	}
}
