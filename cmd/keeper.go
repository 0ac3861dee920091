package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"berth/cmd/handover"
	"berth/cmd/job"
	"berth/cmd/stopping"
	"berth/cmd/text"
	"berth/cmd/words"
	"berth/lease"
	"berth/limiter"
	"berth/procwatch"
)

// keeper carries one 'berth acquire' from its words to the end of its lease. Until it has the
// slot it waits as a 'berth run' does; then it goes on in the background.
type keeper struct {
	*claim
	spec *words.Acquire
	back *handover.Back
	tied procwatch.ID
	gone <-chan struct{} // closed when the process is gone that the lease is tied to; nil: to none
}

func (k *keeper) run(ctx context.Context) (err error) {
	if k.back, err = handover.NewBack(); err != nil {
		return err
	}
	if err := k.tie(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	whenGone(ctx, k.gone, func() { cancel(k.untied()) })
	whenGone(ctx, k.back.Gone, func() { cancel(handover.ErrFrontGone) })
	if err := k.open(ctx); err != nil {
		return err
	}
	k.back.Settle()
	for i := range k.Requests {
		if k.gone != nil {
			k.Requests[i].Tied = (*lease.Process)(&k.tied)
		}
	}
	k.introduce(k.command())
	sessions, err := k.take(ctx)
	if err != nil {
		return err
	}
	if err := k.handOver(sessions); err != nil {
		return errors.Join(err, sessions.Unused(context.WithoutCancel(ctx)))
	}
	job.Keep(ctx, sessions, job.Spec{
		Timeout: k.First().Timeout, IdleTimeout: k.First().IdleTimeout,
	}, job.Inputs{Signals: k.signals, Clock: k.store.Clock, Gone: either(k.gone, k.back.Gone), Tell: k.tellAdopter})
	return nil
}

// tie watches the process that the slot is for. Its pid may belong to another process by now.
func (k *keeper) tie() error {
	if k.back.Data == "" {
		return nil
	}
	var pid int
	var start uint64
	if _, err := fmt.Sscanf(k.back.Data, "%d %d", &pid, &start); err != nil {
		return fmt.Errorf("%q does not name a process: %w", k.back.Data, err)
	}
	id, err := procwatch.Identify(pid)
	if err == nil && id.Start != start {
		err = os.ErrProcessDone
	}
	if err == nil {
		k.tied = id
		k.gone, err = id.Gone()
	}
	if errors.Is(err, os.ErrProcessDone) {
		return k.untied()
	}
	return err
}

// untied is the error about a process that is gone before the slot was had.
func (k *keeper) untied() error {
	if k.spec.With > 0 {
		return fmt.Errorf("--with %d: the process is gone", k.spec.With)
	}
	return &noParentError{}
}

// command is what people see in lists: the process that the slot is for.
func (k *keeper) command() []string {
	if argv := k.tied.Command(); len(argv) > 0 {
		return argv
	}
	return append([]string{"berth"}, os.Args[1:]...)
}

// handOver prints the lease and leaves the terminal, unless the slot is for nobody any more.
func (k *keeper) handOver(s limiter.Sessions) error {
	k.signals.Ready()
	select {
	case <-k.gone:
		return k.untied()
	case <-k.back.Gone:
		return handover.ErrFrontGone
	default:
	}
	for _, l := range s.Leases() {
		k.say.verbosef("took slot %s of pool %s, limit %d, token %d", text.SlotList(l.Slots), l.Pool, l.InForce, l.Token)
	}
	k.say.out.flush(lastWords)
	said := s.Leases()[0].ID + "\n"
	if k.spec.Export {
		said = k.exports(s)
	}
	if err := os.Chdir("/"); err != nil { // or this process would keep a file system from being unmounted
		return err
	}
	return k.back.HandOver(nil, said)
}

// exports are lines for a shell: what a command in this slot would find in its environment.
func (k *keeper) exports(s limiter.Sessions) string {
	callers := callersEnviron()
	told := job.Told{Store: k.store.Where, StoreOwner: k.store.Owner, Job: k.First().Job, Labels: k.First().Labels}
	if d := k.First().Timeout; d > 0 {
		told.Deadline = time.Now().Add(d)
	}
	env := job.Environ(callers, s.Leases(), told)
	var b strings.Builder
	for _, e := range callers { // what a job around this one has told
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "BERTH_") && !slices.ContainsFunc(env, func(o string) bool { return strings.HasPrefix(o, name+"=") }) {
			fmt.Fprintf(&b, "unset %s\n", name)
		}
	}
	for _, e := range env {
		if name, value, _ := strings.Cut(e, "="); !slices.Contains(callers, e) {
			fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
		}
	}
	return b.String()
}

// tellAdopter tells the process that runs something under the lease to end it.
func (k *keeper) tellAdopter(ctx context.Context, id string, stop lease.Stop) error {
	e, err := k.store.Tell(ctx, id, stopMessage(stop))
	if err == nil && e.Lease != nil && e.Lease.Adopter != nil {
		stopping.RouseBerth(*e.Lease.Adopter, job.Mark(id))
	}
	return err
}

// either is closed when one of them is.
func either(a, b <-chan struct{}) <-chan struct{} {
	one := make(chan struct{})
	go func() {
		select {
		case <-a:
		case <-b:
		}
		close(one)
	}()
	return one
}
