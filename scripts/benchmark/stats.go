//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// series are samples (ns) in the blocks in which they were taken.
type series [][]float64

func (s series) all() []float64 { return slices.Concat(s...) }

// quantile is the nearest-rank quantile, so always a value that was measured.
func quantile(q float64) func([]float64) float64 {
	return func(samples []float64) float64 {
		if len(samples) == 0 {
			return math.NaN()
		}
		sorted := slices.Sorted(slices.Values(samples))
		return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
	}
}

var (
	median = quantile(0.5)
	p99    = quantile(0.99)
)

// ratio compares a statistic of two series: of all samples, and the least and
// the greatest of the blocks, which says how far the first can be trusted.
func ratio(stat func([]float64) float64, a, b series) (all, low, high float64) {
	all, low, high = stat(a.all())/stat(b.all()), math.Inf(1), math.Inf(-1)
	for i := range min(len(a), len(b)) {
		if r := stat(a[i]) / stat(b[i]); !math.IsNaN(r) {
			low, high = min(low, r), max(high, r)
		}
	}
	return all, low, high
}

// compare adds a row. A target of 0 is none.
func (b *bench) compare(what string, stat func([]float64) float64, aName string, a series, bName string, s series, target float64) {
	all, low, high := ratio(stat, a, s)
	r := row{
		what:  what,
		berth: show(aName, stat, a),
		peer:  show(bName, stat, s),
		ratio: fmt.Sprintf("%.2fx (%.2f to %.2f)", all, low, high),
	}
	if target > 0 {
		r.target, r.met = fmt.Sprintf("at most %.4gx", target), yes(all <= target)
	}
	b.rows = append(b.rows, r)
}

func show(name string, stat func([]float64) float64, s series) string {
	text := fmt.Sprintf("%s (n=%d)", ms(stat(s.all())), len(s.all()))
	if name != "" {
		text = name + " " + text
	}
	return text
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "NO"
}

func ms(ns float64) string { return fmt.Sprintf("%.2f ms", ns/float64(time.Millisecond)) }

func (b *bench) print(w io.Writer) {
	fmt.Fprintf(w, "| what | berth | peer | ratio | target | met? |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range b.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join([]string{r.what, r.berth, r.peer, r.ratio, r.target, r.met}, " | "))
	}
	fmt.Fprintln(w)
	for _, n := range b.notes {
		fmt.Fprintf(w, "- %s\n", n)
	}
	fmt.Fprintf(w, "- figures are medians unless they say p99; a ratio is berth to peer over all samples (n), in brackets the least and the greatest of its blocks\n")
}
