package view

import (
	"strings"
	"testing"
	"time"

	"berth/lease"
)

// TestLimitLines: a person is told who has set it, a program is not.
func TestLimitLines(t *testing.T) {
	two := 2
	own := lease.Settings{Limit: &two, SetBy: "ann@box", SetAt: time.Now().Add(-time.Hour), Reason: "it's tea"}
	for _, c := range []struct {
		person bool
		want   string
	}{
		{false, "2|--reason 'it'\\''s tea'"},
		{true, "2|--reason 'it'\\''s tea'|# set by ann@box 1h00m ago: it's tea"},
	} {
		if got := strings.Join(LimitLines(own, nil, c.person), "|"); got != c.want {
			t.Errorf("person %v: %s, want %s", c.person, got, c.want)
		}
	}
}
