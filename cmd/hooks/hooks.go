// Package hooks runs commands of the user's own at the events of a job: beside the job, one at
// a time, in the order of the events. Whatever they do, the job does not notice.
//
// Its queue is bounded: an event that comes again before its commands have begun is the same
// one. It knows nothing of jobs or stores, and prints nothing.
package hooks

import (
	"context"
	"io"
	"sync"
	"time"

	"berth/procwatch"
)

// Event is something that happened to a job.
type Event struct {
	Name string
	Vars []string // NAME=value: what its commands find besides Runner.Env
}

// Ended is how a command has ended.
type Ended struct {
	Event   string
	Command string
	procwatch.SideEnd
	Err         error // it could not be run
	Interrupted bool  // Interrupt has ended it
	Cut         bool  // it has printed more than is passed on
}

// Runner runs the commands. The zero value has none.
type Runner struct {
	Commands map[string][]string // for sh -c, of each event, in the order in which they are run
	Env      []string            // of all of them
	Timeout  time.Duration       // of each: TERM ends it then, and KILL a second later
	Output   func([]byte)        // is given what they print, up to MostOutput of each command
	Ended    func(Ended)         // is told how each has ended

	mu        sync.Mutex
	queue     []Event
	running   bool
	interrupt context.CancelFunc // ends the command that runs; nil: none does
	idle      chan struct{}      // closed when nothing is left to run
}

// MostOutput of a command is passed on, in bytes.
const MostOutput = 64 << 10

// grace is the time from TERM to KILL.
const grace = time.Second

// Put has the commands of an event run, and does not wait for them.
func (r *Runner) Put(e Event) {
	if len(r.Commands[e.Name]) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.queue {
		if q.Name == e.Name {
			return
		}
	}
	r.queue = append(r.queue, e)
	if !r.running {
		r.running, r.idle = true, make(chan struct{})
		go r.work()
	}
}

// Idle is closed when the last command has ended; nil: none was started.
func (r *Runner) Idle() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle
}

// Interrupt ends the command that runs. The next one is run after that.
func (r *Runner) Interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interrupt != nil {
		r.interrupt()
	}
}

// work exists only while there is something to run.
func (r *Runner) work() {
	for {
		e, more := r.next()
		if !more {
			return
		}
		for _, command := range r.Commands[e.Name] {
			r.Ended(r.run(e, command))
		}
	}
}

func (r *Runner) next() (e Event, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		r.running = false
		close(r.idle)
		return e, false
	}
	e, r.queue = r.queue[0], r.queue[1:]
	return e, true
}

func (r *Runner) run(e Event, command string) Ended {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.interruptible(cancel)
	defer r.interruptible(nil)
	out := &output{to: r.Output, room: MostOutput}
	end, err := procwatch.Side{
		Argv: []string{"sh", "-c", command}, Env: append(r.Env[:len(r.Env):len(r.Env)], e.Vars...),
		Timeout: r.Timeout, Grace: grace, Output: out,
	}.Run(ctx)
	out.end()
	return Ended{Event: e.Name, Command: command, SideEnd: end, Err: err, Interrupted: ctx.Err() != nil, Cut: out.cut}
}

func (r *Runner) interruptible(cancel context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupt = cancel
}

// output passes on the beginning of what a command prints and takes the rest, so that the
// command does not block.
type output struct {
	to   func([]byte)
	room int
	last byte
	cut  bool
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	head := p[:min(len(p), o.room)]
	o.cut = o.cut || len(head) < len(p)
	o.room -= len(head)
	if len(head) > 0 {
		o.last = head[len(head)-1]
		o.to(head)
	}
	return len(p), nil
}

// end ends a last line that has no end, so that the next message does not follow it.
func (o *output) end() {
	if o.last != 0 && o.last != '\n' {
		o.to([]byte{'\n'})
	}
}
