package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"berth/cmd/detached"
	"berth/cmd/handover"
	"berth/cmd/open"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter"
)

// detaching is a 'berth run --detach' as the process that goes on; nil: the run does not detach.
// Until it has a place in the line, or its slots, it runs in the terminal of its caller, and
// fails there.
type detaching struct {
	*claim
	log    string // the file for the output; "": one beside the record
	back   *handover.Back
	cancel context.CancelCauseFunc // ends the wait
	job    *detached.Job
	once   sync.Once
	left   bool  // the caller has the id, and has gone on
	err    error // why the caller could not be left
}

// attend has ctx end when the caller is gone before it has the id.
func (d *detaching) attend(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if d == nil {
		return ctx, func() {}, nil
	}
	var err error
	if d.back, err = handover.NewBack(); err != nil {
		return ctx, nil, err
	}
	ctx, d.cancel = context.WithCancelCause(ctx)
	whenGone(ctx, d.back.Gone, func() { d.cancel(handover.ErrFrontGone) })
	d.claim.joined, d.say.plain = d.inLine, true
	return ctx, func() { d.cancel(nil) }, nil
}

// begin makes the record of the job, before anything is taken.
func (d *detaching) begin() (err error) {
	if d == nil {
		return nil
	}
	d.back.Settle()
	d.job, err = detached.Begin(d.First().ID, d.log, recordStores(d.store)...)
	if err == nil {
		d.say.verbosef("the output goes to %s", d.job.Path())
	}
	return err
}

// recordStores are where the records of detached jobs may be: the store itself, and the default
// one of this user. nil: a store that is no directory.
func recordStores(st *open.Store) []string {
	if st == nil || st.Remote {
		return []string{open.DefaultDir()}
	}
	return []string{st.Where, open.DefaultDir()}
}

// inLine is called with a place in the line. A request that does not wait leaves its caller only
// with its slots.
func (d *detaching) inLine(context.Context, lease.Ticket) {
	if d.Wait == 0 && d.OnBusy != "replace" {
		return
	}
	if err := d.leave(); err != nil {
		d.cancel(err)
	}
}

// leaveWith leaves the caller with the slots of the job, or gives them back.
func (d *detaching) leaveWith(ctx context.Context, s limiter.Sessions) (err error) {
	switch {
	case d == nil:
		return nil
	case s == nil:
		return words.Hinted(errors.New("this runs inside a job of its pool, in whose slot a detached job cannot go on"), "--nested take waits for a slot of its own")
	}
	if err = d.leave(); err != nil {
		return errors.Join(err, s.Unused(context.WithoutCancel(ctx)))
	}
	return nil
}

// leave has the caller's process print the id and exit, and goes on in a session of its own. It
// returns once the id is printed: otherwise nobody would know of this job.
func (d *detaching) leave() error {
	d.once.Do(func() {
		d.signals.Ready()
		signal.Ignore(syscall.SIGHUP) // the command ignores it as well
		d.say.out.flush(lastWords)
		if d.err = d.back.HandOver(d.job.Log, d.First().ID+"\n"); d.err != nil {
			return
		}
		select {
		case <-d.back.Gone:
			d.err = handover.ErrFrontGone
		case <-d.back.Confirmed:
			d.left = true
		}
	})
	return d.err
}

// end writes how the run has ended, or removes the record if its caller hears that.
func (d *detaching) end(code int, err, why error) {
	if d == nil || d.job == nil {
		return
	}
	if !d.left {
		d.job.Discard()
		return
	}
	o := Outcome{Code: code}
	if err != nil {
		o = outcomeOf(err)
	}
	if why == nil && o.Signal == 0 { // else the signal says it
		why = err
	}
	reason := ""
	if why != nil {
		reason = factOf(why)
	}
	if err := d.job.End(o.Code, int(o.Signal), reason); err != nil {
		d.say.errorf("cannot record the end of %s: %v", d.First().ID, err)
	}
}

// detach starts the process that goes on, and returns once that can be left alone.
func detach() (int, error) {
	return inBackground("", func(f *handover.Front, said string) error {
		if err := write(os.Stdout, said); err != nil {
			return fmt.Errorf("cannot print the lease, so nothing is started: %w", err)
		}
		return f.Confirm()
	})
}
