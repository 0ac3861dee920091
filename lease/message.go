package lease

import (
	"fmt"
	"time"

	"berth/lease/clock"
)

// A Message is what others tell the owner of a lease or of a place in the line. A new
// request is a new kind: the stores keep the last message of each kind beside the record,
// and it goes with the record.
//
// A berth that does not know a kind ignores it where it reads one, and refuses to send it.
// So the sender sees only that nothing comes of it.
type Message struct {
	Kind MessageKind
	Stop Stop // what a MessageStop or a MessageSupersede says
	// Note is what a MessageKeepalive says of the job, for people; "": nothing new.
	Note string
}

// MessageKind says what a Message wants.
type MessageKind string

const (
	// MessageStop ends a holder's job, or sends a waiter away.
	MessageStop MessageKind = "stop"
	// MessageKeepalive marks a holder's job as busy, at the moment when the store gets it.
	MessageKeepalive MessageKind = "keepalive"
	// MessageRelease has the keeper of a kept lease give it back, once nothing runs under it.
	MessageRelease MessageKind = "release"
	// MessageSupersede sends a waiter away, and never ends a job: a waiter that has become a
	// holder by then is not told.
	MessageSupersede MessageKind = "supersede"
)

// MaxReason is the longest reason of a Stop, in bytes: records are bounded. MaxNote is that
// of a keepalive's note.
const MaxReason, MaxNote = 1024, 1024

// Check returns an error that names what is wrong with a message.
func (m Message) Check() error {
	switch m.Kind {
	case MessageStop, MessageSupersede:
		if m.Note != "" {
			return fmt.Errorf("a %s has no note", m.Kind)
		}
		return m.Stop.check()
	case MessageKeepalive, MessageRelease:
		switch {
		case m.Stop != (Stop{}):
			return fmt.Errorf("a %s says nothing of a stop", m.Kind)
		case m.Note != "" && m.Kind != MessageKeepalive:
			return fmt.Errorf("a %s has no note", m.Kind)
		case len(m.Note) > MaxNote:
			return fmt.Errorf("a note of %d bytes is too long (at most %d)", len(m.Note), MaxNote)
		}
		return nil
	}
	return fmt.Errorf("%q is no kind of message", m.Kind)
}

// ForHolder reports whether only a holder can be told this, and not a waiter.
func (m Message) ForHolder() bool { return m.Kind == MessageKeepalive || m.Kind == MessageRelease }

// ForWaiter reports whether only a waiter can be told this, and not a holder.
func (m Message) ForWaiter() bool { return m.Kind == MessageSupersede }

// Stop ends a holder's job, or sends a waiter away.
type Stop struct {
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
	// KillAfter is the grace between the first signal and KILL; nil leaves it
	// to the job's own setting.
	KillAfter *time.Duration `json:"kill_after_ns,omitempty"`
	// TimeLimit is the flag of the time limit that ended a kept lease; "": none did.
	TimeLimit string `json:"time_limit,omitempty"`
	// Successor is the id of the waiter that supersedes this one; "": none does.
	Successor string `json:"successor,omitempty"`
}

func (s Stop) check() error {
	switch {
	case len(s.Reason) > MaxReason:
		return fmt.Errorf("a reason of %d bytes is too long (at most %d)", len(s.Reason), MaxReason)
	case s.KillAfter != nil && *s.KillAfter < 0:
		return fmt.Errorf("KILL cannot come %v before the first signal", -*s.KillAfter)
	}
	return nil
}

// Inbox is what the owner of a lease or a place was told: the last message of each kind.
type Inbox struct {
	Stop *Stop // nil: it was not told to stop
	// Keepalive is when the job last called for its idle clock to be reset, on the
	// store's clock; 0: never.
	Keepalive clock.Instant
	// Release: the keeper of the lease is to give it back.
	Release bool
	// Adopter is that of the lease now. Only the keeper of a kept lease is told.
	Adopter *Process
}

// Put puts a message in, which the store got at that instant.
func (in *Inbox) Put(m Message, at clock.Instant) {
	switch m.Kind {
	case MessageStop, MessageSupersede:
		in.Stop = &m.Stop
	case MessageRelease:
		in.Release = true
	case MessageKeepalive:
		in.Keepalive = at
	}
}

// StoppedError says that a waiter was told to leave the line.
type StoppedError struct{ Stop }

func (e *StoppedError) Error() string {
	if e.Successor != "" {
		return fmt.Sprintf("superseded by %s, started by %s", e.Successor, e.By)
	}
	msg := "stopped"
	if e.By != "" {
		msg += " by " + e.By
	}
	if e.Reason != "" {
		msg += ": " + e.Reason
	}
	return msg
}
