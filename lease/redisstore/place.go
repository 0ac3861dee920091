package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"berth/lease"
)

// TryAcquire implements lease.Store.
func (s *Store) TryAcquire(ctx context.Context, r lease.Request) (lease.Holding, lease.Verdict, error) {
	if err := lease.CheckPool(r.Pool); err != nil {
		return nil, lease.Verdict{}, err
	}
	r.TTL = cmp.Or(r.TTL, lease.DefaultTTL)
	text, err := json.Marshal(r)
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	a, sent, err := s.confirm(ctx, r.Pool, "try", r.TTL, r.ID, string(text))
	if err != nil {
		s.undo(ctx, r)
		return nil, lease.Verdict{}, ended(ctx, err)
	}
	v := s.verdict(a, r, lease.Asked{})
	if g := a.text(atGrant); g != "" {
		h, err := s.holding(r, v.Own, g, a.text(atRun), sent)
		return h, v, err
	}
	return nil, v, nil
}

// ended prefers to say what ended the caller, but for his time.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}

// undo gives back what a step may have taken whose answer was lost.
func (s *Store) undo(ctx context.Context, r lease.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timings.Undo)
	defer cancel()
	_, _, _ = s.call(ctx, r.Pool, "release", r.TTL, r.ID, unseen)
}

// Line implements lease.Store.
func (s *Store) Line(ctx context.Context, r lease.Request) (lease.Place, error) {
	if err := lease.CheckPool(r.Pool); err != nil {
		return nil, err
	}
	r.TTL = cmp.Or(r.TTL, lease.DefaultTTL)
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	p := &place{s: s, ticket: lease.Ticket{Version: lease.Version, Request: r}}
	var a answer
	err = s.persist(ctx, func(ctx context.Context) (err error) {
		a, p.sent, err = s.call(ctx, r.Pool, "line", r.TTL, r.ID, string(text))
		return err
	})
	if err != nil {
		_ = p.Leave(context.WithoutCancel(ctx))
		return nil, err
	}
	seq, _ := strconv.ParseUint(a.text(0), 10, 64)
	p.ticket.Seq = seq
	if seq != 0 {
		p.ticket.Priority = a.number(2)
	}
	p.since = a.text(3)
	p.ticket.Since = time.UnixMicro(parseMicros(p.since).Microseconds())
	return p, nil
}

// place is a ticket of ours.
type place struct {
	s       *Store
	ticket  lease.Ticket
	since   string        // in the server's words
	sent    time.Duration // when the last sign of life that was answered was sent
	own     lease.Settings
	run     string
	again   time.Duration // look again so long after the last time
	turn    string        // when the last turn was, in the server's words; "" none
	granted string        // what a wake-up told
	ears    chan string   // a listener is there, and delivers one word; nil: none
}

func (p *place) Ticket() lease.Ticket { return p.ticket }

func (p *place) TryAcquire(ctx context.Context, asked lease.Asked) (lease.Holding, lease.Verdict, error) {
	r := p.ticket.Request
	// Who gave slots back has granted them to us, since our last turn. After a long
	// time of being frozen that may be over again.
	turn, g, _ := strings.Cut(p.granted, " ")
	if p.granted = ""; g != "" && turn == p.turn && p.s.dial.Replicas == 0 && lease.Boottime()-p.sent < r.TTL/2 {
		h, err := p.s.holding(r, p.own, g, p.run, p.sent)
		return h, lease.Verdict{Reason: lease.Ready, Own: p.own}, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	var a answer
	err = p.s.persist(ctx, func(ctx context.Context) (err error) {
		var sent time.Duration
		a, sent, err = p.s.confirm(ctx, r.Pool, "turn", r.TTL, r.ID, string(text),
			strconv.FormatUint(p.ticket.Seq, 10), r.Priority, p.since, p.answers(asked))
		if err == nil {
			p.sent = sent
		}
		return err
	})
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	if stop := a.text(atStop); stop != "" {
		var st lease.Stop
		_ = json.Unmarshal([]byte(stop), &st)
		return nil, lease.Verdict{}, &lease.StoppedError{Stop: st}
	}
	v := p.s.verdict(a, r, asked)
	p.own, p.run, p.turn = v.Own, a.text(atRun), a.text(atNow)
	if g := a.text(atGrant); g != "" {
		h, err := p.s.holding(r, v.Own, g, p.run, p.sent)
		return h, v, err
	}
	p.again = r.TTL / 3
	if v.After > 0 {
		p.again = min(p.again, v.After)
	}
	if a.text(atSoonest) != "" {
		p.again = min(p.again, a.micros(atSoonest)+soonAfter)
	}
	return nil, v, nil
}

// soonAfter lies between somebody's end by the server's clock and our look at it.
const soonAfter = 2 * time.Millisecond

// answers are the gates that were asked, on the server's clock.
func (p *place) answers(asked lease.Asked) string {
	if len(asked.Gates) == 0 {
		return "{}"
	}
	b, _ := json.Marshal(struct {
		Gates []string `json:"gates"`
		Last  int64    `json:"last"`
		At    int64    `json:"at"`
	}{asked.Gates, p.s.clock.server(asked.Last).Microseconds(), p.s.clock.server(asked.At).Microseconds()})
	return string(b)
}

// Wait listens for a word to this waiter, and no longer than until its next sign of
// life is due.
func (p *place) Wait(ctx context.Context) error {
	if p.ears == nil {
		p.ears = p.s.listen(p.ticket.ID, max(p.ticket.TTL, time.Second))
	}
	timer := time.NewTimer(p.again)
	defer timer.Stop()
	select {
	case word := <-p.ears:
		p.ears = nil
		if grant, ok := strings.CutPrefix(word, "granted "); ok {
			p.granted = grant
		}
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// listen waits for the next word to a waiter. It does not end with a Wait that was
// interrupted, for it would take a word with it that comes right then: the next Wait
// finds it. Without a word, or a server, it is "".
func (s *Store) listen(id string, atMost time.Duration) chan string {
	word := make(chan string, 1)
	atMost = atMost.Truncate(time.Second)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), atMost+s.timings.Call)
		defer cancel()
		begun := time.Now()
		got, err := s.client.Do(ctx, "BLPOP", wakeKey(id), int(atMost.Seconds())).StringSlice()
		if len(got) != 2 {
			// A server that is gone says so at once, and is asked for this waiter's
			// turn then; that is repeated less and less often. Not this.
			if err != nil && time.Since(begun) < time.Second {
				time.Sleep(time.Second)
			}
			word <- ""
			return
		}
		word <- got[1]
	}()
	return word
}

// Report implements lease.Place.
func (p *place) Report(ctx context.Context, why string, data json.RawMessage) error {
	text, err := json.Marshal(lease.Report{By: p.ticket.ID, Why: why, Data: data})
	if err != nil {
		return err
	}
	_, _, err = p.s.call(ctx, p.ticket.Pool, "report", p.ticket.TTL, string(text))
	return err
}

// asideTime is how long a stopped waiter's place is kept without a sign of life.
const asideTime = time.Hour

func (p *place) StepAside(ctx context.Context) error {
	return p.aside(ctx, max(asideTime, p.ticket.TTL), "1")
}

func (p *place) Return(ctx context.Context) error {
	return p.s.persist(ctx, func(ctx context.Context) error { return p.aside(ctx, p.ticket.TTL, "0") })
}

func (p *place) aside(ctx context.Context, ttl time.Duration, on string) error {
	text, err := json.Marshal(p.ticket.Request)
	if err != nil {
		return err
	}
	p.turn = "" // what was granted since then is given back
	_, _, err = p.s.call(ctx, p.ticket.Pool, "aside", ttl, p.ticket.ID, on, string(text),
		strconv.FormatUint(p.ticket.Seq, 10), p.ticket.Priority, p.since)
	return err
}

func (p *place) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.timings.Release)
	defer cancel()
	err := p.s.persist(ctx, func(ctx context.Context) error {
		_, _, err := p.s.call(ctx, p.ticket.Pool, "leave", p.ticket.TTL, p.ticket.ID, p.ticket.Key, micros(p.ticket.Grace))
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot leave the line of pool %s: %w", p.ticket.Pool, err)
	}
	return nil
}
