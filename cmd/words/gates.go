package words

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"berth/lease"
	"berth/limiter/gate"
)

// gateFlags are of 'berth run' for one job, of 'berth limit' for all of a pool,
// and of 'berth probe' to see what they would say.
func gateFlags() []Flag {
	const gates = "Gates (start only while ...)"
	return []Flag{
		{Group: gates, Name: "max-cpu", Value: "P%", Kind: Number, Usage: "less than P% of the CPU time is in use"},
		{Group: gates, Name: "max-mem", Value: "P%", Kind: Number, Usage: "less than P% of the memory is in use"},
		{Group: gates, Name: "min-mem", Value: "SIZE", Kind: Number, Usage: "at least this much memory is available: like 2G, or 20%"},
		{Group: gates, Name: "max-load", Value: "X", Kind: Number, Usage: "the 1-minute load average per CPU is below X"},
		{Group: gates, Name: "max-pressure", Value: "LIST", Kind: Number, Usage: "in the last 10 s, tasks had to wait for each of these for less than that percentage of the time: like cpu=40,io=30,mem=10; io:full=20 is the time in which all tasks had to"},
		{Group: gates, Name: "min-disk", Value: "PATH=SIZE", Kind: List, Usage: "at least SIZE is free on the disk of PATH; repeatable"},
		{Group: gates, Name: "gate", Value: "CMD", Usage: "the shell command CMD exits with 0; with 75 the gate is closed. CMD gets the readings in its environment, see berth help gates"},
		{Group: gates, Name: "need", Value: "LIST", Kind: Number, Usage: "there is room for what this job will use: like mem=2G,cpu=2. That much stays reserved until the job uses it"},
		{Group: gates, Name: "ramp", Value: "D", Kind: Number, Usage: "the last start in the pool is at least D ago (default: 1s with a gate that reads the machine, else 0)"},
		{Group: gates, Name: "rate", Value: "N/T", Kind: Number, Usage: "at most N jobs start in the pool per T (s, m, h, d or a duration), evenly spread: like 5/s, 10/m or 1/30s"},
		{Group: gates, Name: "burst", Value: "B", Kind: Number, Usage: "with --rate: up to B starts at once after a pause (default: 1)"},
		{Group: gates, Name: "min-slots", Value: "K", Kind: Number, Usage: "or fewer than K slots are in use: then gates and --ramp do not apply (default: 0; 1 with -n auto)"},
		{Group: gates, Name: "max-slots", Value: "N", Kind: Number, Usage: "with -n auto: at most N slots (default: 4 for each CPU)"},
		{Group: gates, Name: "target-cpu", Value: "P%", Kind: Number, Usage: "with -n auto: --max-cpu (default: 90%)"},
		{Group: gates, Name: "target-mem", Value: "P%", Kind: Number, Usage: "with -n auto: --max-mem (default: 80%)"},
	}
}

// conditions are a request's or a pool's conditions with their gates decoded.
type conditions struct {
	machine gate.Gates
	lease.Conditions
}

// defaultRamp is the time that a job which has just started takes to show in the readings.
const defaultRamp = time.Second

// conditionsOf decodes the gates of conditions.
func conditionsOf(t lease.Conditions) (conditions, error) {
	v := conditions{Conditions: t}
	if t.Gates == "" {
		return v, nil
	}
	g, err := gate.Decode(t.Gates)
	v.machine = g
	return v, err
}

// pack encodes the gates. A declared need is a gate as well: there must be room for it.
func (t conditions) pack() lease.Conditions {
	t.Gates = ""
	if t.machine.Any() || t.Need != (lease.Need{}) {
		b, err := json.Marshal(t.machine)
		if err != nil {
			panic(err) // numbers and strings that a parser has let through
		}
		t.Gates = string(b)
	}
	return t.Conditions
}

// Flags are conditions as they would be typed.
func Flags(t lease.Conditions) []string {
	v, err := conditionsOf(t)
	if err != nil {
		return []string{"(" + err.Error() + ")"}
	}
	return append([]string{}, v.flags()...) // [] in JSON, not null
}

// flags are t as it would be typed.
func (t conditions) flags() []string {
	f := t.machine.Flags()
	if n := gate.FormatNeed(t.Need); n != "" {
		f = append(f, "--need", n)
	}
	if t.Ramp > 0 || t.machine.Resource() {
		f = append(f, "--ramp", t.Ramp.String())
	}
	if t.Rate.Every > 0 {
		f = append(f, "--rate", FormatRate(t.Rate))
		if t.Rate.Burst > 1 {
			f = append(f, "--burst", strconv.Itoa(t.Rate.Burst))
		}
	}
	if t.MinSlots > 0 {
		f = append(f, "--min-slots", strconv.Itoa(t.MinSlots))
	}
	return f
}

// maxGate bounds the command of a gate, in bytes: each read of a pool reads it in the
// record of each job.
const maxGate = 2048

// conditions is t with the flags that were typed.
func (p *parser) conditions(t conditions) conditions {
	read := t.machine.Resource()
	parsed(p, "max-cpu", &t.machine.MaxCPU, gate.ParsePercent)
	parsed(p, "max-mem", &t.machine.MaxMem, gate.ParsePercent)
	parsed(p, "min-mem", &t.machine.MinMem, gate.ParseAmount)
	p.refuseTiny("min-mem", t.machine.MinMem.Bytes)
	parsed(p, "max-load", &t.machine.MaxLoad, gate.ParseLoad)
	parsed(p, "max-pressure", &t.machine.MaxPressure, gate.ParsePressure)
	p.disks(&t.machine)
	parsed(p, "gate", &t.machine.Command, func(s string) (string, error) {
		switch {
		case strings.TrimSpace(s) == "":
			return "", fmt.Errorf("%q is no command", s)
		case !utf8.ValidString(s):
			return "", fmt.Errorf("%q is not UTF-8", s)
		case len(s) > maxGate:
			return "", fmt.Errorf("a command of %d bytes is too long (at most %d)", len(s), maxGate)
		}
		return s, nil
	})
	parsed(p, "need", &t.Need, gate.ParseNeed)
	p.refuseTiny("need", t.Need.Mem)
	parsed(p, "ramp", &t.Ramp, ParseDuration)
	parsed(p, "rate", &t.Rate, ParseRate)
	parsed(p, "burst", &t.Rate.Burst, func(s string) (int, error) {
		return ParseCount(s, "a burst", 1, lease.MaxBurst, "")
	})
	parsed(p, "min-slots", &t.MinSlots, func(s string) (int, error) {
		return ParseCount(s, "valid", 0, MaxSlots, "")
	})
	if t.machine.Resource() && !read && t.Ramp == 0 && !p.isSet("ramp") {
		t.Ramp = defaultRamp
	}
	return t
}

// refuseTiny refuses a size of a few bytes, whose unit was probably forgotten.
func (p *parser) refuseTiny(name string, bytes uint64) {
	if bytes > 0 && bytes < 1024 {
		also := ""
		if name == "min-mem" && bytes <= 100 {
			also = fmt.Sprintf(", or a share: %d%%", bytes)
		}
		p.check(name, fmt.Errorf("%d bytes is hardly what you mean; with a unit: %dG, %dM%s", bytes, bytes, bytes, also))
	}
}

// disks reads --min-disk. Each replaces what g has for the same path.
func (p *parser) disks(g *gate.Gates) {
	given := map[string]string{}
	for _, s := range p.list("min-disk") {
		d, err := gate.ParseDisk(s)
		if before, twice := given[d.Path]; twice && err == nil {
			err = fmt.Errorf("%s is given twice, as %q and as %q: leave one out", d.Path, before, s)
		}
		given[d.Path] = s
		if err == nil && !utf8.ValidString(d.Path) {
			err = fmt.Errorf("%q is not UTF-8", d.Path)
		}
		p.check("min-disk", err)
		p.refuseTiny("min-disk", d.Free)
		g.MinDisk = slices.DeleteFunc(slices.Clone(g.MinDisk), func(o gate.Disk) bool { return o.Path == d.Path })
		g.MinDisk = append(g.MinDisk, d)
	}
}

// auto is t with the gates of -n auto, and the number of slots it stands for. Its targets
// are gates, so as many jobs start as the machine carries.
func (p *parser) auto(t conditions) (conditions, int) {
	slots := 4 * gate.CPUs()
	parsed(p, "max-slots", &slots, func(s string) (int, error) {
		if s == "auto" {
			return 0, errors.New("it caps -n auto, so it cannot be auto: give a number, or a share like 400%")
		}
		return ParseSlots(s, gate.CPUs)
	})
	if !p.isSet("min-slots") && t.MinSlots == 0 {
		t.MinSlots = 1
	}
	cpu, mem := 0.9, 0.8
	parsed(p, "target-cpu", &cpu, gate.ParsePercent)
	parsed(p, "target-mem", &mem, gate.ParsePercent)
	for _, read := range []string{"cpu", "mem"} {
		if m, t := "max-"+read, "target-"+read; p.isSet(m) && p.isSet(t) {
			p.fail(fmt.Errorf("--%s %s and --%s %s mean the same with auto: leave one out", m, p.text(m), t, p.text(t)))
		}
	}
	// A gate that is there already stays, unless the target is stricter.
	if t.machine.MaxCPU == 0 || cpu < t.machine.MaxCPU || p.isSet("target-cpu") {
		t.machine.MaxCPU = cpu
	}
	if t.machine.MaxMem == 0 || mem < t.machine.MaxMem || p.isSet("target-mem") {
		t.machine.MaxMem = mem
	}
	if !p.isSet("ramp") && t.Ramp == 0 {
		t.Ramp = defaultRamp
	}
	if t.MinSlots > slots {
		p.fail(fmt.Errorf("--min-slots %d is more than the %d of --max-slots", t.MinSlots, slots))
	}
	return t, slots
}

// onlyAuto refuses flags that have no meaning without -n auto; slots is what was typed.
func (p *parser) onlyAuto(slots string) {
	for _, f := range []string{"max-slots", "target-cpu", "target-mem"} {
		if p.isSet(f) {
			p.fail(fmt.Errorf("--%s %s goes with auto, not with %s", f, p.text(f), slots))
		}
	}
}

// maxGates bounds all gates of a job together, in bytes, for the same reason.
const maxGates = 8192

// checkConditions finds conditions that contradict each other, or a limit of so many slots.
func (p *parser) checkConditions(t conditions, limit int) {
	switch packed := t.pack(); {
	case len(packed.Gates) > maxGates:
		p.fail(fmt.Errorf("%d bytes of gates are too many (at most %d)", len(packed.Gates), maxGates))
	case limit > 0 && t.MinSlots > limit:
		p.fail(fmt.Errorf("--min-slots %d is more than the %d slots there are", t.MinSlots, limit))
	case t.MinSlots > 0 && packed.Gates == "":
		p.fail(fmt.Errorf("--min-slots %d needs a gate", t.MinSlots))
	case t.Rate.Burst > 0 && t.Rate.Every == 0:
		p.fail(fmt.Errorf("--burst %d needs a --rate", t.Rate.Burst))
	case t.Rate.Burst > 1 && t.Rate.Every > lease.MaxEvery:
		p.fail(fmt.Errorf("--burst %d needs a --rate of at least 1 in %v", t.Rate.Burst, lease.MaxEvery))
	}
}
