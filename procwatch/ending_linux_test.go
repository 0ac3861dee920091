package procwatch

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestEnding: a process lives, with all it has open, until the kernel takes it apart.
func TestEnding(t *testing.T) {
	cmd := exec.Command("sleep", "1h")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if id.Ending() {
		t.Error("it runs, and is said to be ending")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !id.Ending() {
		t.Error("it is gone, and not said to be ending")
	}
	line := strings.Replace(statLine("812", "sh", "S"), " 09 ", " "+strconv.Itoa(0x400100|pfExiting)+" ", 1)
	if p, err := parseStat([]byte(line)); err != nil || !p.exiting {
		t.Errorf("%+v, %v; want one that the kernel takes apart", p, err)
	}
}

// TestFrozenGroup: its processes cannot be told from sleeping ones by their state.
func TestFrozenGroup(t *testing.T) {
	const dir = "/sys/fs/cgroup/freezer/berth-test-frozen"
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no freezer to write to: %v", err)
	} else if err != nil && !errors.Is(err, fs.ErrExist) {
		t.Skip(err)
	}
	cmd := exec.Command("sleep", "1h")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0); err != nil {
			t.Error(err)
		}
	}
	defer func() {
		write("freezer.state", "THAWED")
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.Remove(dir)
	}()
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	write("cgroup.procs", strconv.Itoa(id.PID))
	if id.Frozen() {
		t.Error("it runs, and is said to be frozen")
	}
	write("freezer.state", "FROZEN")
	for end := time.Now().Add(10 * time.Second); !id.Frozen(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not said to be frozen")
		}
	}
}
