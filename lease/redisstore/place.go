package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/remote/client"
)

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
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		a, p.sent, err = p.noteUnsure(s.call(ctx, r.Pool, "line", r.TTL, r.ID, string(text)))
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
	s         *Store
	ticket    lease.Ticket
	since     string        // on the server's clock
	sent      clock.Instant // when the last heartbeat that was answered was sent
	unsure    bool          // a step that may take something was not answered, and may still arrive
	recheck   time.Duration // Wait returns after this time at the latest
	woken     <-chan answer // a listener sends one answer here; nil: there is no listener
	delivered answer        // what it has sent; nil: nothing
}

func (p *place) Ticket() lease.Ticket { return p.ticket }

// noteUnsure remembers that a step which may take something was not answered.
func (p *place) noteUnsure(a answer, sent clock.Instant, err error) (answer, clock.Instant, error) {
	p.unsure = p.unsure || err != nil
	return a, sent, err
}

// TryAcquire implements lease.Place.
func (p *place) TryAcquire(ctx context.Context, c lease.Clearance) (lease.Holding, lease.Verdict, error) {
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
	err = p.s.retry(ctx, func(ctx context.Context) (err error) {
		a, sent, err = p.noteUnsure(p.s.confirm(ctx, r.Pool, "turn", r.TTL, r.ID, string(text),
			strconv.FormatUint(p.ticket.Seq, 10), r.Priority, p.since, p.onServer(c)))
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
	v := p.s.verdict(a, r, c)
	p.sent = sent
	if a.text(atGrant) != "" {
		h, err := p.s.holding(r, v.Own, a, sent, p.unsure)
		return h, v, err
	}
	p.recheck = p.nextCheck(a, v)
	return nil, v, nil
}

// afterExpiry is how long after a record expires by the server's clock we ask again.
const afterExpiry = 2 * time.Millisecond

// nextCheck is how long Wait may wait. The waiter's own heartbeat is due within that time, and
// a server that has forgotten the waiter learns of it again within the recovery hold-off.
func (p *place) nextCheck(a answer, v lease.Verdict) time.Duration {
	d := min(p.ticket.TTL/3, p.s.timings.Recover/2)
	if v.After > 0 {
		d = min(d, v.After)
	}
	if a.text(atSoonest) != "" {
		d = min(d, a.micros(atSoonest)+afterExpiry)
	}
	return d
}

// granted returns the holding that the listener has brought. A process that was frozen since
// its last heartbeat may have lost it again, so after half a TTL the server is asked.
func (p *place) granted() (lease.Holding, lease.Verdict, error) {
	a, r := p.delivered, p.ticket.Request
	p.delivered = nil
	if a.text(atGrant) == "" || clock.Now().Sub(p.sent) > r.TTL/2 {
		return nil, lease.Verdict{}, nil
	}
	own := settings(a.text(atOwn))
	h, err := p.s.holding(r, own, a, p.sent, p.unsure)
	return h, lease.Verdict{Reason: lease.Ready, Own: own}, err
}

// onServer is a clearance in the form that the script reads, on the server's clock.
func (p *place) onServer(c lease.Clearance) string {
	if len(c.Gates) == 0 {
		return "{}"
	}
	b, _ := json.Marshal(struct {
		Gates []string `json:"gates"`
		Last  int64    `json:"last"`
		At    int64    `json:"at"`
	}{c.Gates, int64(p.s.clock.server(c.Last)) / 1000, int64(p.s.clock.server(c.At)) / 1000})
	return string(b)
}

// Wait implements lease.Place. It returns when the waiter is woken, or when its next heartbeat
// is due.
func (p *place) Wait(ctx context.Context) error {
	if p.recheck == 0 {
		return nil // TryAcquire has not been called yet
	}
	if p.woken == nil {
		p.woken = p.s.listen(p.ticket.Request, max(p.ticket.TTL, time.Second))
	}
	timer := time.NewTimer(p.recheck)
	defer timer.Stop()
	select {
	case p.delivered = <-p.woken:
		p.woken = nil
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
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

// StepAside implements lease.Place. It is tried for Timings.Aside: a shell waits for it.
func (p *place) StepAside(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.timings.Aside)
	defer cancel()
	return p.s.retry(ctx, func(ctx context.Context) error {
		return p.aside(ctx, max(lease.SuspendedTTL, p.ticket.TTL), "1")
	})
}

// Return implements lease.Place.
func (p *place) Return(ctx context.Context) error {
	return p.s.retry(ctx, func(ctx context.Context) error { return p.aside(ctx, p.ticket.TTL, "0") })
}

func (p *place) aside(ctx context.Context, ttl time.Duration, on string) error {
	text, err := json.Marshal(p.ticket.Request)
	if err != nil {
		return err
	}
	_, _, err = p.noteUnsure(p.s.call(ctx, p.ticket.Pool, "aside", ttl, p.ticket.ID, on, string(text),
		strconv.FormatUint(p.ticket.Seq, 10), p.ticket.Priority, p.since))
	return err
}

// Leave implements lease.Place. It is tried for Timings.Release.
func (p *place) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.timings.Release)
	defer cancel()
	err := p.s.retry(ctx, func(ctx context.Context) error {
		_, _, err := p.s.call(ctx, p.ticket.Pool, "leave", p.ticket.TTL, p.ticket.ID, p.ticket.Key, micros(p.ticket.Grace), flag(p.unsure))
		return err
	})
	if err != nil {
		return client.NotLeft(p.ticket.Pool, err)
	}
	return nil
}
