package job

import (
	"syscall"
	"time"
)

// Record is something that happened to a job, for people and programs to read.
type Record struct {
	Kind   Kind
	Time   time.Time
	Lease  string         // the id of the lease it is about, else of the job's first one; "" for a job without a slot
	Pool   string         // of that lease
	Slots  []int          // of that lease
	PID    int            // of the command
	Code   int            // of the command
	Signal syscall.Signal // that was not forwarded, or that ended the command
	Left   []string       // of Leftovers: processes, as people know them
	Err    error
}

// Kind says what a Record is about.
type Kind int

const (
	Started         Kind = iota // the command runs
	NotRecorded                 // the store does not know the command's pid (Err)
	HeartbeatFailed             // the lease was not renewed (Err)
	Lost                        // the lease is lost (Err), and the job runs on
	Regained                    // the lease was renewed after that, and the job is counted again
	NotForwarded                // the command did not get Signal (Err)
	NotExtended                 // the lease was not renewed before this process was suspended (Err)
	EndFailed                   // the job's processes could not be ended (Err)
	Leftovers                   // the command has exited, and Left are waited for
	Released                    // the slots are free again
	NotReleased                 // they are not yet (Err)
	Ended                       // the job is over (Code, Signal, and why it was ended: Err)
	Keepalive                   // the job has called 'berth keepalive' since the last heartbeat
	Ending                      // berth begins to end the job (why: Err)
)

// Sink takes records. It must not block, because the job waits for it: a sink that may be
// slow, such as a terminal, a hook or a file, needs a bounded queue of its own.
type Sink func(Record)
