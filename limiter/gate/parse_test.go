package gate

import (
	"berth/lease"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// nonsense is what none of the parsers takes, though strconv takes some of it.
var nonsense = []string{"", " ", "NaN", "nan%", "Inf", "inf%", "+Inf", "1e3", "1e-1%", "-1", "-1%", "+1", "+80%", " 80%", "80 %", "0x10", "0x10%", "1_000", "1.2.3", ".", ".%", "%", "0", "0%", "0.0", "٣", "8O%", strings.Repeat("9", 400), strings.Repeat("9", 400) + "%"}

func TestParsersRejectNonsense(t *testing.T) {
	for name, parse := range map[string]func(string) (any, error){
		"percent":  func(s string) (any, error) { v, err := ParsePercent(s); return v, err },
		"size":     func(s string) (any, error) { v, err := ParseSize(s); return v, err },
		"amount":   func(s string) (any, error) { v, err := ParseAmount(s); return v, err },
		"load":     func(s string) (any, error) { v, err := ParseLoad(s); return v, err },
		"pressure": func(s string) (any, error) { v, err := ParsePressure("io=" + s); return v, err },
		"disk":     func(s string) (any, error) { v, err := ParseDisk("/x=" + s); return v, err },
		"need mem": func(s string) (any, error) { v, err := ParseNeed("mem=" + s); return v, err },
		"need cpu": func(s string) (any, error) { v, err := ParseNeed("cpu=" + s); return v, err },
	} {
		for _, s := range nonsense {
			v, err := parse(s)
			if err == nil {
				t.Errorf("%s takes %q as %v", name, s, v)
			} else if text := err.Error(); !strings.Contains(text, `"`) || strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q does not name the value, or ends with a period", name, text)
			}
		}
	}
}

func TestParsePercent(t *testing.T) {
	for s, want := range map[string]float64{"80%": 0.8, "29%": 0.29, "100%": 1, "0.5%": 0.005, "12.5%": 0.125, "1%": 0.01, "007%": 0.07, "80": 0.8, "29": 0.29, "100": 1, "12.5": 0.125, "1.5": 0.015} {
		if got, err := ParsePercent(s); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		"0.8": "did you mean 80%?", "1": "did you mean 100%?", "900": "like 80%",
		"300%": `"300%" is not a share from above 0% to 100%`, "100.01%": "to 100%",
	} {
		if _, err := ParsePercent(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

func TestPercentRoundTrip(t *testing.T) {
	for _, v := range []float64{0.29, 0.07, 1, 0.8, 0.005, 1e-9, 1.0 / 3, math.Nextafter(1, 0), math.Nextafter(0.8, 1)} {
		if got, err := ParsePercent(percent(v)); err != nil || got != v {
			t.Errorf("%v is written %s and read %v, %v", v, percent(v), got, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]uint64{
		"1": 1, "1073741824": 1 << 30, "500M": 500 << 20, "1.5G": 3 << 29, "2k": 2048, "1KiB": 1024, "1KB": 1024,
		"3tib": 3 << 40, "0.1K": 102, "1048576T": 1 << 60, "7b": 7,
	} {
		got, err := ParseSize(s)
		if s == "7b" {
			if err == nil {
				t.Errorf("%q: %d", s, got)
			}
		} else if err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"2X", "1.5", "0.0001K", "1048577T", "G", "2GG", "2 G", "2iB", "-2G", "1e3M", "2G%"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q: %d", s, got)
		}
	}
}

func TestSizeText(t *testing.T) {
	for v, want := range map[uint64]string{
		1: "1", 1023: "1023", 1024: "1K", 3 << 29: "1.5G", 5 << 28: "1.25G", 1<<30 + 1: "1073741825", 500 << 20: "500M", 1<<30 + 1<<20: "1025M", 1 << 60: "1048576T",
	} {
		if got := size(v); got != want {
			t.Errorf("%d: %s, want %s", v, got, want)
		}
	}
}

func TestParseAmount(t *testing.T) {
	for s, want := range map[string]Amount{"2G": {Bytes: 2 << 30}, "20%": {Share: 0.2}} {
		if got, err := ParseAmount(s); err != nil || got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"2X", "300%", "0.2"} {
		if got, err := ParseAmount(s); err == nil || got != (Amount{}) {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
}

func TestParseLoad(t *testing.T) {
	for s, want := range map[string]float64{"1.5": 1.5, "10000": 10000, ".5": 0.5} {
		if got, err := ParseLoad(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"10000.1", "80%", "0"} {
		if got, err := ParseLoad(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestParsePressure(t *testing.T) {
	for s, want := range map[string][]Pressure{
		"cpu=40,io=30,mem=10": {{"cpu", false, 40}, {"io", false, 30}, {"mem", false, 10}},
		"mem=10,io:full=20,io:some=100,cpu=0.5": {
			{"cpu", false, 0.5}, {"io", false, 100}, {"io", true, 20}, {"mem", false, 10},
		},
	} {
		if got, err := ParsePressure(s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"": "is not a pressure", "memory=10": "is not a pressure", "io=": "percentage", "io": "percentage", "io=101": "to 100", "io=0": "above 0",
		"io=30,io:some=20": "io twice", "io:full=1,io:full=2": "io:full twice", "io:most=3": "is not a pressure", "io=30,": "is not a pressure", "io=30%%": "percentage",
	} {
		if got, err := ParsePressure(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", s, got, err, want)
		}
	}
}

func TestParseDisk(t *testing.T) {
	here, err := filepath.Abs("some=dir")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseDisk("some=dir=5G"); err != nil || got != (Disk{here, 5 << 30}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, s := range []string{"", "=5G", "/x", "/x=", "/x=5X", "5G", "/a\x00b=5G"} {
		if got, err := ParseDisk(s); err == nil {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func TestParseNeed(t *testing.T) {
	for s, want := range map[string]lease.Need{"mem=2G,cpu=2": {Mem: 2 << 30, CPU: 2}, "cpu=0.5": {Mem: 0, CPU: 0.5}, "cpu=1,mem=1": {Mem: 1, CPU: 1}} {
		if got, err := ParseNeed(s); err != nil || got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"": "not a need", "2G": "mem=SIZE", "mem=2G,mem=3G": "mem twice", "cpu=1,cpu=1": "cpu twice", "cpu=1000001": "CPUs", "mem=2X": "not a size",
		"mem=20%": "not a size", "mem=2G,": "not a need", "gpu=1": "gpu=1",
	} {
		if got, err := ParseNeed(s); err == nil || got != (lease.Need{}) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", s, got, err, want)
		}
	}
}

// What a parser takes, it must take again from what is written of it, as the
// same value: pools keep gates and print them as flags.
func FuzzRoundTrip(f *testing.F) {
	for _, s := range append(nonsense, "80%", "1.5G", "0.1T", "cpu=40,io:full=20.5", "/a=b=5G", "mem=2G,cpu=0.5", "1.5") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParsePercent(s); err == nil {
			if w, err := ParsePercent(percent(v)); err != nil || w != v || !(v > 0 && v <= 1) {
				t.Errorf("percent %q: %v, %v, %v", s, v, w, err)
			}
		}
		if v, err := ParseAmount(s); err == nil {
			if w, err := ParseAmount(v.String()); err != nil || w != v {
				t.Errorf("amount %q: %v, %v, %v", s, v, w, err)
			}
		}
		if v, err := ParseLoad(s); err == nil {
			if w, err := ParseLoad(number(v)); err != nil || w != v || !(v > 0 && v <= 10_000) {
				t.Errorf("load %q: %v, %v, %v", s, v, w, err)
			}
		}
		if v, err := ParsePressure(s); err == nil {
			if w, err := ParsePressure(pressures(v)); err != nil || !reflect.DeepEqual(v, w) {
				t.Errorf("pressure %q: %v, %v, %v", s, v, w, err)
			}
		}
		if v, err := ParseDisk(s); err == nil {
			if w, err := ParseDisk(v.String()); err != nil || w != v || !filepath.IsAbs(v.Path) {
				t.Errorf("disk %q: %v, %v, %v", s, v, w, err)
			}
		}
		if v, err := ParseNeed(s); err == nil {
			if w, err := ParseNeed(FormatNeed(v)); err != nil || w != v {
				t.Errorf("need %q: %v, %v, %v", s, v, w, err)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"max_cpu":0.8,"min_mem":{"share":0.2},"max_pressure":[{"of":"io","max":3}],"min_disk":[{"path":"/","free":1}]}`)
	f.Add(`{"max_cpu":1e300}`)
	f.Fuzz(func(t *testing.T, text string) {
		g, err := Decode(text)
		if err != nil {
			return
		}
		if err := g.valid(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
