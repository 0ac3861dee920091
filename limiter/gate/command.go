package gate

import (
	"berth/lease/clock"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Exit codes of a command; 75 is EX_TEMPFAIL.
const (
	codeOpen   = 0
	codeClosed = 75
	codeAbsent = 127 // of a shell that does not find it
)

// result is how a command ended.
type result struct {
	code   int    // -1: it has none
	output string // its first line
	err    error  // it is neither open nor closed
}

// Command is a command of the user's own, for sh -c.
type Command struct {
	Line   string
	Env    []string // its whole environment
	AtMost time.Duration
	Output io.Writer // of what it prints
}

// CommandEnd is how a command ended. Nothing that it started is left.
type CommandEnd struct {
	Code     int
	Signal   syscall.Signal // that ended it, else 0
	TimedOut bool           // it was killed because its time was over
}

// RunCommand runs a command to its end, and kills it with all that it has started when its time
// is over or ctx ends. The error says that it could not be run.
type RunCommand func(ctx context.Context, c Command) (CommandEnd, error)

// run asks a command of the user's own.
func (a *Asker) run(ctx context.Context, command string, env []string) result {
	if a.Run == nil {
		return result{code: -1, err: errors.New("is not run here")}
	}
	var out head
	limit := a.timings().Command
	end, err := a.Run(ctx, Command{command, env, limit, &out})
	r := result{code: end.Code, output: out.line()}
	switch {
	case ctx.Err() != nil:
		r.code, r.err = -1, context.Cause(ctx)
	case err != nil:
		r.code, r.err = -1, fmt.Errorf("cannot be run: %w", err)
	case end.TimedOut:
		r.code, r.err = -1, fmt.Errorf("did not answer within %v", limit)
	case end.Signal != 0:
		r.code, r.err = -1, fmt.Errorf("ended by signal: %v", end.Signal)
	case r.code == codeOpen, r.code == codeClosed:
	case r.code == codeAbsent:
		r.err = fmt.Errorf("was not found (exit code %d)", r.code)
	default:
		r.err = fmt.Errorf("ended with exit code %d, which is neither %d (open) nor %d (closed)", r.code, codeOpen, codeClosed)
	}
	return r
}

// head keeps the beginning of what is written and takes the rest, so that a
// command which prints without end neither blocks nor fills our memory.
type head struct{ text []byte }

const headSize = 512

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), headSize-len(h.text))]...)
	return len(p), nil
}

// line is the first line with something in it, without what could move a
// terminal's cursor.
func (h *head) line() string {
	for l := range strings.Lines(string(h.text)) {
		l = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(l, "?"))
		if l = strings.TrimSpace(l); l != "" {
			return l
		}
	}
	return ""
}

// commandState is what earlier runs of a command told.
type commandState struct {
	at      clock.Instant // when it began
	next    clock.Instant // it is not run before this
	backoff time.Duration // grows while it fails; 0: it does not
	told    string        // how it fails, as it was reported; "": it does not
	verdict Finding
}

// commandEvery is the time between two runs of a command, and the first back-off of one
// that fails.
const commandEvery = time.Second

// command asks the user's own command, or repeats what it said a moment ago.
func (a *Asker) command(ctx context.Context, q Question, s Set, r Readings) (v Finding, failure string) {
	if a.commands == nil {
		a.commands = map[string]*commandState{}
	}
	c := a.commands[s.Command]
	if c == nil {
		c = &commandState{}
		a.commands[s.Command] = c
	}
	began := a.now()
	if c.at > 0 && began < c.next {
		if c.verdict.Open && q.LastStart > 0 && began.Add(-q.LastStart) > c.at {
			// That answer did not count the new job.
			return notAsked(s, "a job has started since it was asked"), ""
		}
		v = c.verdict
		v.From = s.From
		return v, ""
	}
	// A new slice, and never nil, which would mean our own environment.
	env := slices.Concat([]string{}, q.Env, r.Env())
	got := a.run(ctx, s.Command, env)
	if ctx.Err() != nil {
		v = notAsked(s, "")
		v.Says = fmt.Sprintf("command %q had not answered when the wait for it ended", brief(s.Command))
		return v, ""
	}
	c.at, c.next, c.verdict = began, a.now().Add(commandEvery), said(s, got)
	if got.err == nil {
		c.backoff, c.told = 0, ""
		return c.verdict, ""
	}
	c.backoff = min(max(2*c.backoff, commandEvery), a.timings().Slowest)
	c.next = a.now().Add(c.backoff)
	if c.told == got.err.Error() { // whatever else it prints
		return c.verdict, ""
	}
	c.told = got.err.Error()
	return c.verdict, "gate " + c.verdict.Says
}

// said is the finding on a result.
func said(s Set, got result) Finding {
	v := compared("gate", "", "exit code", float64(got.code), codeOpen, got.code == codeOpen && got.err == nil)
	v.From, v.Of, v.Says = s.From, s.Command, fmt.Sprintf("command %q ", brief(s.Command))
	if got.code < 0 {
		v.Value = nil
	}
	switch {
	case got.err != nil:
		v.Says += got.err.Error()
	case v.Open:
		v.Says += "is open (exit code 0)"
	default:
		v.Says += "is closed (exit code 75, not 0)"
	}
	switch {
	case got.output == "" || v.Open:
	case got.err != nil:
		v.Says += ": " + got.output
	default: // the user's own reason says more than ours
		v.Says = fmt.Sprintf("%s (exit code 75 of command %q)", got.output, brief(s.Command))
	}
	return v
}

// notAsked is the finding on a command that has none now.
func notAsked(s Set, why string) Finding {
	threshold := float64(codeOpen)
	return Finding{
		Gate: "gate", From: s.From, Threshold: &threshold, Unit: "exit code", Of: s.Command,
		Says: fmt.Sprintf("command %q was not asked: %s", brief(s.Command), why), pending: true,
	}
}

// unasked is the finding when the wait ends before a command is run: how it failed last, if
// it did.
func (a *Asker) unasked(s Set) Finding {
	c := a.commands[s.Command]
	if c == nil || c.backoff == 0 {
		return notAsked(s, "the wait for a slot ended first")
	}
	v := c.verdict
	v.From = s.From
	v.Says += ", and it was not retried before the wait ended"
	return v
}

// brief is enough of a command to recognise it.
func brief(command string) string {
	if r := []rune(command); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return command
}
