package etcdstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"berth/lease"
)

func TestExamineJudges(t *testing.T) {
	good := memberState{host: "a:2379", version: "3.5.13", leader: true, knows: true, size: 1 << 20, latency: time.Millisecond}
	with := func(change func(*memberState)) memberState {
		m := good
		change(&m)
		return m
	}
	down := with(func(m *memberState) { m.err = errors.New("refused") })
	for _, c := range []struct {
		name    string
		members []memberState
		want    string
	}{
		{"all is well", []memberState{good, good}, ""},
		{"one is down", []memberState{good, down}, "warn member"},
		{"all are down", []memberState{down, down}, "fail member, fail member"},
		{"no leader", []memberState{with(func(m *memberState) { m.leader, m.knows = false, false })}, "fail member"},
		{"old", []memberState{with(func(m *memberState) { m.version = "3.4.23" })}, "warn member"},
		{"old 3.5", []memberState{with(func(m *memberState) { m.version = "3.5.9" })}, "warn member"},
		{"newer", []memberState{with(func(m *memberState) { m.version = "3.6.0" })}, ""},
		{"slow", []memberState{with(func(m *memberState) { m.latency = time.Second })}, "warn latency"},
		{"full", []memberState{with(func(m *memberState) { m.alarms = []string{"memberID:1 alarm:NOSPACE "} })}, "fail space"},
		{"corrupt", []memberState{with(func(m *memberState) { m.alarms = []string{"memberID:1 alarm:CORRUPT "} })}, "warn space"},
	} {
		var ill []string
		for _, f := range judge(c.members) {
			if f.Status != lease.OK {
				ill = append(ill, string(f.Status)+" "+f.Name)
			}
			if (f.Status == lease.OK) != (f.Remedy == "") {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if got := strings.Join(ill, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
