package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/remote/client"
	"berth/lease/retry"
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
		return nil, lease.Verdict{}, retry.Cause(ctx, err)
	}
	v := s.verdict(a, r, lease.Clearance{})
	if g := a.text(atGrant); g != "" {
		h, err := s.holding(r, v.Own, g, a.text(atRun), sent, false)
		return h, v, err
	}
	return nil, v, nil
}

// undo gives back what a try may have got whose answer was lost. The request may stand in
// the line next, and does not lose then what it gets there; not if its caller is gone. (Where
// its time is over, the step that was not answered is not done any more either.)
func (s *Store) undo(ctx context.Context, r lease.Request) {
	gone := flag(cancelled(ctx))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timings.Undo)
	defer cancel()
	_, _, _ = s.call(ctx, r.Pool, "undo", r.TTL, r.ID, gone)
}

// cancelled reports whether ctx ended otherwise than by its deadline.
func cancelled(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// flag is a bool as the script reads it.
func flag(on bool) string {
	if on {
		return "1"
	}
	return ""
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
		a, p.sent, err = p.takes(s.call(ctx, r.Pool, "line", r.TTL, r.ID, string(text)))
		return err
	})
	if err != nil {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timings.Undo)
		defer cancel()
		p.unsure = cancelled(ctx)
		_ = p.Leave(short)
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
	s      *Store
	ticket lease.Ticket
	since  string        // in the server's words
	sent   clock.Instant // when the last heartbeat that was answered was sent
	unsure bool          // a step that takes something was not answered, and may still come
	again  time.Duration // look again so long after the last time
	ears   chan answer   // a listener is there, and delivers one answer; nil: none
	told   answer        // what it delivered; nil: nothing
}

func (p *place) Ticket() lease.Ticket { return p.ticket }

// takes notes whether a step was answered that may take something.
func (p *place) takes(a answer, sent clock.Instant, err error) (answer, clock.Instant, error) {
	p.unsure = p.unsure || err != nil
	return a, sent, err
}

func (p *place) TryAcquire(ctx context.Context, asked lease.Clearance) (lease.Holding, lease.Verdict, error) {
	r := p.ticket.Request
	if h, v, err := p.granted(); h != nil || err != nil {
		return h, v, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, lease.Verdict{}, err
	}
	var sent clock.Instant
	var a answer
	err = p.s.persist(ctx, func(ctx context.Context) (err error) {
		a, sent, err = p.takes(p.s.confirm(ctx, r.Pool, "turn", r.TTL, r.ID, string(text),
			strconv.FormatUint(p.ticket.Seq, 10), r.Priority, p.since, p.answers(asked)))
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
	p.sent = sent
	if g := a.text(atGrant); g != "" {
		h, err := p.s.holding(r, v.Own, g, a.text(atRun), sent, p.unsure)
		return h, v, err
	}
	// A server that forgets all is told of this waiter again before anybody new starts.
	p.again = min(r.TTL/3, p.s.timings.Recover/2)
	if v.After > 0 {
		p.again = min(p.again, v.After)
	}
	if a.text(atSoonest) != "" {
		p.again = min(p.again, a.micros(atSoonest)+soonAfter)
	}
	return nil, v, nil
}

// granted is what the listener was told that this place has, since its last heartbeat. After
// a long time of being frozen that may be over again.
func (p *place) granted() (lease.Holding, lease.Verdict, error) {
	a, r := p.told, p.ticket.Request
	p.told = nil
	g := a.text(atGrant)
	if g == "" || clock.Now().Sub(p.sent) > r.TTL/2 {
		return nil, lease.Verdict{}, nil
	}
	own := settings(a.text(atOwn))
	h, err := p.s.holding(r, own, g, a.text(atRun), p.sent, p.unsure)
	return h, lease.Verdict{Reason: lease.Ready, Own: own}, err
}

// soonAfter lies between somebody's end by the server's clock and our look at it.
const soonAfter = 2 * time.Millisecond

// answers are the gates that were asked, on the server's clock.
func (p *place) answers(asked lease.Clearance) string {
	if len(asked.Gates) == 0 {
		return "{}"
	}
	b, _ := json.Marshal(struct {
		Gates []string `json:"gates"`
		Last  int64    `json:"last"`
		At    int64    `json:"at"`
	}{asked.Gates, int64(p.s.clock.server(asked.Last)) / 1000, int64(p.s.clock.server(asked.At)) / 1000})
	return string(b)
}

// Wait listens for a word to this waiter, and no longer than until its next sign of
// life is due.
func (p *place) Wait(ctx context.Context) error {
	if p.ears == nil {
		p.ears = p.s.listen(p.ticket.Request, max(p.ticket.TTL, time.Second))
	}
	timer := time.NewTimer(p.again)
	defer timer.Stop()
	select {
	case p.told = <-p.ears:
		p.ears = nil
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// listen waits for the next word to a waiter, and asks on the same connection what it has
// been granted: the word alone is but a hint, for anybody who may write to the server can
// leave one. It does not end with a Wait that was interrupted, for it would take a word with
// it that comes right then: the next Wait finds it. Where replicas have to confirm a grant,
// it does not ask.
func (s *Store) listen(r lease.Request, atMost time.Duration) chan answer {
	heard := make(chan answer, 1)
	atMost = atMost.Truncate(time.Second)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), atMost+s.timings.Call)
		defer cancel()
		begun := time.Now()
		var told *redis.Cmd
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.Do(ctx, "BLPOP", wakeKey(r.ID), int(atMost.Seconds()))
			if s.dial.Replicas == 0 {
				told = p.EvalSha(ctx, digest, keysOf(r.Pool), s.args("confirm", "0", r.TTL, r.ID)...)
			}
			return nil
		})
		// A server that is gone says so at once, and is asked for this waiter's turn
		// then; that is repeated less and less often. Not this.
		if err != nil && !errors.Is(err, redis.Nil) && time.Since(begun) < time.Second {
			time.Sleep(time.Second)
		}
		if told == nil {
			heard <- nil
			return
		}
		got, _ := told.Slice()
		heard <- answer(answer(got).list(0))
	}()
	return heard
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

func (p *place) StepAside(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.timings.Aside)
	defer cancel()
	return p.s.persist(ctx, func(ctx context.Context) error {
		return p.aside(ctx, max(lease.SuspendedTTL, p.ticket.TTL), "1")
	})
}

func (p *place) Return(ctx context.Context) error {
	return p.s.persist(ctx, func(ctx context.Context) error { return p.aside(ctx, p.ticket.TTL, "0") })
}

func (p *place) aside(ctx context.Context, ttl time.Duration, on string) error {
	text, err := json.Marshal(p.ticket.Request)
	if err != nil {
		return err
	}
	_, _, err = p.takes(p.s.call(ctx, p.ticket.Pool, "aside", ttl, p.ticket.ID, on, string(text),
		strconv.FormatUint(p.ticket.Seq, 10), p.ticket.Priority, p.since))
	return err
}

func (p *place) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.timings.Release)
	defer cancel()
	err := p.s.persist(ctx, func(ctx context.Context) error {
		_, _, err := p.s.call(ctx, p.ticket.Pool, "leave", p.ticket.TTL, p.ticket.ID, p.ticket.Key, micros(p.ticket.Grace), flag(p.unsure))
		return err
	})
	if err != nil {
		return client.NotLeft(p.ticket.Pool, err)
	}
	return nil
}
