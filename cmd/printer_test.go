package cmd

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowReader is a terminal or a pipe that takes nothing until it is let go.
type slowReader struct {
	mu   sync.Mutex
	got  strings.Builder
	open chan struct{} // closed: somebody reads
	held chan struct{} // closed: a write waits
	once sync.Once
}

func newSlowReader() *slowReader {
	return &slowReader{open: make(chan struct{}), held: make(chan struct{})}
}

func (r *slowReader) Write(b []byte) (int, error) {
	r.once.Do(func() { close(r.held) })
	<-r.open
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(b)
}

func (r *slowReader) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}

// TestPrinterNeverBlocks: nobody reads, and who speaks goes on. What finds no room goes,
// the oldest first and never an error, and how much it was is told in its place.
func TestPrinterNeverBlocks(t *testing.T) {
	r := newSlowReader()
	say := &speaker{out: &printer{w: r}, verbose: true}
	say.notef("first")
	<-r.held // it is being written
	say.errorf("an error")
	say.hintf("a hint")
	for i := range 3 * printerRoom {
		say.verbosef("line %d", i)
	}
	say.out.flush(time.Millisecond)
	close(r.open)
	say.out.flush(time.Minute)
	const gone = 2*printerRoom + 2
	want := fmt.Sprintf("berth: note: first\nberth: note: %d lines were dropped here: nobody was reading\nberth: error: an error\nberth: hint: a hint\n", gone)
	for i := gone; i < 3*printerRoom; i++ {
		want += fmt.Sprintf("berth: line %d\n", i)
	}
	if got := r.text(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestPrinterErrorsStay: when there are only errors they are kept, the same one once.
func TestPrinterErrorsStay(t *testing.T) {
	r := newSlowReader()
	say := &speaker{out: &printer{w: r}}
	say.notef("first")
	<-r.held
	for i := range 2 * printerRoom {
		say.errorf("error %d.", i)
		say.errorf("again and again")
	}
	close(r.open)
	say.out.flush(time.Minute)
	for i := range 2 * printerRoom {
		if !strings.Contains(r.text(), fmt.Sprintf("berth: error: error %d.\n", i)) {
			t.Errorf("error %d is not there", i)
		}
	}
	if n := strings.Count(r.text(), "again and again"); n > printerRoom {
		t.Errorf("the same error is there %d times", n)
	}
}

// TestPrinterLiveLine: of several that were not written yet there is the last, and what
// stands on the terminal is erased before another word.
func TestPrinterLiveLine(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*speaker)
		want string
	}{
		{"drawn over", func(s *speaker) { s.draw("1"); s.draw("2"); s.draw("3") }, "\r0\x1b[K\r3\x1b[K"},
		{"erased", func(s *speaker) { s.draw("1"); s.erase(); s.erase() }, "\r0\x1b[K\r\x1b[K"},
		{"a word", func(s *speaker) { s.draw("1"); s.notef("x"); s.draw("2") }, "\r0\x1b[K\r\x1b[Kberth: note: x\n\r2\x1b[K"},
		{"erased and drawn", func(s *speaker) { s.erase(); s.draw("1") }, "\r0\x1b[K\r1\x1b[K"},
	} {
		r := newSlowReader()
		say := &speaker{out: &printer{w: r}}
		say.draw("0")
		<-r.held
		c.do(say)
		close(r.open)
		say.out.flush(time.Minute)
		if got := r.text(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestPrinterIsNothingUntilItIsUsed: start-up does not pay for words that are not said.
func TestPrinterIsNothingUntilItIsUsed(t *testing.T) {
	say := &speaker{out: &printer{}, quiet: true}
	say.notef("x")
	say.verbosef("x")
	say.erase()
	say.out.flush(0)
	if say.out.todo != 0 || say.out.writing {
		t.Error("somebody writes, and nothing was said")
	}
}

// TestPrinterWaitsForLater: the end waits for what is still to be found out.
func TestPrinterWaitsForLater(t *testing.T) {
	r := newSlowReader()
	close(r.open)
	say := &speaker{out: &printer{w: r}}
	known := make(chan struct{})
	say.out.later(func() {
		<-known
		say.notef("found out")
	})
	go close(known)
	say.out.flush(time.Minute)
	if got := r.text(); got != "berth: note: found out\n" {
		t.Errorf("got %q", got)
	}
}
