//go:build unix

package gates

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/limiter/gate"
	"berth/procwatch"
)

func TestMain(m *testing.M) {
	if code, was := procwatch.BeSide(os.Args[1:]); was {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestCommandsBesideAChild: the reaper of a child takes no exit of a gate's command.
func TestCommandsBesideAChild(t *testing.T) {
	c, err := procwatch.Start([]string{"sh", "-c", "while :; do (sleep 0.001 &) ; done"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			got, err := run(t.Context(), gate.Command{Line: fmt.Sprintf("exit %d", i), Env: os.Environ(), AtMost: 20 * time.Second, Output: io.Discard})
			if err != nil || got != (gate.CommandEnd{Code: i}) {
				t.Errorf("exit %d: got %+v, %v", i, got, err)
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.End(ctx, syscall.SIGKILL, 0); err != nil {
		t.Error(err)
	}
}
