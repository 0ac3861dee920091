//go:build linux

package main

import (
	"bufio"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/lease"
	"berth/lease/memstore"
)

func TestPicked(t *testing.T) {
	picked := func(only ...string) (all []string) {
		for _, m := range measurements {
			if m.picked(only) {
				all = append(all, m.name)
			}
		}
		return all
	}
	servers := []string{"remote-start", "remote-handover", "remote-steps", "remote-idle", "remote-beside"}
	if got := picked("remote"); !slices.Equal(got, servers) {
		t.Errorf("remote picks %v, want %v", got, servers)
	}
	if got := picked("remote-lost"); !slices.Equal(got, []string{"remote-lost"}) {
		t.Errorf("remote-lost picks %v", got)
	}
	all := picked()
	if slices.Contains(all, "remote-lost") || slices.Contains(all, "load") || !slices.Contains(all, "remote-idle") || !slices.Contains(all, "start") {
		t.Errorf("without a name: %v", all)
	}
}

func TestReadResp(t *testing.T) {
	for text, want := range map[string]any{
		"+OK\r\n":                            "OK",
		":-7\r\n":                            int64(-7),
		"$5\r\na\r\nb\n\r\n":                 "a\r\nb\n",
		"$-1\r\n":                            nil,
		"*2\r\n:1\r\n*2\r\n$0\r\n\r\n+x\r\n": []any{int64(1), []any{"", "x"}},
	} {
		if got, err := readResp(bufio.NewReader(strings.NewReader(text))); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v, want %#v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "\r\n", "-ERR no\r\n", "$5\r\nabc", "!x\r\n"} {
		if got, err := readResp(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("%q: %#v without an error", text, got)
		}
	}
}

// What a script calls is part of its time, so it is not to be counted a second time.
func TestOnlyScriptsCount(t *testing.T) {
	got := scriptsIn("# Commandstats\r\ncmdstat_hgetall:calls=30,usec=900,usec_per_call=30.00\r\n" +
		"cmdstat_evalsha:calls=3,usec=1200,usec_per_call=400.00,rejected_calls=0,failed_calls=0\r\n" +
		"cmdstat_eval:calls=1,usec=50,usec_per_call=50.00\r\ncmdstat_config|resetstat:calls=1,usec=70,usec_per_call=70.00\r\n")
	if want := (spent{1250 * time.Microsecond, 4}); got != want {
		t.Errorf("scripts took %v, want %v", got, want)
	}
}

func TestOnlyStepsOfOthersCount(t *testing.T) {
	entry := func(us int64, addr string) any { return []any{int64(1), int64(2), us, []any{"x"}, addr, ""} }
	most, all, err := stepsIn([]any{entry(900, "127.0.0.1:1"), entry(7000, "?:0"), entry(300, "127.0.0.1:1"), entry(8000, "127.0.0.1:2")}, "127.0.0.1:2")
	if err != nil || most != 900*time.Microsecond || all != (spent{1200 * time.Microsecond, 2}) {
		t.Errorf("%v, %v, %v", most, all, err)
	}
	if _, _, err := stepsIn([]any{[]any{int64(1)}}, ""); err == nil {
		t.Error("an entry that is too short goes unnoticed")
	}
}

// A hand-over changes the holders and not their number, so that each is measured beside as
// many as the last.
func TestCrowdKeepsItsSize(t *testing.T) {
	ctx := t.Context()
	s := new(memstore.Store)
	c, err := fill(ctx, s, "p", 3, 3, lease.DefaultTTL)
	if err != nil {
		t.Fatal(err)
	}
	nothing := func() error { return nil }
	before := map[string]bool{}
	for _, h := range c.held {
		before[h.Lease().ID] = true
	}
	for range 3 {
		for _, f := range []func() error{
			func() error { return c.renew(ctx) },
			func() error { return c.refused(ctx) },
			func() error { return c.handOver(ctx, nothing, nothing) },
			func() error { return c.list(ctx) },
			func() error { return c.whole(ctx) },
		} {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, h := range c.held {
		if before[h.Lease().ID] {
			t.Errorf("%s has not handed over in as many turns as there are holders", h.Lease().ID)
		}
	}
	if err := c.held[0].Release(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.whole(ctx); err == nil {
		t.Error("that one is missing goes unnoticed")
	}
}
