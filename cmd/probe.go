package cmd

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"berth/cmd/open"
	"berth/cmd/text"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
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
	found, err := probeMachine(st, a, r.Conditions)
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

// measureAtMost ends a probe whose CPU counters stand still.
const measureAtMost = 5 * time.Second

func probeMachine(st *open.Store, a *asker, mine lease.Conditions) (*view.Probe, error) {
	ctx := context.Background()
	pool, err := st.Summary(ctx, a.request.Pool, lease.Ticket{})
	if err != nil {
		return nil, err
	}
	v := lease.Verdict{Own: pool.Own, Used: pool.Used, SinceStart: -1}
	if last := pool.Starts.Last; last > 0 && last <= st.Clock() {
		v.SinceStart = st.Clock().Sub(last)
	}
	if pool.Limit != nil {
		v.Limit = *pool.Limit
	}
	for _, g := range []string{pool.Own.Gates, a.request.Gates} {
		if g != "" && !slices.Contains(v.Gates, g) {
			v.Gates = append(v.Gates, g)
		}
	}
	q, err := a.question(v, &pool)
	if err != nil {
		return nil, err
	}
	if err := a.gate.Check(q); err != nil {
		return nil, err
	}
	q.All = true
	said := a.gate.Ask(ctx, q)
	for end := time.Now().Add(measureAtMost); said.Measuring && time.Now().Before(end); {
		asked := time.Now()
		time.Sleep(said.Again)
		if q.SinceStart >= 0 {
			q.SinceStart += time.Since(asked)
		}
		if said.Share != nil {
			q.Shared = said.Share
		}
		said = a.gate.Ask(ctx, q)
	}
	out := &view.Probe{Pool: a.request.Pool, Open: true, Gates: []gate.Verdict{}, Readings: said.Readings}
	out.Gates = append(append(out.Gates, said.Verdicts...), paceVerdicts(&pool, mine, st.Clock())...)
	for i, g := range out.Gates {
		t := mine
		if g.From == "pool" {
			t = pool.Own.Conditions
		}
		if pool.Used < t.MinSlots && g.Gate != "rate" {
			out.Gates[i].Says += fmt.Sprintf("; not asked with %d in use, --min-slots %d", pool.Used, t.MinSlots)
			continue
		}
		out.Open = out.Open && g.Open
	}
	return out, nil
}
