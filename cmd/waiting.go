package cmd

import (
	"fmt"
	"sync/atomic"
	"time"

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
	w := &waiting{r: r, since: time.Now(), every: plainFirst, live: isTerminal(2), read: make(chan reading, 1)}
	switch {
	case r.spec.quiet:
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
		if foreground() {
			columns, _ := windowSize(2)
			w.r.say.draw(w.describe(now.pool, now.err).fit(columns - 1))
		}
		return
	}
	w.every *= 2
	w.timer.Reset(w.every)
	w.r.say.line("", "%s", w.describe(now.pool, now.err).fit(0))
}

func (w *waiting) end() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.r.say.erase()
}

// describe is the waiting line: place, slots in use and why, the longest holder.
func (w *waiting) describe(p *lease.Pool, err error) phrases {
	msg := phrases{
		{forms: []string{"waiting " + short(time.Since(w.since))}},
		{forms: []string{" for pool " + w.r.spec.request.Pool, ""}, rank: 4},
	}
	if err != nil {
		return msg.and(fmt.Sprintf(": %v", err))
	}
	if p.LockHeldBy != "" {
		return msg.and(": " + p.LockHeldBy)
	}
	if p.Place > 0 {
		msg = append(msg, phrase{forms: []string{
			fmt.Sprintf(", place %d of %d", p.Place, p.Line), fmt.Sprintf(", place %d", p.Place), "",
		}, rank: 2})
	}
	v := verdict(p, w.r.spec.request, 0, w.r.store.Clock())
	if v.Reason == lease.Drained {
		return append(msg, drainedPhrases(v, p.Own)...)
	}
	if v.Reason == lease.Paced || v.Reason == lease.Gated || v.Reason == lease.Recovering { // the slots are not what is waited for
		return msg.and(", " + v.String())
	}
	if why := whyOfHead(p, w.r.store.Clock()); why != "" && v.Reason == lease.Ready {
		return msg.and(", the first waits for " + why)
	}
	use := fmt.Sprintf(", %d of %d", p.Used, v.Limit)
	msg = append(msg, phrase{forms: []string{use + " in use", use}, rank: 1})
	if own := p.Own; own.Reason != "" && own.Limit != nil && *own.Limit == v.Limit {
		said := shorten(own.Reason, maxReason)
		msg = append(msg.and(" ("), phrase{forms: []string{said}, gives: true}).and(")")
	}
	if f := p.First; f != nil && v.Reason == lease.Ready {
		return msg.and(fmt.Sprintf(", behind pid %d on %s, which %s", f.Ticket.Owner.PID, f.Ticket.Owner.Host, f.Note))
	}
	if h := longest(p); h != nil {
		msg = append(msg, longestPhrases(p, h)...)
	}
	return msg
}

func drainedPhrases(v lease.Verdict, own lease.Settings) phrases {
	out := phrases{{forms: []string{", " + v.String(), ", limit 0"}, rank: 3}}
	by := setBy(lease.Settings{SetBy: own.SetBy, SetAt: own.SetAt})
	if own.Reason == "" || by == "" {
		return out.and(drained(own))
	}
	return append(out, phrase{forms: []string{": " + shorten(own.Reason, maxReason)}, gives: true}, phrase{forms: []string{" (" + by + ")", ""}, rank: 5})
}

// longestPhrases name a job, of which at last the pid is left, and that it is stopped.
func longestPhrases(p *lease.Pool, h *lease.Entry) phrases {
	pid := fmt.Sprintf(", longest pid %d", describedPID(h.Lease))
	out := phrases{{forms: []string{", longest " + describe(h.Lease), pid + " (" + ago(h.Lease.Since) + ")", pid}, rank: 3}}
	return append(out, phrase{forms: stalledNotes(p, h), rank: 5})
}

// verdict is what would be decided now, with what the gates last said: to the one
// who asks, or a moment ago to another.
func verdict(p *lease.Pool, r lease.Request, ahead int, clock time.Duration) lease.Verdict {
	v := lease.Decide(lease.PoolState{
		Own: p.Own, Used: p.Used, Asked: lease.Smallest(nil, asks(p)...), Ahead: ahead, Starts: p.Starts, Clock: clock, Recovers: p.Recovers,
	}, r, lease.Clearance{})
	if p.Report != nil && p.Report.By == r.ID {
		v.Why = p.Report.Why
	} else {
		v.Why = whyOfHead(p, clock)
	}
	return v
}

// whyOfHead is what holds back whoever is at the head of the line, "" if it is not
// his gates: he says so again every reportEvery.
func whyOfHead(p *lease.Pool, clock time.Duration) string {
	if p.Report == nil || clock-p.Report.At > 3*reportEvery {
		return ""
	}
	return p.Report.Why
}

func asks(p *lease.Pool) []int {
	var all []int
	for _, h := range p.Holders {
		all = append(all, h.Lease.Asks)
	}
	return all
}
