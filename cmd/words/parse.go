package words

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"berth/lease"
	"berth/limiter/gate"
)

// MaxSlots bounds a limit, so that its record has a fixed width.
const MaxSlots = 1_000_000

// ParseSlots reads the number of slots: a whole number from 1, or a
// percentage of cpus, rounded down but at least 1.
func ParseSlots(s string, cpus func() int) (int, error) {
	if p, ok := strings.CutSuffix(s, "%"); ok {
		percent, err := strconv.ParseFloat(p, 64)
		if err != nil || !(percent > 0 && percent <= 10_000) || !gate.IsDecimal(p) {
			return 0, fmt.Errorf("%q is not a number of slots: a percentage of the CPUs is from above 0%% to 10000%%, like 50%%", s)
		}
		return max(1, int(percent*float64(cpus())/100)), nil
	}
	return ParseCount(s, "a number of slots", 1, MaxSlots, ", or a percentage of the CPUs like 50%, or auto")
}

// ParseCount reads a whole number within bounds; what and more go into the error.
func ParseCount(s, what string, low, high int, more string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%q is not %s: a whole number from %d to %d%s", s, what, low, high, more)
	}
	return n, nil
}

// maxDuration keeps sums of durations far from their overflow after 292 years.
const maxDuration = 100 * 365 * 24 * time.Hour

// ParseDuration reads 1.5s, 10m, 1h30m, 5min, 2 hours, 1d, or plain seconds like 30
// or 0.5.
func ParseDuration(s string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is not a duration: seconds like 30 or 1.5, or with a unit like 300ms, 5min, 1h30m, 1d; at most 100 years", s)
	rest := s
	if gate.IsDecimal(s) {
		rest += "s"
	}
	if rest == "" {
		return 0, wrong
	}
	sum := time.Duration(0)
	for rest != "" {
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		number, after := rest[:n], strings.TrimLeft(rest[n:], " ")
		name := after
		if i := strings.IndexAny(after, "0123456789. "); i >= 0 {
			name = after[:i]
		}
		unit, times := unitOf(name)
		d, err := time.ParseDuration(number + unit)
		if err != nil || unit == "" || number == "" || d > maxDuration/times || sum+d*times > maxDuration {
			return 0, wrong
		}
		sum, rest = sum+d*times, strings.TrimLeft(after[len(name):], " ")
	}
	return sum, nil
}

// unitOf is what people call a unit, in the words of the time package.
func unitOf(name string) (unit string, times time.Duration) {
	switch name {
	case "ns", "us", "µs", "μs", "ms":
		return name, 1
	case "s", "sec", "secs", "second", "seconds":
		return "s", 1
	case "m", "min", "mins", "minute", "minutes":
		return "m", 1
	case "h", "hr", "hrs", "hour", "hours":
		return "h", 1
	case "d", "day", "days":
		return "h", 24
	}
	return "", 1
}

// ParseRate reads a number of starts per time: 5/s, 10/m, 3/h, 1/d, or with a
// duration like 1/30s.
func ParseRate(s string) (lease.Pace, error) {
	wrong := fmt.Errorf("%q is not a rate: write it like 5/s, 10/m, 3/h, 1/d or 1/30s", s)
	n, per, ok := strings.Cut(s, "/")
	count, err := ParseCount(n, "a rate", 1, MaxSlots, "")
	if !ok || err != nil {
		return lease.Pace{}, wrong
	}
	if per != "" && strings.Trim(per[:1], "0123456789.") != "" {
		per = "1" + per
	}
	d, err := ParseDuration(per)
	if err != nil {
		return lease.Pace{}, wrong
	}
	p := lease.Pace{Every: d / time.Duration(count), Burst: 1}
	if p.Every <= 0 {
		return lease.Pace{}, wrong
	}
	return p, nil
}

// FormatRate writes a pace as ParseRate reads it, without its burst.
func FormatRate(p lease.Pace) string {
	for _, u := range []struct {
		name string
		d    time.Duration
	}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}} {
		if n := u.d / p.Every; n > 0 && n <= MaxSlots && u.d/n == p.Every {
			return fmt.Sprintf("%d/%s", n, u.name)
		}
	}
	return "1/" + p.Every.String()
}

// ParseLabel reads KEY=VALUE. The key becomes part of a variable's name, so it
// is made of letters, digits and _ and does not begin with a digit.
func ParseLabel(s string) (key, value string, err error) {
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return "", "", fmt.Errorf("label %q has no value: write KEY=VALUE", s)
	}
	if !isVariable(key) {
		return "", "", fmt.Errorf("label %q: a key is made of letters, digits and _, and does not begin with a digit", s)
	}
	if strings.ContainsRune(value, 0) {
		return "", "", fmt.Errorf("label %q has a NUL byte in it", s)
	}
	return key, value, nil
}
