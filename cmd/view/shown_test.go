package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"berth/cmd/text"
	"berth/lease"
)

// ourColors is all that we send to a terminal by ourselves.
var ourColors = regexp.MustCompile("\x1b\\[(1|33|0)m")

// forged is a pool all of whose fields are somebody's text.
func forged(s string) []lease.Pool {
	p := lease.Process{PID: 1, Start: 1, Boot: s, Host: s}
	r := lease.Request{
		ID: s, Pool: s, Weight: 1, Key: s, Owner: p, Command: []string{s, s}, Labels: map[string]string{s: s},
		Conditions: lease.Conditions{Gates: s}, Timeout: time.Hour, IdleTimeout: time.Hour,
	}
	limit := 1
	l := &lease.Lease{Request: r, Slots: []int{0}, State: lease.State(s), Child: &p}
	damaged := &lease.Lease{Request: r, Slots: []int{1}, State: lease.Damaged}
	ticket := &lease.Ticket{Request: r}
	return []lease.Pool{{
		Name: s, Own: lease.Settings{Limit: &limit, Conditions: lease.Conditions{Gates: s}}, Limit: &limit, LimitBy: s,
		Report:  &lease.Report{By: s, Why: s, At: 1},
		Holders: []lease.Entry{{Lease: l, HeartbeatAge: 1, Keepalive: 1, Note: s}, {Lease: damaged, HeartbeatAge: -1, Note: s}},
		Waiters: []lease.Entry{{Ticket: ticket}, {Ticket: ticket, Aside: true, Note: s}}, LockHeldBy: s,
	}}
}

// FuzzShown: whatever a record holds, what is shown has no control character but our
// own newlines and colours, and JSON says the same as the record.
func FuzzShown(f *testing.F) {
	for _, s := range []string{"", "make test", "\x1b]0;PWNED\a", "\u009b31m", "a\u202eb\u2066\u200e", "\u2028\u2029", "\xff\xc0", "x\x7f\r\n\t", "p/0123", "測試", "\U000e0001\ue000", strings.Repeat("é", 200)} {
		f.Add(s, uint8(80))
	}
	f.Fuzz(func(t *testing.T, s string, columns uint8) {
		pools := Pools(forged(s), Sources{Now: 2, Flags: func(c lease.Conditions) []string { return []string{"--gate", c.Gates} }})
		pools[0].Holders[0].dir, pools[0].Holders[0].User = s, s
		for _, width := range []int{0, int(columns)} {
			for _, blocks := range [][]Block{table(pools, width), longTable(pools, width)} {
				for _, l := range Flat(blocks) {
					safe(t, ourColors.ReplaceAllString(l.paint(true), ""))
					if n := text.Columns(l.Text); width > 0 && n > width {
						t.Errorf("%d columns, not %d: %q", n, width, l.Text)
					}
				}
			}
		}
		var b bytes.Buffer
		if err := WriteJSON(&b, pools); err != nil {
			t.Fatal(err)
		}
		safe(t, strings.TrimSuffix(b.String(), "\n"))
		var back []Pool
		if err := json.Unmarshal(b.Bytes(), &back); err != nil {
			t.Fatal(err)
		}
		want := asJSON(s)
		h, w := back[0].Holders[0], back[0].Waiters[1]
		for _, got := range []string{
			back[0].Pool, back[0].LimitFrom, back[0].LockHeld, h.Lease, string(h.State), h.Command[1], h.Host, h.User, h.Note,
			h.Labels[want], w.Lease, w.Command[0], w.Host, w.For, w.Labels[want],
		} {
			if got != want {
				t.Errorf("%q reads back as %q, want %q", s, got, want)
			}
		}
		safe(t, text.CommandLine([]string{s}))
		safe(t, fmt.Sprint(text.Labels(map[string]string{s: s}), pairs([]string{s, s})))
	})
}

// asJSON: a byte that is no UTF-8 has no other way into JSON.
func asJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func safe(t *testing.T, shown string) {
	t.Helper()
	if !utf8.ValidString(shown) {
		t.Errorf("not UTF-8: %q", shown)
	}
	for _, r := range shown {
		if r < ' ' || 0x7f <= r && r < 0xa0 || text.Unseen(r) || bidi(r) {
			t.Errorf("%U is shown: %q", r, shown)
		}
	}
}

// bidi is said here once more, in other words than in the code.
func bidi(r rune) bool {
	return r == 0x61c || 0x200b <= r && r <= 0x200f || 0x2028 <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
}
