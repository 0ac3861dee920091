package gate

import (
	"berth/lease"
	"berth/lease/clock"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"
)

const ms = time.Millisecond

// at is a sample of a machine of which the host and a group are half busy.
func at(when time.Duration) Sample {
	return Sample{Machine: "m", Proc: "/proc", Sys: "/sys", At: clock.Instant(when), Levels: []Counter{
		{Of: "host", ID: 1, Busy: when, Total: 2 * when}, {Of: "cgroup v2 /a", ID: 7, Busy: when / 2},
	}}
}

func with(s Sample, change func(*Sample)) Sample {
	s.Levels = append([]Counter(nil), s.Levels...)
	change(&s)
	return s
}

func TestMeasure(t *testing.T) {
	ts := (&Asker{Timings: Timings{Window: 500 * ms}}).timings()
	before := func(latest, before time.Duration) *history {
		b := at(before)
		return &history{Latest: at(latest), Before: &b}
	}
	end := 100 * time.Second
	now := at(end)
	only := func(age time.Duration) *history { return &history{Latest: at(end - age)} }
	for _, c := range []struct {
		why    string
		h      *history
		since  time.Duration
		length time.Duration // 0: none
		wait   time.Duration
		kept   string // what is shared: nothing, anew, or a pair
	}{
		{"the first", nil, -1, 0, 500 * ms, "anew"},
		{"one that is too young", only(200 * ms), -1, 0, 300 * ms, "nothing"},
		{"one just old enough", only(500 * ms), -1, 500 * ms, 0, "pair"},
		{"one as old as can be", only(3 * time.Second), -1, 3 * time.Second, 0, "pair"},
		{"one too old", only(3*time.Second + 1), -1, 0, 500 * ms, "anew"},
		{"one of the future", only(-1), -1, 0, 500 * ms, "anew"},
		{"a finished pair", before(end-200*ms, end-900*ms), -1, 700 * ms, 0, "nothing"},
		{"a pair too short", before(end-200*ms, end-600*ms), -1, 0, 300 * ms, "nothing"},
		{"a pair too long", before(end-200*ms, end-4*time.Second), -1, 0, 300 * ms, "nothing"},
		{"a start after the window began", only(500 * ms), 449 * ms, 0, 500 * ms, "anew"},
		{"a start within the tolerance", only(500 * ms), 450 * ms, 500 * ms, 0, "pair"},
		{"a start after the finished pair began", before(end-200*ms, end-900*ms), 700 * ms, 0, 300 * ms, "nothing"},
		{"a start after the latest", before(end-200*ms, end-900*ms), 50 * ms, 0, 500 * ms, "anew"},
		{"a start long ago", before(end-200*ms, end-900*ms), time.Hour, 700 * ms, 0, "nothing"},
	} {
		w, keep, wait := c.h.measure(now, ts, c.since)
		length, kept := time.Duration(0), "nothing"
		if w != nil {
			length = w.length()
		}
		if keep != nil && keep.Before != nil {
			kept = "pair"
		} else if keep != nil {
			kept = "anew"
		}
		if length != c.length || wait != c.wait || kept != c.kept {
			t.Errorf("%s: window %v, wait %v, keep %s; want %v, %v, %s", c.why, length, wait, kept, c.length, c.wait, c.kept)
		}
	}
}

func TestMeasureForeign(t *testing.T) {
	ts := (&Asker{}).timings()
	now := at(100 * time.Second)
	for why, change := range map[string]func(*Sample){
		"another boot":       func(s *Sample) { s.Machine = "n" },
		"another proc":       func(s *Sample) { s.Proc = "/fake" },
		"another sys":        func(s *Sample) { s.Sys = "/fake" },
		"a group was remade": func(s *Sample) { s.Levels[1].ID++ },
		"a level less":       func(s *Sample) { s.Levels = s.Levels[:1] },
		"other CPUs":         func(s *Sample) { s.Levels[0].ID++ },
		"counters stood":     func(s *Sample) { s.Levels[0] = now.Levels[0] },
		"a group went back":  func(s *Sample) { s.Levels[1].Busy = now.Levels[1].Busy + 1 },
	} {
		h := &history{Latest: with(at(99*time.Second), change)}
		if w, keep, _ := h.measure(now, ts, -1); w != nil || keep == nil || keep.Before != nil {
			t.Errorf("%s: a window of %v, kept %+v", why, w, keep)
		}
	}
	if w, _, _ := (&history{Latest: at(99 * time.Second)}).measure(now, ts, -1); w == nil {
		t.Error("its own sample makes no window")
	}
}

func TestUsed(t *testing.T) {
	w := span{at(10 * time.Second), at(11 * time.Second)}
	if v, ok := w.used(w.to.Levels[0], 4); !ok || v != 2 {
		t.Errorf("host: %v, %v; want half of 4", v, ok)
	}
	if v, ok := w.used(w.to.Levels[1], 4); !ok || v != 0.5 {
		t.Errorf("group: %v, %v; want half a CPU", v, ok)
	}
	for _, c := range []struct {
		back  time.Duration
		known bool
	}{{stepBack, true}, {stepBack + 1, false}} {
		to := with(w.to, func(s *Sample) { s.Levels[0].Busy = w.from.Levels[0].Busy - c.back })
		if v, ok := (span{w.from, to}).used(to.Levels[0], 4); ok != c.known || v != 0 {
			t.Errorf("host with a step back of %v: %v, %v", c.back, v, ok)
		}
	}
}

func TestNewest(t *testing.T) {
	now := at(100 * time.Second)
	share := func(s Sample) []byte { b, _ := json.Marshal(history{Latest: s}); return b }
	own := &history{Latest: at(50 * time.Second)}
	for _, c := range []struct {
		why    string
		own    *history
		shared []byte
		want   time.Duration // 0: none
	}{
		{"nothing", nil, nil, 0},
		{"garbage", own, []byte("{]"), 50 * time.Second},
		{"empty", own, []byte("{}"), 50 * time.Second},
		{"newer", own, share(at(60 * time.Second)), 60 * time.Second},
		{"older", own, share(at(40 * time.Second)), 50 * time.Second},
		{"only shared", nil, share(at(40 * time.Second)), 40 * time.Second},
		{"of the future", own, share(at(101 * time.Second)), 50 * time.Second},
		{"foreign", own, share(with(at(60*time.Second), func(s *Sample) { s.Machine = "n" })), 50 * time.Second},
	} {
		h := newest(c.own, c.shared, now)
		if got := h; (got == nil) != (c.want == 0) || got != nil && got.Latest.At != clock.Instant(c.want) {
			t.Errorf("%s: %+v, want %v", c.why, h, c.want)
		}
	}
}

func TestSetAside(t *testing.T) {
	const g = 1 << 30
	w := span{
		from: Sample{At: clock.Instant(10 * time.Second), Jobs: map[string]time.Duration{"half": time.Second, "back": 2 * time.Second, "all": 0}},
		to:   Sample{At: clock.Instant(11 * time.Second), Jobs: map[string]time.Duration{"half": 1500 * ms, "back": time.Second, "all": 5 * time.Second, "new": 9 * time.Second}},
	}
	for _, c := range []struct {
		why string
		u   Use
		mem float64
		cpu float64
	}{
		{"uses half of it", Use{ID: "half", Need: lease.Need{Mem: 2 * g, CPU: 1}, Mem: g, Known: true}, g, 0.5},
		{"uses more than it said", Use{ID: "all", Need: lease.Need{Mem: 2 * g, CPU: 1}, Mem: 3 * g, Known: true}, 0, 0},
		{"was not there when the window began", Use{ID: "new", Need: lease.Need{CPU: 1}, Known: true}, 0, 1},
		{"went back", Use{ID: "back", Need: lease.Need{CPU: 1}, Known: true}, 0, 1},
		{"cannot be seen", Use{ID: "half", Need: lease.Need{Mem: 2 * g, CPU: 1}, Mem: g}, 2 * g, 1},
	} {
		if got := reserve([]Use{c.u}, w.rates()); got.mem != c.mem || math.Abs(got.cpu-c.cpu) > 1e-9 {
			t.Errorf("%s: %+v, want %v and %v", c.why, got, c.mem, c.cpu)
		}
	}
	two := []Use{{ID: "x", Need: lease.Need{Mem: g, CPU: 1}}, {ID: "y", Need: lease.Need{Mem: g, CPU: 2}}}
	if got := reserve(two, nil); got != (reserved{2 * g, 3}) {
		t.Errorf("a sum of %+v", got)
	}
}

func TestJobsAreBounded(t *testing.T) {
	var many []Use
	for i := range 1000 {
		many = append(many, Use{ID: fmt.Sprint(i), Need: lease.Need{CPU: 1}, Known: true})
	}
	if got := len(jobs(many)); got != maxJobs {
		t.Errorf("%d jobs in a sample", got)
	}
	none := []Use{{ID: "mem", Need: lease.Need{Mem: 1}, Known: true}, {ID: "unseen", Need: lease.Need{CPU: 1}}}
	if got := jobs(none); len(got) != 0 {
		t.Errorf("counts %v", got)
	}
}
