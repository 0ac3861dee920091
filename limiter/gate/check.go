package gate

import (
	"berth/lease"
	"fmt"
	"slices"
	"strings"
)

// UnreadableError says that a gate cannot be checked on this machine.
type UnreadableError struct {
	Gate string // its name
	Flag string // with its value, as it was written
	Why  string
}

func (e *UnreadableError) Error() string { return "cannot check " + e.Flag + ": " + e.Why }

// Check returns an error when the answer can never be open on this machine: a
// reading that a gate needs cannot be had, or the need is more than there is.
// It runs no command, and takes no sample.
func (a *Asker) Check(q Question) error {
	r, _ := a.read(q.wants(false))
	for _, s := range append(slices.Clone(q.Sets), Set{}) {
		// The last question has no gates, and so only the findings on the need.
		of := Question{Sets: []Set{s}}
		if !s.Resource() {
			of.Need = q.Need
		}
		for _, v := range decide(of, r, reserved{}) {
			if v.Value == nil && !v.pending {
				return &UnreadableError{v.Gate, flagOf(s, q.Need, v), strings.TrimPrefix(v.Says, "cannot be read: ")}
			}
		}
	}
	return q.fits(r)
}

// flagOf is the flag that a finding is on, as it was written.
func flagOf(s Set, need lease.Need, v Finding) string {
	flag := "--need " + FormatNeed(need)
	for f := range slices.Chunk(s.Flags(), 2) {
		if f[0] == "--"+v.Gate && (v.Gate != "min-disk" || strings.HasPrefix(f[1], v.Of+"=")) {
			flag = f[0] + " " + f[1]
		}
	}
	if s.From != "" {
		return "the " + s.From + "'s " + flag
	}
	return flag
}

// fits returns an error when the need is more than the machine has, or than a
// gate would ever leave of it.
func (q Question) fits(r Readings) error {
	for _, l := range r.CPU {
		if q.Need.CPU > l.CPUs {
			return fmt.Errorf("--need cpu=%s is more than the %s there are (%s): lower it", number(q.Need.CPU), cpusText(l.CPUs), l.Of)
		}
	}
	for _, l := range r.Mem {
		if q.Need.Mem > l.Total {
			return fmt.Errorf("--need mem=%s is more than the %s of memory there are (%s): lower it", size(q.Need.Mem), bytesText(float64(l.Total)), l.Of)
		}
	}
	// The same rule, for a machine on which nothing runs.
	idle := r
	idle.CPU, idle.Mem = nil, nil
	for _, l := range r.CPU {
		l.Used = new(float64)
		idle.CPU = append(idle.CPU, l)
	}
	for _, l := range r.Mem {
		idle.Mem = append(idle.Mem, memLevel(l.Of, l.Total, 0))
	}
	for _, s := range q.Sets {
		bounded := Set{From: s.From, Gates: Gates{MaxCPU: s.MaxCPU, MaxMem: s.MaxMem, MinMem: s.MinMem}}
		for _, v := range decide(Question{Sets: []Set{bounded}, Need: q.Need}, idle, reserved{}) {
			if !v.Open && q.Need == (lease.Need{}) {
				return fmt.Errorf("%s is never open here: with nothing running, %s; lower it", flagOf(bounded, q.Need, v), v.Says)
			}
			if !v.Open {
				return fmt.Errorf("--need %s never goes with %s: with nothing else running, %s; lower one of them", FormatNeed(q.Need), flagOf(bounded, q.Need, v), v.Says)
			}
		}
	}
	return nil
}
