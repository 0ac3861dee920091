package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Everything berth says goes through this file, to stderr:
//
//   - "berth: error: FACT" says what is the case, with the pool, the numbers and
//     who holds; no period, no capital, no "failed to".
//   - "berth: hint: NEXT COMMAND" follows where there is something to do.
//   - "berth: note: FACT" is said when all is well and yet worth a line.
//   - "berth: FACT" tells how it goes: while waiting, and with --verbose.
//   - Success is silent. --quiet silences notes and waiting, never errors.
//   - No newlines from elsewhere: a command or a label could forge a line.

type speaker struct {
	w              io.Writer
	quiet, verbose bool

	mu    sync.Mutex // the waiter and who watches it both speak
	drawn bool       // a live line stands on the terminal
}

func newSpeaker(quiet, verbose bool) *speaker {
	return &speaker{w: os.Stderr, quiet: quiet, verbose: verbose && !quiet}
}

func (s *speaker) line(kind, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eraseLocked()
	fmt.Fprintf(s.w, "berth: %s%s\n", kind, oneLine(fmt.Sprintf(format, args...)))
}

// draw shows one line that the next draw, or any other word, replaces.
func (s *speaker) draw(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, "\r%s\x1b[K", text)
	s.drawn = true
}

func (s *speaker) erase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eraseLocked()
}

func (s *speaker) eraseLocked() {
	if s.drawn {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.drawn = false
	}
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
