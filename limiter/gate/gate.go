// Package gate answers whether this machine has room for one more job now.
//
// Conditions ([Gates]), what was read ([Readings]) and what follows from it
// ([Finding]) are plain data that prints and serialises; what leads from one
// to the other is a pure function, and reading is thin. An [Asker] does both.
//
// It fails closed: what cannot be read, now or for a moment, never opens a
// gate. It keeps no time of its own: the caller decides when to ask again, and
// carries the CPU counters of one caller to the next.
//
// It is not a reservation. Two callers that ask at once get the same answer;
// that only the head of a line asks is the caller's business.
package gate

import (
	"berth/lease"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Gates are conditions of the machine. The zero value has none. The JSON form
// is the one in which a pool stores them.
type Gates struct {
	MaxCPU      float64    `json:"max_cpu,omitempty"`      // share of the usable CPUs in use, 0 to 1
	MaxMem      float64    `json:"max_mem,omitempty"`      // share of the memory in use
	MinMem      Amount     `json:"min_mem,omitzero"`       // memory available
	MaxLoad     float64    `json:"max_load,omitempty"`     // 1-minute load per usable CPU
	MaxPressure []Pressure `json:"max_pressure,omitempty"` // time that work stood still
	MinDisk     []Disk     `json:"min_disk,omitempty"`     // free space
	Command     string     `json:"command,omitempty"`      // of the user's own, for sh -c
}

// Amount is a number of bytes or a share of the whole; one of them.
type Amount struct {
	Bytes uint64  `json:"bytes,omitempty"`
	Share float64 `json:"share,omitempty"`
}

// Pressure bounds one of the kernel's pressure stall averages over 10 seconds.
type Pressure struct {
	Of   string  `json:"of"`             // cpu, io or mem
	Full bool    `json:"full,omitempty"` // all tasks stood still, not only some
	Max  float64 `json:"max"`            // percent of the time
}

// name is the part as its flag and its reading call it.
func (p Pressure) name() string {
	if p.Full {
		return p.Of + ":full"
	}
	return p.Of
}

// Disk is free space that must be there.
type Disk struct {
	Path string `json:"path"` // absolute
	Free uint64 `json:"free"` // bytes
}

// Any reports whether there is at least one gate.
func (g Gates) Any() bool { return g.Resource() || g.Command != "" }

// Resource reports whether a gate reads the machine; a command is the user's
// own affair.
func (g Gates) Resource() bool {
	return g.MaxCPU > 0 || g.MaxMem > 0 || g.MinMem != (Amount{}) || g.MaxLoad > 0 ||
		len(g.MaxPressure) > 0 || len(g.MinDisk) > 0
}

// Flags are the gates as they would be written, flat: "--max-cpu", "80%", ...
// The parsers give exactly these gates for them.
func (g Gates) Flags() []string {
	var flags []string
	add := func(name, value string) { flags = append(flags, "--"+name, value) }
	if g.MaxCPU != 0 {
		add("max-cpu", percent(g.MaxCPU))
	}
	if g.MaxMem != 0 {
		add("max-mem", percent(g.MaxMem))
	}
	if g.MinMem != (Amount{}) {
		add("min-mem", g.MinMem.String())
	}
	if g.MaxLoad != 0 {
		add("max-load", number(g.MaxLoad))
	}
	if len(g.MaxPressure) > 0 {
		add("max-pressure", pressures(g.MaxPressure))
	}
	for _, d := range g.MinDisk {
		add("min-disk", d.String())
	}
	if g.Command != "" {
		add("gate", g.Command)
	}
	return flags
}

func (a Amount) String() string {
	if a.Share != 0 {
		return percent(a.Share)
	}
	return size(a.Bytes)
}

func (d Disk) String() string { return d.Path + "=" + size(d.Free) }

func (p Pressure) String() string { return p.name() + "=" + number(p.Max) }

func pressures(all []Pressure) string {
	var parts []string
	for _, p := range all {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, ",")
}

// FormatNeed writes a need so that [ParseNeed] gives the same: mem=2G,cpu=2; "" for none.
func FormatNeed(n lease.Need) string {
	var parts []string
	if n.Mem > 0 {
		parts = append(parts, "mem="+size(n.Mem))
	}
	if n.CPU > 0 {
		parts = append(parts, "cpu="+number(n.CPU))
	}
	return strings.Join(parts, ",")
}

// Decode reads the JSON form. It is strict: a field that this version does not
// know would be a gate that is silently open, and so would be a number that no
// flag could have written.
func Decode(text string) (Gates, error) {
	var g Gates
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return Gates{}, fmt.Errorf("cannot read gates: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Gates{}, errors.New("cannot read gates: something follows them")
	}
	if err := g.valid(); err != nil {
		return Gates{}, fmt.Errorf("cannot read gates: %w", err)
	}
	return g, nil
}

// valid asks the parsers, so that there is one place that knows the bounds.
func (g Gates) valid() error {
	if g.MinMem.Bytes != 0 && g.MinMem.Share != 0 {
		return errors.New("min_mem has bytes and a share, and only one can hold")
	}
	for _, d := range g.MinDisk {
		if !filepath.IsAbs(d.Path) {
			return fmt.Errorf("min_disk has the path %q, which is not absolute", d.Path)
		}
	}
	parse := map[string]func(string) error{
		"--max-cpu":      func(s string) error { _, err := ParsePercent(s); return err },
		"--max-mem":      func(s string) error { _, err := ParsePercent(s); return err },
		"--min-mem":      func(s string) error { _, err := ParseAmount(s); return err },
		"--max-load":     func(s string) error { _, err := ParseLoad(s); return err },
		"--max-pressure": func(s string) error { _, err := ParsePressure(s); return err },
		"--min-disk":     func(s string) error { _, err := ParseDisk(s); return err },
		"--gate":         func(string) error { return nil },
	}
	for flag := range slices.Chunk(g.Flags(), 2) {
		if err := parse[flag[0]](flag[1]); err != nil {
			return fmt.Errorf("%s: %w", flag[0], err)
		}
	}
	return nil
}
