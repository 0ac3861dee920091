package cmd

import (
	"context"
	"errors"
	"os"

	"berth/cmd/handover"
	"berth/cmd/job"
	"berth/cmd/tty"
	"berth/lease/clock"
)

// inBackground starts the same command again, as the back of a hand-over that gets the data. It
// returns how that has ended, or, once it can be left alone, what print returns, which gets what
// the back has said and confirms it.
func inBackground(data string, print func(f *handover.Front, said string) error) (int, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	f, err := handover.NewFront()
	if err != nil {
		return 0, err
	}
	signals, left, printed := tty.NewSignals(), make(chan struct{}), error(nil)
	signals.Start(nil, tty.BeforeStart, nil)
	signals.Ready()
	sink := func(e job.Record) {
		if e.Kind != job.Started {
			return
		}
		f.Started()
		go func() {
			if said := f.Receive(); said != "" {
				printed = print(f, said)
				close(left)
			}
		}()
	}
	result, err := job.Run(context.Background(), nil, job.Spec{
		Argv: append([]string{program}, os.Args[1:]...),
		Env:  f.Environ(callersEnviron(), data),
	}, job.Inputs{
		Signals: signals, Suspend: tty.SuspendSelf, Clock: func() clock.Instant { return 0 }, Left: left,
	}, sink)
	if err != nil {
		return 0, err
	}
	select {
	case <-left:
		return codeOK, printed
	default:
	}
	if code, err := codeOfJob(result); code != codeOK || err != nil {
		return code, err
	}
	return 0, errors.New("the process in the background has ended")
}
