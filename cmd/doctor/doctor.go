// Package doctor judges what was read of a machine that berth runs on: each fact gets a status
// and, where there is one, a remedy.
//
// It reads the machine in Read and judges in Facts.Judge. Stores judge themselves: see
// lease.Examiner.
package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth/lease"
	"berth/limiter/gate"
)

// Facts are what matters of a machine to those who wait and run there.
type Facts struct {
	Boot    string  // the id of this boot; "": not known
	Seconds float64 // of the boot clock

	Readings gate.Readings // its pressure, and the limits of its control groups

	// Instances is how many inotify instances a user may have, 0: not known. HasNone: none is
	// left for this user.
	Instances int
	HasNone   error

	// Waiters are those of this machine, and Lines the lines that they stand in.
	Waiters, Lines int
	Processes      []Bound // of the number of processes and threads
	Files          int     // how many a process may open; 0: not known
}

// Bound is how many there may be of something, and how many there are; 0: not known.
type Bound struct {
	Name      string
	Most, Now int
}

const (
	// threadsOfWaiter is how many threads a waiter has, as far as was measured.
	threadsOfWaiter = 8
	// leastRoom is how many processes and threads there should be room for.
	leastRoom  = 200
	leastFiles = 64
)

// Judge says what each fact means.
func (f Facts) Judge() []lease.Finding {
	return []lease.Finding{f.clock(), f.pressure(), f.groups(), f.inotify(), f.processes(), f.files()}
}

func (f Facts) clock() lease.Finding {
	switch {
	case f.Seconds <= 0:
		return lease.Ill("clock", lease.Fail, "the boot clock stands still", "reboot this machine, or restart its virtual machine")
	case f.Boot == "":
		return lease.Ill("clock", lease.Warn, "the id of this boot is not known: a record from before a reboot may name a process of now", "mount /proc, with sys/kernel/random/boot_id")
	}
	return lease.Good("clock", fmt.Sprintf("boot %s, up for %.0f s", f.Boot, f.Seconds))
}

func (f Facts) pressure() lease.Finding {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(f.Readings.Pressure)) {
		if !strings.Contains(k, ":") {
			all = append(all, fmt.Sprintf("%s %.1f%%", k, f.Readings.Pressure[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.Readings.Errors)) {
		if strings.HasPrefix(k, "pressure") {
			return lease.Ill("pressure", lease.Warn, "--max-pressure and -n auto cannot read it: "+f.Readings.Errors[k], "--max-cpu, --max-mem and --max-load do without it")
		}
	}
	if all == nil {
		return lease.Ill("pressure", lease.Warn, "this system does not tell it", "--max-cpu, --max-mem and --max-load do without it")
	}
	return lease.Good("pressure", strings.Join(all, ", ")+" of the last 10 s")
}

func (f Facts) groups() lease.Finding {
	all := []string{fmt.Sprintf("%.3g CPUs may be used", f.Readings.CPUs)}
	for _, l := range f.Readings.CPU {
		if l.Of != "host" {
			all = append(all, fmt.Sprintf("%s has %.3g CPUs", l.Of, l.CPUs))
		}
	}
	for _, l := range f.Readings.Mem {
		if l.Of != "host" {
			all = append(all, fmt.Sprintf("%s has %s of memory", l.Of, gate.Bytes(l.Total)))
		}
	}
	for _, k := range []string{"cpu", "memory"} {
		if why := f.Readings.Errors[k]; why != "" {
			return lease.Ill("cgroup", lease.Warn, "the limits cannot be read: "+why, "gates on CPU and memory do not open until that is readable")
		}
	}
	if len(all) == 1 {
		all = append(all, "no control group has a limit")
	}
	return lease.Good("cgroup", strings.Join(all, ", "))
}

// inotify: the first of each line watches the slots of its pool.
func (f Facts) inotify() lease.Finding {
	const remedy = "as root: sysctl fs.inotify.max_user_instances=1024"
	switch {
	case f.HasNone != nil:
		return lease.Ill("inotify", lease.Warn, fmt.Sprintf("no instance is left (%v): the first of a line looks every 100 ms instead of sleeping", f.HasNone), remedy)
	case f.Instances == 0:
		return lease.Good("inotify", "there are no limits on this system")
	}
	fact := fmt.Sprintf("a user may have %d instances; lines with waiters need one each: %d", f.Instances, f.Lines)
	if f.Instances < 2*f.Lines {
		return lease.Ill("inotify", lease.Warn, fact, remedy)
	}
	return lease.Good("inotify", fact)
}

// processes judges the bound that leaves the least room.
func (f Facts) processes() lease.Finding {
	least, room := Bound{}, 0
	for _, b := range f.Processes {
		left := b.Most - cmp.Or(b.Now, f.Waiters*threadsOfWaiter)
		if b.Most > 0 && (least.Most == 0 || left < room) {
			least, room = b, left
		}
	}
	if least.Most == 0 {
		return lease.Good("processes", "no limit is known")
	}
	fact := fmt.Sprintf("%d threads of at most %d (%s)", least.Now, least.Most, least.Name)
	if f.Waiters > 0 {
		fact += fmt.Sprintf("; a waiter has about %d, waiters here: %d", threadsOfWaiter, f.Waiters)
	}
	if room < leastRoom {
		return lease.Ill("processes", lease.Warn, fact+": a program that can start no thread dies", "raise "+least.Name+", or let fewer wait at once: --wait, --on-busy skip")
	}
	return lease.Good("processes", fact)
}

func (f Facts) files() lease.Finding {
	switch {
	case f.Files == 0:
		return lease.Good("files", "no limit is known")
	case f.Files < leastFiles:
		return lease.Ill("files", lease.Warn, fmt.Sprintf("a process may open %d files: a job of weight K needs K", f.Files), "ulimit -n 1024")
	}
	return lease.Good("files", fmt.Sprintf("a process may open %d", f.Files))
}
