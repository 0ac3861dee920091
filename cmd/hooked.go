package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/cmd/hooks"
	"berth/cmd/job"
	"berth/cmd/text"
	"berth/cmd/tty"
	"berth/cmd/words"
	"berth/lease"
)

// hooked turns what happens to a job into events for the commands of --on. nil: there are
// none.
type hooked struct {
	runner hooks.Runner
	say    *speaker
	waited time.Duration
	began  time.Time // when the command was started; zero: it was not
}

// newHooked is for a job that has waited since then. environ is what its command finds.
func newHooked(spec *words.Run, say *speaker, since time.Time, environ []string) *hooked {
	if len(spec.On) == 0 {
		return nil
	}
	h := &hooked{say: say, waited: time.Since(since)}
	environ = slices.DeleteFunc(slices.Clone(environ), func(e string) bool { // of a hook around this berth
		name, _, _ := strings.Cut(e, "=")
		return job.OfHook(name)
	})
	h.runner = hooks.Runner{Commands: spec.On, Env: environ, Timeout: spec.HookTimeout, Output: say.pass, Ended: h.ended}
	return h
}

// sink is a job.Sink.
func (h *hooked) sink(r job.Record) {
	switch r.Kind {
	case job.Started:
		h.began = r.Time
		h.put("start")
	case job.Keepalive:
		h.put("keepalive")
	case job.Lost:
		h.put("lost", "BERTH_REASON=lost")
	case job.Ending:
		reason := reasonOf(job.Result{Why: r.Err})
		switch {
		case errors.Is(r.Err, job.ErrTimeLimit):
			h.put("timeout", "BERTH_REASON="+reason)
		case errors.Is(r.Err, lease.ErrLost):
			h.put("lost", "BERTH_REASON="+reason)
		}
	}
}

// stop is the last event, once the slots are given back. err is berth's own error, which may
// be how the job ended.
func (h *hooked) stop(reason string, exitCode int, err error) {
	if err != nil {
		exitCode = code(err)
	}
	h.put("stop", "BERTH_REASON="+reason, "BERTH_EXIT_CODE="+strconv.Itoa(exitCode))
}

func (h *hooked) put(event string, vars ...string) {
	if h == nil {
		return
	}
	vars = append(vars, "BERTH_EVENT="+event, "BERTH_WAITED="+seconds(h.waited))
	if !h.began.IsZero() {
		vars = append(vars, "BERTH_RAN="+seconds(time.Since(h.began)))
	}
	h.runner.Put(hooks.Event{Name: event, Vars: vars})
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// unusedReason is the BERTH_REASON of slots in which nothing was started.
const unusedReason = "unused"

// reasonOf is why a job has ended, in one word.
func reasonOf(r job.Result) string {
	var limit *job.TimeLimitError
	switch {
	case errors.As(r.Why, &limit) && limit.Flag == job.IdleTimeoutFlag:
		return "idle-timeout"
	case errors.Is(r.Why, job.ErrTimeLimit):
		return "timeout"
	case errors.Is(r.Why, lease.ErrLost):
		return "lost"
	case errors.As(r.Why, new(*lease.StoppedError)):
		return "stopped"
	case r.Signal != 0:
		return "signal"
	}
	return "exit"
}

// sameSignal is how long after the end of a job a signal may still be the one that has ended
// it: a Ctrl-C reaches the command and this process, which may hear of it last.
const sameSignal = 300 * time.Millisecond

// await waits until the last hook has ended. A signal that would end berth ends the hook that
// runs, and the next one is run. Hooks go on while berth is suspended.
func (h *hooked) await(signals *tty.Signals, suspend func()) {
	if h == nil || h.runner.Idle() == nil {
		return
	}
	since := time.Now()
	for {
		select {
		case <-h.runner.Idle():
			return
		case sig := <-signals.Next():
			switch tty.ClassOf(sig, tty.Leftover) {
			case tty.Terminate:
				if time.Since(since) > sameSignal {
					h.runner.Interrupt()
				}
			case tty.Suspend:
				suspend()
			}
		}
	}
}

// ended says in one line what went wrong with a hook.
func (h *hooked) ended(e hooks.Ended) {
	hook := fmt.Sprintf("hook %s: command %q", e.Event, text.Shorten(text.OneLine(e.Command), 60))
	switch {
	case e.Err != nil && !e.Interrupted:
		h.say.errorf("%s could not be run: %v", hook, e.Err)
	case e.Interrupted:
		h.say.notef("%s was ended by a signal", hook)
	case e.TimedOut:
		h.say.errorf("%s had not ended after %s and was ended", hook, text.Duration(h.runner.Timeout))
	case e.Signal != 0:
		h.say.errorf("%s was ended by signal %s", hook, tty.SignalName(e.Signal))
	case e.Code == codeNotFound:
		h.say.errorf("%s was not found (exit code %d)", hook, e.Code)
	case e.Code != 0:
		h.say.errorf("%s ended with exit code %d", hook, e.Code)
	case e.Left > 0:
		h.say.notef("%s left %s in the background, ended with it", hook, processes(e.Left))
	case e.Cut:
		h.say.notef("%s printed more than %d KiB; the rest is dropped", hook, hooks.MostOutput>>10)
	}
}

func processes(n int) string {
	if n == 1 {
		return "a process"
	}
	return fmt.Sprintf("%d processes", n)
}
