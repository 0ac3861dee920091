package cmd

import (
	"fmt"
	"sync"

	"berth/cmd/open"
	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/cmd/words"
)

// Everything that berth prints on stderr goes through this file:
//
//   - "berth: error: FACT" states the fact, with the pool, the numbers and the holder. It
//     has no period, no capital and no "failed to".
//   - "berth: hint: NEXT COMMAND" follows if there is something to do. The command can be
//     pasted: it has no "…", and it has the --store that was typed.
//   - "berth: note: FACT" tells what is no error and still worth a line.
//   - "berth: FACT" tells of progress: during a wait, and with --verbose.
//   - Success is silent. --quiet silences notes and progress, never errors.
//   - No message shows a password, whatever word it was typed in: see
//     storename.HidePasswords.
//   - No message has a newline from elsewhere: a command or a label could forge a line.
//   - Nothing waits for the reader of a message: the printer writes it.

type speaker struct {
	out            *printer
	quiet, verbose bool
	plain          bool      // stderr will be a file, whatever it is now
	hinted         sync.Once // the hint for a store that cannot be reached
}

func newSpeaker(quiet, verbose bool) *speaker {
	return &speaker{out: stderr, quiet: quiet, verbose: verbose && !quiet}
}

func (s *speaker) line(kind, format string, args ...any) {
	e := entry{kind: droppable, text: fmt.Sprintf("berth: %s%s\n", kind, text.OneLine(storename.HidePasswords(words.InSameStore(fmt.Sprintf(format, args...)), storename.Suspects())))}
	if kind == errorKind || kind == hintKind {
		e.kind = kept
	}
	s.out.put(e)
}

// draw shows a line that the next draw or message replaces.
func (s *speaker) draw(text string) { s.out.put(entry{live, text}) }

func (s *speaker) erase() { s.out.put(entry{kind: erase}) }

// opening connects a store that is opened with what berth prints.
func (s *speaker) opening(create bool) open.Options {
	return open.Options{Create: create, Note: s.notef, Trouble: s.trouble, Environ: callersEnviron}
}

// pass shows what a hook prints, as it is.
func (s *speaker) pass(b []byte) { s.out.put(entry{droppable, string(b)}) }

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
