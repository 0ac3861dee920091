package job

import (
	"context"
	"errors"

	"berth/cmd/tty"
	"berth/limiter"
	"berth/procwatch"
)

// Become turns this process into the command, which inherits the descriptor of its slot and
// is not supervised. It returns only with an error, a tty.SignalError if a signal came before:
// then nothing was started, and the slots are given back.
func Become(ctx context.Context, s *limiter.Session, argv, env []string, signals *tty.Signals) error {
	if s == nil {
		return become(argv, env, signals)
	}
	err := s.Bind(ctx, s.Lease().Owner)
	if err == nil {
		err = become(argv, env, signals)
	}
	return errors.Join(err, s.Unused(context.WithoutCancel(ctx)))
}

func become(argv, env []string, signals *tty.Signals) error {
	for _, sig := range signals.Close() {
		if tty.ClassOf(sig, tty.Alone) == tty.Terminate {
			return tty.SignalError{Signal: sig}
		}
	}
	return procwatch.Replace(argv, env)
}
