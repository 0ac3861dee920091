package view

import (
	"strings"
	"testing"
	"time"

	"berth/cmd/text"
	"berth/lease"
)

// TestWaitingLineKeepsWhy: on a narrow terminal the line says why and behind which
// process, and less of the rest.
func TestWaitingLineKeepsWhy(t *testing.T) {
	holder := lease.Entry{
		Lease: &lease.Lease{Request: lease.Request{Command: []string{"sleep", "300"}}, State: lease.Stalled, Child: &lease.Process{PID: 924}, Since: time.Now()},
		Note:  "its berth (pid 923) is stopped",
	}
	for _, c := range []struct {
		limit, columns int
		reason         string
		want           []string
	}{
		{0, 79, "kernel upgrade", []string{"berth: waiting 0.0s", ", place 1 of 1, the pool's own limit is 0: kernel upgrade"}},
		{0, 60, "kernel upgrade", []string{", limit 0: kernel upgrade"}},
		{0, 0, "kernel upgrade", []string{"waiting 0.0s for pool tg, place 1 of 1, the pool's own limit is 0: kernel upgrade (set by ann@box "}},
		{1, 79, "one licence", []string{"(one licence)", "held longest by pid 924", ", stopped"}},
		{1, 79, strings.Repeat("long ", 30), []string{"(long long ", "…)", "held longest by pid 924, stopped"}},
		{1, 79, "", []string{"1 of 1", "held longest by ", "pid 924", ", stopped"}},
		{1, 0, "", []string{"1 of 1 in use, held longest by sleep 300 (pid 924, 0.0s), its berth (pid 923) is stopped"}},
	} {
		p := &lease.Pool{Name: "tg", Used: 1, Place: 1, Line: 1, Holders: []lease.Entry{holder}}
		p.Own.Limit, p.Own.Reason, p.Own.SetBy, p.Own.SetAt = &c.limit, c.reason, "ann@box", time.Now()
		got := WaitingLine(p, nil, lease.Request{Pool: "tg", Weight: 1}, 0, 0).Fit(c.columns)
		if c.columns > 0 && text.Columns(got) > c.columns {
			t.Errorf("%d columns: %q", c.columns, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("limit %d, %d columns: no %q in %q", c.limit, c.columns, want, got)
			}
		}
	}
}
