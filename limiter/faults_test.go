package limiter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"berth/lease"
	"berth/lease/memstore"
	"berth/lease/storetest"
)

// fault is what is wrong with one verb of a store.
type fault struct {
	verb string
	how  how
	err  error
}

type how string

const (
	once   how = "fails once"
	always how = "fails always"
	lost   how = "loses an answer" // what was to be done is done
	blocks how = "blocks"          // until the context ends
)

// faulty is a store with a fault. It keeps the contract where an answer is lost: it knows
// a request by its id, and a place that is left gives back what was granted unseen.
type faulty struct {
	lease.Store
	fault
	calls int // of the verb
	took  lease.Holding
	place lease.Place
}

func (f *faulty) call(ctx context.Context, verb string, do func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if verb != f.verb {
		return do()
	}
	switch f.calls++; {
	case f.how == blocks:
		<-ctx.Done()
		return context.Cause(ctx)
	case f.how == always, f.how == once && f.calls == 1:
		return f.err
	case f.how == lost && f.calls == 1:
		_ = do()
		return f.err
	}
	return do()
}

func (f *faulty) granted(err error) lease.Holding {
	if f.took == nil || err != nil {
		return nil
	}
	return &faultyHolding{f.took, f}
}

func (f *faulty) TryAcquire(ctx context.Context, r lease.Request) (_ lease.Holding, v lease.Verdict, err error) {
	err = f.call(ctx, "TryAcquire", func() (err error) {
		f.took, v, err = f.Store.TryAcquire(ctx, r)
		return err
	})
	return f.granted(err), v, err
}

func (f *faulty) Line(ctx context.Context, r lease.Request) (lease.Place, error) {
	err := f.call(ctx, "Line", func() (err error) {
		if f.place == nil {
			f.place, err = f.Store.Line(ctx, r)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultyPlace{f.place, f}, nil
}

type faultyPlace struct {
	lease.Place
	f *faulty
}

func (p *faultyPlace) TryAcquire(ctx context.Context, c lease.Clearance) (_ lease.Holding, v lease.Verdict, err error) {
	err = p.f.call(ctx, "Place.TryAcquire", func() (err error) {
		if p.f.took != nil {
			return p.Place.Leave(ctx) // the store knows that the request has its slots
		}
		p.f.took, v, err = p.Place.TryAcquire(ctx, c)
		return err
	})
	return p.f.granted(err), v, err
}

func (p *faultyPlace) Wait(ctx context.Context) error {
	return p.f.call(ctx, "Wait", func() error { return p.Place.Wait(ctx) })
}

func (p *faultyPlace) Report(ctx context.Context, why string, data json.RawMessage) error {
	return p.f.call(ctx, "Report", func() error { return p.Place.Report(ctx, why, data) })
}

func (p *faultyPlace) StepAside(ctx context.Context) error {
	return p.f.call(ctx, "StepAside", func() error { return p.Place.StepAside(ctx) })
}

func (p *faultyPlace) Return(ctx context.Context) error {
	return p.f.call(ctx, "Return", func() error { return p.Place.Return(ctx) })
}

func (p *faultyPlace) Leave(ctx context.Context) error {
	return p.f.call(ctx, "Leave", func() error {
		if p.f.took != nil {
			_ = p.f.took.Unused(ctx)
		}
		return p.Place.Leave(ctx)
	})
}

type faultyHolding struct {
	lease.Holding
	f *faulty
}

func (h *faultyHolding) Running(ctx context.Context, p lease.Process) error {
	return h.f.call(ctx, "Running", func() error { return h.Holding.Running(ctx, p) })
}

func (h *faultyHolding) Renew(ctx context.Context, ttl time.Duration) (in lease.Inbox, err error) {
	err = h.f.call(ctx, "Renew", func() (err error) {
		in, err = h.Holding.Renew(ctx, ttl)
		return err
	})
	return in, err
}

func (h *faultyHolding) Release(ctx context.Context) error {
	return h.f.call(ctx, "Release", func() error { return h.Holding.Release(ctx) })
}

func (h *faultyHolding) Unused(ctx context.Context) error {
	return h.f.call(ctx, "Unused", func() error { return h.Holding.Unused(ctx) })
}

var (
	errBoom = errors.New("disk full")
	errBusy = &BusyError{} // any
)

// A job waits behind another one, asks its gates, is suspended while it waits, runs and
// gives its slot back. With one verb out of order it has its slot or says why not, and
// nothing is left behind but what the verb itself would have taken away.
func TestFaults(t *testing.T) {
	type row struct {
		fault
		how []how
		// What must come of it:
		acquire error  // why the slots are not had; nil: they are
		close   error  // why they are not given back; nil: they are
		left    string // ticket or lease; "": nothing
		// Where it differs from the job above:
		free   bool // no holder has the slot
		never  bool // or it is held for good
		unused bool // nothing is started
	}
	of := func(verb string, err error) fault { return fault{verb: verb, err: err} }
	timeout := context.DeadlineExceeded
	for _, c := range []row{
		{fault: of("TryAcquire", errBoom), how: []how{once, always}, acquire: errBoom},
		{fault: of("TryAcquire", errAway), how: []how{once, always}},
		{fault: of("TryAcquire", errAway), how: []how{lost}, free: true},
		{fault: of("TryAcquire", nil), how: []how{blocks}, acquire: errBusy},
		{fault: of("Line", errBoom), how: []how{once, always}, acquire: errBoom},
		{fault: of("Line", errAway), how: []how{once, lost}},
		{fault: of("Line", errAway), how: []how{always}, acquire: errAway},
		{fault: of("Line", nil), how: []how{blocks}, acquire: errBusy},
		{fault: of("Place.TryAcquire", errBoom), how: []how{once, always}, acquire: errBoom},
		{fault: of("Place.TryAcquire", errBoom), how: []how{lost}, acquire: errBoom, free: true},
		{fault: of("Place.TryAcquire", errAway), how: []how{once, always}, acquire: errAway},
		{fault: of("Place.TryAcquire", nil), how: []how{blocks}, acquire: errBusy},
		{fault: of("Wait", errBoom), how: []how{once, always, lost}, acquire: errBoom},
		{fault: of("Wait", nil), how: []how{blocks}, acquire: errBusy},
		{fault: of("Report", errBoom), how: []how{once, always, lost}},
		{fault: of("Report", nil), how: []how{blocks}},
		{fault: of("StepAside", errBoom), how: []how{once, always, lost}, acquire: errBoom},
		{fault: of("StepAside", nil), how: []how{blocks}, acquire: errBusy},
		{fault: of("Return", errBoom), how: []how{once, always, lost}, acquire: errBoom},
		{fault: of("Return", nil), how: []how{blocks}, acquire: errBusy},
		{fault: of("Leave", errBoom), how: []how{once, always}, never: true, acquire: errBoom, left: "ticket"},
		{fault: of("Leave", errBoom), how: []how{lost}, never: true, acquire: errBoom},
		{fault: of("Leave", errAway), how: []how{once, always}, never: true, acquire: errBusy, left: "ticket"},
		{fault: of("Leave", nil), how: []how{blocks}, never: true, acquire: errBusy, left: "ticket"},
		{fault: of("Running", errBoom), how: []how{once, always, lost}},
		{fault: of("Running", nil), how: []how{blocks}},
		{fault: of("Renew", errBoom), how: []how{once, always, lost}},
		{fault: of("Renew", nil), how: []how{blocks}},
		{fault: of("Release", errBoom), how: []how{once, always}, close: errBoom, left: "lease"},
		{fault: of("Release", errBoom), how: []how{lost}, close: errBoom},
		{fault: of("Release", nil), how: []how{blocks}, close: timeout, left: "lease"},
		{fault: of("Unused", errBoom), how: []how{once, always}, unused: true, close: errBoom, left: "lease"},
		{fault: of("Unused", errBoom), how: []how{lost}, unused: true, close: errBoom},
		{fault: of("Unused", nil), how: []how{blocks}, unused: true, close: timeout, left: "lease"},
	} {
		for _, c.fault.how = range c.how {
			t.Run(fmt.Sprintf("%s %s: %v", c.verb, c.fault.how, c.err), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					pool := &memstore.Store{}
					if !c.free {
						other, _, err := pool.TryAcquire(t.Context(), storetest.Request("p", 1))
						if err != nil {
							t.Fatal(err)
						}
						if !c.never {
							time.AfterFunc(10*time.Second, func() { _ = other.Release(context.Background()) })
						}
						defer func() { _ = other.Release(context.Background()) }()
					}
					f := &faulty{Store: pool, fault: c.fault}
					err := oneJob(t, f, c.free, c.unused, c.acquire, c.close)
					if err != nil {
						t.Error(err)
					}
					if c.fault.how != blocks && f.calls == 0 {
						t.Error("the verb was never called")
					}
					pools, err := pool.List(t.Context(), "p")
					if err != nil {
						t.Fatal(err)
					}
					mine := func(e lease.Entry) bool { return cmp.Or(idIn(e.Lease), idOf(e.Ticket)) == "mine" }
					if held := slices.ContainsFunc(pools[0].Holders, mine); held != (c.left == "lease") {
						t.Errorf("a lease is left: %t", held)
					}
					if waits := slices.ContainsFunc(pools[0].Waiters, mine); waits != (c.left == "ticket") {
						t.Errorf("a ticket is left: %t", waits)
					}
				})
			})
		}
	}
}

func idIn(l *lease.Lease) string {
	if l == nil {
		return ""
	}
	return l.ID
}

func idOf(t *lease.Ticket) string {
	if t == nil {
		return ""
	}
	return t.ID
}

// oneJob is what happens to the job of TestFaults. It says what did not come as it must.
func oneJob(t *testing.T, f *faulty, free, unused bool, acquire, closes error) error {
	r := storetest.Request("p", 1)
	r.ID, r.Heartbeat = "mine", time.Second
	if !free {
		r.Gates = "g"
	}
	var in Interrupts
	time.AfterFunc(time.Second, func() {
		in.Do(func(ctx context.Context, p lease.Place) error {
			if err := p.StepAside(ctx); err != nil {
				return err
			}
			return p.Return(ctx)
		})
	})
	answers := []GateState{{Why: "no memory", Again: time.Second, Report: &lease.Report{Why: "no memory"}}, {Open: true}}
	ask := func(context.Context, lease.Verdict) (GateState, error) {
		a := answers[0]
		answers = answers[len(answers)-1:]
		return a, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o := Options{Ask: ask, Interrupts: &in}
	if free && f.verb == "Place.TryAcquire" {
		o.Outage = errAway // so that it lines up at once
	}
	begun := time.Now()
	s, err := Acquire(ctx, f, r, o)
	if d := time.Since(begun); d > time.Minute+leaveWithin {
		return fmt.Errorf("it takes %v", d)
	}
	switch {
	case acquire == errBusy && (!errors.As(err, new(*BusyError)) || errors.Is(err, errAway)), acquire != errBusy && !errors.Is(err, acquire):
		return fmt.Errorf("Acquire: %v, want %v", err, acquire)
	case err != nil && s != nil:
		return fmt.Errorf("a session beside the error %w", err)
	case err != nil:
		return nil
	}
	last, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	end := s.Unused
	if !unused {
		end = s.Close
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		bad := f.verb == "Running"
		if err := s.Bind(short, lease.Process{}); (err != nil) != bad {
			return fmt.Errorf("Bind: %w", err)
		}
		time.Sleep(2500 * time.Millisecond)
		bad = f.verb == "Renew" && f.fault.how == always
		if f.verb != "Renew" || f.fault.how != blocks {
			if e := <-s.Events(); (e.Kind == Failed) != bad || (e.Err != nil) != bad {
				return fmt.Errorf("the last heartbeat: %+v", e)
			}
		}
	}
	if err := end(last); !errors.Is(err, closes) {
		return fmt.Errorf("given back: %v, want %v", err, closes)
	}
	return nil
}
