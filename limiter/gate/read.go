package gate

import (
	"berth/lease/clock"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// want is what a question needs to be read.
type want struct {
	cpu, mem, load bool
	pressure       []string
	disks          []string
}

// kinds are all of the kernel's pressures.
var kinds = []string{"cpu", "io", "mem"}

// wants collects them. A command gets everything into its environment; commands
// is false where only the gates that must be readable count.
func (q Question) wants(commands bool) want {
	w := want{cpu: q.Need.CPU > 0, mem: q.Need.Mem > 0}
	psi := map[string]bool{}
	for _, s := range q.Sets {
		all := commands && (q.All || s.Command != "")
		w.cpu = w.cpu || all || s.MaxCPU > 0
		w.mem = w.mem || all || s.MaxMem > 0 || s.MinMem != Amount{}
		w.load = w.load || all || s.MaxLoad > 0
		for _, k := range kinds {
			psi[k] = psi[k] || all
		}
		for _, p := range s.MaxPressure {
			psi[p.Of] = true
		}
		for _, d := range s.MinDisk {
			w.disks = append(w.disks, d.Path)
		}
	}
	if commands && q.All {
		w.cpu, w.mem, w.load = true, true, true
	}
	for _, k := range kinds {
		if psi[k] || commands && q.All {
			w.pressure = append(w.pressure, k)
		}
	}
	return w
}

// The pauses between two tries to read what has vanished.
const (
	retries    = 3
	retryAfter = 5 * time.Millisecond
)

// again reads, and reads again after a failure: files of a control group can be gone for
// a moment, and a file that is being written can be empty. A failure that outlived this
// once is not waited for again until it changes.
func (a *Asker) again(name string, read func() error) error {
	for try := 0; ; try++ {
		err := read()
		if err == nil {
			delete(a.lasting, name)
			return nil
		}
		if a.lasting[name] == err.Error() || try == retries {
			if a.lasting == nil {
				a.lasting = map[string]string{}
			}
			a.lasting[name] = err.Error()
			return err
		}
		time.Sleep(retryAfter)
	}
}

// errDoubt marks a reading that counts if further tries bring no other.
var errDoubt = errors.New("in doubt")

// groups reads our groups that have a limit, and uses each. What looks wrong is read
// again. See Asker.lost for a limit that was there before.
func (a *Asker) groups(root roots, c controller, use func([]bound) error) error {
	err := a.again(c.name, func() error {
		f, err := root.bounds(c)
		if err != nil {
			return err
		}
		if err := use(f.bounds); err != nil {
			return err
		}
		if err := a.lost(c.name, f.bounds); err != nil {
			return err
		}
		if f.doubt != "" {
			return fmt.Errorf("%w: %s", errDoubt, f.doubt)
		}
		return nil
	})
	if errors.Is(err, errDoubt) {
		return nil
	}
	return err
}

// goneFor is how long a limit must be missing before it counts as gone.
const goneFor = time.Second

// lost returns an error when a group had a limit a moment ago and has none now. Someone
// may have lifted it, but a file that is gone for a moment looks the same, and without
// the group the gate would open.
func (a *Asker) lost(name string, here []bound) error {
	if a.limited == nil {
		a.limited = map[string]map[string]clock.Instant{}
	}
	if a.limited[name] == nil {
		a.limited[name] = map[string]clock.Instant{}
	}
	known, now := a.limited[name], a.now()
	for of, missed := range known {
		switch {
		case slices.ContainsFunc(here, func(b bound) bool { return b.of() == of }):
		case missed == 0:
			known[of] = now
			return fmt.Errorf("%s has lost its limit", of)
		case now.Sub(missed) < goneFor:
			return fmt.Errorf("%s has lost its limit", of)
		default:
			delete(known, of)
		}
	}
	for _, b := range here {
		known[b.of()] = 0
	}
	return nil
}

// read reads what is wanted. The sample has no levels when CPU use is not
// wanted or cannot be read.
func (a *Asker) read(w want) (Readings, Sample) {
	root, r, s := hostRoots(), Readings{Errors: map[string]string{}}, Sample{}
	fail := func(name string, err error) {
		if err != nil {
			r.Errors[name] = err.Error()
		}
	}
	cpuErr := a.readCPU(root, w.cpu, &r, &s)
	if w.cpu {
		fail(cpuError, cpuErr)
	}
	if w.mem {
		fail(memError, a.readMem(root, &r))
	}
	if w.load && cpuErr != nil {
		fail(loadError, cpuErr) // per CPU, and the number of CPUs is unknown
	} else if w.load {
		fail(loadError, a.readLoad(root, &r))
	}
	for _, of := range w.pressure {
		fail(psiError+of, a.readPressure(root, of, &r))
	}
	for _, path := range w.disks {
		fail(diskError+path, a.readDisk(path, &r))
	}
	return r, s
}

// readCPU reads how many CPUs there are, and the counters if they are wanted.
func (a *Asker) readCPU(root roots, counters bool, r *Readings, s *Sample) error {
	return a.groups(root, cpuGroup, func(quotas []bound) error {
		r.CPUs = usable(root.cpus(), quotas)
		if !counters {
			return nil
		}
		r.CPU, *s = nil, Sample{}
		now := Sample{Machine: root.machine(), Proc: root.proc, Sys: root.sys, At: a.now()}
		all, err := root.times()
		if err != nil {
			return err
		}
		levels := []CPULevel{{Of: host, CPUs: float64(len(all.names))}}
		now.Levels = []Counter{{Of: host, ID: all.id(), Busy: all.busy, Total: all.total}}
		for _, q := range quotas {
			busy, err := q.busy(root)
			if err != nil {
				return err
			}
			levels = append(levels, CPULevel{Of: q.of(), CPUs: q.limit})
			now.Levels = append(now.Levels, Counter{Of: q.of(), ID: inode(q.dir), Busy: busy})
		}
		r.CPU, *s = levels, now
		return nil
	})
}

func (a *Asker) readMem(root roots, r *Readings) error {
	return a.groups(root, memGroup, func(limits []bound) error {
		r.Mem = nil
		all, err := root.memory()
		if err != nil {
			return err
		}
		levels := []MemLevel{all}
		for _, l := range limits {
			// Version 1 has no word for none, only a number beyond all memory.
			if l.version == 1 && l.limit >= float64(all.Total) {
				continue
			}
			used, err := l.inUse()
			if err != nil {
				return err
			}
			levels = append(levels, memLevel(l.of(), uint64(l.limit), used))
		}
		r.Mem = levels
		return nil
	})
}

func (a *Asker) readLoad(root roots, r *Readings) error {
	return a.again(loadError, func() error {
		load, err := root.load()
		if err == nil {
			r.Load = &LoadReading{Load1: load, PerCPU: load / r.CPUs}
		}
		return err
	})
}

func (a *Asker) readPressure(root roots, of string, r *Readings) error {
	return a.again(psiError+of, func() error {
		all, err := root.pressure(of)
		if err == nil && r.Pressure == nil {
			r.Pressure = map[string]float64{}
		}
		maps.Copy(r.Pressure, all)
		return err
	})
}

func (a *Asker) readDisk(path string, r *Readings) error {
	if slices.ContainsFunc(r.Disk, func(d DiskReading) bool { return d.Path == path }) {
		return nil
	}
	return a.again(diskError+path, func() error {
		bytes, err := free(path)
		if err == nil {
			r.Disk = append(r.Disk, DiskReading{Path: path, Free: bytes})
		}
		return err
	})
}
