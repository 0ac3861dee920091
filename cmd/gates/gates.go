// Package gates asks the gates of one request, its own and those of its pool: it takes the
// question of package limiter to package limiter/gate. What the gates need to know of the pool
// is read from the store, and what was measured is left there for the next process that asks.
package gates

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"berth/lease"
	"berth/limiter"
	"berth/limiter/gate"
	"berth/procwatch"
)

// Asker asks the gates of one request, on one goroutine at a time.
type Asker struct {
	Store interface {
		Summary(ctx context.Context, pool string, t lease.Ticket) (lease.Pool, error)
	}
	Where    string // the store, as BERTH_STORE says it
	Boot     string // the boot id of this machine
	Request  lease.Request
	Failed   func(why string) // is told why a gate's command gave no answer
	UserName func(uid int) string

	gate      gate.Asker
	checked   map[string]bool // gates that can be answered here
	closed    refusal
	reported  time.Time
	usedSlots int       // when they were last asked
	freed     time.Time // when fewer slots were in use than before
}

// refusal is a no, and what it was an answer to.
type refusal struct {
	limiter.GateState
	to lease.Verdict
	at time.Time // zero: there is none
}

// refusalHolds is how long a no is repeated without asking, if nothing has changed in the
// pool: one slot that frees makes limiter ask several times.
const refusalHolds = 100 * time.Millisecond

func (r refusal) holds(v lease.Verdict) bool {
	return v.Used == r.to.Used && v.Last == r.to.Last && slices.Equal(v.Gates, r.to.Gates) && time.Since(r.at) < refusalHolds
}

// Check fails if the caller's own gates can never be answered here.
func (a *Asker) Check() error {
	return a.check(lease.Verdict{Gates: []string{a.Request.Gates}}, a.Request.Gates)
}

// CheckPool is Check for the pool's own gates.
func (a *Asker) CheckPool(own lease.Settings) error {
	return a.check(lease.Verdict{Gates: []string{own.Gates}, Own: own}, own.Gates)
}

func (a *Asker) check(v lease.Verdict, gates string) error {
	if gates == "" || a.checked[gates] {
		return nil
	}
	q, err := a.question(v, nil)
	if err == nil {
		err = a.gate.Check(q)
	}
	a.note(gates)
	return err
}

// run runs a gate's command beside whatever this process runs.
func run(ctx context.Context, c gate.Command) (gate.CommandEnd, error) {
	e, err := procwatch.Side{Argv: []string{"sh", "-c", c.Line}, Env: c.Env, Timeout: c.AtMost, Output: c.Output}.Run(ctx)
	return gate.CommandEnd{Code: e.Code, Signal: e.Signal, TimedOut: e.TimedOut}, err
}

func (a *Asker) note(gates string) {
	if a.checked == nil {
		a.checked = map[string]bool{}
	}
	a.checked[gates] = true
}

// Ask is a limiter.Ask.
func (a *Asker) Ask(ctx context.Context, v lease.Verdict) (limiter.GateState, error) {
	if a.closed.holds(v) {
		return limiter.GateState{Undecided: a.closed.Undecided, Why: a.closed.Why, Again: a.closed.Again}, nil
	}
	since, decided := a.sinceChange(v), time.Now()
	pool, err := a.Store.Summary(ctx, a.Request.Pool, lease.Ticket{})
	if err != nil {
		return limiter.GateState{}, err
	}
	q, err := a.question(v, &pool)
	if err != nil {
		return limiter.GateState{}, err
	}
	for _, g := range v.Gates {
		if !a.checked[g] {
			if err := a.gate.Check(q); err != nil {
				return limiter.GateState{}, err
			}
			a.note(g)
		}
	}
	if q.SinceStart = since; since >= 0 {
		q.SinceStart += time.Since(decided)
	}
	if v.SinceStart >= 0 {
		q.LastStart = v.SinceStart + time.Since(decided)
	}
	a.gate.Run = run
	said := a.gate.Ask(ctx, q)
	if said.Failure != "" {
		a.Failed(said.Failure)
	}
	answer := limiter.GateState{
		Open: said.Open, Undecided: said.Measuring, Why: said.Why(), Again: said.Again, Report: a.report(said, q.Shared),
	}
	a.closed = refusal{}
	if ctx.Err() == nil && !said.Open && said.Again > refusalHolds {
		a.closed = refusal{answer, v, time.Now()}
	}
	return answer, nil
}

// sinceChange is the time since the last start or end of a job in the pool: an earlier reading
// is one of other jobs. This process sees each end, because the number of slots in use only
// falls while it is the first in the line: no other job starts.
func (a *Asker) sinceChange(v lease.Verdict) time.Duration {
	now := time.Now()
	if v.Used < a.usedSlots {
		a.freed = now
	}
	a.usedSlots = v.Used
	since := now.Sub(a.freed)
	if v.SinceStart >= 0 && v.SinceStart < since || a.freed.IsZero() {
		return v.SinceStart
	}
	return since
}

// reportEvery is how often the head of the line repeats what holds it back.
const reportEvery = time.Second

// report is what to leave in the pool: counters for the next process that asks, and which gate
// is closed, for people. Nil: nothing new.
func (a *Asker) report(said gate.Answer, before json.RawMessage) *lease.Report {
	if said.Share == nil && (said.Open || time.Since(a.reported) < reportEvery) {
		return nil
	}
	a.reported = time.Now()
	if said.Share != nil {
		before = said.Share
	}
	return &lease.Report{Why: said.Why(), Data: before}
}

// measureAtMost ends a measurement whose CPU counters stand still.
const measureAtMost = 5 * time.Second

// Measure asks all gates of the request and of its pool, also after one that is closed, and
// waits for readings that need two samples. sinceStart is the time since the last start in the
// pool; negative: there was none.
func (a *Asker) Measure(ctx context.Context, pool *lease.Pool, sinceStart time.Duration) (gate.Answer, error) {
	v := lease.Verdict{Own: pool.Own, Used: pool.Used, SinceStart: sinceStart}
	if pool.Limit != nil {
		v.Limit = *pool.Limit
	}
	for _, g := range []string{pool.Own.Gates, a.Request.Gates} {
		if g != "" && !slices.Contains(v.Gates, g) {
			v.Gates = append(v.Gates, g)
		}
	}
	q, err := a.question(v, pool)
	if err == nil {
		err = a.gate.Check(q)
	}
	if err != nil {
		return gate.Answer{}, err
	}
	q.All, a.gate.Run = true, run
	said := a.gate.Ask(ctx, q)
	for end := time.Now().Add(measureAtMost); said.Measuring && time.Now().Before(end); {
		begun := time.Now()
		time.Sleep(said.Again)
		if q.SinceStart >= 0 {
			q.SinceStart += time.Since(begun)
		}
		if said.Share != nil {
			q.Shared = said.Share
		}
		said = a.gate.Ask(ctx, q)
	}
	return said, nil
}
