package tty

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestSuspendSelfOrphaned: the leader of a session has no shell that could resume it. (It was
// suspended for ever, and its terminal could not be used.)
func TestSuspendSelfOrphaned(t *testing.T) {
	const leads = "TTY_TEST_LEADS"
	if os.Getenv(leads) != "" {
		SuspendSelf()
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	leader := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestSuspendSelfOrphaned$")
	leader.Env = append(os.Environ(), leads+"=1")
	leader.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := leader.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
