package job

import (
	"context"
	"errors"

	"berth/cmd/tty"
	"berth/limiter"
	"berth/procwatch"
)

// Become turns this process into the command, which inherits the descriptor of its slot:
// nothing supervises it. It returns only with an error, and nothing was started then: a
// tty.SignalError when a signal came before.
func Become(ctx context.Context, s *limiter.Session, argv, env []string, signals *tty.Signals) error {
	if s == nil {
		return become(argv, env, signals)
	}
	err := s.Bind(ctx, s.Lease().Owner)
	if err == nil {
		err = become(argv, env, signals)
	}
	return errors.Join(err, s.Unused(ctx))
}

func become(argv, env []string, signals *tty.Signals) error {
	for _, sig := range signals.Close() {
		if tty.ClassOf(sig, tty.Alone) == tty.Terminate {
			return tty.SignalError{Signal: sig}
		}
	}
	return procwatch.Replace(argv, env)
}
