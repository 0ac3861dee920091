//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/memstore"
	"berth/lease/storetest"
)

// FuzzModel: any sequence of operations has the same answers here and in the
// model.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6})
	f.Add([]byte{1, 1, 1, 2, 1, 3, 3, 0, 2, 0, 2, 1, 4, 0, 5, 3, 2, 2})
	f.Add([]byte{0, 2, 1, 34, 1, 2, 4, 0, 2, 0, 6, 0, 2, 1, 7, 0})
	f.Add([]byte{0, 48, 2, 48, 1, 65, 4, 48, 0, 48})                                              // passes a line whose head has not yet corrected the index
	f.Add([]byte{0, 3, 1, 1, 1, 65, 8, 0, 8, 1, 8, 2, 2, 0, 6, 1, 8, 5, 9, 0, 9, 1, 12, 0, 4, 0}) // told, and asked again
	f.Add([]byte{0, 239, 8, 1, 12, 0})                                                            // a heavy job is told
	f.Add([]byte{1, 66, 6, 0, 1, 2, 8, 6, 1, 67, 2, 0, 6, 0, 8, 1, 9, 3})                         // what a key keeps is told
	f.Add([]byte{0, 131, 0, 135, 4, 0, 0, 131, 11, 0, 0, 131, 10, 2, 0, 3, 10, 0, 11, 1})         // paces, and a start that is taken back
	f.Add([]byte{1, 195, 1, 195, 2, 0, 13, 0, 2, 128, 2, 1, 13, 1, 10, 4, 2, 128, 0, 199})        // gates and reports
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 60 {
			ops = ops[:60]
		}
		a := &model{s: &memstore.Store{}}
		b := &model{s: newStore(t)}
		for i := 0; i+1 < len(ops); i += 2 {
			id := fmt.Sprintf("p/%012d", i)
			if want, got := a.do(t, id, ops[i], ops[i+1]), b.do(t, id, ops[i], ops[i+1]); got != want {
				t.Fatalf("step %d (%d %d): %s, the model says %s", i/2, ops[i], ops[i+1], got, want)
			}
		}
	})
}

// model drives a store by numbers.
type model struct {
	s      lease.Store
	held   []lease.Holding
	places []*modelPlace
	ids    []string // of all requests so far
	first  uint64   // token of all
}

type modelPlace struct {
	lease.Place
	aside bool
	last  lease.Verdict
}

// conditions are those of a request or a pool. No test lasts as long as their paces, so
// clocks do not matter.
func conditions(n byte) (c lease.Conditions) {
	switch n % 6 {
	case 1:
		c.Ramp = time.Hour
	case 2:
		c.Ramp, c.MinSlots = time.Hour, 2
	case 3:
		c.Rate = lease.Pace{Every: time.Hour, Burst: 2}
	case 4:
		c.Gates = "g"
	case 5:
		c.Need, c.Gates, c.MinSlots = lease.Need{Mem: 1 << 20, CPU: 0.5}, "h", 2
	}
	return c
}

func (m *model) request(id string, arg byte) lease.Request {
	r := storetest.Request("p", int(arg%4))
	r.ID, r.Weight, r.Priority = id, 1+int(arg/4%3), int(arg/16%3)-1
	switch arg / 64 {
	case 1:
		r.Key, r.Grace = "k", time.Hour
	case 2:
		r.Conditions = conditions(1 + arg/4%3)
	case 3:
		r.Conditions = conditions(4 + arg/4%2)
	}
	return r
}

func (m *model) do(t *testing.T, id string, op, arg byte) string {
	t.Helper()
	said, err := m.step(t.Context(), id, op, arg)
	if err != nil {
		t.Fatalf("%T: operation %d %d: %v", m.s, op, arg, err)
	}
	pool, err := m.shown(t.Context())
	if err != nil {
		t.Fatalf("%T: after operation %d %d: %v", m.s, op, arg, err)
	}
	return said + "; " + pool
}

func (m *model) step(ctx context.Context, id string, op, arg byte) (string, error) {
	switch op % 14 {
	case 0:
		r := m.request(id, arg)
		r.Key = ""
		m.ids = append(m.ids, id)
		h, v, err := m.s.TryAcquire(ctx, r)
		if err != nil {
			return "", err
		}
		return m.got(h, v)
	case 1:
		m.ids = append(m.ids, id)
		p, err := m.s.Line(ctx, m.request(id, arg))
		if err != nil {
			return "", err
		}
		m.places = append(m.places, &modelPlace{Place: p})
		return fmt.Sprint("seq ", p.Ticket().Seq, " priority ", p.Ticket().Priority), nil
	case 5:
		if own := int(arg % 5); own < 4 {
			return "", setLimit(ctx, m.s, &own)
		}
		return "", setLimit(ctx, m.s, nil)
	case 10:
		return "", m.s.Set(ctx, "p", func(old lease.Settings, err error) (lease.Settings, error) {
			old.Conditions = conditions(arg)
			return old, err
		})
	case 8, 9:
		return m.tell(ctx, op%14 == 8, arg)
	case 4, 11, 12:
		return m.withHolding(ctx, op%14, arg)
	default: // the likeliest, for the line to move
		return m.withPlace(ctx, op%14, arg)
	}
}

func (m *model) tell(ctx context.Context, stop bool, arg byte) (string, error) {
	if len(m.ids) == 0 {
		return "nobody is there", nil
	}
	msg := lease.Message{Kind: lease.MessageKeepalive}
	if stop {
		msg = lease.Message{Kind: lease.MessageStop, Stop: lease.Stop{Reason: fmt.Sprint(arg)}}
	}
	e, err := m.s.Tell(ctx, m.ids[int(arg)%len(m.ids)], msg)
	if errors.Is(err, lease.ErrNotFound) {
		return "not found", nil
	}
	return fmt.Sprint("told a holder ", e.Lease != nil, " a waiter ", e.Ticket != nil), err
}

func (m *model) withHolding(ctx context.Context, op, arg byte) (string, error) {
	if len(m.held) == 0 {
		return "nobody holds", nil
	}
	i := int(arg) % len(m.held)
	h := m.held[i]
	if op == 12 {
		in, err := h.Renew(ctx, 0)
		return fmt.Sprintf("stop %v kept alive %t", in.Stop, in.Keepalive > 0), err
	}
	m.held = append(m.held[:i:i], m.held[i+1:]...)
	if op == 11 {
		return "unused", h.Unused(ctx)
	}
	return "released", h.Release(ctx)
}

func (m *model) withPlace(ctx context.Context, op, arg byte) (string, error) {
	if len(m.places) == 0 {
		return "nobody waits", nil
	}
	i := int(arg) % len(m.places)
	p := m.places[i]
	switch {
	case op == 6:
		m.places = append(m.places[:i:i], m.places[i+1:]...)
		return "left", p.Leave(ctx)
	case op == 7 && !p.aside:
		p.aside = true
		return "aside", p.StepAside(ctx)
	case op == 13:
		return "reported", p.Report(ctx, fmt.Sprint("why ", arg), nil)
	case p.aside:
		p.aside = false
		if err := p.Return(ctx); err != nil {
			return "", err
		}
	}
	var asked lease.Clearance
	if arg >= 128 && p.last.Reason == lease.Gated {
		asked = lease.Clearance{Gates: p.last.Gates, Last: p.last.Last, At: m.s.Clock()}
	}
	h, v, err := p.TryAcquire(ctx, asked)
	var stopped *lease.StoppedError
	if errors.As(err, &stopped) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	if p.last = v; h != nil {
		m.places = append(m.places[:i:i], m.places[i+1:]...)
	}
	return m.got(h, v)
}

// got shows an answer. Of Ahead only whether it is 0 is the same in all stores; Summary
// has the exact place.
//
// It leaves out which slots they are: the directory's index may still take a slot for
// used that has just been freed, and then another one is granted. They must be free, and
// below the limit.
func (m *model) got(h lease.Holding, v lease.Verdict) (string, error) {
	if h == nil {
		return fmt.Sprintf("%s ahead %t after %v gates %v", v.Reason, v.Ahead > 0, v.After.Round(10*time.Minute), v.Gates), nil
	}
	l := h.Lease()
	for _, slot := range l.Slots {
		if slot < 0 || slot >= l.InForce {
			return "", fmt.Errorf("slot %d with a limit of %d", slot, l.InForce)
		}
		for _, other := range m.held {
			if slices.Contains(other.Lease().Slots, slot) {
				return "", fmt.Errorf("slot %d is held by %s and %s", slot, other.Lease().ID, l.ID)
			}
		}
	}
	m.held = append(m.held, h)
	if m.first == 0 {
		m.first = l.Token
	}
	return fmt.Sprintf("%d slots token +%d limit %d need %v", len(l.Slots), l.Token-m.first, l.InForce, l.Need), nil
}

// shown is what List and Summary say of the pool.
func (m *model) shown(ctx context.Context) (string, error) {
	pools, err := m.s.List(ctx, "p")
	if err != nil {
		return "", err
	}
	v := pools[0]
	text := fmt.Sprintf("used %d by %q conditions %+v line", v.Used, v.LimitBy, v.Own.Conditions)
	if v.Limit != nil {
		text += fmt.Sprintf(" limit %d", *v.Limit)
	}
	if v.Report != nil {
		text += fmt.Sprintf(" report %s: %s", v.Report.By, v.Report.Why)
	}
	slices.SortFunc(v.Holders, func(a, b lease.Entry) int { return strings.Compare(a.Lease.ID, b.Lease.ID) })
	for _, h := range v.Holders {
		text += fmt.Sprintf(" %s kept alive %t", h.Lease.ID, h.Keepalive > 0)
	}
	for _, w := range v.Waiters {
		text += fmt.Sprintf(" %d%v", w.Ticket.Seq, w.Aside)
	}
	for _, p := range m.places {
		sum, err := m.s.Summary(ctx, "p", p.Ticket())
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" place %d of %d", sum.Place, sum.Line)
	}
	return text, nil
}
