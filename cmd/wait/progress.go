package wait

import (
	"sync"
	"sync/atomic"
	"time"

	"berth/cmd/tty"
	"berth/lease"
)

// Progress tells a person why nothing happens: on a terminal with one line that is kept up to
// date and removed at the end, elsewhere with a line after 30 s, another one a minute later,
// and so on, with pauses that double. It reads the pool only to show something, and nothing
// waits for that: a store may take its time.
type Progress struct {
	Live  bool // it is on a terminal
	Text  func(p *lease.Pool, err error, waited time.Duration) string
	Show  func(text string)
	Erase func() // what is shown; not called unless Live
	// Circle looks whether the waiter of a ticket is in a circular wait, and returns what says
	// so, nil for nothing. It is called before the first line is shown, and then with pauses
	// that double, since it reads all pools. nil: nobody looks.
	Circle func(lease.Ticket) (say func())
}

const (
	liveFirst  = 400 * time.Millisecond // a shorter wait needs no words
	liveEvery  = time.Second
	plainFirst = 30 * time.Second
)

// display is a Progress while a wait goes on. Nil shows nothing.
type display struct {
	*Progress
	read   func(lease.Ticket) (*lease.Pool, error)
	since  time.Time
	ticket atomic.Pointer[lease.Ticket] // ours, once we stand in the line

	mu    sync.Mutex
	timer *time.Timer // nil: the wait is over
	every time.Duration

	circle  time.Duration // how long Circle is not asked again; only refresh uses it
	circled time.Time     // when it was asked last
}

func (p *Progress) begin(read func(lease.Ticket) (*lease.Pool, error)) *display {
	if p == nil {
		return nil
	}
	d := &display{Progress: p, read: read, since: time.Now(), every: plainFirst}
	first := plainFirst
	if p.Live {
		first = liveFirst
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = time.AfterFunc(first, d.refresh)
	return d
}

// joined is told the ticket by the goroutine that stands in the line.
func (d *display) joined(t lease.Ticket) {
	if d != nil {
		d.ticket.Store(&t)
	}
}

func (d *display) refresh() {
	var t lease.Ticket
	if ours := d.ticket.Load(); ours != nil {
		t = *ours
	}
	p, err := d.read(t)
	say := d.lookForCircle(t)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer == nil {
		return
	}
	if say != nil {
		say()
	}
	if !d.Live {
		d.every *= 2
		d.timer.Reset(d.every)
		d.Show(d.Text(p, err, time.Since(d.since)))
		return
	}
	d.timer.Reset(liveEvery)
	if tty.Foreground() {
		d.Show(d.Text(p, err, time.Since(d.since)))
	}
}

// lookForCircle returns what says what Circle finds, nil if that is nothing or it is too early.
func (d *display) lookForCircle(t lease.Ticket) (say func()) {
	if d.Circle == nil || t.ID == "" || time.Since(d.circled) < d.circle {
		return nil
	}
	d.circle, d.circled = max(2*d.circle, liveEvery), time.Now()
	return d.Circle(t)
}

// end takes away what is shown; nothing is shown after that.
func (d *display) end() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer == nil {
		return
	}
	d.timer.Stop()
	d.timer = nil
	if d.Live {
		d.Erase()
	}
}
