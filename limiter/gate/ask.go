package gate

import (
	"berth/lease"
	"berth/lease/clock"
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Use is a job of the pool that declared a need, as it is now.
type Use struct {
	ID    string
	Need  lease.Need
	Mem   uint64        // bytes that its tree uses now
	CPU   time.Duration // that its tree has used so far
	Known bool          // false: it cannot be seen from here, or has not started: its whole need is reserved
}

// Set is a set of gates and where they come from.
type Set struct {
	Gates
	From string // "": the caller's own; "pool"
}

// Question is all that an answer depends on besides the machine.
type Question struct {
	Sets       []Set         // all must be open
	Need       lease.Need    // of the job whose gates are asked
	Others     []Use         // the jobs of the pool that declared a need
	SinceStart time.Duration // since the last start or end in the pool; negative: unknown
	LastStart  time.Duration // since the last start alone, after which a command's yes no longer counts
	Shared     []byte        // the Answer.Share of an earlier caller; nil, garbage or another machine's: none
	Env        []string      // the whole environment for commands; the readings are added to it
	All        bool          // read everything, though no gate needs it, to show it
}

// Finding is one gate's answer with the numbers that led to it.
type Finding struct {
	Gate      string   `json:"gate"`           // its flag: max-cpu, max-mem, min-mem, max-load, max-pressure, min-disk, gate, need
	From      string   `json:"from,omitempty"` // "pool", when it is the pool's
	Open      bool     `json:"open"`
	Value     *float64 `json:"value"`     // nil: not known
	Threshold *float64 `json:"threshold"` // nil: it has none
	Unit      string   `json:"unit"`      // %, bytes, per cpu, cpus, exit code
	Of        string   `json:"of"`        // where the value comes from: a level, a disk's path, or io:full
	Says      string   `json:"says"`      // a line for people, with number and threshold

	pending bool // neither open nor closed: not known yet
}

// Answer is the answer to a Question.
type Answer struct {
	Open      bool          // every gate is open
	Measuring bool          // CPU use needs a second sample; the other findings hold
	Findings  []Finding     // in the order of Finding.Gate above
	Readings  Readings      // that the findings rest on
	Again     time.Duration // when not open: when to ask again
	Share     []byte        // for the next caller's Question.Shared; nil: nothing new
	Failure   string        // an error of the user's command that this Asker has not reported before
}

// Timings are an Asker's; zero means the default.
type Timings struct {
	Window   time.Duration // 250ms: the least time between two samples of CPU use
	Stale    time.Duration // 3s: the greatest
	Interval time.Duration // 500ms: until a closed gate is asked again
	Command  time.Duration // 10s: how long a command may take
	Slowest  time.Duration // 30s: the longest back-off of a command that fails
}

// Asker asks the gates for one caller. The zero value is ready for use. It remembers CPU
// samples, which groups had a limit, and what its commands said. It is not safe for
// concurrent use.
type Asker struct {
	Timings
	Run RunCommand // nil: the gate of a command stays closed

	clock    func() clock.Instant // nil: the boot clock
	samples  *history
	limited  map[string]map[string]clock.Instant // by controller and group: those with a limit, and since when it is missing
	lasting  map[string]string                   // by reading: the failure that outlived all tries
	commands map[string]*commandState
}

func (a *Asker) now() clock.Instant {
	if a.clock != nil {
		return a.clock()
	}
	return clock.Now()
}

func (a *Asker) timings() Timings {
	t := a.Timings
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Window, 250 * time.Millisecond},
		{&t.Stale, 3 * time.Second},
		{&t.Interval, 500 * time.Millisecond},
		{&t.Command, 10 * time.Second},
		{&t.Slowest, 30 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return t
}

// Ask answers whether there is room now. It waits only for a command that runs, and a few
// milliseconds for a file that vanished. When ctx ends, the command is killed and the
// answer is not open.
func (a *Asker) Ask(ctx context.Context, q Question) Answer {
	r, now := a.read(q.wants(true))
	var ans Answer
	var rates map[string]float64
	wait := time.Duration(0)
	if len(now.Levels) > 0 {
		rates, ans.Share, wait = a.measure(q, now, &r)
	}
	ans.Measuring = wait > 0
	ans.Readings, ans.Findings = r, decide(q, r, reserve(q.Others, rates))
	began := a.now()
	a.askCommands(ctx, q, &ans)
	ans.Open = !ans.Measuring && ctx.Err() == nil && !slices.ContainsFunc(ans.Findings, func(v Finding) bool { return !v.Open })
	if ans.Open && a.now().Sub(began) > a.timings().Interval {
		// The command took its time, and the machine may have changed since it was read.
		// The command's own answer is good for a second; of several commands, the first
		// one's as well.
		for _, c := range a.commands {
			c.next = a.now().Add(commandEvery)
		}
		ans.Open, ans.Measuring, wait = false, true, time.Millisecond
	}
	switch {
	case ans.Open:
	case ans.Measuring:
		ans.Again = wait
	default:
		ans.Again = a.timings().Interval
	}
	return ans
}

// measure puts CPU use into r, or returns how long it takes until CPU use is known.
func (a *Asker) measure(q Question, now Sample, r *Readings) (rates map[string]float64, share []byte, wait time.Duration) {
	now.Jobs = jobs(q.Others)
	h := newest(a.samples, q.Shared, now)
	w, keep, wait := h.measure(now, a.timings(), q.SinceStart)
	if w == nil && h.standsStill(now, a.timings()) {
		r.Errors[cpuError] = "the counters of CPU time stand still"
		wait = 0
	}
	a.samples = h
	if keep != nil {
		a.samples = keep
		// Plain numbers and strings: it cannot fail.
		share, _ = json.Marshal(keep)
	}
	if w == nil {
		return nil, share, wait
	}
	r.Window = w.length()
	for i, c := range now.Levels {
		used, _ := w.used(c, r.CPU[i].CPUs)
		r.CPU[i].Used = &used
	}
	return w.rates(), share, 0
}

// askCommands adds the findings of commands, before those on the need. Commands run only
// when all other gates are open, so that none runs in vain.
func (a *Asker) askCommands(ctx context.Context, q Question, ans *Answer) {
	open := !ans.Measuring && !slices.ContainsFunc(ans.Findings, func(v Finding) bool { return !v.Open })
	place := slices.IndexFunc(ans.Findings, func(v Finding) bool { return v.Gate == "need" })
	if place < 0 {
		place = len(ans.Findings)
	}
	for _, s := range q.Sets {
		if s.Command == "" {
			continue
		}
		var v Finding
		switch {
		case ans.Measuring:
			v = notAsked(s, measuring)
		case !open && !q.All:
			v = notAsked(s, "another gate is closed")
		case ctx.Err() != nil:
			v = a.unasked(s)
		default:
			var failure string
			if v, failure = a.command(ctx, q, s, ans.Readings); failure != "" {
				ans.Failure = failure
			}
		}
		open = open && v.Open
		ans.Findings = slices.Insert(ans.Findings, place, v)
		place++
	}
}

// Why is the first closed gate with its reason, "" when all are open. While CPU
// use is being measured, and nothing else is closed, it says so.
func (a Answer) Why() string {
	if a.Open {
		return ""
	}
	for _, v := range a.Findings {
		if !v.Open && !v.pending {
			return v.Gate + ": " + v.Says
		}
	}
	if a.Measuring {
		return measuring
	}
	for _, v := range a.Findings {
		if !v.Open {
			return v.Gate + ": " + v.Says
		}
	}
	return "" // only ctx has ended
}
