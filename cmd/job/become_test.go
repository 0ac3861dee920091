//go:build unix

package job

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"berth/cmd/tty"
	"berth/procwatch"
)

// TestSignalBeforeBecome: with --exec a TSTP that came too late for the wait suspends this
// process, and a signal that ends it wins.
func TestSignalBeforeBecome(t *testing.T) {
	for _, c := range []struct {
		signals   []syscall.Signal
		suspended int
		want      error // what it ends with
	}{
		{nil, 0, procwatch.ErrNotFound},
		{[]syscall.Signal{tty.TSTP}, 1, procwatch.ErrNotFound},
		{[]syscall.Signal{tty.TSTP, tty.CONT}, 0, procwatch.ErrNotFound},
		{[]syscall.Signal{tty.TSTP, syscall.SIGTERM}, 0, tty.SignalError{Signal: syscall.SIGTERM}},
		{[]syscall.Signal{tty.WINCH}, 0, procwatch.ErrNotFound},
	} {
		signals := tty.NewSignals()
		signals.Start(nil, nil, nil)
		for _, sig := range c.signals {
			signals.Requeue(sig)
		}
		suspended := 0
		in := Inputs{Signals: signals, Suspend: func() { suspended++ }}
		err := Become(context.Background(), nil, []string{t.TempDir() + "/none"}, nil, in)
		if !errors.Is(err, c.want) || suspended != c.suspended {
			t.Errorf("%v: suspended %d times, %v; want %d times, %v", c.signals, suspended, err, c.suspended, c.want)
		}
	}
}
