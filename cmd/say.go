package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Everything berth says goes through this file, to stderr:
//
//   - "berth: error: FACT" says what is the case, with the pool, the numbers and
//     who holds; no period, no capital, no "failed to".
//   - "berth: hint: NEXT COMMAND" follows where there is something to do.
//   - "berth: note: FACT" is said when all is well and yet worth a line.
//   - Success is silent. --quiet silences notes and waiting, never errors.
//   - No newlines from elsewhere: a command or a label could forge a line.

type speaker struct {
	w              io.Writer
	quiet, verbose bool
	live           *liveLine // drawn on a terminal while waiting; nil elsewhere
}

func newSpeaker(quiet, verbose bool) *speaker {
	return &speaker{w: os.Stderr, quiet: quiet, verbose: verbose && !quiet}
}

func (s *speaker) line(kind, format string, args ...any) {
	if s.live != nil {
		s.live.erase()
	}
	msg := fmt.Sprintf(format, args...)
	fmt.Fprintf(s.w, "berth: %s%s\n", kind, oneLine(msg))
}

func (s *speaker) errorf(format string, args ...any) { s.line("error: ", format, args...) }
func (s *speaker) hintf(format string, args ...any)  { s.line("hint: ", format, args...) }

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

// oneLine makes text from elsewhere safe for a terminal and a log: control
// characters, which could forge a line or move the cursor, become visible.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0:
			return '\uFFFD'
		}
		return r
	}, s)
}

// shorten cuts s to n columns, counting every rune as one.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:max(0, n-1)]) + "…"
}
