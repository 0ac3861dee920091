package gate

import (
	"context"
	"time"
)

// Use is a job of the pool that declared a need, as it is seen now.
type Use struct {
	ID    string
	Need  Need
	Mem   uint64        // bytes that its tree uses now
	CPU   time.Duration // that its tree has used so far
	Known bool          // false: it cannot be seen from here, or has not started: its whole need is set aside
}

// Set is gates and who asks for them.
type Set struct {
	Gates
	From string // "": the caller's own; "pool"
}

// Question is all that an answer depends on besides the machine.
type Question struct {
	Sets       []Set         // all must be open
	Need       Need          // of the job that asks
	Others     []Use         // the jobs of the pool that declared a need
	SinceStart time.Duration // since the last start in the pool; negative: unknown
	Shared     []byte        // the Answer.Share of an earlier caller; nil, garbage or another machine's: none
	Env        []string      // the whole environment for commands; the readings are added to it
	All        bool          // read all there is, though no gate needs it: for showing it
}

// Verdict is one gate's answer with the numbers that led to it.
type Verdict struct {
	Gate      string   `json:"gate"`           // its flag: max-cpu, max-mem, min-mem, max-load, max-pressure, min-disk, gate, need
	From      string   `json:"from,omitempty"` // "pool", when it is the pool's
	Open      bool     `json:"open"`
	Value     *float64 `json:"value"`     // nil: not known
	Threshold *float64 `json:"threshold"` // nil: it has none
	Unit      string   `json:"unit"`      // %, bytes, per cpu, cpus, exit code
	Of        string   `json:"of"`        // where the value is from: a level, a disk's path, or io:full
	Says      string   `json:"says"`      // a line for people, with number and threshold

	pending bool // neither open nor closed: not known yet
}

// Answer is the answer to a [Question].
type Answer struct {
	Open      bool          // every gate is open
	Measuring bool          // CPU use needs a second sample; the other verdicts stand
	Verdicts  []Verdict     // in the order of Verdict.Gate above
	Readings  Readings      // what they are from
	Again     time.Duration // when not open: when to ask again
	Share     []byte        // for the next caller's Question.Shared; nil: nothing new
	Failure   string        // an error of the user's command that this Asker did not tell before
}

// Timings are an Asker's; zero means the default.
type Timings struct {
	Window   time.Duration // 500ms: the least time between two samples of CPU use
	Stale    time.Duration // 3s: the greatest
	Interval time.Duration // 500ms: until a closed gate is asked again
	Command  time.Duration // 10s: how long a command may take
	Slowest  time.Duration // 30s: the longest back-off of a command that fails
}

// Asker asks for one caller. The zero value is ready. It is not for concurrent use.
type Asker struct {
	Timings
}

func (a Answer) Why() string { return "" }

func (a *Asker) Check(q Question) error { return nil }

func (a *Asker) Ask(ctx context.Context, q Question) Answer { return Answer{Open: true} }
