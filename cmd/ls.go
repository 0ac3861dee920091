package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"berth/lease"
	"berth/limiter/gate"
	"berth/procwatch"
)

func lsCommand() *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Usage:     "Show who holds the slots of each pool, who waits, in which place, and why.",
		UsageText: "berth ls [flags] [POOL...]",
		Description: `Reading disturbs nobody. States: reserved (slot taken, command not started),
running, orphaned (its berth is gone, its command still runs), stalled (its
berth gives no sign of life; with a directory the slot stays taken), damaged
(its record cannot be read; the slot stays taken).`,
		Flags: []cli.Flag{
			newBool(cli.BoolFlag{Name: "json", Usage: "print JSON; the README describes it"}),
			newBool(cli.BoolFlag{Name: "watch", Usage: "print again every second, until interrupted"}),
			poolFlag("show this pool, instead of POOL"),
			storeFlag(""), ownerFlag(""),
		},
		Action: func(c *cli.Context) error {
			names, err := poolsNamed(c)
			if err != nil {
				return &usageError{err, "berth ls"}
			}
			say := newSpeaker(false, false)
			st, err := openStore(storeOf(c), false, say)
			if err != nil {
				return err
			}
			if _, err := os.Stat(st.where); errors.Is(err, fs.ErrNotExist) && storeOf(c).where != "" && !st.remote {
				say.notef("store %s does not exist yet", st.where) // or is a slip
			}
			return list(st, names, c.Bool("json"), c.Bool("watch"))
		},
	}
}

func list(st *store, pools []string, asJSON, watch bool) error {
	st.minded()
	for {
		found, err := st.List(context.Background(), pools...)
		if len(pools) > 0 && !asJSON && !watch { // else one that is not there yet is an idle one
			there, none := st.known(context.Background(), found)
			found, err = there, errors.Join(err, none)
		}
		if asJSON {
			err = errors.Join(err, writeJSON(os.Stdout, found, st.Clock()))
		} else {
			if watch && isTerminal(1) {
				fmt.Print("\x1b[H\x1b[2J")
			}
			err = errors.Join(err, writeTable(os.Stdout, found, st.Clock(), isTerminal(1) && os.Getenv("NO_COLOR") == ""))
		}
		if err != nil || !watch {
			return err
		}
		time.Sleep(time.Second)
	}
}

// poolJSON is the stable schema of 'berth ls --json': fields are added, never
// renamed or given another meaning.
type poolJSON struct {
	Pool      string       `json:"pool"`
	Limit     *int         `json:"limit"`      // in force; null: nobody asks for one
	LimitFrom string       `json:"limit_from"` // "pool", a lease id, or ""
	OwnLimit  *int         `json:"own_limit"`  // set by 'berth limit'; null: none
	OwnGates  []string     `json:"own_gates"`  // the same, as its flags
	Used      int          `json:"used"`
	Holders   []holderJSON `json:"holders"`
	Waiters   []waiterJSON `json:"waiters"`
	LockHeld  string       `json:"lock_held_by,omitempty"`
}

type holderJSON struct {
	Lease    string            `json:"lease"` // "": its record cannot be read
	Slots    []int             `json:"slots"`
	State    lease.State       `json:"state"`
	Command  []string          `json:"command"`
	PID      int               `json:"pid"`       // of berth
	ChildPID *int              `json:"child_pid"` // of the command
	User     string            `json:"user"`
	Host     string            `json:"host"`
	Since    *time.Time        `json:"since"`
	Held     *float64          `json:"held_seconds"`
	Beat     *float64          `json:"heartbeat_age_seconds"` // null: does not beat
	CPU      *float64          `json:"cpu_seconds"`           // of the tree; null: not seen from here
	RSS      *uint64           `json:"memory_bytes"`
	Procs    *int              `json:"processes"`
	Labels   map[string]string `json:"labels"`
	Token    uint64            `json:"token"`
	Weight   int               `json:"weight"`
	Priority int               `json:"priority"`
	Limit    *int              `json:"asks_for_limit"`
	Need     *gate.Need        `json:"need"`
	Note     string            `json:"note,omitempty"`
}

type waiterJSON struct {
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
	Labels   map[string]string `json:"labels"`
	Limit    *int              `json:"asks_for_limit"`
	Gates    []string          `json:"gates"` // of its own, as flags
}

func writeJSON(w io.Writer, pools []lease.Pool, clock time.Duration) error {
	out := []poolJSON{}
	for _, p := range pools {
		if p.Err == nil { // said on stderr
			out = append(out, viewOf(p, clock))
		}
	}
	return encodeJSON(w, out)
}

func viewOf(p lease.Pool, clock time.Duration) poolJSON {
	v := poolJSON{
		Pool: p.Name, Limit: p.Limit, LimitFrom: p.LimitBy, OwnLimit: p.Own.Limit, OwnGates: flagsOf(p.Own.Terms), Used: p.Used,
		Holders: []holderJSON{}, Waiters: []waiterJSON{}, LockHeld: p.LockHeldBy,
	}
	for _, h := range p.Holders {
		v.Holders = append(v.Holders, holderView(h))
	}
	place := 0
	for _, e := range p.Waiters {
		t := e.Ticket
		wv := waiterJSON{
			Lease: t.ID, Weight: t.Weight, Priority: t.Priority, Command: t.Command, PID: t.Owner.PID,
			User: nameOf(t.UID), Host: t.Owner.Host, Since: t.Since, Waited: max(0, time.Since(t.Since).Seconds()),
			Labels: orEmpty(t.Labels), Limit: orNull(t.Limit), Gates: flagsOf(t.Terms), For: e.Note,
		}
		if !e.Aside {
			ahead := place
			place++
			wv.Place = place
			wv.For = verdict(&p, t.Request, ahead, clock).String()
		}
		v.Waiters = append(v.Waiters, wv)
	}
	return v
}

func holderView(e lease.Entry) holderJSON {
	l := e.Lease
	v := holderJSON{
		Lease: l.ID, Slots: l.Slots, State: l.State, Command: l.Command, PID: l.Owner.PID,
		User: nameOf(l.UID), Host: l.Owner.Host,
		Labels: orEmpty(l.Labels), Token: l.Token, Weight: l.Weight, Priority: l.Priority, Limit: orNull(l.Asks), Note: e.Note,
	}
	if l.Need != (lease.Need{}) {
		v.Need = (*gate.Need)(&l.Need)
	}
	if l.State == lease.Damaged {
		v.User = ""
	} else {
		held := max(0, time.Since(l.Since).Seconds())
		v.Since, v.Held = &l.Since, &held
	}
	if e.Beat >= 0 {
		age := e.Beat.Seconds()
		v.Beat = &age
	}
	if l.Child != nil {
		v.ChildPID = &l.Child.PID
		if u, err := procwatch.TreeUsage(procwatch.ID(*l.Child)); err == nil {
			cpu := u.CPU.Seconds()
			v.CPU, v.RSS, v.Procs = &cpu, &u.RSS, &u.Procs
		}
	}
	return v
}

// flagsOf are terms as they would be typed.
func flagsOf(t lease.Terms) []string {
	v, err := termsOf(t)
	if err != nil {
		return []string{"(" + err.Error() + ")"}
	}
	return append([]string{}, v.flags()...) // [] in JSON, not null
}

func orDash(s *float64) string {
	if s == nil {
		return "-"
	}
	return short(seconds(*s))
}

func orNull(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func nameOf(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// writeTable prints for people, within 80 columns unless a name needs more.
func writeTable(w io.Writer, pools []lease.Pool, clock time.Duration, color bool) error {
	var b strings.Builder
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	for i, p := range pools {
		if i > 0 {
			b.WriteByte('\n')
		}
		v := viewOf(p, clock)
		if p.Err != nil {
			fmt.Fprintf(&b, "%s  cannot be read\n", paint("1", oneLine(v.Pool)))
			continue
		}
		fmt.Fprintf(&b, "%s  %s\n", paint("1", oneLine(v.Pool)), summary(v))
		if len(v.OwnGates) > 0 {
			b.WriteString(details(pairs(v.OwnGates)))
		}
		if v.LockHeld != "" {
			fmt.Fprintf(&b, "  %s\n", v.LockHeld)
		}
		for _, h := range v.Holders {
			state := fmt.Sprintf("%-8s", h.State)
			if h.State != lease.Running && h.State != lease.Reserved {
				state = paint("33", state)
			}
			fmt.Fprintf(&b, "  slot %-4s %s %7s  %s\n", slotList(h.Slots), state, orDash(h.Held), shorten(commandLine(h.Command), 46))
			b.WriteString(details(holderDetails(h)))
			if h.Note != "" {
				for _, l := range wrap(oneLine(h.Note), 73) {
					b.WriteString("       " + l + "\n")
				}
			}
		}
		for _, t := range v.Waiters {
			place := fmt.Sprintf("wait %-4d", t.Place)
			if t.Place == 0 {
				place = "wait -   "
			}
			fmt.Fprintf(&b, "  %s waiting  %7s  %s\n", place, short(seconds(t.Waited)), shorten(commandLine(t.Command), 46))
			b.WriteString(details(waiterDetails(t)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// details fills indented lines with words, two blanks between them where
// they are facts of their own.
func details(facts []string) string {
	const indent, width = "       ", 80
	var b strings.Builder
	line := ""
	for _, f := range facts {
		if line != "" && len([]rune(indent+line+"  "+f)) > width {
			b.WriteString(indent + line + "\n")
			line = ""
		}
		if line != "" {
			line += "  "
		}
		line += shorten(f, width-len(indent))
	}
	if line != "" {
		b.WriteString(indent + line + "\n")
	}
	return b.String()
}

func summary(v poolJSON) string {
	s := fmt.Sprintf("%d in use", v.Used)
	if v.Limit != nil {
		s = fmt.Sprintf("%d of %d in use", v.Used, *v.Limit)
		if v.LimitFrom == "pool" {
			s += " (the pool's own limit)"
		} else {
			s += " (limit of " + oneLine(v.LimitFrom) + ")"
		}
	}
	waiting, kept := 0, 0
	for _, w := range v.Waiters {
		if w.Place > 0 {
			waiting++
		} else {
			kept++
		}
	}
	if waiting > 0 {
		s += fmt.Sprintf(", %d waiting", waiting)
	}
	if kept > 0 {
		s += fmt.Sprintf(", %s kept", plural(kept, "place"))
	}
	return s
}

func holderDetails(h holderJSON) []string {
	if h.State == lease.Damaged {
		return nil
	}
	pid := "pid " + strconv.Itoa(h.PID)
	if h.ChildPID != nil && *h.ChildPID != h.PID {
		pid += ">" + strconv.Itoa(*h.ChildPID)
	}
	d := []string{oneLine(h.Lease), pid, h.User + "@" + oneLine(h.Host), fmt.Sprintf("token %d", h.Token)}
	if h.CPU != nil {
		d = append(d, fmt.Sprintf("cpu %s", short(seconds(*h.CPU))), "mem "+size(*h.RSS))
	}
	if h.Beat != nil {
		d = append(d, "beat "+short(seconds(*h.Beat))+" ago")
	}
	if h.Need != nil {
		d = append(d, "need "+h.Need.String())
	}
	if h.Priority != 0 {
		d = append(d, fmt.Sprintf("priority %d", h.Priority))
	}
	return append(d, labelList(h.Labels)...)
}

func waiterDetails(t waiterJSON) []string {
	d := []string{oneLine(t.Lease), "pid " + strconv.Itoa(t.PID), t.User + "@" + oneLine(t.Host), oneLine(t.For)}
	if t.Weight > 1 {
		d = append(d, fmt.Sprintf("weight %d", t.Weight))
	}
	if t.Priority != 0 {
		d = append(d, fmt.Sprintf("priority %d", t.Priority))
	}
	return append(d, labelList(t.Labels)...)
}

// pairs joins each flag and its value.
func pairs(flags []string) []string {
	var out []string
	for f := range slices.Chunk(flags, 2) {
		out = append(out, oneLine(strings.Join(f, " ")))
	}
	return out
}

func labelList(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, oneLine(k+"="+v))
	}
	slices.Sort(out)
	return out
}

// slotList prints 0,1,2,5 as 0-2,5.
func slotList(slots []int) string {
	var parts []string
	for i := 0; i < len(slots); {
		j := i
		for j+1 < len(slots) && slots[j+1] == slots[j]+1 {
			j++
		}
		part := strconv.Itoa(slots[i])
		if j > i {
			part += "-" + strconv.Itoa(slots[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func size(n uint64) string {
	for _, u := range []string{"B", "K", "M", "G"} {
		if n < 1024*10 || u == "G" {
			return strconv.FormatUint(n, 10) + u
		}
		n /= 1024
	}
	return ""
}
