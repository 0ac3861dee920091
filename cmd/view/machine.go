package view

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"berth/cmd/text"
	"berth/limiter/gate"
)

// Probe is the stable schema of 'berth probe --json'.
type Probe struct {
	Pool     string         `json:"pool"`
	Open     bool           `json:"open"`
	Gates    []gate.Finding `json:"gates"`
	Readings gate.Readings  `json:"readings"`
}

// WriteProbe writes p for people.
func WriteProbe(w io.Writer, p *Probe) error {
	var b strings.Builder
	row := func(what, of, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %-24s %s\n", what, text.Shorten(text.OneLine(of), 40), fmt.Sprintf(format, args...))
	}
	r := p.Readings
	for _, l := range r.CPU {
		if l.Used == nil {
			row("cpu", l.Of, "not known, of %.3g CPUs", l.CPUs)
			continue
		}
		row("cpu", l.Of, "%.0f%% of %.3g CPUs busy", 100**l.Used/l.CPUs, l.CPUs)
	}
	for _, l := range r.Mem {
		row("memory", l.Of, "%.0f%% of %s in use, %s available", 100*float64(l.Used)/float64(l.Total), gate.Bytes(l.Total), gate.Bytes(l.Available))
	}
	if r.Load != nil {
		row("load", "host", "%.2f, %.2f per CPU", r.Load.Load1, r.Load.PerCPU)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Pressure)) {
		row("pressure", "host, "+k, "%.2f%% of the last 10 s", r.Pressure[k])
	}
	for _, d := range r.Disk {
		row("disk", d.Path, "%s free", gate.Bytes(d.Free))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Errors)) {
		row("not readable", k, "%s", text.OneLine(r.Errors[k]))
	}
	for _, g := range p.Gates {
		state := "open"
		if !g.Open {
			state = "closed"
		}
		name := "--" + g.Gate
		if g.From != "" {
			name += " (" + g.From + ")"
		}
		fmt.Fprintf(&b, "%-14s %-24s %s\n", state, name, text.OneLine(g.Says))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
