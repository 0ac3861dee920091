package words

import (
	"strings"
	"testing"
	"time"
)

func TestParseSlots(t *testing.T) {
	four := func() int { return 4 }
	for s, want := range map[string]int{"1": 1, "64": 64, "1000000": 1000000, "50%": 2, "100%": 4, "200%": 8, "1%": 1, "62.5%": 2} {
		if got, err := ParseSlots(s, four); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1", "1.5", "x", "0%", "-5%", "%", "x%", "1e3", "1e3%", "NaN%", "Inf%", "10001%", "1000001", " 1", "99999999999999999999"} {
		if n, err := ParseSlots(s, four); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%q: %d, %v; want an error that names it", s, n, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, "1.5": 1500 * time.Millisecond, "1.5s": 1500 * time.Millisecond,
		"10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "300ms": 300 * time.Millisecond, "0.2": 200 * time.Millisecond,
		"1d": 24 * time.Hour, "1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour, "5min": 5 * time.Minute, "90sec": 90 * time.Second, "2hours": 2 * time.Hour,
		"1 s": time.Second, "5 minutes": 5 * time.Minute, "1 day 2 hours": 26 * time.Hour, "36500d": 36500 * 24 * time.Hour, "3us": 3 * time.Microsecond,
	} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1", "-1s", "x", "1e3", "1..5", ".", "9999999999999", "Inf", "s", "1w", "1M", "1 2", "5m3", "1h-30m", "-1d", "+5s", " 5s", "36501d", "36500d1s", "99999999999d", "1h 30", "ms", "5 ", "five min"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q: %v; want an error", s, d)
		}
	}
}

func TestParseRate(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"5/s": 200 * time.Millisecond, "10/m": 6 * time.Second, "1/30s": 30 * time.Second, "2/h": 30 * time.Minute, "1/d": 24 * time.Hour, "3/1.5": 500 * time.Millisecond,
		"10/min": 6 * time.Second, "2/hour": 30 * time.Minute, "1/day": 24 * time.Hour, "1/2d": 48 * time.Hour, "6/5min": 50 * time.Second,
	} {
		if p, err := ParseRate(s); err != nil || p.Every != want || p.Burst != 1 {
			t.Errorf("%q: %v, %v; want one every %v", s, p, err, want)
		}
		p, _ := ParseRate(s)
		if again, err := ParseRate(FormatRate(p)); err != nil || again != p {
			t.Errorf("%q is written as %q, which is %v, %v", s, FormatRate(p), again, err)
		}
	}
	for _, s := range []string{"", "5", "/s", "5/", "0/s", "-1/s", "1.5/s", "5/x", "5/0", "5/s/s", "1000000/1us", "9999999/s", " 5/s"} {
		if p, err := ParseRate(s); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%q: %v, %v; want an error that names it", s, p, err)
		}
	}
}

func TestParseLabel(t *testing.T) {
	for s, want := range map[string][2]string{"a=b": {"a", "b"}, "A_1=": {"A_1", ""}, "k=v=w, x": {"k", "v=w, x"}} {
		if k, v, err := ParseLabel(s); err != nil || k != want[0] || v != want[1] {
			t.Errorf("%q: %q, %q, %v; want %q", s, k, v, err, want)
		}
	}
	for _, s := range []string{"", "a", "=b", "1a=b", "a-b=c", "a b=c", "ä=b", "a=\x00"} {
		if _, _, err := ParseLabel(s); err == nil {
			t.Errorf("%q: want an error", s)
		}
	}
}

// FuzzParse: parsing never panics, and what it takes is in bounds.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "50%", "1.5s", "a=b", "", "%", "1e9%", "0x10", "١"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSlots(s, func() int { return 8 }); err == nil && (n < 1 || n > MaxSlots) {
			t.Errorf("%q: %d slots", s, n)
		}
		if d, err := ParseDuration(s); err == nil && d < 0 {
			t.Errorf("%q: %v", s, d)
		}
		if k, v, err := ParseLabel(s); err == nil && (k+"="+v != s || strings.ContainsAny(k, "= \x00")) {
			t.Errorf("%q: %q, %q", s, k, v)
		}
	})
}
