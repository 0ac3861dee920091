package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"berth/cmd/words"
	"berth/lease"
	"berth/limiter/gate"
)

// gateFlags are of 'berth run' for one job, of 'berth limit' for all of a pool,
// and of 'berth probe' to see what they would say.
func gateFlags() []cli.Flag {
	const gates = "Gates (start only while ...)"
	return []cli.Flag{
		newNumber(cli.StringFlag{Category: gates, Name: "max-cpu", Usage: "`P%` less than P% of the CPUs is busy"}),
		newNumber(cli.StringFlag{Category: gates, Name: "max-mem", Usage: "`P%` less than P% of the memory is in use"}),
		newNumber(cli.StringFlag{Category: gates, Name: "min-mem", Usage: "`SIZE` at least that much memory is available: like 2G, or 20%"}),
		newNumber(cli.StringFlag{Category: gates, Name: "max-load", Usage: "`X` the 1-minute load average per CPU is below X"}),
		newNumber(cli.StringFlag{Category: gates, Name: "max-pressure", Usage: "`LIST` tasks stood still for less than that percentage of the last 10 s, for want of each: like cpu=40,io=30,mem=10; io:full=20 when all tasks did"}),
		newList(cli.StringSliceFlag{Category: gates, Name: "min-disk", Usage: "`PATH=SIZE` at least SIZE is free on the disk of PATH; repeatable"}),
		newString(cli.StringFlag{Category: gates, Name: "gate", Usage: "`CMD` the shell command CMD exits with 0; 75 is a no; it finds the readings as BERTH_CPU_PERCENT, BERTH_MEM_AVAILABLE and so on (see the README)"}),
		newNumber(cli.StringFlag{Category: gates, Name: "need", Usage: "`LIST` there is room for what this job will use: like mem=2G,cpu=2. It is kept free for the job until it uses it"}),
		newNumber(cli.StringFlag{Category: gates, Name: "ramp", Usage: "`D` the last start in the pool is at least D ago (default: 1s with a gate that reads the machine, else 0)"}),
		newNumber(cli.StringFlag{Category: gates, Name: "rate", Usage: "`N/T` at most N start in the pool per T (s, m, h, d or a duration), evenly: like 5/s, 10/m or 1/30s"}),
		newNumber(cli.StringFlag{Category: gates, Name: "burst", Usage: "`B` with --rate, after a pause, up to B at once (default: 1)"}),
		newNumber(cli.StringFlag{Category: gates, Name: "min-slots", Usage: "`K` or fewer than K slots are in use: then no gate is asked, and no --ramp kept (default: 0; 1 with -n auto)"}),
		newNumber(cli.StringFlag{Category: gates, Name: "max-slots", Usage: "`N` with -n auto: never more than N slots (default: 4 for each CPU)"}),
		newNumber(cli.StringFlag{Category: gates, Name: "target-cpu", Usage: "`P%` with -n auto: --max-cpu (default: 90%)"}),
		newNumber(cli.StringFlag{Category: gates, Name: "target-mem", Usage: "`P%` with -n auto: --max-mem (default: 80%)"}),
	}
}

// terms are lease.Terms in the words of those who ask the gates.
type terms struct {
	gates gate.Gates
	lease.Conditions
}

// defaultRamp is how long what was just started takes to show in the readings.
const defaultRamp = time.Second

// termsOf turns a pool's settings, or a request's, back into words.
func termsOf(t lease.Conditions) (terms, error) {
	v := terms{Conditions: t}
	if t.Gates == "" {
		return v, nil
	}
	g, err := gate.Decode(t.Gates)
	v.gates = g
	return v, err
}

// pack writes the gates into the terms. A declared need is a gate as well: there
// must be room for it.
func (t terms) pack() lease.Conditions {
	t.Gates = ""
	if t.gates.Any() || t.Need != (lease.Need{}) {
		b, err := json.Marshal(t.gates)
		if err != nil {
			panic(err) // numbers and strings that a parser has let through
		}
		t.Gates = string(b)
	}
	return t.Conditions
}

// flagsOf are terms as they would be typed.
func flagsOf(t lease.Conditions) []string {
	v, err := termsOf(t)
	if err != nil {
		return []string{"(" + err.Error() + ")"}
	}
	return append([]string{}, v.flags()...) // [] in JSON, not null
}

// flags are the terms as they would be typed.
func (t terms) flags() []string {
	f := t.gates.Flags()
	if n := gate.Need(t.Need).String(); n != "" {
		f = append(f, "--need", n)
	}
	if t.Ramp > 0 || t.gates.Resource() {
		f = append(f, "--ramp", t.Ramp.String())
	}
	if t.Rate.Every > 0 {
		f = append(f, "--rate", words.FormatRate(t.Rate))
		if t.Rate.Burst > 1 {
			f = append(f, "--burst", strconv.Itoa(t.Rate.Burst))
		}
	}
	if t.MinSlots > 0 {
		f = append(f, "--min-slots", strconv.Itoa(t.MinSlots))
	}
	return f
}

// parsed has f parse a flag into v, if it is there.
func parsed[T any](p *flagParser, name string, v *T, f func(string) (T, error)) {
	if !p.c.IsSet(name) {
		return
	}
	x, err := f(p.c.String(name))
	if err == nil {
		*v = x
	}
	p.check(name, err)
}

// maxGate bounds the command of a gate: it is in the record of each job, which is
// read at every look.
const maxGate = 2048

// terms reads the flags on top of t.
func (p *flagParser) terms(t terms) terms {
	read := t.gates.Resource()
	parsed(p, "max-cpu", &t.gates.MaxCPU, gate.ParsePercent)
	parsed(p, "max-mem", &t.gates.MaxMem, gate.ParsePercent)
	parsed(p, "min-mem", &t.gates.MinMem, gate.ParseAmount)
	p.tiny("min-mem", t.gates.MinMem.Bytes)
	parsed(p, "max-load", &t.gates.MaxLoad, gate.ParseLoad)
	parsed(p, "max-pressure", &t.gates.MaxPressure, gate.ParsePressure)
	p.disks(&t.gates)
	parsed(p, "gate", &t.gates.Command, func(s string) (string, error) {
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
	parsed(p, "need", (*gate.Need)(&t.Need), gate.ParseNeed)
	p.tiny("need", t.Need.Mem)
	parsed(p, "ramp", &t.Ramp, words.ParseDuration)
	parsed(p, "rate", &t.Rate, words.ParseRate)
	parsed(p, "burst", &t.Rate.Burst, func(s string) (int, error) {
		return words.ParseCount(s, "a burst", 1, lease.MaxBurst, "")
	})
	parsed(p, "min-slots", &t.MinSlots, func(s string) (int, error) {
		return words.ParseCount(s, "valid", 0, words.MaxSlots, "")
	})
	if t.gates.Resource() && !read && t.Ramp == 0 && !p.c.IsSet("ramp") {
		t.Ramp = defaultRamp
	}
	return t
}

// tiny refuses a size of a few bytes: its unit was forgotten.
func (p *flagParser) tiny(name string, bytes uint64) {
	if bytes > 0 && bytes < 1024 {
		also := ""
		if name == "min-mem" && bytes <= 100 {
			also = fmt.Sprintf(", or a share: %d%%", bytes)
		}
		p.check(name, fmt.Errorf("%d bytes is hardly what is meant; with a unit: %dG, %dM%s", bytes, bytes, bytes, also))
	}
}

// disks reads --min-disk, each in the place of what g has for its path.
func (p *flagParser) disks(g *gate.Gates) {
	given := map[string]string{}
	for _, s := range p.c.StringSlice("min-disk") {
		d, err := gate.ParseDisk(s)
		if before, twice := given[d.Path]; twice && err == nil {
			err = fmt.Errorf("%s is given twice, as %q and as %q: leave one out", d.Path, before, s)
		}
		given[d.Path] = s
		if err == nil && !utf8.ValidString(d.Path) {
			err = fmt.Errorf("%q is not UTF-8", d.Path)
		}
		p.check("min-disk", err)
		p.tiny("min-disk", d.Free)
		g.MinDisk = slices.DeleteFunc(slices.Clone(g.MinDisk), func(o gate.Disk) bool { return o.Path == d.Path })
		g.MinDisk = append(g.MinDisk, d)
	}
}

// auto are the terms of -n auto on top of t, and the number of slots it stands
// for: as many as the machine carries are those that are started while its
// targets are gates.
func (p *flagParser) auto(t terms) (terms, int) {
	slots := 4 * gate.CPUs()
	parsed(p, "max-slots", &slots, func(s string) (int, error) {
		if s == "auto" {
			return 0, errors.New("it caps -n auto, so it cannot be auto: give a number, or a share like 400%")
		}
		return words.ParseSlots(s, gate.CPUs)
	})
	if !p.c.IsSet("min-slots") && t.MinSlots == 0 {
		t.MinSlots = 1
	}
	cpu, mem := 0.9, 0.8
	parsed(p, "target-cpu", &cpu, gate.ParsePercent)
	parsed(p, "target-mem", &mem, gate.ParsePercent)
	for _, read := range []string{"cpu", "mem"} {
		if m, t := "max-"+read, "target-"+read; p.err == nil && p.c.IsSet(m) && p.c.IsSet(t) {
			p.err = fmt.Errorf("--%s %s and --%s %s are the same with auto: leave one out", m, p.c.String(m), t, p.c.String(t))
		}
	}
	// What was asked for already stays, unless the target is stricter.
	if t.gates.MaxCPU == 0 || cpu < t.gates.MaxCPU || p.c.IsSet("target-cpu") {
		t.gates.MaxCPU = cpu
	}
	if t.gates.MaxMem == 0 || mem < t.gates.MaxMem || p.c.IsSet("target-mem") {
		t.gates.MaxMem = mem
	}
	if !p.c.IsSet("ramp") && t.Ramp == 0 {
		t.Ramp = defaultRamp
	}
	if t.MinSlots > slots && p.err == nil {
		p.err = fmt.Errorf("--min-slots %d is more than the %d of --max-slots", t.MinSlots, slots)
	}
	return t, slots
}

// onlyAuto says which flags have no meaning without -n auto.
func (p *flagParser) onlyAuto(slots string) {
	for _, f := range []string{"max-slots", "target-cpu", "target-mem"} {
		if p.c.IsSet(f) && p.err == nil {
			p.err = fmt.Errorf("--%s %s goes with auto, not with %s", f, p.c.String(f), slots)
		}
	}
}

// maxGates bounds all gates together, for the same reason.
const maxGates = 8192

// agree says which of the terms do not go together.
func (p *flagParser) agree(t terms, limit int) {
	switch packed := t.pack(); {
	case p.err != nil:
	case len(packed.Gates) > maxGates:
		p.err = fmt.Errorf("%d bytes of gates are too many (at most %d)", len(packed.Gates), maxGates)
	case limit > 0 && t.MinSlots > limit:
		p.err = fmt.Errorf("--min-slots %d is more than the %d slots there are", t.MinSlots, limit)
	case t.MinSlots > 0 && packed.Gates == "":
		p.err = fmt.Errorf("--min-slots %d has no gate to go with", t.MinSlots)
	case t.Rate.Burst > 0 && t.Rate.Every == 0:
		p.err = fmt.Errorf("--burst %d has no --rate to go with", t.Rate.Burst)
	case t.Rate.Burst > 1 && t.Rate.Every > lease.MaxEvery:
		p.err = fmt.Errorf("--burst %d needs a --rate of at least 1 in %v", t.Rate.Burst, lease.MaxEvery)
	}
}
