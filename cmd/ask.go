package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"berth/cmd/open"
	"berth/lease"
	"berth/lease/clock"
	"berth/limiter"
	"berth/limiter/gate"
	"berth/procwatch"
)

// asker asks the gates of one job: those of the caller and those of its pool.
// What it needs to know of the pool it reads there, and what it learned it leaves
// there for the next.
type asker struct {
	store   *open.Store
	request lease.Request
	say     *speaker
	gate    gate.Asker

	sound    map[string]bool // gates whose readings can be had
	last     limiter.Answer  // to the verdict lastTo, at lastAt
	lastTo   lease.Verdict
	lastAt   time.Time
	reported time.Time
	used     int       // slots in use when it was last asked
	freed    time.Time // when there were fewer of them than before
}

func newAsker(st *open.Store, r lease.Request, say *speaker) *asker {
	return &asker{store: st, request: r, say: say, sound: map[string]bool{}}
}

// check returns an error when the caller's own gates can never be answered here.
func (a *asker) check() error {
	if a.request.Gates == "" {
		return nil
	}
	q, err := a.question(lease.Verdict{Gates: []string{a.request.Gates}}, nil)
	if err == nil {
		err = a.gate.Check(q)
	}
	a.sound[a.request.Gates] = true
	return err
}

// ask is a limiter.Ask.
func (a *asker) ask(ctx context.Context, v lease.Verdict) (limiter.Answer, error) {
	// One slot that frees makes several looks at the pool.
	if v.Used == a.lastTo.Used && v.Last == a.lastTo.Last && slices.Equal(v.Gates, a.lastTo.Gates) && time.Since(a.lastAt) < sameFor {
		return limiter.Answer{Undecided: a.last.Undecided, Why: a.last.Why, Again: a.last.Again}, nil
	}
	since, decided := a.sinceChange(v), time.Now()
	pool, err := a.store.Summary(ctx, a.request.Pool, lease.Ticket{})
	if err != nil {
		return limiter.Answer{}, err
	}
	q, err := a.question(v, &pool)
	if err != nil {
		return limiter.Answer{}, err
	}
	for _, g := range v.Gates {
		if !a.sound[g] {
			if err := a.gate.Check(q); err != nil {
				return limiter.Answer{}, err
			}
			a.sound[g] = true
		}
	}
	if q.SinceStart = since; since >= 0 {
		q.SinceStart += time.Since(decided)
	}
	if v.SinceStart >= 0 {
		q.LastStart = v.SinceStart + time.Since(decided)
	}
	said := a.gate.Ask(ctx, q)
	if said.Failure != "" {
		a.say.errorf("%s", said.Failure)
	}
	ans := limiter.Answer{
		Open: said.Open, Undecided: said.Measuring, Why: said.Why(), Again: said.Again, Report: a.report(said, q.Shared),
	}
	if a.lastAt = (time.Time{}); ctx.Err() == nil && !said.Open && said.Again > sameFor {
		a.last, a.lastTo, a.lastAt = ans, v, time.Now()
	}
	return ans, nil
}

// sameFor is how long a no stays one, when nothing has changed in the pool.
const sameFor = 100 * time.Millisecond

// checkPool is check for the pool's own gates: better now than after an hour in
// the line.
func (a *asker) checkPool(own lease.Settings) error {
	if own.Gates == "" || a.sound[own.Gates] {
		return nil
	}
	q, err := a.question(lease.Verdict{Gates: []string{own.Gates}, Own: own}, nil)
	if err == nil {
		err = a.gate.Check(q)
	}
	a.sound[own.Gates] = true
	return err
}

// sinceChange is since the last start or end of a job in the pool: what was read
// before has the wrong jobs in it. An end is seen by who waits for it; nobody
// starts while he waits, so there are only so many of them.
func (a *asker) sinceChange(v lease.Verdict) time.Duration {
	now := time.Now()
	if v.Used < a.used {
		a.freed = now
	}
	a.used = v.Used
	since := now.Sub(a.freed)
	if v.SinceStart >= 0 && v.SinceStart < since || a.freed.IsZero() {
		return v.SinceStart
	}
	return since
}

// reportEvery is how often the head of the line says anew what holds it back.
const reportEvery = time.Second

// report is what was learned: counters for the next who asks, and what is closed
// for whoever wants to know. Nil: nothing to speak of.
func (a *asker) report(said gate.Answer, before json.RawMessage) *lease.Report {
	if said.Share == nil && (said.Open || time.Since(a.reported) < reportEvery) {
		return nil
	}
	a.reported = time.Now()
	if said.Share != nil {
		before = said.Share
	}
	return &lease.Report{Why: said.Why(), Data: before}
}

// question is what v wants to have asked; pool is what is known of the pool.
func (a *asker) question(v lease.Verdict, pool *lease.Pool) (gate.Question, error) {
	r := a.request
	q := gate.Question{
		Need: gate.Need(r.Needs(v.Own)), SinceStart: v.SinceStart,
		Env: a.environ(v),
	}
	for _, text := range v.Gates {
		g, err := gate.Decode(text)
		if err != nil {
			return q, fmt.Errorf("pool %s: %w", r.Pool, err)
		}
		from := ""
		if text != r.Gates {
			from = "pool"
			if err := trustedGates(r.Pool, g, v.Own); err != nil {
				return q, err
			}
		}
		q.Sets = append(q.Sets, gate.Set{Gates: g, From: from})
	}
	if pool != nil {
		q.Others = a.uses(pool)
		if pool.Report != nil {
			q.Shared = pool.Report.Data
		}
	}
	return q, nil
}

// trusted is trustedGates of settings that were not decoded yet.
func trusted(pool string, own lease.Settings) error {
	if own.Gates == "" {
		return nil
	}
	g, err := gate.Decode(own.Gates)
	if err != nil {
		return err
	}
	return trustedGates(pool, g, own)
}

// trustedGates refuses a command that somebody else put into a pool's settings: it
// would run as us.
func trustedGates(pool string, g gate.Gates, own lease.Settings) error {
	if g.Command == "" || own.UID == os.Getuid() || own.UID == 0 {
		return nil
	}
	who := "somebody who cannot be told"
	if own.UID > 0 {
		who = nameOf(own.UID)
	}
	return fmt.Errorf("pool %s has the gate command %q, set by %s; only one of your own or of root's is run: 'berth limit --clear %s' removes all settings",
		pool, shorten(oneLine(g.Command), 60), who, pool)
}

// uses are the jobs of this machine that declared a need, and what they use of
// it. They are looked at before the machine is: what a job takes in between is
// then counted twice, not left out.
func (a *asker) uses(pool *lease.Pool) []gate.Use {
	var jobs []*lease.Lease
	var trees []procwatch.Tree
	for _, h := range pool.Holders {
		l := h.Lease
		if l.Need == (lease.Need{}) || l.Owner.Boot != a.store.Self.Boot {
			continue
		}
		jobs = append(jobs, l)
		trees = append(trees, treeOf(l))
	}
	used, _ := procwatch.TreeUsages(trees...) // what cannot be seen is set aside as a whole
	var all []gate.Use
	for _, l := range jobs {
		u := gate.Use{ID: l.ID, Need: gate.Need(l.Need)}
		if t, ok := used[treeOf(l)]; ok {
			u.Mem, u.CPU, u.Known = t.Anon, t.CPU, true
		}
		all = append(all, u)
	}
	return all
}

// treeOf is where all of a job is: below its berth, to which what loses its parent
// comes. The command of an orphan, or one that berth has become, is the job itself.
func treeOf(l *lease.Lease) procwatch.Tree {
	if l.Child != nil && (l.State == lease.Orphaned || *l.Child == l.Owner) {
		return procwatch.Tree{ID: procwatch.ID(*l.Child)}
	}
	return procwatch.Tree{ID: procwatch.ID(l.Owner), Below: true}
}

// environ is what a gate's command finds, but for the readings.
func (a *asker) environ(v lease.Verdict) []string {
	r := a.request
	told := map[string]string{"BERTH_POOL": r.Pool, "BERTH_STORE": a.store.Where, "BERTH_USED": strconv.Itoa(v.Used), "BERTH_LIMIT": strconv.Itoa(v.Limit)}
	if n := r.Needs(v.Own); n.Mem > 0 {
		told["BERTH_NEED_MEM"] = strconv.FormatUint(n.Mem, 10)
	}
	if n := r.Needs(v.Own); n.CPU > 0 {
		told["BERTH_NEED_CPU"] = strconv.FormatFloat(n.CPU, 'f', -1, 64)
	}
	for k, l := range r.Labels {
		told["BERTH_LABEL_"+k] = l
	}
	return withVars(os.Environ(), told, nil)
}

// paceVerdicts are the pool's terms that no machine is asked for.
func paceVerdicts(p *lease.Pool, own lease.Conditions, now clock.Instant) []gate.Verdict {
	var all []gate.Verdict
	add := func(name, from string, pace lease.Pace) {
		if pace.Every == 0 {
			return
		}
		wait, _ := p.Starts.Wait(now, pace)
		every := pace.Every.Seconds()
		v := gate.Verdict{Gate: name, From: from, Open: wait == 0, Threshold: &every, Unit: "seconds", Says: fmt.Sprintf("%v, and the next may be at once", pace)}
		if p.Starts.Last > 0 && p.Starts.Last <= now {
			since := now.Sub(p.Starts.Last).Seconds()
			v.Value = &since
		}
		if wait > 0 {
			v.Says = fmt.Sprintf("%v, and the next may be in %v", pace, wait.Round(time.Millisecond))
		}
		all = append(all, v)
	}
	for _, t := range []struct {
		lease.Conditions
		from string
	}{{p.Own.Conditions, "pool"}, {own, ""}} {
		add("ramp", t.from, lease.Pace{Every: t.Ramp, Burst: 1})
		add("rate", t.from, t.Rate)
	}
	return slices.Clip(all)
}
