// Package view turns pools and the readings of gates into text: tables and a waiting line for
// people, JSON for programs. It reads no store.
package view

import (
	"io"
	"strconv"
	"time"

	"berth/cmd/text"
	"berth/lease"
	"berth/lease/clock"
	"berth/procwatch"
)

// Pool is the stable schema of 'berth ls --json': fields may be added, but none is renamed or
// changes its meaning.
type Pool struct {
	Pool      string     `json:"pool"`
	Limit     *int       `json:"limit"`      // in force; null: none
	LimitFrom string     `json:"limit_from"` // "pool", a lease id, or ""
	OwnLimit  *int       `json:"own_limit"`  // set by 'berth limit'; null: none
	OwnGates  []string   `json:"own_gates"`  // the same, as its flags
	OwnNames  []string   `json:"own_names"`  // of the slots from 0; null: none
	OwnReason *string    `json:"own_reason"` // why, who and when; null: not known
	OwnSetBy  *string    `json:"own_set_by"`
	OwnSetAt  *time.Time `json:"own_set_at"`
	Used      int        `json:"used"`
	Holders   []Holder   `json:"holders"`
	Waiters   []Waiter   `json:"waiters"`
	LockHeld  string     `json:"lock_held_by,omitempty"`

	unread  bool // it could not be read, which is said on stderr
	Missing bool `json:"-"` // it was asked for by name, and is not there
}

type Holder struct {
	Lease        string            `json:"lease"` // "": its record cannot be read
	Slots        []int             `json:"slots"`
	SlotNames    []string          `json:"slot_names"` // null: the pool does not name them
	State        lease.State       `json:"state"`
	Command      []string          `json:"command"`
	PID          int               `json:"pid"`       // of berth
	ChildPID     *int              `json:"child_pid"` // of the command
	Acquired     bool              `json:"acquired"`  // by 'berth acquire'
	ForPID       *int              `json:"for_pid"`   // of the process that it was acquired for; null: for none
	User         string            `json:"user"`
	Host         string            `json:"host"`
	Since        *time.Time        `json:"since"`
	Held         *float64          `json:"held_seconds"`
	HeartbeatAge *float64          `json:"heartbeat_age_seconds"` // null: it sends none
	KeepaliveAge *float64          `json:"keepalive_age_seconds"` // null: there was none
	Said         *string           `json:"keepalive_note"`        // null: no keepalive had a note
	Timeout      *float64          `json:"timeout_seconds"`       // null: none
	Idle         *float64          `json:"idle_timeout_seconds"`
	Deadline     *time.Time        `json:"deadline"`    // when the time-out ends it
	CPU          *float64          `json:"cpu_seconds"` // of the tree; null: not seen from here
	RSS          *uint64           `json:"memory_bytes"`
	Procs        *int              `json:"processes"`
	Job          *string           `json:"job"` // what it is a run of; null: it has no name
	Labels       map[string]string `json:"labels"`
	Token        uint64            `json:"token"`
	Weight       int               `json:"weight"`
	Priority     int               `json:"priority"`
	Limit        *int              `json:"asks_for_limit"`
	Need         *lease.Need       `json:"need"`
	Together     []string          `json:"together"` // the leases of its job, of a pool each; null: only this one
	Note         string            `json:"note,omitempty"`

	dir   string // where it runs, as far as that is seen from here
	waits string // the id of what its job still waits for, as far as that was listed
}

type Waiter struct {
	Lease    string            `json:"lease"`
	Place    int               `json:"place"` // 1 is next; 0: the others pass it for now
	Weight   int               `json:"weight"`
	Priority int               `json:"priority"`
	Command  []string          `json:"command"`
	PID      int               `json:"pid"`
	User     string            `json:"user"`
	Host     string            `json:"host"`
	Since    time.Time         `json:"since"`
	Waited   float64           `json:"waited_seconds"`
	For      string            `json:"waits_for"`
	Job      *string           `json:"job"`
	Labels   map[string]string `json:"labels"`
	Limit    *int              `json:"asks_for_limit"`
	Gates    []string          `json:"gates"` // of its own, as flags
	Holds    []string          `json:"holds"` // the leases that its job has already; null: none

	reason lease.Reason
}

func WriteJSON(w io.Writer, pools []Pool) error {
	out := []Pool{}
	for _, p := range pools {
		if !p.unread {
			out = append(out, p)
		}
	}
	return text.WriteJSON(w, out)
}

// Sources is what Pools needs besides the pools.
type Sources struct {
	Now   clock.Instant                    // on the store's clock
	Flags func(lease.Conditions) []string  // conditions as they are typed
	Usage map[procwatch.ID]procwatch.Usage // of the jobs' processes, as far as it was measured
	Dir   func(procwatch.ID) string        // where a process runs; nil: it is not shown
}

// viewer turns what a store tells into what is shown.
type viewer struct {
	Sources
	users map[int]string    // by uid; a look-up may ask a server
	waits map[string]string // the id of the ticket that the job of a lease waits with, by the lease's id
}

// Pools are the pools as they are shown.
func Pools(pools []lease.Pool, s Sources) []Pool {
	v := &viewer{Sources: s, users: map[int]string{}, waits: waitsOf(pools)}
	out := []Pool{}
	for _, p := range pools {
		out = append(out, v.pool(p))
	}
	return out
}

func (v *viewer) pool(p lease.Pool) Pool {
	j := Pool{
		Pool: p.Name, Limit: p.Limit, LimitFrom: p.LimitBy, OwnLimit: p.Own.Limit, OwnGates: v.Flags(p.Own.Conditions), OwnNames: p.Own.Names, Used: p.Used,
		Holders: []Holder{}, Waiters: []Waiter{}, LockHeld: p.LockHeldBy, unread: p.Err != nil,
		OwnReason: orNull(p.Own.Reason), OwnSetBy: orNull(p.Own.SetBy),
	}
	if !p.Own.SetAt.IsZero() {
		j.OwnSetAt = &p.Own.SetAt
	}
	for _, h := range p.Holders {
		j.Holders = append(j.Holders, v.holder(h))
	}
	place := 0
	for _, e := range p.Waiters {
		t := e.Ticket
		w := Waiter{
			Lease: t.ID, Weight: t.Weight, Priority: t.Priority, Command: t.Command, PID: t.Owner.PID,
			User: v.user(t.UID), Host: t.Owner.Host, Since: t.Since, Waited: max(0, time.Since(t.Since).Seconds()),
			Job: orNull(t.Job), Labels: orEmpty(t.Labels), Limit: orNull(t.Limit), Gates: v.Flags(t.Conditions), For: e.Note, Holds: t.Before(),
		}
		if !e.Aside {
			why := verdict(&p, t.Request, place, v.Now)
			place++
			w.Place, w.For, w.reason = place, why.String(), why.Reason
		}
		j.Waiters = append(j.Waiters, w)
	}
	return j
}

func (v *viewer) holder(e lease.Entry) Holder {
	l := e.Lease
	j := Holder{
		Lease: l.ID, Slots: l.Slots, SlotNames: l.SlotNames, State: l.State, Command: l.Command, PID: l.Owner.PID,
		User: v.user(l.UID), Host: l.Owner.Host,
		Job: orNull(l.Job), Labels: orEmpty(l.Labels), Token: l.Token, Weight: l.Weight, Priority: l.Priority, Limit: orNull(l.RequestedLimit), Note: e.Note,
		Together: l.Together, waits: v.waits[l.ID],
	}
	if l.Need != (lease.Need{}) {
		j.Need = &l.Need
	}
	if e.HeartbeatAge >= 0 {
		j.HeartbeatAge = inSeconds(e.HeartbeatAge)
	}
	if l.State == lease.Damaged {
		j.User = ""
		return j
	}
	j.Since, j.Held = &l.Since, inSeconds(max(0, time.Since(l.Since)))
	if e.Keepalive > 0 {
		j.KeepaliveAge = inSeconds(max(0, v.Now.Sub(e.Keepalive)))
	}
	j.Said = orNull(e.KeepaliveNote)
	if l.Timeout > 0 {
		ends := l.Since.Add(l.Timeout)
		j.Timeout, j.Deadline = inSeconds(l.Timeout), &ends
	}
	if l.IdleTimeout > 0 {
		j.Idle = inSeconds(l.IdleTimeout)
	}
	if l.Kept {
		v.kept(&j, l)
	}
	if l.Child != nil {
		j.ChildPID = &l.Child.PID
		v.process(&j, procwatch.ID(*l.Child))
	}
	return j
}

// kept adds whom an acquired lease is for.
func (v *viewer) kept(j *Holder, l *lease.Lease) {
	who := "acquired"
	if j.Acquired = true; l.Tied != nil {
		j.ForPID = &l.Tied.PID
		who += " for pid " + strconv.Itoa(l.Tied.PID)
	}
	if j.Note == "" && l.State == lease.Reserved {
		j.Note = who
	}
}

// process adds what can be seen of a job's processes.
func (v *viewer) process(j *Holder, id procwatch.ID) {
	if u, ok := v.Usage[id]; ok {
		j.CPU, j.RSS, j.Procs = inSeconds(u.CPU), &u.RSS, &u.Procs
	}
	if v.Dir != nil {
		j.dir = v.Dir(id)
	}
}

func (v *viewer) user(uid int) string {
	if _, known := v.users[uid]; !known {
		v.users[uid] = text.UserName(uid)
	}
	return v.users[uid]
}

func inSeconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}

func orNull[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
