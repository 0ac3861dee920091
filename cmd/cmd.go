// Package cmd is berth: it has words turned into a request, does what the request says,
// and turns the outcome into messages and an exit code. Leases and processes meet here.
package cmd

import (
	"errors"
	"os"

	"berth/cmd/manual"
	"berth/cmd/tokenfile"
	"berth/cmd/words"
	"berth/procwatch"
)

// Main runs berth with the arguments and returns how it is to end. Only main
// exits: a defer that gives a slot back must always run.
func Main(args []string) Outcome {
	if code, was := procwatch.BeSide(args[1:]); was {
		return Outcome{Code: code}
	}
	defer stderr.flush(lastWords)
	request, err := words.Parse(args[1:])
	code := codeOK
	if err == nil {
		code, err = do(request)
	}
	if err == nil {
		return exported(args, Outcome{Code: code})
	}
	say := newSpeaker(false, false)
	for _, e := range each(err) {
		say.explain(e)
	}
	return exported(args, outcomeOf(err))
}

func do(request any) (code int, err error) {
	switch r := request.(type) {
	case words.Run:
		return run(&r)
	case *words.Acquire:
		return acquire(r)
	case words.Release:
		return codeOK, release(r)
	case words.Ls:
		return codeOK, ls(r)
	case *words.Limit:
		return codeOK, limit(r)
	case words.Probe:
		return showReadings(r)
	case words.Stop:
		return codeOK, stop(r)
	case words.Keepalive:
		return codeOK, keepalive(r)
	case words.Doctor:
		return examine(r)
	case words.Wait:
		if r.Lease != "" {
			return waitForEnd(r)
		}
		return codeOK, waitFor(r)
	case words.Held:
		return held(r)
	case words.Token:
		return codeOK, tokenfile.Check(r.File, r.Token)
	case words.Completion:
		return codeOK, complete(r.Words)
	case words.Man:
		return codeOK, write(os.Stdout, manual.Man(describedAll()))
	case words.Version:
		return codeOK, printVersion(r.JSON)
	case words.Help:
		return codeOK, helpOn(os.Stdout, r.Word)
	}
	panic("a request that nobody answers")
}

// several are errors that are explained one by one.
type several []error

func (s several) Error() string   { return errors.Join(s...).Error() }
func (s several) Unwrap() []error { return s }

func each(err error) []error {
	if all, ok := err.(several); ok {
		return all
	}
	return []error{err}
}
