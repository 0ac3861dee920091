package cmd

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"berth/cmd/text"
	"berth/cmd/tty"
)

// printer writes lines in the order in which they were said, on a goroutine of its own that
// exists only while there is something to write. A pipe that is full and not read, or a
// terminal that Ctrl-S has stopped, blocks only that goroutine, and never a start, a signal
// or a release.
type printer struct {
	w io.Writer

	mu      sync.Mutex
	queue   []entry
	writing bool
	shown   bool          // a live line is on the terminal, or on its way there
	lost    int           // lines that were dropped and not reported yet
	todo    int           // goroutines that write, or will have something to say
	quiet   chan struct{} // closed when todo is 0 again

	drawn bool // a live line is on the terminal; only the writer uses it
}

// entry is a line with its end, or the text of a live one.
type entry struct {
	kind entryKind
	text string
}

type entryKind int

const (
	droppable entryKind = iota // may be dropped
	kept                       // an error, or its hint
	live                       // replaced by what follows
	erase                      // removes the live line
)

var stderr = &printer{w: tty.Stderr{}}

const (
	// printerRoom is how many lines are kept that nobody reads: some ten thousand bytes.
	printerRoom = 100
	// beforeStart is how long the command waits for lines that were said before it, so that
	// they come before its own. A reader has read them in microseconds; if there is none,
	// the command itself would block on the first line that it writes.
	beforeStart = 100 * time.Millisecond
	// lastWords is how long the end of berth waits for a reader: longer than any reader takes
	// to get a CPU, and short for a person at a terminal that does not move. Everything is
	// given back by then.
	lastWords = time.Second
)

func (s *printer) put(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.kind == erase && !s.shown {
		return
	}
	s.shown = e.kind == live
	// This one would remove it at once.
	if n := len(s.queue); n > 0 && (s.queue[n-1].kind == live || s.queue[n-1].kind == erase) {
		s.queue = s.queue[:n-1]
	}
	if isMessage := e.kind == droppable || e.kind == kept; isMessage && len(s.queue) >= printerRoom && !s.makeRoom(e) {
		s.lost++
		return
	}
	s.queue = append(s.queue, e)
	if !s.writing {
		s.writing = true
		s.begin()
		go s.write()
	}
}

// makeRoom drops the oldest line that may be dropped. An error never is, but the same one
// is not kept twice.
func (s *printer) makeRoom(e entry) bool {
	if i := slices.IndexFunc(s.queue, func(q entry) bool { return q.kind == droppable }); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.lost++
		return true
	}
	return e.kind != droppable && !slices.Contains(s.queue, e)
}

func (s *printer) write() {
	for {
		out, more := s.next()
		if !more {
			return
		}
		_, _ = io.WriteString(s.w, out) // an error could only be written to the same place
	}
}

// next takes the next entry out, as it is to be written.
func (s *printer) next() (out string, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear := ""
	if s.drawn {
		clear = "\r\x1b[K"
	}
	switch {
	case s.lost > 0:
		were := "were"
		if s.lost == 1 {
			were = "was"
		}
		out = fmt.Sprintf("%sberth: note: %s %s dropped here: nobody was reading\n", clear, text.Plural(s.lost, "line"), were)
		s.lost, s.drawn = 0, false
		return out, true
	case len(s.queue) == 0:
		s.writing = false
		s.end()
		return "", false
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	if s.drawn = e.kind == live; s.drawn {
		return "\r" + e.text + "\x1b[K", true
	}
	return clear + e.text, true
}

// later runs f, which has to find out first what it says. The end of berth waits for it as
// for a line.
func (s *printer) later(f func()) {
	s.mu.Lock()
	s.begin()
	s.mu.Unlock()
	go func() {
		defer func() {
			s.mu.Lock()
			s.end()
			s.mu.Unlock()
		}()
		f()
	}()
}

func (s *printer) begin() {
	if s.todo++; s.todo == 1 {
		s.quiet = make(chan struct{})
	}
}

func (s *printer) end() {
	if s.todo--; s.todo == 0 {
		close(s.quiet)
	}
}

// flush waits until everything is written, but no longer than that.
func (s *printer) flush(atMost time.Duration) {
	s.mu.Lock()
	todo, quiet := s.todo, s.quiet
	s.mu.Unlock()
	if todo == 0 {
		return
	}
	select {
	case <-quiet:
	case <-time.After(atMost):
	}
}
