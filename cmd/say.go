package cmd

import (
	"fmt"
	"sync"

	"berth/cmd/open"
	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/cmd/words"
)

// Everything berth says goes through this file, to stderr:
//
//   - "berth: error: FACT" says what is the case, with the pool, the numbers and
//     who holds; no period, no capital, no "failed to".
//   - "berth: hint: NEXT COMMAND" follows where there is something to do. It can be
//     pasted as it is: no "…", and with the --store that was typed.
//   - "berth: note: FACT" is said when all is well and yet worth a line.
//   - "berth: FACT" tells how it goes: while waiting, and with --verbose.
//   - Success is silent. --quiet silences notes and waiting, never errors.
//   - No password, whatever word it was typed in: see hidden.
//   - No newlines from elsewhere: a command or a label could forge a line.
//   - Nobody waits for whoever reads it: a sink does the writing.

type speaker struct {
	out            *sink
	quiet, verbose bool
	hinted         sync.Once // what to do about a store that cannot be reached
}

func newSpeaker(quiet, verbose bool) *speaker {
	return &speaker{out: stderr, quiet: quiet, verbose: verbose && !quiet}
}

func (s *speaker) line(kind, format string, args ...any) {
	e := entry{kind: told, text: fmt.Sprintf("berth: %s%s\n", kind, text.OneLine(storename.HidePasswords(words.InSameStore(fmt.Sprintf(format, args...)), storename.Suspects())))}
	if kind == errorKind || kind == hintKind {
		e.kind = vital
	}
	s.out.put(e)
}

// draw shows one line that the next draw, or any other word, replaces.
func (s *speaker) draw(text string) { s.out.put(entry{live, text}) }

func (s *speaker) erase() { s.out.put(entry{kind: wipe}) }

// opening is what a store says while it is opened and used.
func (s *speaker) opening(create bool) open.Options {
	return open.Options{Create: create, Note: s.notef, Trouble: s.trouble, Environ: callersEnviron}
}

const errorKind, hintKind = "error: ", "hint: "

func (s *speaker) errorf(format string, args ...any) { s.line(errorKind, format, args...) }
func (s *speaker) hintf(format string, args ...any)  { s.line(hintKind, format, args...) }

func (s *speaker) notef(format string, args ...any) {
	if !s.quiet {
		s.line("note: ", format, args...)
	}
}

func (s *speaker) verbosef(format string, args ...any) {
	if s.verbose {
		s.line("", format, args...)
	}
}
