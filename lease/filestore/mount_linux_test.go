package filestore

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"berth/lease"
)

// noMount is the exit code of a shell that may not mount.
const noMount = 77

// TestOtherFileSystems: the whole contract on a tmpfs and on an overlay, the file system of
// containers.
func TestOtherFileSystems(t *testing.T) {
	for name, mount := range map[string]string{
		"tmpfs":   `mount -t tmpfs none "$dir"`,
		"overlay": `mount -t tmpfs none "$dir" && mkdir "$dir/l" "$dir/u" "$dir/w" "$dir/m" && mount -t overlay -o "lowerdir=$dir/l,upperdir=$dir/u,workdir=$dir/w" none "$dir/m" && dir=$dir/m`,
	} {
		t.Run(name, func(t *testing.T) {
			inMounts(t, mount+` || exit 77; TMPDIR=$dir exec "$self" -test.run '^(TestStore|TestLockIsReplaced|TestEventsWakeTheHead)$'`)
		})
	}
}

// layered names the store that TestLowerLayer is to use in a process of its own.
const layered = "FILESTORE_TEST_LAYERED"

// TestLowerLayer: an image may contain a store. Its files are copied when they are first
// written, and a lock on the copy has to exclude processes that opened the original.
func TestLowerLayer(t *testing.T) {
	if dir := os.Getenv(layered); dir != "" {
		useLayered(t, dir)
		return
	}
	inMounts(t, `mount -t tmpfs none "$dir" && mkdir "$dir/l" "$dir/u" "$dir/w" "$dir/m" || exit 77
		export FILESTORE_TEST_LAYERED
		FILESTORE_TEST_LAYERED=$dir/l "$self" -test.run '^TestLowerLayer$' || exit 1
		mount -t overlay -o "lowerdir=$dir/l,upperdir=$dir/u,workdir=$dir/w" none "$dir/m" || exit 77
		FILESTORE_TEST_LAYERED=$dir/m exec "$self" -test.run '^TestLowerLayer$'`)
}

// useLayered takes a slot while a reader has it open from before.
func useLayered(t *testing.T, dir string) {
	s, err := Open(filepath.Join(dir, "store"), Options{Create: true, Alive: func(p lease.Process) bool { return p.PID == os.Getpid() }})
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Open(s.path("p", "slots", "0"))
	if err == nil {
		defer before.Close()
	}
	h := takeSlot(t, s, request(1, 1))
	if got, v, err := s.TryAcquire(t.Context(), request(1, 1)); got != nil || err != nil || v.Reason != lease.Full {
		t.Errorf("%v, %+v, %v: two in one slot", got, v, err)
	}
	if before != nil {
		if locked, err := lockedByAnother(before); !locked || err != nil {
			t.Errorf("locked: %v, %v, through a file that was opened before", locked, err)
		}
	}
	giveBack(t, h)
	giveBack(t, takeSlot(t, s, request(1, 1)))
}

// inMounts runs a script in a mount namespace of its own, with a directory and with this
// test as self.
func inMounts(t *testing.T, script string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c", "dir=$1 self=$2; "+script, "sh", t.TempDir(), self)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == noMount {
		t.Skipf("no such mount here: %s", out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
