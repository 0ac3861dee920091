package limiter

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"berth/lease"
)

// MaxSlots bounds a limit, so that its record has a fixed width.
const MaxSlots = 1_000_000

// ParseSlots reads the number of slots: a whole number from 1, or a
// percentage of cpus, rounded down but at least 1.
func ParseSlots(s string, cpus func() int) (int, error) {
	if p, ok := strings.CutSuffix(s, "%"); ok {
		percent, err := strconv.ParseFloat(p, 64)
		if err != nil || !(percent > 0 && percent <= 10_000) || !plain(p) {
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

// ParseDuration reads 1.5s, 10m, 1h30m, or plain seconds like 30 or 0.5.
func ParseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if plain(s) {
		d, err = time.ParseDuration(s + "s")
	}
	if err != nil || d < 0 || d > maxDuration {
		return 0, fmt.Errorf("%q is not a duration: seconds like 30 or 1.5, or with a unit like 300ms, 10m, 1h30m; at most 100 years", s)
	}
	return d, nil
}

// plain reports whether s is an unsigned decimal number without exponent.
func plain(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == ""
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
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	d, known := units[per]
	if !known {
		if d, err = ParseDuration(per); err != nil {
			return lease.Pace{}, wrong
		}
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
	if key == "" || '0' <= key[0] && key[0] <= '9' {
		return "", "", fmt.Errorf("label %q: a key is made of letters, digits and _, and does not begin with a digit", s)
	}
	for _, c := range []byte(key) {
		if c != '_' && !('a' <= c && c <= 'z') && !('A' <= c && c <= 'Z') && !('0' <= c && c <= '9') {
			return "", "", fmt.Errorf("label %q: a key is made of letters, digits and _, and does not begin with a digit", s)
		}
	}
	if strings.ContainsRune(value, 0) {
		return "", "", fmt.Errorf("label %q has a NUL byte in it", s)
	}
	return key, value, nil
}
