package job

import (
	"context"
	"errors"

	"berth/cmd/tty"
	"berth/limiter"
	"berth/procwatch"
)

// Become turns this process into the command, which inherits the descriptors of its slots and
// is not supervised. It returns only with an error, a tty.SignalError if a signal came before:
// then nothing was started, and the slots are given back. After a TSTP that came too late for
// the wait this process is suspended first.
func Become(ctx context.Context, s limiter.Sessions, argv, env []string, in Inputs) error {
	if len(s) == 0 {
		return become(argv, env, in)
	}
	err := s.Bind(ctx, s[0].Lease().Owner)
	if err == nil {
		err = become(argv, env, in)
	}
	return errors.Join(err, s.Unused(context.WithoutCancel(ctx)))
}

func become(argv, env []string, in Inputs) error {
	suspended := false
	for _, sig := range in.Signals.Close() {
		switch tty.ClassOf(sig, tty.Alone) {
		case tty.Terminate:
			return tty.SignalError{Signal: sig}
		case tty.Suspend:
			suspended = true
		}
	}
	if suspended {
		in.Suspend()
	}
	return procwatch.Replace(argv, env)
}
