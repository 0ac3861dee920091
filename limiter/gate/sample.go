package gate

import (
	"berth/lease/clock"
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// Sample is the CPU counters of one moment, as one caller leaves them for the next. Only
// the difference of two samples says anything.
type Sample struct {
	Machine string        `json:"machine"` // its boot id, or the host's name where boots have none
	Proc    string        `json:"proc"`
	Sys     string        `json:"sys"`
	At      clock.Instant `json:"at_ns"` // on the boot clock
	Levels  []Counter     `json:"levels"`
	// Jobs is how much CPU the trees of the jobs that declared a need of CPU had used.
	Jobs map[string]time.Duration `json:"jobs_ns,omitempty"`
}

// Counter is the CPU time of one level.
type Counter struct {
	Of    string        `json:"of"`
	ID    uint64        `json:"id,omitempty"` // which group it was, or which of the host's CPUs
	Busy  time.Duration `json:"busy_ns"`
	Total time.Duration `json:"total_ns,omitempty"` // the host's, busy and idle; a group is measured by the clock
}

// maxJobs bounds a sample, which is written whenever it changes. The need of a job beyond
// it is reserved as a whole.
const maxJobs = 64

// history is what is kept and shared: the latest sample and the one before. So a caller
// that comes soon after it need not begin again.
type history struct {
	Latest Sample  `json:"latest"`
	Before *Sample `json:"before,omitempty"`
}

// machine tells boots and hosts apart: a pool can be on a disk that several share.
func (r roots) machine() string {
	if id, err := os.ReadFile(path.Join(r.proc, "sys/kernel/random/boot_id")); err == nil {
		return strings.TrimSpace(string(id))
	}
	name, _ := os.Hostname()
	return name
}

// jobs are the counters of jobs whose rate is needed.
func jobs(others []Use) map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, u := range others {
		if u.Known && u.Need.CPU > 0 && len(all) < maxJobs {
			all[u.ID] = u.CPU
		}
	}
	return all
}

// comparable reports whether s counted all that t did, on the same machine.
func (s Sample) comparable(t Sample) bool {
	return s.Machine == t.Machine && s.Proc == t.Proc && s.Sys == t.Sys &&
		!slices.ContainsFunc(t.Levels, func(c Counter) bool { _, ok := s.counter(c); return !ok })
}

func (s Sample) counter(like Counter) (Counter, bool) {
	i := slices.IndexFunc(s.Levels, func(c Counter) bool { return c.Of == like.Of && c.ID == like.ID })
	if i < 0 {
		return Counter{}, false
	}
	return s.Levels[i], true
}

// stepBack is how far busy time can go back, together with the idle time that the kernel
// corrects.
const stepBack = 50 * time.Millisecond

// span is two samples of one machine.
type span struct{ from, to Sample }

func (w span) length() time.Duration { return w.to.At.Sub(w.from.At) }

// used is how many of a level's CPUs were in use. It is not known when the
// counters stood still or went back.
func (w span) used(like Counter, cpus float64) (float64, bool) {
	from, ok1 := w.from.counter(like)
	to, ok2 := w.to.counter(like)
	busy, total := to.Busy-from.Busy, w.length()
	if like.Of == host {
		// The host's own count of time has the same rounding to ticks.
		total = to.Total - from.Total
	}
	switch {
	case !ok1 || !ok2 || total <= 0:
		return 0, false
	case busy < -stepBack:
		return 0, false // another container's counters, under the same names
	case like.Of == host:
		return cpus * min(1, max(0, float64(busy)/float64(total))), true
	case busy < 0:
		return 0, false
	}
	return float64(busy) / float64(total), true
}

// known reports whether the span tells the use of all levels of s.
func (w span) known(s Sample) bool {
	return !slices.ContainsFunc(s.Levels, func(c Counter) bool { _, ok := w.used(c, 1); return !ok })
}

// rates are how many CPUs each job kept busy.
func (w span) rates() map[string]float64 {
	all := map[string]float64{}
	for id, to := range w.to.Jobs {
		if from, ok := w.from.Jobs[id]; ok && to >= from && w.length() > 0 {
			all[id] = float64(to-from) / float64(w.length())
		}
	}
	return all
}

// startTolerance is how much later than the beginning of the window the last start may
// be, because the caller has read the clock and the pool a moment before us.
const startTolerance = 50 * time.Millisecond

// measure finds two samples for an answer at now: the finished pair while it is
// fresh, else the latest and now. The window must not begin before the last
// start, or the new job is not in it. What is to be kept and shared is nil when
// nothing changes; without a window it returns how long it takes to get one.
func (h *history) measure(now Sample, t Timings, sinceStart time.Duration) (w *span, keep *history, wait time.Duration) {
	begin := clock.Instant(0)
	if sinceStart >= 0 {
		begin = now.At.Add(-sinceStart - startTolerance)
	}
	good := func(w span) bool {
		return w.from.At >= begin && w.length() >= t.Window && w.length() <= t.Stale && w.from.comparable(now) && w.known(now)
	}
	fresh := &history{Latest: now}
	if h == nil || !h.Latest.comparable(now) || h.Latest.At > now.At || now.At.Sub(h.Latest.At) > t.Stale {
		return nil, fresh, t.Window
	}
	age := now.At.Sub(h.Latest.At)
	if age >= t.Window {
		if w := (span{h.Latest, now}); good(w) {
			return &w, &history{Latest: now, Before: &w.from}, 0
		}
		return nil, fresh, t.Window
	}
	if h.Before != nil {
		if w := (span{*h.Before, h.Latest}); good(w) {
			return &w, nil, 0
		}
	}
	if h.Latest.At >= begin {
		return nil, nil, t.Window - age
	}
	return nil, fresh, t.Window
}

// standsStill reports whether time has passed and nothing was counted, as in a
// sandbox that only pretends to have counters.
func (h *history) standsStill(now Sample, t Timings) bool {
	if h == nil || !h.Latest.comparable(now) || now.At.Sub(h.Latest.At) < t.Window {
		return false
	}
	return slices.ContainsFunc(now.Levels, func(c Counter) bool {
		before, _ := h.Latest.counter(c)
		return c.Of == host && c.Total == before.Total
	})
}

// newest is the better history of what this caller and another one left.
func newest(own *history, shared []byte, now Sample) *history {
	var h history
	if json.Unmarshal(shared, &h) != nil || !h.Latest.comparable(now) || h.Latest.At > now.At {
		return own
	}
	if own != nil && own.Latest.At >= h.Latest.At {
		return own
	}
	return &h
}

// reserved is what jobs declared and do not use yet.
type reserved struct {
	mem float64 // bytes
	cpu float64
}

// reserve adds that up. A job that cannot be seen, or was not there when the window
// began, counts as one that uses nothing. Then what it takes counts twice for a moment,
// which can keep a gate closed but never opens one.
func reserve(others []Use, rates map[string]float64) reserved {
	var a reserved
	for _, u := range others {
		mem, cpu := float64(u.Need.Mem), u.Need.CPU
		if u.Known {
			mem -= float64(u.Mem)
			cpu -= rates[u.ID]
		}
		a.mem += max(0, mem)
		a.cpu += max(0, cpu)
	}
	return a
}
