//go:build linux

package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i) // from 100 down to 1
	}
	for _, tt := range []struct {
		name    string
		of      func([]float64) float64
		samples []float64
		want    float64
	}{
		{"median of one", median, []float64{7}, 7},
		{"median of two is one of them", median, []float64{9, 1}, 1},
		{"median of three", median, []float64{9, 1, 5}, 5},
		{"median of four", median, []float64{4, 3, 2, 1}, 2},
		{"median of a hundred", median, hundred, 50},
		{"p99 of a hundred", p99, hundred, 99},
		{"p99 of a few is the greatest", p99, []float64{1, 8, 3}, 8},
		{"least", quantile(0), []float64{4, 2, 3}, 2},
		{"greatest", quantile(1), []float64{4, 2, 3}, 4},
	} {
		before := slices.Clone(tt.samples)
		if got := tt.of(tt.samples); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if !slices.Equal(before, tt.samples) {
			t.Errorf("%s: it has reordered the samples", tt.name)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing: %v", got)
	}
}

func TestRatio(t *testing.T) {
	a := series{{2, 2, 2}, {6, 6}, nil}
	b := series{{1, 1, 1}, {2, 2}, {5}}
	all, low, high := ratio(median, a, b)
	// Of all samples: 2, 2, 2, 6, 6 beside 1, 1, 1, 2, 2, 5. Blocks: 2 and 3; one that has
	// no samples of both is left out.
	if all != 2 || low != 2 || high != 3 {
		t.Errorf("%v (%v to %v), want 2 (2 to 3)", all, low, high)
	}
}

func TestCompareAndPrint(t *testing.T) {
	ms := float64(time.Millisecond)
	b := &bench{notes: []string{"a note"}}
	ours, theirs := series{{3 * ms}, {3 * ms}}, series{{2 * ms}, {1 * ms}}
	b.compare("start", median, "", ours, "flock", theirs, 3)
	b.compare("start", median, "", ours, "flock", theirs, 2.5)
	b.compare("start", p99, "run", ours, "", theirs, 0)
	var out strings.Builder
	b.print(&out)
	want := `| what | berth | peer | ratio | target | met? |
| --- | --- | --- | --- | --- | --- |
| start | 3.00 ms (n=2) | flock 1.00 ms (n=2) | 3.00x (1.50 to 3.00) | at most 3x | yes |
| start | 3.00 ms (n=2) | flock 1.00 ms (n=2) | 3.00x (1.50 to 3.00) | at most 2.5x | NO |
| start | run 3.00 ms (n=2) | 2.00 ms (n=2) | 1.50x (1.50 to 3.00) |  |  |

- a note
`
	if got := out.String(); !strings.HasPrefix(got, want) {
		t.Errorf("it prints\n%s\nwant\n%s", got, want)
	}
}

func TestWorkloadTable(t *testing.T) {
	run := func(seconds, most, lost int, late bool) outcome {
		return outcome{took: time.Duration(seconds) * time.Second, memory: 100e6, pressure: 40, most: most, lost: lost, late: late}
	}
	name := strategies()[0].name
	w := &workload{title: "burners", jobs: 10, quiet: []float64{-1}, runs: map[string][]outcome{
		name: {run(30, 1, 0, false), run(50, 2, 3, false), run(90, 1, 7, true)},
	}}
	var out strings.Builder
	w.print(&out)
	// The median time; the most at once of all; what was ended by us is not lost.
	want := "| " + name + " | 50.0 s (30.0 to 90.0), not finished by then: 1 of 3 | 100 MB | 40% | 2 | 3 of 20 |\n"
	if !strings.Contains(out.String(), want) {
		t.Errorf("it prints\n%s\nwithout\n%s", out.String(), want)
	}
	if !strings.Contains(out.String(), "in between: unknown (unknown to unknown)\n") {
		t.Errorf("a pressure that is not known is shown:\n%s", out.String())
	}
	out.Reset()
	(&workload{title: "eaters"}).print(&out)
	if out.String() != "" {
		t.Errorf("without runs it prints %q", out.String())
	}
}
