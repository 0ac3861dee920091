package gate

import (
	"berth/lease"
	"math"
	"slices"
)

// The rule for a job that declares a need: it counts as if it already used that, and may
// then fill a gate exactly. A job without a need takes an unknown amount, so it needs a
// gate that is not full: strictly below.
//
// A measured share of CPU is never exact, and an idle machine is never quite idle. By the
// plain comparison a job that needs all CPUs would wait for ever. So a need of CPU may
// fall short by cpuTolerance.

// cpuTolerance is how much of a declared need of CPU may be in use by others: a
// twentieth of the CPUs, at least a tenth of one, and never as much as would let
// in one more job of the same kind.
func cpuTolerance(cpus, need float64) float64 {
	return min(max(0.1, cpus/20), need/2)
}

// judge has what the gates of a question are judged by.
type judge struct {
	need  lease.Need
	r     Readings
	aside reserved
}

// rules are the gates that read the machine, in the order of their findings.
var rules = []func(judge, Gates) []Finding{
	judge.maxCPU, judge.maxMem, judge.minMem, judge.maxLoad, judge.maxPressure, judge.minDisk,
}

// decide is the one rule for whether there is room, but for commands.
func decide(q Question, r Readings, a reserved) []Finding {
	j := judge{q.Need, r, a}
	var all []Finding
	for _, rule := range rules {
		for _, s := range q.Sets {
			for _, v := range rule(j, s.Gates) {
				v.From = s.From
				all = append(all, v)
			}
		}
	}
	return append(append(all, j.needMem()...), j.needCPU()...)
}

// compared is a finding on two numbers.
func compared(gate, of, unit string, value, threshold float64, open bool) Finding {
	value, threshold = round(value), round(threshold)
	return Finding{Gate: gate, Of: of, Unit: unit, Value: &value, Threshold: &threshold, Open: open}
}

// round hides that 0.29*100 is 28.999999999999996.
func round(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// unread is the finding when there is no number: closed.
func unread(gate, unit string, threshold float64, why string) Finding {
	v := compared(gate, "", unit, 0, threshold, false)
	v.Value, v.Says = nil, "cannot be read: "+why
	return v
}

// pick is the finding of the level that decides: room is needed at each of
// them, so one that is closed before one that is open, and then the one with the
// least room. A reading has a finding for each level.
func pick(all []Finding, lowest bool) []Finding {
	best := all[0]
	for _, v := range all[1:] {
		less := *v.Value > *best.Value
		if lowest {
			less = *v.Value < *best.Value
		}
		if best.Open && !v.Open || best.Open == v.Open && less {
			best = v
		}
	}
	// More can be set aside than there is.
	*best.Value = max(0, *best.Value)
	return []Finding{best}
}

// missing is the finding when a reading that a gate needs is not there.
func (j judge) missing(reading string, got bool, gate, unit string, threshold float64) []Finding {
	why, failed := j.r.Errors[reading]
	switch {
	case failed:
		return []Finding{unread(gate, unit, threshold, why)}
	case !got:
		return []Finding{unread(gate, unit, threshold, "the kernel does not give it")}
	}
	return nil
}

// unmeasured is the same for CPU use, which can also be not known yet.
func (j judge) unmeasured(gate, unit string, threshold float64) []Finding {
	if v := j.missing(cpuError, len(j.r.CPU) > 0, gate, unit, threshold); v != nil {
		return v
	}
	for _, l := range j.r.CPU {
		if l.Used == nil {
			v := unread(gate, unit, threshold, "")
			v.Of, v.Says, v.pending = l.Of, measuring, true
			return []Finding{v}
		}
	}
	return nil
}

func (j judge) maxCPU(g Gates) []Finding {
	if g.MaxCPU == 0 {
		return nil
	}
	if v := j.unmeasured("max-cpu", "%", g.MaxCPU*100); v != nil {
		return v
	}
	var all []Finding
	need, kept := j.need.CPU, j.aside.cpu
	for _, l := range j.r.CPU {
		used := *l.Used + kept + need
		open := used < g.MaxCPU*l.CPUs || need > 0 && used <= g.MaxCPU*l.CPUs+cpuTolerance(l.CPUs, need)
		v := compared("max-cpu", l.Of, "%", 100*used/l.CPUs, g.MaxCPU*100, open)
		v.Says = below(v, inPercent, 0, " busy", " of "+cpusText(l.CPUs)+" "+place(l.Of, kept, need, cpusText), need > 0)
		all = append(all, v)
	}
	return pick(all, false)
}

func (j judge) maxMem(g Gates) []Finding {
	if g.MaxMem == 0 {
		return nil
	}
	if v := j.missing(memError, len(j.r.Mem) > 0, "max-mem", "%", g.MaxMem*100); v != nil {
		return v
	}
	var all []Finding
	need, kept := float64(j.need.Mem), j.aside.mem
	for _, l := range j.r.Mem {
		used := float64(l.Used) + kept + need
		full := g.MaxMem * float64(l.Total)
		v := compared("max-mem", l.Of, "%", 100*l.share(used), g.MaxMem*100, used < full || need > 0 && used <= full)
		v.Says = below(v, inPercent, 0, " in use", " of "+bytesText(float64(l.Total))+" "+place(l.Of, kept, need, bytesText), need > 0)
		all = append(all, v)
	}
	return pick(all, false)
}

func (j judge) minMem(g Gates) []Finding {
	if g.MinMem == (Amount{}) {
		return nil
	}
	unit, write, floor := "bytes", inBytes, float64(g.MinMem.Bytes)
	if g.MinMem.Share > 0 {
		unit, write, floor = "%", inPercent, g.MinMem.Share*100
	}
	if v := j.missing(memError, len(j.r.Mem) > 0, "min-mem", unit, floor); v != nil {
		return v
	}
	var all []Finding
	need, kept := float64(j.need.Mem), j.aside.mem
	for _, l := range j.r.Mem {
		left := float64(l.Available) - kept - need
		if g.MinMem.Share > 0 {
			left = 100 * left / max(1, float64(l.Total))
		}
		v := compared("min-mem", l.Of, unit, left, floor, left > floor || need > 0 && left == floor)
		v.Says = above(v, write, 1, " available", " of "+bytesText(float64(l.Total))+" "+place(l.Of, kept, need, bytesText), need > 0)
		all = append(all, v)
	}
	return pick(all, true)
}

func (j judge) maxLoad(g Gates) []Finding {
	if g.MaxLoad == 0 {
		return nil
	}
	if v := j.missing(loadError, j.r.Load != nil, "max-load", "per cpu", g.MaxLoad); v != nil {
		return v
	}
	v := compared("max-load", host, "per cpu", j.r.Load.PerCPU, g.MaxLoad, j.r.Load.PerCPU < g.MaxLoad)
	v.Says = below(v, decimal, 2, "", " for each of "+cpusText(j.r.CPUs), false)
	return []Finding{v}
}

func (j judge) maxPressure(g Gates) []Finding {
	var all []Finding
	for _, p := range g.MaxPressure {
		now, got := j.r.Pressure[p.name()]
		v := compared("max-pressure", p.name(), "%", now, p.Max, now < p.Max)
		v.Says = p.name() + " " + below(v, inPercent, 2, "", " of the last 10 s", false)
		if m := j.missing(psiError+p.Of, got, v.Gate, v.Unit, p.Max); m != nil {
			v = m[0]
		}
		v.Of = p.name()
		all = append(all, v)
	}
	return all
}

func (j judge) minDisk(g Gates) []Finding {
	var all []Finding
	for _, d := range g.MinDisk {
		i := slices.IndexFunc(j.r.Disk, func(r DiskReading) bool { return r.Path == d.Path })
		m := j.missing(diskError+d.Path, i >= 0, "min-disk", "bytes", float64(d.Free))
		if m == nil {
			now := j.r.Disk[i].Free
			v := compared("min-disk", "", "bytes", float64(now), float64(d.Free), now > d.Free)
			v.Says = above(v, inBytes, 1, " free", " in "+d.Path, false)
			m = []Finding{v}
		}
		m[0].Of = d.Path
		all = append(all, m...)
	}
	return all
}

func (j judge) needMem() []Finding {
	need := float64(j.need.Mem)
	if need == 0 {
		return nil
	}
	if v := j.missing(memError, len(j.r.Mem) > 0, "need", "bytes", need); v != nil {
		return v
	}
	var all []Finding
	for _, l := range j.r.Mem {
		left := float64(l.Available) - j.aside.mem
		v := compared("need", l.Of, "bytes", left, need, left >= need)
		v.Says = enough(v, inBytes, " of "+bytesText(float64(l.Total))+" "+place(l.Of, j.aside.mem, 0, bytesText))
		all = append(all, v)
	}
	return pick(all, true)
}

func (j judge) needCPU() []Finding {
	need := j.need.CPU
	if need == 0 {
		return nil
	}
	if v := j.unmeasured("need", "cpus", need); v != nil {
		return v
	}
	var all []Finding
	for _, l := range j.r.CPU {
		left := l.CPUs - *l.Used - j.aside.cpu
		v := compared("need", l.Of, "cpus", left, need, left+cpuTolerance(l.CPUs, need) >= need)
		v.Says = enough(v, decimal, " of "+cpusText(l.CPUs)+" "+place(l.Of, j.aside.cpu, 0, cpusText))
		all = append(all, v)
	}
	return pick(all, true)
}
