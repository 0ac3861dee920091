//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"berth/lease/etcdstore"
	"berth/lease/remote"
)

// A run on etcd beside few holders and beside many, and what it leaves there.

// besideTTL outlives the measurement: the holders need not renew, and no lease of a
// run that has ended ends by itself before it was counted.
const besideTTL = time.Hour

func (b *bench) remoteBeside() error {
	port, err := b.etcd()
	var ctl string
	if err == nil {
		ctl, err = b.server("etcdctl")
	}
	if errors.Is(err, errMissing) {
		return nil // and noted
	}
	if err != nil {
		return err
	}
	e := etcdAsk{b, ctl, tool{env: []string{"ETCDCTL_API=3", "ETCDCTL_ENDPOINTS=" + loopback + ":" + port}}}
	store := "etcd://" + loopback + ":" + port
	tools, done, err := b.besideTools(store)
	if err != nil {
		return err
	}
	defer done()
	if err := e.settled(); err != nil {
		return err
	}
	left := make([]etcdState, len(tools))
	for i, t := range tools {
		if left[i], err = e.left(t, b.pairs); err != nil {
			return err
		}
	}
	turns, err := e.turns(store)
	if err != nil {
		return err
	}
	took, err := b.race(tools, nothing)
	if err != nil {
		return err
	}
	first := holders(b.beside[0])
	for i, n := range b.beside {
		what := fmt.Sprintf("`berth-remote run -- true` beside %s, etcd", holders(n))
		if i == 0 {
			b.rows = append(b.rows, row{what: what, berth: show("", median, took[0])})
		} else {
			b.compare(what, median, "", took[i], "beside "+first, took[0], 1.3)
		}
	}
	for i, n := range b.beside {
		b.rows = append(b.rows, row{
			what:  fmt.Sprintf("revisions of etcd that a run writes, beside %s", holders(n)),
			berth: fmt.Sprintf("%.2f (n=%d)", float64(left[i].revision)/float64(b.pairs), b.pairs),
		}, row{
			what:   fmt.Sprintf("etcd leases that are left after %d runs, beside %s", b.pairs, holders(n)),
			berth:  fmt.Sprint(left[i].leases),
			target: "0", met: yes(left[i].leases == 0),
		})
	}
	b.rows = append(b.rows, row{
		what:   fmt.Sprintf("revisions of etcd that a run writes, -n 1, %d of them in turns, each 0.1 s", turning),
		berth:  fmt.Sprintf("%.2f (n=%d)", float64(turns.revision)/turning, turning),
		target: "less than 4", met: yes(turns.revision < 4*turning),
	})
	return nil
}

// turning is how many run in turns: they stand in the line, and run for long enough that
// their store is told of their processes.
const turning = 20

func (e etcdAsk) turns(store string) (more etcdState, err error) {
	t := e.remoteTool("etcd", store, "-p", "turns", "-n", "1")
	return e.during(func() error {
		var pids []int
		for range turning {
			pid, err := e.spawn(t, "/bin/sleep", "0.1")
			if err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		for _, pid := range pids {
			if status, err := e.collect(pid); err != nil || status != 0 {
				return fmt.Errorf("a run in turns ended with status %#x: %v %s", int(status), err, e.said())
			}
		}
		return nil
	})
}

// besideTools fills one pool for each number of holders. Each has room for one more.
func (b *bench) besideTools(store string) (tools []tool, done func(), err error) {
	a, err := remote.ParseURL(store)
	if err != nil {
		return nil, nil, err
	}
	s, err := etcdstore.Open(a)
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = s.Close() }
	limit := 2 * slices.Max(b.beside[:])
	for _, n := range b.beside {
		if _, err := fill(b.ctx, s, besidePool(n), n, limit, besideTTL); err != nil {
			done()
			return nil, nil, err
		}
		tools = append(tools, b.remoteTool("etcd", store, "-p", besidePool(n), "-n", fmt.Sprint(limit)))
	}
	return tools, done, nil
}

// etcdAsk asks an etcd what it has.
type etcdAsk struct {
	*bench
	etcdctl string
	ctl     tool
}

// etcdState is how much was ever written, and what is to end by itself.
type etcdState struct{ revision, leases int }

func (e etcdAsk) state() (s etcdState, err error) {
	var got struct {
		Header struct {
			Revision int `json:"revision"`
		} `json:"header"`
	}
	text, err := e.output(e.ctl, e.etcdctl, "get", "x", "-w", "json")
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil {
		return s, fmt.Errorf("cannot read a revision: %w", err)
	}
	var list struct {
		Leases []json.RawMessage `json:"leases"`
	}
	text, err = e.output(e.ctl, e.etcdctl, "lease", "list", "-w", "json")
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return s, fmt.Errorf("cannot read the leases: %w", err)
	}
	return etcdState{got.Header.Revision, len(list.Leases)}, nil
}

// settled waits until nothing is written any more: what jobs run is told a moment later.
func (e etcdAsk) settled() error {
	last := etcdState{}
	return e.until("an etcd to which nothing is written", 300*time.Millisecond, time.Minute, func() (bool, error) {
		now, err := e.state()
		same := now == last
		last = now
		return same, err
	})
}

// during is how much more there is after f.
func (e etcdAsk) during(f func() error) (more etcdState, err error) {
	before, err := e.state()
	if err != nil {
		return more, err
	}
	if err := f(); err != nil {
		return more, err
	}
	after, err := e.state()
	return etcdState{after.revision - before.revision, after.leases - before.leases}, err
}

// left is how much more there is after n runs.
func (e etcdAsk) left(t tool, n int) (etcdState, error) {
	return e.during(func() error {
		return times(n, func() error {
			_, err := e.time(t, nothing)
			return err
		})
	})
}
