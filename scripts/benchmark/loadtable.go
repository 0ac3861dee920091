//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

func (o outcome) String() string {
	text := fmt.Sprintf("%.1f s, %.0f MB, pressure %.0f%%, at most %d at once, %d lost", o.took.Seconds(), o.memory/1e6, o.pressure, o.most, o.lost)
	if o.late {
		text += ", ended because it took too long"
	}
	return text + "; " + o.settled.String()
}

func (s settled) String() string {
	return fmt.Sprintf("%d at once for %.0f%% of the time from %.1f s to %.1f s (%d to %d), first after %.1f s",
		s.jobs, 100*s.share, s.from.Seconds(), s.to.Seconds(), s.least, s.most, s.first.Seconds())
}

// print writes the table of one kind of job.
func (w *workload) print(out io.Writer) {
	if len(w.runs) == 0 {
		return
	}
	peak := "peak memory"
	if w.group {
		peak += " of the group"
	}
	fmt.Fprintf(out, "%s:\n\n", w.title)
	fmt.Fprintf(out, "| how many at once | all finished after | %s | CPU pressure | most at once | jobs lost |\n| --- | --- | --- | --- | --- | --- |\n", peak)
	for _, s := range strategies() {
		runs := w.runs[s.name]
		if len(runs) == 0 {
			continue
		}
		times := each(runs, func(o outcome) float64 { return o.took.Seconds() })
		took := fmt.Sprintf("%.1f s (%.1f to %.1f)", median(times), slices.Min(times), slices.Max(times))
		most, lost, late, all := 0, 0, 0, 0
		for _, o := range runs {
			most = max(most, o.most)
			if o.late {
				late++
				continue // what we ended ourselves is not lost
			}
			lost, all = lost+o.lost, all+w.jobs
		}
		if len(runs) == 1 {
			took = fmt.Sprintf("%.1f s (once)", times[0])
		}
		if late > 0 {
			took += fmt.Sprintf(", not finished by then: %d of %d", late, len(runs))
		}
		of := "0"
		if lost > 0 {
			of = fmt.Sprintf("%d of %d", lost, all)
		}
		fmt.Fprintf(out, "| %s | %s | %.0f MB | %s | %d | %s |\n", s.name, took,
			median(each(runs, func(o outcome) float64 { return o.memory / 1e6 })),
			percent(median(each(runs, func(o outcome) float64 { return o.pressure }))), most, of)
	}
	fmt.Fprintf(out, "\n- medians (in brackets the least and the greatest of the runs, which went in turns); the most at once and the lost ones are of all runs\n")
	fmt.Fprintf(out, "- CPU pressure is of the whole machine; without any job of ours, in between: %s (%s to %s)\n",
		percent(median(w.quiet)), percent(slices.Min(w.quiet)), percent(slices.Max(w.quiet)))
	if w.group {
		fmt.Fprintf(out, "- processes killed because memory ran out: %d\n", w.killed)
	}
	for _, s := range strategies() {
		if strings.HasPrefix(s.name, auto) {
			for i, o := range w.runs[s.name] {
				fmt.Fprintf(out, "- %s, run %d: %s\n", s.name, i+1, o.settled)
			}
		}
	}
	fmt.Fprintln(out)
}

func each(runs []outcome, of func(outcome) float64) (all []float64) {
	for _, o := range runs {
		all = append(all, of(o))
	}
	return all
}

func percent(v float64) string {
	if v < 0 || math.IsNaN(v) {
		return "unknown"
	}
	return fmt.Sprintf("%.0f%%", v)
}
