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

// A scan would be too slow for what a rush is made for.
func TestRushStopsOrphans(t *testing.T) {
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
		p, err := look(orphan)
		return err == nil && p.ppid == os.Getpid()
	})
	met := map[int]bool{}
	if !c.rush(met) || !met[orphan] {
		t.Errorf("met %v, not %d", met, orphan)
	}
	eventually(t, "the orphan is stopped", func() bool {
		p, err := look(orphan)
		return err == nil && p.stopped()
	})
	if c.rush(met) {
		t.Error("met the same ones again")
	}
}
