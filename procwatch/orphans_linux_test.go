package procwatch

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("never came true: %s", what)
			return
		}
	}
}

// TestStopNewOrphans: orphans are found without a scan, which would be too slow.
func TestStopNewOrphans(t *testing.T) {
	out := t.TempDir() + "/out"
	c, err := Start([]string{"/bin/sh", "-c", `(sh -c 'echo $$ >"$0"; exec sleep 1000' "$0" &); exec sleep 1000`, out}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.End(t.Context(), syscall.SIGKILL, 0); err != nil {
			t.Error(err)
		}
		eventually(t, "the reaper is done", func() bool { return !busy.Load() })
	}()
	orphan := 0
	eventually(t, "the orphan is adopted", func() bool {
		b, _ := os.ReadFile(out)
		orphan, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		p, err := readProcess(orphan)
		return err == nil && p.ppid == os.Getpid()
	})
	stopped := map[int]bool{}
	if !c.stopNewOrphans(stopped) || !stopped[orphan] {
		t.Errorf("stopped %v, not %d", stopped, orphan)
	}
	eventually(t, "the orphan is stopped", func() bool {
		p, err := readProcess(orphan)
		return err == nil && p.stopped()
	})
	if c.stopNewOrphans(stopped) {
		t.Error("stopped the same ones again")
	}
}
