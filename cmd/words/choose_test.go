package words

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/lease"
)

// choosing are two pools; what is and who has which pid is told by chosen.
func choosing() []lease.Pool {
	request := func(id string, pid int, labels map[string]string) lease.Request {
		pool, _, _ := strings.Cut(id, "/")
		return lease.Request{ID: id, Pool: pool, Owner: lease.Process{PID: pid, Start: 1}, Labels: labels, Command: []string{"make", "test"}}
	}
	holder := func(id string, pid, child int, labels map[string]string) lease.Entry {
		l := &lease.Lease{Request: request(id, pid, labels), State: lease.Running}
		if child > 0 {
			l.Child = &lease.Process{PID: child, Start: 1}
		}
		return lease.Entry{Lease: l}
	}
	return []lease.Pool{
		{
			Name: "ci",
			Holders: []lease.Entry{
				holder("ci/5d0c2f6a91be", 812, 830, map[string]string{"job": "unit", "pr": "7"}),
				holder("ci/5d0c77777777", 813, 0, map[string]string{"job": "unit"}),
				{Lease: &lease.Lease{State: lease.Damaged}},
			},
			Waiters: []lease.Entry{{Ticket: &lease.Ticket{Request: request("ci/0b6cf5ee1207", 814, map[string]string{"job": "unit", "pr": "7"})}}},
		},
		{Name: "nightly", Holders: []lease.Entry{
			holder("nightly/8120aaaaaaaa", 815, 816, map[string]string{"pr": "7"}),
			holder("nightly/9999bbbbbbbb", 817, 5555, nil),
			holder("nightly/5555cccccccc", 818, 99, nil),
			holder("nightly/c0ffeeeeeeee", 830, 831, nil), // had the pid before it was reused
		}},
		{Name: "beef"}, // idle
		{Name: "9999"},
		{Name: "none"}, // listed because it was named
	}
}

func TestChoose(t *testing.T) {
	is := func(p lease.Process, pid int) bool { return p.PID == pid }
	for _, tc := range []struct {
		name    string
		c       Choice
		want    string // ids
		unknown string // in the errors of what was not found
		err     string // nothing is chosen because of it
	}{
		{"a whole id", Choice{Words: []string{"ci/5d0c2f6a91be"}}, "ci/5d0c2f6a91be", "", ""},
		{"a whole id that is gone is for the store", Choice{Words: []string{"ci/ffffffffffff", "813"}}, "ci/ffffffffffff ci/5d0c77777777", "", ""},
		{"the beginning of an id", Choice{Words: []string{"ci/5d0c2"}}, "ci/5d0c2f6a91be", "", ""},
		{"with its pool one digit is enough", Choice{Words: []string{"ci/0"}}, "ci/0b6cf5ee1207", "", ""},
		{"the hex part", Choice{Words: []string{"5d0c2f6a91be"}}, "ci/5d0c2f6a91be", "", ""},
		{"its beginning", Choice{Words: []string{"0b6c"}}, "ci/0b6cf5ee1207", "", ""},
		{"of a berth", Choice{Words: []string{"812"}}, "ci/5d0c2f6a91be", "", ""},
		{"of a command", Choice{Words: []string{"816"}}, "nightly/8120aaaaaaaa", "", ""},
		{"of a waiter", Choice{Words: []string{"814"}}, "ci/0b6cf5ee1207", "", ""},
		{"twice the same", Choice{Words: []string{"812", "ci/5d0c2", "ci/5d0c2f6a91be"}}, "ci/5d0c2f6a91be", "", ""},
		{"several, in that order", Choice{Words: []string{"816", "0b6c"}}, "nightly/8120aaaaaaaa ci/0b6cf5ee1207", "", ""},

		{"two begin so", Choice{Words: []string{"816", "5d0c"}}, "", "", `"5d0c" may be any of 2 jobs: ci/5d0c2f6a91be (pid 812, make test), ci/5d0c77777777 (pid 813, make test)`},
		{"two begin so in a pool", Choice{Words: []string{"ci/5"}}, "", "", `"ci/5" may be any of 2 jobs`},
		{"a pid, and not the beginning of another", Choice{Words: []string{"5555"}}, "nightly/9999bbbbbbbb", "", ""},
		{"the same with its pool", Choice{Words: []string{"nightly/5555"}}, "nightly/5555cccccccc", "", ""},
		{"two that say so", Choice{Words: []string{"830"}}, "", "", `"830" may be any of 2 jobs`},

		{"a pool", Choice{Words: []string{"ci", "816"}}, "nightly/8120aaaaaaaa", `"ci" is a pool, not a lease`, ""},
		{"a pool with a slash", Choice{Words: []string{"nightly/"}}, "", `"nightly" is a pool, not a lease`, ""},
		{"a pool that looks like hex", Choice{Words: []string{"beef"}}, "", `"beef" is a pool, not a lease`, ""},
		{"a pool that looks like an id", Choice{Words: []string{"9999"}}, "", `"9999" is a pool, not a lease`, ""},
		{"a pool that is not there", Choice{Words: []string{"none/"}}, "", `none/: no such lease`, ""},
		{"the beginning of a pool", Choice{Words: []string{"night"}}, "", `no job or waiter matches "night" (give an id, its beginning, or a pid)`, ""},
		{"too short", Choice{Words: []string{"5d0"}}, "", `"5d0" is too short for the beginning of an id (at least 4 digits)`, ""},
		{"a pid of nobody", Choice{Words: []string{"4242"}}, "", `4242 is not the pid of a job or waiter here`, ""},
		{"a pid of nobody is not the beginning of an id", Choice{Words: []string{"8120"}}, "", `8120 is not the pid of a job or waiter here`, ""},
		{"a number that is too long for a pid", Choice{Words: []string{"81200000"}}, "", `no job or waiter matches "81200000"`, ""},
		{"a pid with a zero before it", Choice{Words: []string{"0812"}}, "", `no job or waiter matches "0812"`, ""},
		{"no such id", Choice{Words: []string{"ci/ff"}}, "", `ci/ff: no such lease`, ""},
		{"nothing", Choice{Words: []string{""}}, "", `no job or waiter matches ""`, ""},

		{"a label, waiters first", Choice{Labels: map[string]string{"pr": "7"}}, "ci/0b6cf5ee1207 ci/5d0c2f6a91be nightly/8120aaaaaaaa", "", ""},
		{"each of them", Choice{Labels: map[string]string{"pr": "7", "job": "unit"}}, "ci/0b6cf5ee1207 ci/5d0c2f6a91be", "", ""},
		{"another value", Choice{Labels: map[string]string{"pr": "8"}}, "", "", ""},
		{"an empty value is one", Choice{Labels: map[string]string{"nosuch": ""}}, "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ids, unknown, err := tc.c.Among(choosing(), is)
			if got := strings.Join(ids, " "); got != tc.want {
				t.Errorf("chose %q, want %q", got, tc.want)
			}
			if joined := errors.Join(unknown...); tc.unknown == "" && joined != nil || tc.unknown != "" && (joined == nil || !strings.Contains(joined.Error(), tc.unknown) || !errors.Is(joined, lease.ErrNotFound)) {
				t.Errorf("not found: %v, want %q and exit code 1", joined, tc.unknown)
			}
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err) || errors.Is(err, lease.ErrNotFound)) {
				t.Errorf("error %v, want %q and exit code 125", err, tc.err)
			}
		})
	}
	all, _, _ := Choice{Pool: "ci"}.Among(choosing()[:1], is)
	if want := []string{"ci/0b6cf5ee1207", "ci/5d0c2f6a91be", "ci/5d0c77777777", ""}; !slices.Equal(all, want) {
		t.Errorf("all of a pool: %q, want %q", all, want)
	}
}

// TestChoosesFrom: no more is listed than may have what is named.
func TestChoosesFrom(t *testing.T) {
	for _, tc := range []struct {
		c    Choice
		want string
	}{
		{Choice{Words: []string{"ci/5d", "b/0", "ci/6"}}, "ci b"},
		{Choice{Words: []string{"ci/5d", "812"}}, ""},
		{Choice{Pool: "ci", Labels: map[string]string{"a": "b"}}, "ci"},
		{Choice{Labels: map[string]string{"a": "b"}}, ""},
	} {
		if got := strings.Join(tc.c.Pools(), " "); got != tc.want {
			t.Errorf("%+v: lists %q, want %q", tc.c, got, tc.want)
		}
	}
}
