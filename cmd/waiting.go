package cmd

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"berth/lease"
)

// waiting tells a person why nothing happens: on a terminal one line that is
// kept up to date and is gone afterwards, elsewhere a line after 30 s and then
// ever more rarely. It only reads the pool when it has something to draw.
type waiting struct {
	r      *runner
	live   *liveLine // nil: not on a terminal
	timer  *time.Timer
	every  time.Duration
	since  time.Time
	behind atomic.Pointer[lease.Verdict] // nil: not in the line yet
}

const (
	liveFirst  = 400 * time.Millisecond // a shorter wait needs no words
	liveEvery  = time.Second
	plainFirst = 30 * time.Second
)

func newWaiting(r *runner) *waiting {
	w := &waiting{r: r, since: time.Now(), every: plainFirst}
	if r.spec.quiet {
		return w
	}
	if columns() > 0 {
		w.live = &liveLine{w: os.Stderr}
		r.say.live = w.live
		w.timer = time.NewTimer(liveFirst)
	} else {
		w.timer = time.NewTimer(plainFirst)
	}
	return w
}

// verdict is told from the waiter's goroutine.
func (w *waiting) verdict(_ lease.Ticket, v lease.Verdict) { w.behind.Store(&v) }

func (w *waiting) tick() <-chan time.Time {
	if w.timer == nil {
		return nil
	}
	return w.timer.C
}

func (w *waiting) show() {
	p := w.r.inTheWay()
	if w.live != nil {
		w.timer.Reset(liveEvery)
		if foreground() {
			w.live.draw(shorten("berth: "+w.describe(p), columns()-1))
		}
		return
	}
	w.every *= 2
	w.timer.Reset(w.every)
	w.r.say.line("", "%s", w.describe(p))
}

func (w *waiting) end() {
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.live != nil {
		w.live.erase()
		w.r.say.live, w.live = nil, nil
	}
}

// describe is the waiting line: place, slots in use, the longest holder.
func (w *waiting) describe(p *lease.Pool) string {
	msg := fmt.Sprintf("waiting %s for pool %s", short(time.Since(w.since)), w.r.spec.request.Pool)
	if p == nil {
		return msg
	}
	if p.LockHeldBy != "" {
		return msg + ": " + p.LockHeldBy
	}
	place, n := 0, 0
	for _, e := range p.Waiters {
		if !e.Aside || e.Ticket.ID == w.r.spec.request.ID {
			n++
		}
		if e.Ticket.ID == w.r.spec.request.ID {
			place = n
		}
	}
	if place > 0 {
		msg += fmt.Sprintf(", place %d of %d", place, n)
	}
	limit := lease.Smallest(p.Own, append(asks(p), w.r.spec.request.Ask(p.Own))...)
	msg += fmt.Sprintf(", %d of %d in use", p.Used, limit)
	if l := longest(p); l != nil {
		msg += ", longest " + describe(l)
	}
	return oneLine(msg)
}

func asks(p *lease.Pool) []int {
	var all []int
	for _, h := range p.Holders {
		all = append(all, h.Lease.Asks)
	}
	return all
}

// liveLine is one line of a terminal that is drawn over.
type liveLine struct {
	w     io.Writer
	drawn bool
}

func (l *liveLine) draw(s string) {
	fmt.Fprintf(l.w, "\r%s\x1b[K", s)
	l.drawn = true
}

func (l *liveLine) erase() {
	if l.drawn {
		fmt.Fprint(l.w, "\r\x1b[K")
		l.drawn = false
	}
}
