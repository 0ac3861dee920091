package gate

import (
	"berth/lease"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// every is a set of gates with one of each.
var every = Gates{
	MaxCPU: 0.8, MaxMem: 0.29, MinMem: Amount{Bytes: 2 << 30}, MaxLoad: 1.5,
	MaxPressure: []Pressure{{"cpu", false, 40}, {"io", true, 20.5}, {"mem", false, 10}},
	MinDisk:     []Disk{{"/a=b", 5 << 30}, {"/c", 1}}, Command: "test -e /x",
}

func TestGatesAny(t *testing.T) {
	for _, c := range []struct {
		g             Gates
		any, resource bool
	}{
		{Gates{}, false, false},
		{Gates{Command: "true"}, true, false},
		{Gates{MaxCPU: 0.1}, true, true},
		{Gates{MaxMem: 0.1}, true, true},
		{Gates{MinMem: Amount{Share: 0.1}}, true, true},
		{Gates{MaxLoad: 1}, true, true},
		{Gates{MaxPressure: []Pressure{{"io", false, 1}}}, true, true},
		{Gates{MinDisk: []Disk{{"/", 1}}}, true, true},
	} {
		if c.g.Any() != c.any || c.g.Resource() != c.resource {
			t.Errorf("%+v: any %v, resource %v", c.g, c.g.Any(), c.g.Resource())
		}
	}
}

func TestFlags(t *testing.T) {
	want := []string{
		"--max-cpu", "80%", "--max-mem", "29%", "--min-mem", "2G", "--max-load", "1.5",
		"--max-pressure", "cpu=40,io:full=20.5,mem=10", "--min-disk", "/a=b=5G", "--min-disk", "/c=1", "--gate", "test -e /x",
	}
	if got := every.Flags(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (Gates{}).Flags(); got != nil {
		t.Errorf("none: %q", got)
	}
}

func TestDecode(t *testing.T) {
	text, err := json.Marshal(every)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(string(text))
	if err != nil || !reflect.DeepEqual(got, every) {
		t.Errorf("%s: got %+v, %v", text, got, err)
	}
	if none, err := json.Marshal(Gates{}); err != nil || string(none) != "{}" {
		t.Errorf("no gates are %s, %v", none, err)
	}
	for _, c := range []struct{ text, want string }{
		{`{"max_gpu":0.5}`, "unknown field"},
		{`{} {}`, "something follows"},
		{``, "EOF"},
		{`[]`, "cannot unmarshal"},
		{`{"max_cpu":8}`, "--max-cpu"},
		{`{"max_cpu":-0.2}`, "--max-cpu"},
		{`{"max_mem":1.01}`, "--max-mem"},
		{`{"min_mem":{"bytes":1,"share":0.5}}`, "only one"},
		{`{"max_load":-1}`, "--max-load"},
		{`{"max_pressure":[{"of":"gpu","max":1}]}`, "--max-pressure"},
		{`{"max_pressure":[{"of":"io","max":1},{"of":"io","max":2}]}`, "twice"},
		{`{"min_disk":[{"path":"here","free":1}]}`, "not absolute"},
		{`{"min_disk":[{"path":"/x"}]}`, "--min-disk"},
	} {
		if g, err := Decode(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v; want an error with %q", c.text, g, err, c.want)
		}
	}
}

func TestFormatNeed(t *testing.T) {
	for _, c := range []struct {
		n    lease.Need
		want string
	}{{lease.Need{}, ""}, {lease.Need{Mem: 2 << 30, CPU: 2}, "mem=2G,cpu=2"}, {lease.Need{Mem: 3 << 19}, "mem=1.5M"}, {lease.Need{CPU: 0.5}, "cpu=0.5"}} {
		if got := FormatNeed(c.n); got != c.want {
			t.Errorf("%+v: %q, want %q", c.n, got, c.want)
		}
	}
}
