package gate

import (
	"berth/lease"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxSize bounds a size, so that sums of a few of them stay within 64 bits.
const maxSize = 1 << 60

// units are what a size may end in, each 1024 times the next.
const units = "TGMK"

// IsDecimal reports whether s is an unsigned decimal number: no sign, exponent,
// hexadecimal, underscore, NaN or Inf, all of which strconv would take.
func IsDecimal(s string) bool {
	return strings.Trim(s, "0123456789.") == "" && strings.Trim(s, ".") != "" && strings.Count(s, ".") <= 1 && len(s) <= 40
}

// ParsePercent reads a share like 80% as 0.8: above 0%, at most 100%. 80 means the same,
// because % ends the line in a crontab; 0.8 is refused, because it is ambiguous.
func ParsePercent(s string) (float64, error) {
	digits, ok := strings.CutSuffix(s, "%")
	if !IsDecimal(digits) {
		return 0, fmt.Errorf("%q is not a share from above 0%% to 100%%, like 80%%", s)
	}
	// The decimal point is moved in the text: 29/100 is not the number that 0.29 is,
	// and shares must survive being written and read.
	share, err := strconv.ParseFloat(digits+"e-2", 64)
	switch {
	case err != nil || !(share > 0 && share <= 1):
		return 0, fmt.Errorf("%q is not a share from above 0%% to 100%%, like 80%%", s)
	case !ok && share <= 0.01:
		v, _ := strconv.ParseFloat(digits, 64)
		return 0, fmt.Errorf("%q is not a share: it has no %%; did you mean %s?", s, percent(v))
	}
	return share, nil
}

// percent writes a share so that [ParsePercent] gives the same number.
func percent(share float64) string {
	whole, part, _ := strings.Cut(strconv.FormatFloat(share, 'f', -1, 64), ".")
	part += "00"[min(2, len(part)):]
	whole = strings.TrimLeft(whole+part[:2], "0")
	if whole == "" {
		whole = "0"
	}
	if part = part[2:]; part != "" {
		part = "." + part
	}
	return whole + part + "%"
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// ParseSize reads bytes: 1073741824, 500M, 1.5G. Units are K, M, G and T of
// 1024, in either case, with B, i or iB after them if you like.
func ParseSize(s string) (uint64, error) {
	wrong := fmt.Errorf("%q is not a size from 1 byte to 1048576T, like 500M or 1.5G", s)
	digits, unit := s, uint64(1)
	upper := strings.ToUpper(s)
	for i, u := range units {
		for _, tail := range []string{"IB", "B", "I", ""} {
			if rest, ok := strings.CutSuffix(upper, string(u)+tail); ok && unit == 1 {
				digits, unit = rest, 1<<(10*(len(units)-i))
			}
		}
	}
	if !IsDecimal(digits) || unit == 1 && strings.Contains(digits, ".") {
		return 0, wrong
	}
	// Exact: 0.1T through a float could come back as another number of bytes.
	exact, ok := new(big.Rat).SetString(digits)
	if !ok {
		return 0, wrong
	}
	exact.Mul(exact, new(big.Rat).SetUint64(unit))
	bytes := new(big.Int).Quo(exact.Num(), exact.Denom())
	if !bytes.IsUint64() || bytes.Uint64() < 1 || bytes.Uint64() > maxSize {
		return 0, wrong
	}
	return bytes.Uint64(), nil
}

// size writes bytes so that [ParseSize] gives the same number: in the largest
// unit in which it has no more than two decimals.
func size(bytes uint64) string {
	for i, u := range units {
		unit := uint64(1) << (10 * (len(units) - i))
		if bytes >= unit && bytes%unit*100%unit == 0 {
			text := strconv.FormatUint(bytes/unit, 10)
			if hundredths := bytes % unit * 100 / unit; hundredths > 0 {
				text += strings.TrimRight(fmt.Sprintf(".%02d", hundredths), "0")
			}
			return text + string(u)
		}
	}
	return strconv.FormatUint(bytes, 10)
}

// ParseAmount reads bytes like 2G or a share like 20%.
func ParseAmount(s string) (Amount, error) {
	if strings.HasSuffix(s, "%") {
		share, err := ParsePercent(s)
		return Amount{Share: share}, err
	}
	bytes, err := ParseSize(s)
	if err != nil {
		return Amount{}, fmt.Errorf("%q is not an amount: a size from 1 byte to 1048576T like 500M or 2G, or a share like 20%%", s)
	}
	return Amount{Bytes: bytes}, nil
}

// ParseLoad reads a load per CPU like 1.5.
func ParseLoad(s string) (float64, error) {
	load, err := strconv.ParseFloat(s, 64)
	if !IsDecimal(s) || err != nil || !(load > 0 && load <= 10_000) {
		return 0, fmt.Errorf("%q is not a load per CPU from above 0 to 10000, like 1.5", s)
	}
	return load, nil
}

// ParsePressure reads cpu=40,io=30,mem=10, each part optional, as percent of
// the time; io:full=20 is for all tasks, io:some=30 the same as io=30.
func ParsePressure(s string) ([]Pressure, error) {
	var all []Pressure
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(part, "=")
		of, kind, qualified := strings.Cut(name, ":")
		known := of == "cpu" || of == "io" || of == "mem"
		if !known || qualified && kind != "some" && kind != "full" {
			return nil, fmt.Errorf("%q is not a pressure: write cpu=40, io=30, mem=10 or io:full=20, with commas between them", s)
		}
		value = strings.TrimSuffix(value, "%")
		limit, err := strconv.ParseFloat(value, 64)
		if !IsDecimal(value) || err != nil || !(limit > 0 && limit <= 100) {
			return nil, fmt.Errorf("%q is not a pressure: %q is not a percentage of the time from above 0 to 100, like %s=30", s, value, name)
		}
		p := Pressure{Of: of, Full: kind == "full", Max: limit}
		if slices.ContainsFunc(all, func(q Pressure) bool { return q.name() == p.name() }) {
			return nil, fmt.Errorf("%q has %s twice: leave one out", s, p.name())
		}
		all = append(all, p)
	}
	// The names (cpu, cpu:full, io, ...) sort as they should be written.
	slices.SortFunc(all, func(a, b Pressure) int { return strings.Compare(a.name(), b.name()) })
	return all, nil
}

// ParseDisk reads PATH=SIZE and makes the path absolute, for a pool is asked
// from everywhere. The last = divides, so a path may have one.
func ParseDisk(s string) (Disk, error) {
	i := strings.LastIndexByte(s, '=')
	if i < 1 || strings.ContainsRune(s, 0) {
		return Disk{}, fmt.Errorf("%q is not a path and the space that must be free there: write PATH=5G", s)
	}
	free, err := ParseSize(s[i+1:])
	if err != nil {
		return Disk{}, fmt.Errorf("%q: %w", s, err)
	}
	path, err := filepath.Abs(s[:i])
	if err != nil {
		return Disk{}, fmt.Errorf("%q: cannot make the path absolute: %w", s, err)
	}
	return Disk{Path: path, Free: free}, nil
}

// maxCPUs bounds a need; no machine has as many.
const maxCPUs = 1_000_000

// ParseNeed reads mem=2G,cpu=2, each part optional but not both.
func ParseNeed(s string) (lease.Need, error) {
	var n lease.Need
	for part := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(part, "=")
		var err error
		switch {
		case key == "mem" && n.Mem > 0, key == "cpu" && n.CPU > 0:
			err = fmt.Errorf("it has %s twice: leave one out", key)
		case key == "mem":
			n.Mem, err = ParseSize(value)
		case key == "cpu":
			n.CPU, err = parseCPUs(value)
		default:
			err = fmt.Errorf("%q is not mem=SIZE or cpu=NUMBER", part)
		}
		if err != nil {
			return lease.Need{}, fmt.Errorf("%q is not a need like mem=2G,cpu=2: %w", s, err)
		}
	}
	return n, nil
}

func parseCPUs(s string) (float64, error) {
	cpus, err := strconv.ParseFloat(s, 64)
	if !IsDecimal(s) || err != nil || !(cpus > 0 && cpus <= maxCPUs) {
		return 0, fmt.Errorf("%q is not a number of CPUs from above 0 to %d, like 2 or 0.5", s, maxCPUs)
	}
	return cpus, nil
}
