//go:build linux

package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// nothing is the cheapest command. It is named by its path, so that no tool
// has to search for it.
const nothing = "/bin/true"

// race runs job under each tool in turns, in alternating order.
func (b *bench) race(tools []tool, job ...string) ([]series, error) {
	for _, t := range tools { // the first call makes directories, starts servers
		if _, err := b.time(t, job...); err != nil {
			return nil, err
		}
	}
	took := make([]series, len(tools))
	order := make([]int, len(tools))
	for i := range order {
		order[i], took[i] = i, make(series, b.blocks)
	}
	for turn := range b.blocks * b.pairs {
		slices.Reverse(order)
		for _, i := range order {
			if tools[i].rare > 0 && turn%tools[i].rare != 0 {
				continue
			}
			d, err := b.time(tools[i], job...)
			if err != nil {
				return nil, err
			}
			took[i][turn/b.pairs] = append(took[i][turn/b.pairs], float64(d))
		}
	}
	return took, nil
}

// start is the whole process, from fork to its end, when a slot is free.
func (b *bench) start() error {
	return b.whole("`berth run -n 4 -- true`, nothing to wait for", 1.5, true, "-n", "4")
}

func (b *bench) startExec() error {
	return b.whole("`berth run --exec -n 4 -- true`", 1.25, false, "--exec", "-n", "4")
}

func (b *bench) whole(what string, target float64, more bool, flags ...string) error {
	berth, err := b.berthTool(flags...)
	if err != nil {
		return err
	}
	peers, err := b.peer("flock", flockTool)
	if err != nil {
		return err
	}
	if more {
		sem, err1 := b.peer("sem", semTool("4"))
		tsp, err2 := b.peer("tsp", tspTool)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("cannot prepare the peers: %v %v", err1, err2)
		}
		peers = slices.Concat(peers, sem, tsp)
	}
	tools := append([]tool{berth, {name: "true by itself"}}, peers...)
	took, err := b.race(tools, nothing)
	if err != nil {
		return err
	}
	for i, t := range tools[1:] {
		goal := 0.0
		if t.name == "flock" {
			goal = target
		}
		b.compare(what, median, "", took[0], t.name, took[i+1], goal)
	}
	return nil
}

// manySlots starts one more caller in a pool with a thousand slots in use.
func (b *bench) manySlots() error {
	limit := fmt.Sprint(2 * b.holders)
	empty, err := b.berthTool("-n", limit)
	if err != nil {
		return err
	}
	busy, err := b.berthTool("-n", limit)
	if err != nil {
		return err
	}
	// With --exec a holder is only its sleeping job.
	filler := busy
	filler.words = []string{b.berth, "run", "--exec", "-n", limit, "--"}
	records, err := b.records()
	if err != nil {
		return err
	}
	for range b.holders {
		if _, err := b.spawn(filler, b.words(records, "hold")...); err != nil {
			return err
		}
	}
	if err := b.reached(records, b.holders); err != nil {
		return err
	}
	took, err := b.race([]tool{busy, empty}, nothing)
	if err != nil {
		return err
	}
	b.compare(fmt.Sprintf("%d slots in use, one more caller", b.holders), median, "", took[0], "berth, empty pool", took[1], 2)
	return nil
}

// callers is how many run jobs at the same time in throughput.
const callers = 8

// throughput runs many short jobs from several callers at once.
func (b *bench) throughput() error {
	berth, err := b.berthTool("-n", "2")
	if err != nil {
		return err
	}
	one, err := b.berthTool("-n", "1")
	if err != nil {
		return err
	}
	flock, err := b.peer("flock", flockTool)
	if err != nil {
		return err
	}
	sem, err := b.peer("sem", semTool("2"))
	if err != nil {
		return err
	}
	one.name = "berth -n 1"
	tools := slices.Concat([]tool{berth, one}, flock, sem)
	rates := make([]series, len(tools))
	for block := range 3 {
		for i := range tools {
			if block%2 == 1 {
				i = len(tools) - 1 - i
			}
			jobs := b.jobs
			if tools[i].rare > 0 {
				jobs /= 10
			}
			perJob, err := b.crowd(tools[i], jobs)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], []float64{float64(perJob)})
		}
	}
	for i, t := range tools[1:] {
		b.compare(fmt.Sprintf("wall time per job, %d callers, -n 2", callers), median, "", rates[0], t.name, rates[i+1], 0)
	}
	b.notef("wall time per job: %d jobs that do nothing by %d callers; flock lets one run at a time, so it is nearer to berth -n 1 (sem: %d jobs)", b.jobs, callers, b.jobs/10)
	return nil
}

// crowd is the wall time per job.
func (b *bench) crowd(t tool, jobs int) (time.Duration, error) {
	if _, err := b.time(t, nothing); err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(jobs))
	failed := make(chan error, callers)
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := b.time(t, nothing); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	select {
	case err := <-failed:
		return 0, err
	default:
		return took / time.Duration(jobs), nil
	}
}
