package cmd

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"berth/cmd/gates"
	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
	"berth/lease/clock"
	"berth/limiter/gate"
)

func showReadings(r words.Probe) (int, error) {
	say := newSpeaker(false, false)
	st, err := open.Open(r.Store, say.opening(false))
	if err != nil {
		return 0, err
	}
	st.HandleSuspend()
	a := newAsker(st, lease.Request{Pool: r.Pool, Weight: 1, Conditions: r.Conditions}, say)
	found, err := probeMachine(st, a, r)
	if err != nil {
		return 0, err
	}
	code := codeOK
	if !found.Open {
		code = codeBusy
	}
	if r.JSON {
		return code, text.WriteJSON(os.Stdout, found)
	}
	return code, view.WriteProbe(os.Stdout, found)
}

func probeMachine(st *open.Store, a *gates.Asker, r words.Probe) (*view.Probe, error) {
	ctx, mine := context.Background(), r.Conditions
	pool, err := st.Summary(ctx, a.Request.Pool, lease.Ticket{})
	if err != nil {
		return nil, err
	}
	sinceStart := time.Duration(-1)
	if last := pool.Starts.Last; last > 0 && last <= st.Clock() {
		sinceStart = st.Clock().Sub(last)
	}
	said, err := a.Measure(ctx, &pool, sinceStart)
	if err != nil {
		return nil, err
	}
	out := &view.Probe{Pool: a.Request.Pool, Open: true, Gates: []gate.Finding{}, Readings: said.Readings}
	out.Gates = append(append(out.Gates, said.Findings...), paceVerdicts(&pool, mine, st.Clock())...)
	for i, g := range out.Gates {
		t := mine
		if g.From == "pool" {
			t = pool.Own.Conditions
		}
		if g.Gate == "ramp" && g.From == "" && !r.Ramp {
			out.Gates[i].Says += "; the default with these gates"
		}
		if pool.Used < t.MinSlots && g.Gate != "rate" {
			out.Gates[i].Says += fmt.Sprintf("; not checked: %d slots in use, and --min-slots is %d", pool.Used, t.MinSlots)
			continue
		}
		out.Open = out.Open && g.Open
	}
	return out, nil
}

// paceVerdicts are what the pool's paces say, for which no machine is read.
func paceVerdicts(p *lease.Pool, own lease.Conditions, now clock.Instant) []gate.Finding {
	var all []gate.Finding
	add := func(name, from string, pace lease.Pace) {
		if pace.Every == 0 {
			return
		}
		wait, _ := p.Starts.Wait(now, pace)
		every := pace.Every.Seconds()
		v := gate.Finding{Gate: name, From: from, Open: wait == 0, Threshold: &every, Unit: "seconds", Says: fmt.Sprintf("%v, and the next may be at once", pace)}
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
