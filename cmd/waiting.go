package cmd

import (
	"sync/atomic"
	"time"

	"berth/cmd/tty"
	"berth/lease"
)

// waiting tells a person why nothing happens: on a terminal one line that is
// kept up to date and is gone afterwards, elsewhere a line after 30 s and then
// ever more rarely. It only reads the pool when it has something to draw, and
// beside the one who hears grants and signals: a store may take its time.
type waiting struct {
	r     *runner
	live  bool // on a terminal
	timer *time.Timer
	every time.Duration
	since time.Time
	read  chan reading

	ticket atomic.Pointer[lease.Ticket] // ours, once we stand in the line
}

const (
	liveFirst  = 400 * time.Millisecond // a shorter wait needs no words
	liveEvery  = time.Second
	plainFirst = 30 * time.Second
)

func newWaiting(r *runner) *waiting {
	w := &waiting{r: r, since: time.Now(), every: plainFirst, live: tty.IsTerminal(2), read: make(chan reading, 1)}
	switch {
	case r.spec.Quiet:
	case w.live:
		w.timer = time.NewTimer(liveFirst)
	default:
		w.timer = time.NewTimer(plainFirst)
	}
	return w
}

func (w *waiting) tick() <-chan time.Time {
	if w.timer == nil {
		return nil
	}
	return w.timer.C
}

// joined is told by the one who stands in the line.
func (w *waiting) joined(t lease.Ticket) { w.ticket.Store(&t) }

// reading is a pool as it was read for the line, or why it could not be.
type reading struct {
	pool *lease.Pool
	err  error
}

// look has the pool read. One at a time: the clock goes on once it is shown.
func (w *waiting) look() {
	ticket := lease.Ticket{}
	if t := w.ticket.Load(); t != nil {
		ticket = *t
	}
	go func() {
		p, err := w.r.look(ticket, time.Second)
		w.read <- reading{p, err}
	}()
}

func (w *waiting) show(now reading) {
	if w.live {
		w.timer.Reset(liveEvery)
		if tty.Foreground() {
			columns, _ := tty.WindowSize(2)
			w.r.say.draw(waitingLine(now.pool, now.err, w.r.spec.Request, time.Since(w.since), w.r.store.Clock()).Fit(columns - 1))
		}
		return
	}
	w.every *= 2
	w.timer.Reset(w.every)
	w.r.say.line("", "%s", waitingLine(now.pool, now.err, w.r.spec.Request, time.Since(w.since), w.r.store.Clock()).Fit(0))
}

func (w *waiting) end() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.r.say.erase()
}
