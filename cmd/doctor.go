package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"berth/cmd/doctor"
	"berth/cmd/gates"
	"berth/cmd/open"
	"berth/cmd/storename"
	"berth/cmd/text"
	"berth/cmd/view"
	"berth/cmd/words"
	"berth/lease"
	"berth/lease/clock"
	"berth/procwatch"
)

// examineFor bounds what is asked of a store.
const examineFor = 20 * time.Second

// examine looks at everything, and exits with 1 if something fails.
func examine(r words.Doctor) (int, error) {
	if file := os.Getenv(open.TryLockOf); file != "" {
		return tryLock(file)
	}
	found := findings(r)
	code := codeOK
	for i := range found {
		if found[i].Status == lease.Fail {
			code = codeNo
		}
	}
	if r.JSON {
		return code, text.WriteJSON(os.Stdout, found)
	}
	return code, writeFindings(os.Stdout, found)
}

// tryLock is the other one of the two processes that try locks.
func tryLock(file string) (int, error) {
	got, err := open.TryLock(file)
	if err != nil {
		return 0, err
	}
	if !got {
		return codeNo, nil
	}
	return codeOK, nil
}

func findings(r words.Doctor) []lease.Finding {
	if r.StoreErr != nil {
		return append([]lease.Finding{illStore("store", r.Store.Where, r.StoreErr)}, ofMachine(nil)...)
	}
	say := newSpeaker(true, false)
	with := say.opening(false)
	with.Exists = true
	st, err := open.Open(r.Store, with)
	if err != nil {
		return append([]lease.Finding{illStore("store", r.Store.Where, err)}, ofMachine(nil)...)
	}
	st.HandleSuspend()
	ctx, cancel := context.WithTimeout(context.Background(), examineFor)
	defer cancel()
	found := []lease.Finding{lease.Good("store", strings.TrimPrefix(storeAndWhy(st), "store "))}
	if e, can := st.Store.(lease.Examiner); can {
		found = append(found, e.Examine(ctx)...)
	}
	pools, err := st.List(ctx)
	if err != nil {
		f := illStore("pools", r.Store.Where, err)
		said := func(other lease.Finding) bool {
			return other.Status == f.Status && strings.HasSuffix(other.Fact, f.Fact)
		}
		if !slices.ContainsFunc(found, said) {
			found = append(found, f)
		}
	}
	found = append(found, pooled(pools, err == nil)...)
	return append(found, ofMachine(pools)...)
}

// illStore is a finding that a store cannot be used. Errors that say themselves what is right have
// no hint, and are explained by the page of that kind of store.
func illStore(name, where string, err error) lease.Finding {
	page := "berth help sharing"
	if storename.IsURL(where) {
		page = "berth help stores"
	}
	return lease.Ill(name, lease.Fail, strings.ReplaceAll(factOf(err), "\n", "; "), cmp.Or(hintTo(err), page))
}

// pooled are what is found in the pools, which may not be all.
func pooled(pools []lease.Pool, all bool) (found []lease.Finding) {
	for _, p := range pools {
		if p.LockHeldBy != "" {
			found = append(found, lease.Ill("lock", lease.Warn, p.LockHeldBy, "berth ls "+p.Name))
		}
		for _, h := range p.Holders {
			if h.Lease.State == lease.Damaged {
				found = append(found, lease.Ill("record", lease.Warn, h.Note, "berth ls "+p.Name))
			}
		}
	}
	circles := lease.Circles(pools, aboveHere())
	for _, c := range circles {
		found = append(found, lease.Ill("circle", lease.Fail, view.Circle(c), "berth stop "+c.Victim()))
	}
	if len(circles) == 0 && all {
		found = append(found, lease.Good("circle", fmt.Sprintf("no circular wait in %s", text.Plural(len(pools), "pool"))))
	}
	return found
}

// ofMachine is what is found on this machine, where some wait. It needs no store: one that cannot
// be opened may be the fault of the machine.
func ofMachine(pools []lease.Pool) []lease.Finding {
	f := doctor.Facts{Seconds: time.Duration(clock.Now()).Seconds()}
	f.Read()
	if self, err := procwatch.Self(); err == nil {
		f.Boot = self.Boot
		f.Waiters, f.Lines = waitersOn(self.Host, pools)
	}
	a := gates.Asker{Boot: f.Boot, Request: lease.Request{Pool: "default", Weight: 1}, UserName: text.UserName, Failed: func(string) {}}
	if said, err := a.Measure(context.Background(), &lease.Pool{Name: "default"}, -1); err == nil {
		f.Readings = said.Readings
	}
	return f.Judge()
}

func waitersOn(host string, pools []lease.Pool) (waiters, lines int) {
	for _, p := range pools {
		here := 0
		for _, w := range p.Waiters {
			if w.Ticket.Owner.Host == host {
				here++
			}
		}
		waiters += here
		if here > 0 {
			lines++
		}
	}
	return waiters, lines
}

// writeFindings writes a line each.
func writeFindings(w io.Writer, found []lease.Finding) error {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%-4s  %-11s  %s", f.Status, f.Name, text.OneLine(f.Fact))
		if f.Remedy != "" {
			fmt.Fprintf(&b, " -> %s", text.OneLine(f.Remedy))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
