package doctor

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/lease"
	"berth/limiter/gate"
)

func TestJudges(t *testing.T) {
	good := Facts{
		Boot: "b", Seconds: 1, Instances: 128, Lines: 2, Waiters: 10, Files: 1024,
		Readings:  gate.Readings{CPUs: 2, Pressure: map[string]float64{"cpu": 1, "io": 0, "io:full": 0}},
		Processes: []Bound{{"kernel.pid_max", 32768, 300}, {"pids.max of /a", 0, 9}},
	}
	with := func(change func(*Facts)) Facts {
		f := good
		f.Processes = slices.Clone(f.Processes)
		change(&f)
		return f
	}
	for _, c := range []struct {
		name  string
		facts Facts
		want  string
	}{
		{"all is well", good, ""},
		{"nothing is known but the clock", Facts{Boot: "b", Seconds: 1}, "warn pressure"},
		{"no clock", with(func(f *Facts) { f.Seconds = 0 }), "fail clock"},
		{"no boot id", with(func(f *Facts) { f.Boot = "" }), "warn clock"},
		{"no pressure", with(func(f *Facts) { f.Readings.Errors = map[string]string{"pressure io": "off"} }), "warn pressure"},
		{"no limits", with(func(f *Facts) { f.Readings.Errors = map[string]string{"memory": "gone"} }), "warn cgroup"},
		{"many lines", with(func(f *Facts) { f.Lines = 100 }), "warn inotify"},
		{"no instance is left", with(func(f *Facts) { f.HasNone = errors.New("EMFILE") }), "warn inotify"},
		{"many waiters", with(func(f *Facts) { f.Waiters, f.Processes[0].Now = 4100, 0 }), "warn processes"},
		{"many threads", with(func(f *Facts) { f.Processes[0].Now = 32700 }), "warn processes"},
		{"a tight group", with(func(f *Facts) { f.Processes = append(f.Processes, Bound{"pids.max of /a", 250, 70}) }), "warn processes"},
		{"a tight limit, of which little is used", with(func(f *Facts) { f.Processes = append(f.Processes, Bound{"ulimit -u", 290, 70}) }), ""},
		{"few files", with(func(f *Facts) { f.Files = 32 }), "warn files"},
	} {
		var ill []string
		for _, f := range c.facts.Judge() {
			if f.Status != lease.OK {
				ill = append(ill, string(f.Status)+" "+f.Name)
			}
			if (f.Status == lease.OK) != (f.Remedy == "") || f.Fact == "" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if got := strings.Join(ill, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
