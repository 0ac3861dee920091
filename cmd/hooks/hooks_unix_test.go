//go:build unix

package hooks

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that comes.
const patience = 20 * time.Second

// log is what the commands of a Runner have printed, and how they ended.
type log struct {
	mu    sync.Mutex
	out   bytes.Buffer
	ended []string
}

func (l *log) runner(commands map[string][]string) *Runner {
	return &Runner{
		Commands: commands, Env: os.Environ(), Timeout: patience,
		Output: func(b []byte) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.out.Write(b)
		},
		Ended: func(e Ended) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.ended = append(l.ended, fmt.Sprintf("%s %d %t %t", e.Event, e.Code, e.Interrupted, e.Cut))
		},
	}
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

func wait(t *testing.T, r *Runner) {
	t.Helper()
	select {
	case <-r.Idle():
	case <-time.After(patience):
		t.Fatal("the hooks do not end")
	}
}

// TestOrder: one at a time, in the order of the events, and Put never waits. An event that is
// waiting already is the same one, so the queue is never longer than there are events.
func TestOrder(t *testing.T) {
	var l log
	go1 := t.TempDir() + "/go"
	r := l.runner(map[string][]string{
		"start":     {"echo start; until test -e " + go1 + "; do sleep 0.01; done; echo started", "echo more of $X"},
		"keepalive": {"echo keepalive"},
		"stop":      {"printf stop"},
	})
	r.Put(Event{Name: "start", Vars: []string{"X=start"}})
	until(t, "the first runs", func() bool { return strings.HasPrefix(l.text(), "start\n") })
	for range 1000 {
		r.Put(Event{Name: "keepalive"})
		r.Put(Event{Name: "none"})
	}
	r.Put(Event{Name: "stop"})
	if err := os.WriteFile(go1, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wait(t, r)
	if got := l.text(); got != "start\nstarted\nmore of start\nkeepalive\nstop\n" {
		t.Errorf("got %q", got)
	}
	// After that it begins once more.
	r.Put(Event{Name: "keepalive"})
	wait(t, r)
	if got := l.text(); !strings.HasSuffix(got, "stop\nkeepalive\n") {
		t.Errorf("got %q", got)
	}
}

// TestInterrupt: it ends the command that runs, and none that comes later.
func TestInterrupt(t *testing.T) {
	var l log
	r := l.runner(map[string][]string{"stop": {"echo up; exec sleep 1000", "echo next"}})
	r.Interrupt() // nothing runs
	r.Put(Event{Name: "stop"})
	until(t, "the first runs", func() bool { return l.text() == "up\n" })
	r.Interrupt()
	wait(t, r)
	if want := []string{"stop 143 true false", "stop 0 false false"}; !slices.Equal(l.ended, want) {
		t.Errorf("got %q, want %q", l.ended, want)
	}
}

// TestNothing: without commands nothing is started.
func TestNothing(t *testing.T) {
	var r Runner
	r.Put(Event{Name: "start"})
	if r.running || r.Idle() != nil {
		t.Error("it runs")
	}
}

// TestOutput: what is more than MostOutput is read, and dropped.
func TestOutput(t *testing.T) {
	var l log
	r := l.runner(map[string][]string{"stop": {"head -c 300000 /dev/zero | tr '\\0' x; echo end"}})
	r.Put(Event{Name: "stop"})
	wait(t, r)
	if got := l.text(); got != strings.Repeat("x", MostOutput)+"\n" {
		t.Errorf("%d bytes", len(got))
	}
	if want := []string{"stop 0 false true"}; !slices.Equal(l.ended, want) {
		t.Errorf("got %q, want %q", l.ended, want)
	}
}
